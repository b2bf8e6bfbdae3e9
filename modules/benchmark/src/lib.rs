//! What the benchmarks run: an empty reducer, rows in tables of each persistence, fan-out, timers,
//! transfers, scans.
//!
//! Reducers take numbers that the load generator makes up (`$client`, `$seq` and so on) and are
//! deterministic, so a run can be repeated and replayed. Rows carry a payload whose size is an
//! argument.

use interstice_sdk::*;

mod accounts;
mod bulk;
mod events;
mod rows;
mod ticks;

#[cfg(test)]
mod tests;

interstice_module!(visibility: Public);

/// Does nothing: what is left is the cost of a turn.
#[reducer]
pub fn noop(_ctx: ReducerContext) {}

/// Computes for `rounds` rounds of about a nanosecond, and touches no table.
#[reducer]
pub fn spin(_ctx: ReducerContext, rounds: u32) {
    let mut value = u64::from(rounds) | 1;
    for _ in 0..rounds {
        // The step of a linear congruential generator: each needs the one before.
        value = value
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        value = std::hint::black_box(value);
    }
}

/// Bytes that differ from row to row.
fn payload(bytes: u32, seq: u64) -> Vec<u8> {
    let mut payload = vec![0; bytes as usize];
    for (place, number) in payload.chunks_mut(8).zip(seq..) {
        let number = number.to_le_bytes();
        for (byte, value) in place.iter_mut().zip(number) {
            *byte = value;
        }
    }
    payload
}
