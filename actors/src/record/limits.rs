//! Limits as they stand in the log and in bases: each by its name, so that others can be added.
//!
//! A limit that a record does not name did not hold where the record was written. A name that is
//! not known is an error: a replay without that limit would come to something else. [`first`] is
//! how older nodes wrote them.

use interstice_host::limits::{Limits, StepBytes};
use serde::{Deserialize, Serialize};

/// The limits of a node, to be written or as they were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(String, u64)>", into = "Vec<(String, u64)>")]
pub(crate) struct NamedLimits(pub(crate) Limits);

/// Where a limit is in [`Limits`].
enum Place<'a> {
    Wide(&'a mut u64),
    Narrow(&'a mut u32),
    StepBytes(&'a mut StepBytes),
}

/// Every limit with its name.
fn places(limits: &mut Limits) -> [(&'static str, Place<'_>); 11] {
    [
        ("deadline_ms", Place::Wide(&mut limits.deadline_ms)),
        ("memory_bytes", Place::Wide(&mut limits.memory_bytes)),
        ("row_bytes_max", Place::Wide(&mut limits.row_bytes_max)),
        (
            "stateful_row_bytes_max",
            Place::Wide(&mut limits.stateful_row_bytes_max),
        ),
        (
            "arguments_bytes_max",
            Place::Wide(&mut limits.arguments_bytes_max),
        ),
        ("step_bytes_max", Place::Wide(&mut limits.step_bytes_max)),
        ("call_depth_max", Place::Narrow(&mut limits.call_depth_max)),
        (
            "steps_per_turn_max",
            Place::Narrow(&mut limits.steps_per_turn_max),
        ),
        (
            "module_bytes_max",
            Place::Wide(&mut limits.module_bytes_max),
        ),
        ("turn_bytes_max", Place::Wide(&mut limits.turn_bytes_max)),
        ("step_bytes", Place::StepBytes(&mut limits.step_bytes)),
    ]
}

/// The limits of a node that knew no limit by name.
fn unlimited() -> Limits {
    Limits {
        turn_bytes_max: u64::MAX,
        step_bytes: StepBytes::Written,
        ..Limits::default()
    }
}

impl From<NamedLimits> for Vec<(String, u64)> {
    fn from(NamedLimits(mut limits): NamedLimits) -> Self {
        let places = places(&mut limits).into_iter();
        let named = places.map(|(name, place)| {
            let value = match place {
                Place::Wide(value) => *value,
                Place::Narrow(value) => u64::from(*value),
                Place::StepBytes(StepBytes::Written) => 0,
                Place::StepBytes(StepBytes::Held) => 1,
            };
            (name.to_string(), value)
        });
        named.collect()
    }
}

impl TryFrom<Vec<(String, u64)>> for NamedLimits {
    type Error = String;

    fn try_from(named: Vec<(String, u64)>) -> Result<Self, String> {
        let mut limits = unlimited();
        for (name, value) in named {
            let unknown = || format!("this program does not know the limit `{name}` of {value}");
            let place = places(&mut limits)
                .into_iter()
                .find(|(known, _)| *known == name);
            match place.ok_or_else(unknown)?.1 {
                Place::Wide(place) => *place = value,
                Place::Narrow(place) => *place = u32::try_from(value).map_err(|_| unknown())?,
                Place::StepBytes(place) => {
                    *place = match value {
                        0 => StepBytes::Written,
                        1 => StepBytes::Held,
                        _ => return Err(unknown()),
                    }
                }
            }
        }
        Ok(Self(limits))
    }
}

/// The nine limits that every node has known, in their order, without names.
pub(crate) mod first {
    use interstice_host::limits::Limits;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::unlimited;

    #[derive(Serialize, Deserialize)]
    struct First {
        deadline_ms: u64,
        memory_bytes: u64,
        row_bytes_max: u64,
        stateful_row_bytes_max: u64,
        arguments_bytes_max: u64,
        step_bytes_max: u64,
        call_depth_max: u32,
        steps_per_turn_max: u32,
        module_bytes_max: u64,
    }

    pub(crate) fn serialize<S: Serializer>(limits: &Limits, to: S) -> Result<S::Ok, S::Error> {
        let first = First {
            deadline_ms: limits.deadline_ms,
            memory_bytes: limits.memory_bytes,
            row_bytes_max: limits.row_bytes_max,
            stateful_row_bytes_max: limits.stateful_row_bytes_max,
            arguments_bytes_max: limits.arguments_bytes_max,
            step_bytes_max: limits.step_bytes_max,
            call_depth_max: limits.call_depth_max,
            steps_per_turn_max: limits.steps_per_turn_max,
            module_bytes_max: limits.module_bytes_max,
        };
        first.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Limits, D::Error> {
        let first = First::deserialize(from)?;
        Ok(Limits {
            deadline_ms: first.deadline_ms,
            memory_bytes: first.memory_bytes,
            row_bytes_max: first.row_bytes_max,
            stateful_row_bytes_max: first.stateful_row_bytes_max,
            arguments_bytes_max: first.arguments_bytes_max,
            step_bytes_max: first.step_bytes_max,
            call_depth_max: first.call_depth_max,
            steps_per_turn_max: first.steps_per_turn_max,
            module_bytes_max: first.module_bytes_max,
            ..unlimited()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    fn unusual() -> Limits {
        let mut limits = Limits::default();
        for ((_, place), value) in places(&mut limits).into_iter().zip(100..) {
            match place {
                Place::Wide(place) => *place = value,
                Place::Narrow(place) => *place = u32::try_from(value).expect("it is small"),
                Place::StepBytes(place) => *place = StepBytes::Written,
            }
        }
        limits
    }

    fn written(record: &Record) -> Record {
        Record::decode(&record.encode().expect("encodes")).expect("reads back")
    }

    #[test]
    fn every_limit_reads_back_and_one_that_is_not_known_is_an_error() {
        for limits in [unusual(), Limits::default()] {
            let record = Record::Restarted {
                epoch: interstice_abi::id::Epoch(3),
                limits: NamedLimits(limits),
            };
            assert_eq!(written(&record), record);
        }
        let unknown = vec![("patience".to_string(), 7)];
        let refused = NamedLimits::try_from(unknown).expect_err("it is not known");
        assert!(refused.contains("`patience`"), "{refused}");
    }

    #[test]
    fn the_limits_of_an_older_node_read_back_without_those_that_it_did_not_know() {
        let record = Record::Restart {
            epoch: interstice_abi::id::Epoch(3),
            limits: unusual(),
        };
        let written_by_it = [3, 1, 3, 100, 101, 102, 103, 104, 105, 106, 107, 108];
        assert_eq!(record.encode().as_deref(), Ok(written_by_it.as_slice()));
        let Ok(Record::Restart { limits, .. }) = Record::decode(&written_by_it) else {
            unreachable!("it is a restart");
        };
        let known = Limits {
            turn_bytes_max: u64::MAX,
            ..unusual()
        };
        assert_eq!(limits, known);
        assert_eq!(
            NamedLimits::try_from(Vec::new()),
            Ok(NamedLimits(unlimited()))
        );
    }
}
