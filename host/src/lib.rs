//! One module's world, without actors and without a network: running its guest, keeping its
//! tables, and the log and store that make them durable.
//!
//! Everything that a guest can reach stands here, in the order in which a call passes through:
//!
//! 1. [`wasm`]: compiling a binary, checking what it imports and says of itself.
//! 2. [`module`]: one loaded module: running a reducer or query on its instance, and what a
//!    running guest reaches outside.
//! 3. `hostcall`: one file per family of host calls; every pointer and row is a claim that is
//!    checked.
//! 4. [`table`]: rows in pages, indexes, and the journal of the step that is open.
//! 5. [`schema`]: what a module says of itself, put together, checked and compared.
//! 6. [`log`]: records, synced in groups; [`store`]: the checkpoints' trees; [`archive`]: copies
//!    in one file; [`packed`]: what is packed in the first two; [`files`]: private and atomic
//!    files.
//!
//! [`limits`] holds every bound, with its reason.

pub mod wasm;

pub mod module;

mod hostcall;

pub mod table;

pub mod schema;

pub mod log;

pub mod store;

pub mod archive;

pub mod files;

pub mod packed;

pub mod limits;
