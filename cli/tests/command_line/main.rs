//! The command line as people use it: the real program, real nodes, and what both print.
//!
//! Every test has a home of its own and a port of its own. Modules are built once for the whole
//! run, by the same code that `deploy` uses.

#![expect(clippy::panic, reason = "a test that cannot go on says why")]

#[path = "../../../actors/tests/common/emit.rs"]
mod emit;
#[path = "../../../actors/tests/common/guest.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod guest;
#[path = "../../../actors/tests/common/op.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod op;

mod bindings;
mod builds;
mod copies;
mod doctor;
mod life;
mod modules;
mod offline;
mod past;
mod place;
mod replay;
mod reports;
mod source;
mod talk;
mod timers;
mod turns;
