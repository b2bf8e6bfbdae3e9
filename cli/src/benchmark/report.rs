//! What came of runs: the JSON document of one, medians over several, and the table that compares
//! them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{drive::Tally, limit::Limit, load::Load, machine::Machine};

/// What one run has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The load.
    pub load: Load,
    /// Committed calls, or answered queries, while it was measured.
    pub committed: u64,
    /// The same per second.
    pub throughput: f64,
    /// Half of the answers came within so many microseconds.
    pub p50_us: u64,
    /// 95 % of them.
    pub p95_us: u64,
    /// 99 % of them.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// Committed in the whole run, warm-up included, as the client and the node count it.
    pub counted: u64,
    /// Failed calls of the whole run, by code.
    pub failed: BTreeMap<String, u64>,
}

impl Measured {
    /// What a tally says, after the node has counted the same.
    #[must_use]
    pub fn new(load: &Load, tally: &Tally, counted: u64) -> Self {
        let at = |quantile| tally.latency_us.value_at_quantile(quantile);
        Self {
            load: load.clone(),
            committed: tally.measured,
            throughput: per_second(tally.measured, load.duration_ms),
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            max_us: tally.latency_us.max(),
            counted,
            failed: tally.failed.clone(),
        }
    }
}

/// So many in so many milliseconds, per second.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and times are far below 2^53"
)]
pub fn per_second(count: u64, duration_ms: u64) -> f64 {
    count as f64 * 1000.0 / (duration_ms.max(1) as f64)
}

/// An entry of the document that `--output` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Json")]
pub enum Entry {
    /// A load.
    Load(Report),
    /// The floor.
    Floor(Floor),
}

/// The floor of a machine, measured once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// The scenario's name.
    pub name: String,
    /// Where and how it ran.
    pub machine: Machine,
    /// What was found.
    pub limit: Limit,
}

impl TryFrom<Json> for Entry {
    type Error = serde_json::Error;

    /// By what it has, so that a mistake in it is named.
    fn try_from(entry: Json) -> Result<Self, Self::Error> {
        if entry.get("limit").is_some() {
            serde_json::from_value(entry).map(Self::Floor)
        } else {
            serde_json::from_value(entry).map(Self::Load)
        }
    }
}

impl Entry {
    /// The report, where this is one.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Load(report) => Some(report),
            Self::Floor(_) => None,
        }
    }

    /// The floor, where this is one.
    #[must_use]
    pub fn limit(&self) -> Option<&Limit> {
        match self {
            Self::Load(_) => None,
            Self::Floor(floor) => Some(&floor.limit),
        }
    }

    /// Where and how it ran.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        match self {
            Self::Load(report) => &report.machine,
            Self::Floor(floor) => &floor.machine,
        }
    }
}

/// All runs of one load, and on what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The load's name.
    pub name: String,
    /// Where and how it ran.
    pub machine: Machine,
    /// The runs, in order.
    pub runs: Vec<Measured>,
}

impl Report {
    /// The median of something over the runs, with its smallest and largest value.
    #[must_use]
    pub fn median(&self, of: impl Fn(&Measured) -> f64) -> Median {
        Median::of(self.runs.iter().map(of).collect())
    }
}

/// The middle of several values and their spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Median {
    /// The smallest.
    pub low: f64,
    /// The middle, or the mean of the two in the middle.
    pub middle: f64,
    /// The largest.
    pub high: f64,
}

impl Median {
    /// Of these; all zero when there are none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        let Some(last) = values.len().checked_sub(1) else {
            return Self::default();
        };
        Self {
            low: at(0),
            middle: f64::midpoint(at(last / 2), at(values.len() / 2)),
            high: at(last),
        }
    }
}

/// The columns of [`rows`].
pub const HEADER: [&str; 10] = [
    "name",
    "load",
    "ack",
    "per second",
    "spread",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "of floor",
];

/// A table that compares reports: medians over their runs, and their shares of the floor that was
/// measured with them.
#[must_use]
pub fn rows(entries: &[Entry]) -> Vec<Vec<String>> {
    let floor = Limit::median(entries.iter().filter_map(Entry::limit));
    entries
        .iter()
        .filter_map(Entry::report)
        .filter_map(|report| Some((report, report.runs.first()?)))
        .map(|(report, first)| {
            let throughput = report.median(|run| run.throughput);
            let ms = |of: fn(&Measured) -> u64| {
                #[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^53")]
                let median = report.median(|run| of(run) as f64);
                format!("{:.2}", median.middle / 1000.0)
            };
            let load = &first.load;
            let rate = load
                .rate
                .map_or_else(String::new, |rate| format!(", {rate}/s"));
            vec![
                report.name.clone(),
                format!("{} x {}{rate}", load.connections, load.in_flight),
                format!("{:?}", load.ack).to_lowercase(),
                format!("{:.0}", throughput.middle),
                format!("{:.0} to {:.0}", throughput.low, throughput.high),
                ms(|run| run.p50_us),
                ms(|run| run.p95_us),
                ms(|run| run.p99_us),
                ms(|run| run.max_us),
                floor
                    .as_ref()
                    .and_then(|floor| floor.below(load))
                    .map_or_else(String::new, |below| {
                        format!("{:.1} %", 100.0 * throughput.middle / below)
                    }),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_the_two_in_the_middle() {
        let check = |values: &[f64], low, middle, high| {
            assert_eq!(Median::of(values.to_vec()), Median { low, middle, high });
        };
        check(&[], 0.0, 0.0, 0.0);
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[9.0, 1.0, 3.0], 1.0, 3.0, 9.0);
        check(&[9.0, 1.0, 3.0, 5.0], 1.0, 4.0, 9.0);
    }

    #[test]
    fn a_measurement_reads_back_from_its_json() {
        let load = Load::new("a", "m", "r", vec![serde_json::json!("$seq")]);
        let measured = Measured::new(&load, &Tally::default(), 0);
        let text = serde_json::to_string(&measured).expect("writes");
        assert_eq!(
            serde_json::from_str::<Measured>(&text).expect("reads"),
            measured
        );
    }
}
