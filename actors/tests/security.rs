//! What somebody on the network can do to a node and what not: the lines of the table in the README, one test each, and what
//! is behind them.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what these tests are made of says what it expects by unwrapping it"
)]

#[path = "security/answers.rs"]
mod answers;
#[path = "security/attention.rs"]
mod attention;
#[path = "security/backups.rs"]
mod backups;
#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;
#[path = "security/dropped_turns.rs"]
mod dropped_turns;
#[path = "security/floods.rs"]
mod floods;
#[path = "security/names.rs"]
mod names;
#[path = "security/overload.rs"]
mod overload;
#[path = "network/raw.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod raw;
#[path = "security/requests.rs"]
mod requests;
#[path = "security/strangers.rs"]
mod strangers;
