//! What the tests of the promises share: guests made to order, a node in this process, and its
//! clients.

pub(crate) mod emit;
pub(crate) mod graph;
pub(crate) mod guest;
pub(crate) mod op;
pub(crate) mod peer;
pub(crate) mod world;
