//! Types of the authority `Gpu`: a small WebGPU, in the shapes that modules build by literal.

mod choice;
mod flags;
mod pass;
mod pipeline;
mod resource;

pub use choice::{
    AddressMode, BlendFactor, BlendOperation, CompareFunction, CullMode, FilterMode, FrontFace,
    IndexFormat, LoadOp, PrimitiveTopology, StencilOperation, StoreOp, TextureDimension,
    TextureFormat, TextureViewDimension, VertexFormat, VertexStepMode,
};
pub use flags::{BufferUsage, ColorWrites, ShaderStage, TextureUsage};
pub use pass::{
    BeginRenderPass, CopyBufferToBuffer, CopyBufferToTexture, CopyTextureToBuffer,
    RenderPassColorAttachment, RenderPassDepthStencilAttachment,
};
pub use pipeline::{
    BlendComponent, BlendState, ColorTargetState, CreateComputePipeline, CreateRenderPipeline,
    DepthBiasState, DepthStencilState, FragmentState, MultisampleState, PrimitiveState,
    StencilFaceState, StencilState, VertexAttribute, VertexBufferLayout, VertexState,
};
pub use resource::{
    BindGroupEntry, BindGroupLayoutEntry, BindingResource, BindingType, CreateBindGroup,
    CreateBindGroupLayout, CreatePipelineLayout, CreateSampler, CreateTexture, CreateTextureView,
    TextureSampleType, WriteTexture,
};

/// A thing of the GPU: a buffer, a texture, a pipeline. 0 is none.
pub type GpuId = u32;
