//! The guest's side of Interstice: what a module is written with.
//!
//! ```
//! use interstice_sdk::*;
//!
//! #[table(public)]
//! #[derive(Debug)]
//! pub struct Greeting {
//!     #[primary_key(auto_inc)]
//!     pub id: u64,
//!     pub text: String,
//! }
//!
//! #[reducer]
//! pub fn hello<Caps>(ctx: ReducerContext<Caps>, name: String) -> Result<(), Error>
//! where
//!     Caps: CanInsert<Greeting>,
//! {
//!     ctx.current.tables.greeting().insert(Greeting {
//!         id: 0,
//!         text: format!("Hello, {name}!"),
//!     })?;
//!     Ok(())
//! }
//!
//! # fn main() {
//! let ctx = interstice_sdk::testing::reducer_context();
//! hello(ctx.clone(), "Ada".to_string()).expect("the table is empty");
//! assert_eq!(ctx.current.tables.greeting().scan()[0].text, "Hello, Ada!");
//! # }
//! ```
//!
//! Modules import everything by `use interstice_sdk::*`, the one documented glob; what is added
//! later goes into a submodule. [`timing`] has timers that repeat and timers with arguments.
//! [`testing`] runs a module's reducers without a node.

// The macros name this crate by its full name, also in here.
extern crate self as interstice_sdk;

mod call;
mod capability;
mod context;
mod error;
mod host;
#[cfg(target_arch = "wasm32")]
mod sys;

#[doc(hidden)]
pub mod __private;
pub mod authority;
pub mod bindings;
pub mod host_calls;
pub mod key_code;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod timing;

pub use __private::table::TableRow;
pub use authority::{
    AddressMode, AudioStreamConfig, BeginRenderPass, BindGroupEntry, BindGroupLayoutEntry,
    BindingResource, BindingType, BlendComponent, BlendFactor, BlendOperation, BlendState,
    BufferUsage, ColorTargetState, ColorWrites, CompareFunction, CopyBufferToBuffer,
    CopyBufferToTexture, CopyTextureToBuffer, CreateBindGroup, CreateBindGroupLayout,
    CreateComputePipeline, CreatePipelineLayout, CreateRenderPipeline, CreateSampler,
    CreateTexture, CreateTextureView, CullMode, DepthBiasState, DepthStencilState, DirEntry,
    ElementState, FileEvent, FileMetadata, FileType, FilterMode, FragmentState, FrontFace, GpuId,
    IndexFormat, InputEvent, LoadOp, ModuleEvent, MultisampleState, NetworkEvent, NodeSelection,
    PhysicalKey, PrimitiveState, PrimitiveTopology, RenderPassColorAttachment,
    RenderPassDepthStencilAttachment, ShaderStage, StencilFaceState, StencilOperation,
    StencilState, StoreOp, TextureDimension, TextureFormat, TextureSampleType, TextureUsage,
    TextureViewDimension, VertexAttribute, VertexBufferLayout, VertexFormat, VertexState,
    VertexStepMode, WriteTexture,
};
pub use capability::{CanDelete, CanInsert, CanRead, CanUpdate};
pub use context::{QueryContext, ReducerContext};
pub use error::Error;
pub use host_calls::{current_node_id, deterministic_random_u64, log, time_now_ms};
pub use interstice_abi::id::TimerId;
pub use interstice_macros::{interstice_module, interstice_type, query, reducer, table};
