//! A node whose ground gives way: its log's files fail, its store stops between any two steps, its
//! disk is full.
//!
//! Whatever fails when, after the next start on healthy ground every durable acknowledgement is
//! there once, no step is half there, indexes agree with rows, generated keys are not used again,
//! and every reaction has happened once.
//!
//! `INTERSTICE_FAULTS=all` fails at every place; otherwise places are taken evenly, so that the
//! tests take seconds.

#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

#[path = "faults/bank.rs"]
mod bank;
#[path = "faults/binaries.rs"]
mod binaries;
#[path = "faults/full.rs"]
mod full;
#[path = "faults/large.rs"]
mod large;
#[path = "faults/log.rs"]
mod log;
#[path = "faults/shaky.rs"]
mod shaky;
#[path = "faults/store.rs"]
mod store;

/// Every how many-th place is tried.
fn stride(otherwise: usize) -> usize {
    match std::env::var("INTERSTICE_FAULTS") {
        Ok(all) if all == "all" => 1,
        _ => otherwise,
    }
}
