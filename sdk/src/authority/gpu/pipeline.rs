//! Types of the authority `Gpu`: pipelines.

use super::{
    GpuId, choice::BlendFactor, choice::BlendOperation, choice::CompareFunction, choice::CullMode,
    choice::FrontFace, choice::PrimitiveTopology, choice::StencilOperation, choice::TextureFormat,
    choice::VertexFormat, choice::VertexStepMode, flags::ColorWrites,
};
use crate::interstice_type;

/// A render pipeline to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateRenderPipeline {
    pub label: Option<String>,
    pub layout: GpuId,
    pub vertex: VertexState,
    pub fragment: Option<FragmentState>,
    pub primitive: PrimitiveState,
    pub depth_stencil: Option<DepthStencilState>,
    pub multisample: MultisampleState,
    pub multiview: Option<u32>,
}

/// The vertex stage of a pipeline.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct VertexState {
    pub module: GpuId,
    pub entry_point: String,
    pub buffers: Vec<VertexBufferLayout>,
}

/// How a vertex buffer is read.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct VertexBufferLayout {
    pub array_stride: u64,
    pub step_mode: VertexStepMode,
    pub attributes: Vec<VertexAttribute>,
}

/// One attribute of a vertex.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct VertexAttribute {
    pub format: VertexFormat,
    pub offset: u64,
    pub shader_location: u32,
}

/// The fragment stage of a pipeline.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct FragmentState {
    pub module: GpuId,
    pub entry_point: String,
    pub targets: Vec<ColorTargetState>,
}

/// What a fragment stage draws on.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct ColorTargetState {
    pub format: TextureFormat,
    pub blend: Option<BlendState>,
    pub write_mask: ColorWrites,
}

/// How drawn colours are mixed with those that are there.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct BlendState {
    pub color: BlendComponent,
    pub alpha: BlendComponent,
}

/// How one part of a colour is mixed.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct BlendComponent {
    pub src_factor: BlendFactor,
    pub dst_factor: BlendFactor,
    pub operation: BlendOperation,
}

/// How vertices become shapes.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct PrimitiveState {
    pub topology: PrimitiveTopology,
    pub cull_mode: Option<CullMode>,
    pub front_face: FrontFace,
}

/// How often a pixel is sampled.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct MultisampleState {
    pub count: u32,
    pub mask: u64,
    pub alpha_to_coverage_enabled: bool,
}

/// How depth and stencil are tested.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct DepthStencilState {
    pub format: TextureFormat,
    pub depth_write_enabled: bool,
    pub depth_compare: CompareFunction,
    pub stencil: StencilState,
    pub bias: DepthBiasState,
}

/// How the stencil is tested.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct StencilState {
    pub front: StencilFaceState,
    pub back: StencilFaceState,
    pub read_mask: u32,
    pub write_mask: u32,
}

/// How the stencil of one kind of face is tested.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct StencilFaceState {
    pub compare: CompareFunction,
    pub fail_op: StencilOperation,
    pub depth_fail_op: StencilOperation,
    pub pass_op: StencilOperation,
}

/// What is added to depths.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct DepthBiasState {
    pub constant: i32,
    pub slope_scale: f32,
    pub clamp: f32,
}

/// A compute pipeline to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateComputePipeline {
    pub layout: GpuId,
    pub module: GpuId,
    pub entry_point: String,
}
