//! One load: which function, with which arguments, by how many connections, for how long.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::problem::{Outcome, Problem};

/// Most connections of one load: each is a TCP connection with its buffers at both ends.
const CONNECTIONS_MAX: u32 = 10_000;

/// Most calls of one connection without an answer: what a node admits from one connection by
/// default.
const IN_FLIGHT_MAX: u32 = 16_384;

/// Whether an acknowledgement waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// Until it is on disk
    #[default]
    Durable,
    /// Until it has happened
    Applied,
}

impl From<Ack> for interstice_abi::wire::Ack {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Durable => Self::Durable,
            Ack::Applied => Self::Applied,
        }
    }
}

/// How calls travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// On connections that stay
    #[default]
    Persistent,
    /// On a connection of its own each
    Reconnect,
}

/// What is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A reducer: turns are counted
    #[default]
    Reducer,
    /// A query
    Query,
}

/// One load on one function of one module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// What it is called in results.
    pub name: String,
    /// The module.
    pub module: String,
    /// The reducer, or the query.
    pub reducer: String,
    /// Which of the two.
    #[serde(default)]
    pub kind: Kind,
    /// Connections.
    #[serde(default = "connections")]
    pub connections: u32,
    /// Calls of one connection without an answer.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
    /// How long it is measured, in milliseconds.
    #[serde(default = "duration_ms")]
    pub duration_ms: u64,
    /// How long it runs before, in milliseconds.
    #[serde(default = "warmup_ms")]
    pub warmup_ms: u64,
    /// The acknowledgements.
    #[serde(default)]
    pub ack: Ack,
    /// The arguments, with placeholders: a JSON array.
    #[serde(default)]
    pub args_json: Vec<Json>,
    /// Calls per second of all connections together: an open loop. Without it, each call follows
    /// an answer.
    #[serde(default)]
    pub rate: Option<u64>,
    /// How calls travel.
    #[serde(default)]
    pub transport: Transport,
}

/// As SURFACE's example: enough to fill a node, few enough to see latency.
const fn connections() -> u32 {
    8
}

const fn in_flight() -> u32 {
    32
}

const fn duration_ms() -> u64 {
    30_000
}

const fn warmup_ms() -> u64 {
    5_000
}

impl Load {
    /// A load with the usual numbers.
    #[must_use]
    pub fn new(name: &str, module: &str, reducer: &str, args_json: Vec<Json>) -> Self {
        Self {
            name: name.to_string(),
            module: module.to_string(),
            reducer: reducer.to_string(),
            kind: Kind::Reducer,
            connections: connections(),
            in_flight: in_flight(),
            duration_ms: duration_ms(),
            warmup_ms: warmup_ms(),
            ack: Ack::Durable,
            args_json,
            rate: None,
            transport: Transport::Persistent,
        }
    }

    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// Names the number, its value and its limits.
    pub fn check(&self) -> Outcome<()> {
        let within = |what: &str, value: u64, max: u64| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(Problem::usage(format!(
                    "{what} of `{}` is {value}; it must be from 1 to {max}",
                    self.name
                )))
            }
        };
        within(
            "connections",
            self.connections.into(),
            CONNECTIONS_MAX.into(),
        )?;
        within("in_flight", self.in_flight.into(), IN_FLIGHT_MAX.into())?;
        within("duration_ms", self.duration_ms, 24 * 3600 * 1000)?;
        if let Some(rate) = self.rate {
            within("rate", rate, 1_000_000_000)?;
        }
        if self.kind == Kind::Query && self.transport == Transport::Reconnect {
            return Err(Problem::usage(format!(
                "`{}` reconnects for each query; only calls of reducers do",
                self.name
            )));
        }
        Ok(())
    }

    /// Calls that may be without an answer at a time.
    #[must_use]
    pub fn total_in_flight(&self) -> u64 {
        u64::from(self.connections) * u64::from(self.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        let load = Load {
            in_flight: 0,
            ..Load::new("a", "m", "r", Vec::new())
        };
        let problem = load.check().expect_err("0 in flight");
        assert!(
            problem.to_string().contains("in_flight of `a` is 0"),
            "{problem}"
        );
        assert!(Load::new("a", "m", "r", Vec::new()).check().is_ok());
    }
}
