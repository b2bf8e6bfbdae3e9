//! Types of the authority `Gpu`: passes and copies.

use super::{GpuId, choice::LoadOp, choice::StoreOp};
use crate::interstice_type;

/// A render pass to be begun.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct BeginRenderPass {
    pub encoder: GpuId,
    pub color_attachments: Vec<RenderPassColorAttachment>,
    pub depth_stencil: Option<RenderPassDepthStencilAttachment>,
}

/// A colour that a pass draws on.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct RenderPassColorAttachment {
    pub view: GpuId,
    pub resolve_target: Option<GpuId>,
    pub load: LoadOp,
    pub store: StoreOp,
    pub clear_color: [f32; 4],
}

/// A depth that a pass tests against.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct RenderPassDepthStencilAttachment {
    pub view: GpuId,
    pub depth_load: LoadOp,
    pub depth_store: StoreOp,
    pub depth_clear: f32,
}

/// Bytes to be copied.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CopyBufferToBuffer {
    pub encoder: GpuId,
    pub src: GpuId,
    pub src_offset: u64,
    pub dst: GpuId,
    pub dst_offset: u64,
    pub size: u64,
}

/// Texels to be copied from a buffer.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CopyBufferToTexture {
    pub encoder: GpuId,
    pub src_buffer: GpuId,
    pub src_offset: u64,
    pub bytes_per_row: u32,
    pub rows_per_image: u32,
    pub dst_texture: GpuId,
    pub mip_level: u32,
    pub origin: [u32; 3],
    pub extent: [u32; 3],
}

/// Texels to be copied to a buffer.
#[interstice_type]
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of WebGPU")]
pub struct CopyTextureToBuffer {
    pub encoder: GpuId,
    pub src_texture: GpuId,
    pub mip_level: u32,
    pub origin: [u32; 3],
    pub dst_buffer: GpuId,
    pub dst_offset: u64,
    pub bytes_per_row: u32,
    pub rows_per_image: u32,
    pub extent: [u32; 3],
}
