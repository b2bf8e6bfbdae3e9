//! How much history is kept: when a new base is due, and which bases and which part of the log may
//! go.

use std::str::FromStr;

use interstice_abi::id::Seq;
use serde::{Deserialize, Serialize};

use super::Base;

/// How much history a node keeps: `history` in `node.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum History {
    /// `"default"`: as much as is cheap. When a new base is due, it takes the place of the last.
    #[default]
    Default,
    /// `"forever"`: all of it.
    Forever,
    /// `"100000 turns"`: at least so many turns.
    Turns(u64),
    /// `"90 seconds"`, `"30 minutes"`, `"12 hours"`, `"7 days"`: at least so long, in milliseconds.
    Age(u64),
}

impl From<History> for String {
    fn from(history: History) -> Self {
        match history {
            History::Default => "default".to_string(),
            History::Forever => "forever".to_string(),
            History::Turns(turns) => format!("{turns} turns"),
            History::Age(ms) => {
                let units = [("days", DAY), ("hours", HOUR), ("minutes", MINUTE)];
                let unit = units.into_iter().find(|(_, unit)| ms % unit == 0);
                let (name, unit) = unit.unwrap_or(("seconds", SECOND));
                format!("{} {name}", ms / unit)
            }
        }
    }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl TryFrom<String> for History {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is no span of history; write \"default\", \"forever\", \"100000 turns\" or \"7 days\" (seconds, minutes, hours, days)",
                text.escape_debug()
            )
        };
        let (number, unit) = match text.trim() {
            "default" => return Ok(Self::Default),
            "forever" => return Ok(Self::Forever),
            other => other.split_once(' ').ok_or_else(wrong)?,
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim() {
            _ if number == 0 => return Err(wrong()),
            "turn" | "turns" => return Ok(Self::Turns(number)),
            "second" | "seconds" => SECOND,
            "minute" | "minutes" => MINUTE,
            "hour" | "hours" => HOUR,
            "day" | "days" => DAY,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Self::Age).ok_or_else(wrong)
    }
}

impl History {
    /// Whether a new base is due when the log has `log_bytes` behind the last one: more than
    /// `log_bytes_max`, and more than the last base has, so that bases are never more work than
    /// the load.
    pub(crate) fn is_due(self, last: &Base, log_bytes: u64, log_bytes_max: u64) -> bool {
        match self {
            // The log says everything; a base would only take room.
            Self::Forever => false,
            Self::Default | Self::Turns(_) | Self::Age(_) => {
                log_bytes > log_bytes_max.max(last.bytes)
            }
        }
    }

    /// The place in `bases` (oldest first, never empty) of the oldest one that must stay.
    /// `taken_ms` says when a base was taken.
    pub(crate) fn oldest_kept(
        self,
        bases: &[Base],
        last_seq: Seq,
        now_ms: u64,
        taken_ms: impl Fn(&Base) -> u64,
    ) -> usize {
        let newest_that = |is_old: &dyn Fn(&Base) -> bool| bases.iter().rposition(is_old);
        match self {
            Self::Default => bases.len().saturating_sub(1),
            Self::Forever => 0,
            Self::Turns(turns) => {
                newest_that(&|base| base.seq.0 <= last_seq.0.saturating_sub(turns)).unwrap_or(0)
            }
            Self::Age(ms) => {
                newest_that(&|base| taken_ms(base) <= now_ms.saturating_sub(ms)).unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use interstice_host::log::LogPosition;

    use super::*;

    fn bases(seqs: &[u64]) -> Vec<Base> {
        seqs.iter()
            .map(|seq| Base {
                seq: Seq(*seq),
                position: LogPosition(seq * 10),
                path: None,
                bytes: 5,
            })
            .collect()
    }

    #[test]
    fn a_span_reads_back_as_it_is_written() {
        for text in [
            "default",
            "forever",
            "5 turns",
            "90 seconds",
            "30 minutes",
            "36 hours",
            "7 days",
        ] {
            let history: History = text.parse().expect(text);
            assert_eq!(String::from(history), text);
        }
        for wrong in [
            "",
            "7",
            "0 days",
            "-1 turns",
            "7 weeks",
            "99999999999999999999 turns",
            "18446744073709551615 days",
        ] {
            let problem = wrong.parse::<History>().expect_err(wrong);
            assert!(problem.contains("7 days"), "{problem}");
        }
    }

    #[test]
    fn what_is_kept_reaches_back_as_far_as_was_asked() {
        let check = |history: History, expected: &[(u64, usize)]| {
            let bases = bases(&[0, 100, 200, 300]);
            for (last, kept) in expected {
                let found = history.oldest_kept(&bases, Seq(*last), *last, |base| base.seq.0);
                assert_eq!(found, *kept, "{history:?} at {last}");
            }
        };
        check(History::Default, &[(300, 3)]);
        check(History::Forever, &[(300, 0)]);
        check(
            History::Turns(150),
            &[(300, 1), (349, 1), (350, 2), (450, 3)],
        );
        check(History::Age(150), &[(300, 1), (449, 2), (450, 3)]);
        check(History::Turns(1000), &[(300, 0)]);
    }

    #[test]
    fn a_base_is_due_when_the_log_is_larger_than_its_bound_and_than_the_last_base() {
        let last = |bytes| Base {
            bytes,
            ..Base::EMPTY
        };
        assert!(!History::Default.is_due(&last(0), 100, 100));
        assert!(History::Default.is_due(&last(0), 101, 100));
        assert!(!History::Default.is_due(&last(200), 101, 100));
        assert!(!History::Forever.is_due(&last(0), 1000, 100));
    }
}
