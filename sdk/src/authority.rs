//! The types of the authorities: what their events hand over and their calls take.
//!
//! Structs here are built by literal and never grow; neither do the enums that say so. All are
//! column types.

mod audio;
mod file;
mod gpu;
mod input;
mod module;
mod network;

pub use audio::AudioStreamConfig;
pub use file::{DirEntry, FileEvent, FileMetadata, FileType};
pub use gpu::{
    AddressMode, BeginRenderPass, BindGroupEntry, BindGroupLayoutEntry, BindingResource,
    BindingType, BlendComponent, BlendFactor, BlendOperation, BlendState, BufferUsage,
    ColorTargetState, ColorWrites, CompareFunction, CopyBufferToBuffer, CopyBufferToTexture,
    CopyTextureToBuffer, CreateBindGroup, CreateBindGroupLayout, CreateComputePipeline,
    CreatePipelineLayout, CreateRenderPipeline, CreateSampler, CreateTexture, CreateTextureView,
    CullMode, DepthBiasState, DepthStencilState, FilterMode, FragmentState, FrontFace, GpuId,
    IndexFormat, LoadOp, MultisampleState, PrimitiveState, PrimitiveTopology,
    RenderPassColorAttachment, RenderPassDepthStencilAttachment, ShaderStage, StencilFaceState,
    StencilOperation, StencilState, StoreOp, TextureDimension, TextureFormat, TextureSampleType,
    TextureUsage, TextureViewDimension, VertexAttribute, VertexBufferLayout, VertexFormat,
    VertexState, VertexStepMode, WriteTexture,
};
pub use input::{ElementState, InputEvent, PhysicalKey};
pub use module::{ModuleEvent, NodeSelection};
pub use network::NetworkEvent;
