//! Types of the authority `Gpu`: textures, samplers and bindings.

use super::{
    GpuId, choice::AddressMode, choice::FilterMode, choice::TextureDimension,
    choice::TextureFormat, choice::TextureViewDimension, flags::ShaderStage, flags::TextureUsage,
};
use crate::interstice_type;

/// A texture to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateTexture {
    pub width: u32,
    pub height: u32,
    pub depth: u32,
    pub mip_levels: u32,
    pub sample_count: u32,
    pub dimension: TextureDimension,
    pub format: TextureFormat,
    pub usage: TextureUsage,
}

/// Texels to be written.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct WriteTexture {
    pub texture: GpuId,
    pub data: Vec<u8>,
    pub bytes_per_row: u32,
    pub rows_per_image: u32,
    pub width: u32,
    pub height: u32,
    pub depth: u32,
}

/// A view of a texture to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateTextureView {
    pub texture: GpuId,
    pub format: Option<TextureFormat>,
    pub dimension: Option<TextureViewDimension>,
    pub base_mip_level: u32,
    pub mip_level_count: Option<u32>,
    pub base_array_layer: u32,
    pub array_layer_count: Option<u32>,
}

/// A sampler to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateSampler {
    pub mag_filter: FilterMode,
    pub min_filter: FilterMode,
    pub address_mode: AddressMode,
}

/// A bind group layout to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateBindGroupLayout {
    pub entries: Vec<BindGroupLayoutEntry>,
}

/// One binding of a layout.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct BindGroupLayoutEntry {
    pub binding: u32,
    pub visibility: ShaderStage,
    pub ty: BindingType,
}

/// A bind group to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreateBindGroup {
    pub layout: GpuId,
    pub entries: Vec<BindGroupEntry>,
}

/// One binding of a bind group.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct BindGroupEntry {
    pub binding: u32,
    pub resource: BindingResource,
}

/// A pipeline layout to be made.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CreatePipelineLayout {
    pub bind_group_layouts: Vec<GpuId>,
}

/// What a binding is, in a layout.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants and fields are those of WebGPU")]
pub enum BindingType {
    UniformBuffer,
    StorageBuffer {
        read_only: bool,
    },
    Sampler {
        comparison: bool,
    },
    Texture {
        sample_type: TextureSampleType,
        view_dimension: TextureViewDimension,
        multisampled: bool,
    },
    StorageTexture {
        format: TextureFormat,
    },
}

/// What a shader reads from a texture.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants and fields are those of WebGPU")]
pub enum TextureSampleType {
    Float { filterable: bool },
    Depth,
    Sint,
    Uint,
}

/// What is bound, in a bind group.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants and fields are those of WebGPU")]
pub enum BindingResource {
    Buffer {
        buffer: GpuId,
        offset: u64,
        size: Option<u64>,
    },
    TextureView(GpuId),
    Sampler(GpuId),
}
