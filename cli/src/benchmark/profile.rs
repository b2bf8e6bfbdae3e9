//! The profiles: loads of the module benchmark-workload that show one thing each.

use serde_json::{Value as Json, json};

use super::load::{Ack, Load, Transport};

/// The module that every profile runs.
pub const MODULE: &str = "benchmark-workload";

/// Payload bytes that make a row of 100: its other columns take about eight.
const PAYLOAD_BYTES: u32 = 92;

/// Accounts of the bank.
const ACCOUNTS: u32 = 100_000;

/// What every account begins with: enough that no transfer of 1 finds it empty.
const BALANCE: i64 = 1_000_000;

/// A named collection of loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What is typed.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Calls before, each a reducer with its arguments.
    pub setup: Vec<(&'static str, Vec<Json>)>,
    /// What runs.
    pub part: Part,
}

/// What a profile runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Loads, one after the other.
    Loads(Vec<Load>),
    /// One writer, many watches of one table.
    Fanout,
    /// Timers that set themselves again.
    Tick,
}

/// All profiles.
#[must_use]
pub fn all() -> Vec<Profile> {
    let loads = |name, about, loads| Profile {
        name,
        about,
        setup: Vec::new(),
        part: Part::Loads(loads),
    };
    vec![
        loads(
            "vm-noop",
            "an empty reducer: the cost of a turn",
            vec![
                sized("noop 8x256", "noop", vec![], 8, 256),
                sized("noop 8x64", "noop", vec![], 8, 64),
            ],
        ),
        loads(
            "insert-ephemeral",
            "rows of 100 bytes in memory only",
            vec![sized(
                "insert-ephemeral 8x256",
                "insert_ephemeral",
                row(),
                8,
                256,
            )],
        ),
        loads(
            "durability",
            "the same row in an ephemeral, a logged and a stateful table",
            vec![
                sized("ephemeral 8x256", "insert_ephemeral", row(), 8, 256),
                sized("logged 8x256", "insert_logged", row(), 8, 256),
                sized("logged 8x64", "insert_logged", row(), 8, 64),
                sized("stateful 8x256", "insert_stateful", row(), 8, 256),
            ],
        ),
        Profile {
            name: "fanout",
            about: "one writer, 1000 calls a second, 1000 watches of one table on 8 connections",
            setup: Vec::new(),
            part: Part::Fanout,
        },
        Profile {
            name: "transfer",
            about: "two reads and two updates, over 100 000 accounts, evenly and by Zipf 1.5",
            setup: vec![("open_accounts", vec![json!(ACCOUNTS), json!(BALANCE)])],
            part: Part::Loads(vec![
                transfer("transfer uniform 64x40", &format!("$uniform:{ACCOUNTS}")),
                transfer("transfer zipf 64x40", &format!("$zipf:{ACCOUNTS}:1.5")),
            ]),
        },
        Profile {
            name: "tick",
            about: "timers of 1 ms that set themselves again",
            setup: Vec::new(),
            part: Part::Tick,
        },
        loads(
            "transport",
            "one caller, one call at a time, on one connection and on many",
            transport(),
        ),
    ]
}

/// The profile called `name`.
#[must_use]
pub fn named(name: &str) -> Option<Profile> {
    all().into_iter().find(|profile| profile.name == name)
}

fn row() -> Vec<Json> {
    vec![
        json!("$client"),
        json!("$seq"),
        json!(PAYLOAD_BYTES),
        json!(false),
    ]
}

fn sized(
    name: &str,
    reducer: &str,
    arguments: Vec<Json>,
    connections: u32,
    in_flight: u32,
) -> Load {
    Load {
        connections,
        in_flight,
        duration_ms: 10_000,
        warmup_ms: 2_000,
        ..Load::new(name, MODULE, reducer, arguments)
    }
}

fn transfer(name: &str, account: &str) -> Load {
    let arguments = vec![json!(account), json!(account), json!(1)];
    sized(name, "transfer", arguments, 64, 40)
}

fn transport() -> Vec<Load> {
    let one = |name, ack, transport| Load {
        ack,
        transport,
        duration_ms: 5_000,
        warmup_ms: 1_000,
        ..sized(name, "noop", vec![], 1, 1)
    };
    vec![
        one("one caller, durable", Ack::Durable, Transport::Persistent),
        one("one caller, applied", Ack::Applied, Transport::Persistent),
        one(
            "one caller, reconnecting",
            Ack::Applied,
            Transport::Reconnect,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_makes_sense_and_every_name_is_found() {
        for profile in all() {
            assert_eq!(named(profile.name).as_ref(), Some(&profile));
            if let Part::Loads(loads) = &profile.part {
                for load in loads {
                    assert!(load.check().is_ok(), "{}", load.name);
                }
            }
        }
        assert_eq!(named("nothing"), None);
    }
}
