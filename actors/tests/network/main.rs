//! Clients of every kind against a real network, in one process over loopback, with a front door
//! that answers by itself.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what these tests are made of says what it expects by unwrapping it"
)]

mod bounds;
mod crowd;
mod door;
mod hostile;
mod memory;
mod raw;
mod serving;
