//! What guests, hosts and clients of Interstice agree on.
//!
//! This crate is `no_std` + `alloc` and runs nothing. Read it in this order:
//!
//! 1. [`id`]: names and numbers of things ([`id::Seq`], [`id::ModuleName`], [`id::Position`]).
//! 2. [`text`]: texts of a peer, bounded where they are decoded, and quoted by at most a line.
//! 3. [`types`]: column types, and the definitions of the named ones.
//! 4. [`codec`]: how a value of a column type becomes bytes (the postcard format) and back.
//! 5. [`event`]: what a reducer can be subscribed to.
//! 6. [`schema`]: a module's tables, reducers, queries, types and dependencies.
//! 7. [`fingerprint`]: hashes of signatures and row types, by which two ends agree on an encoding.
//! 8. [`walk`]: reading encoded rows by their schema without building values.
//! 9. [`key`]: keys as bytes whose order is the order of the keys.
//! 10. [`value`]: a value of any column type as a tree, for programs that know schemas only at run
//!     time.
//! 11. [`failure`]: the one list of everything that can go wrong, with stable codes.
//! 12. [`host_call`]: the one table of calls from a guest into its host.
//! 13. [`binding`]: binding files, the public schemas that modules are compiled against.
//! 14. [`wire`]: the messages of the protocol `/interstice/1`.
//!
//! [`period`] is how periods are written, and [`schema`] and [`event`] use it.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod binding;
pub mod codec;
pub mod event;
pub mod failure;
pub mod fingerprint;
pub mod host_call;
pub mod id;
pub mod key;
pub mod period;
pub mod schema;
pub mod text;
pub mod types;
pub mod value;
pub mod walk;
pub mod wire;

/// The version of everything in this crate that crosses the sandbox: host calls, exports, codecs.
/// A host refuses modules of another version.
pub const ABI_VERSION: u32 = 1;
