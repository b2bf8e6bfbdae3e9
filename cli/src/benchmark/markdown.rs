//! Reports as a table in Markdown: medians over their runs, what they ran on, and the floor that
//! was measured with them.

use super::{
    limit::Limit,
    load::{Ack, Load},
    report::{Entry, Measured, Report},
};

/// The columns.
const HEADER: [&str; 8] = [
    "load",
    "connections × in flight",
    "acknowledged",
    "per second",
    "slowest to fastest",
    "p50 ms",
    "p99 ms",
    "of the floor",
];

/// The reports as a table, and under it what they ran on.
#[must_use]
pub fn table(entries: &[Entry]) -> String {
    let floor = Limit::median(entries.iter().filter_map(Entry::limit));
    let reports: Vec<_> = entries.iter().filter_map(Entry::report).collect();
    let mut lines = Vec::new();
    if !reports.is_empty() {
        lines.push(line(HEADER));
        lines.push(line(["---"; 8]));
    }
    for report in &reports {
        if let Some(first) = report.runs.first() {
            lines.push(row(report, &first.load, floor.as_ref()));
        }
    }
    if !reports.is_empty() {
        lines.push(String::new());
    }
    lines.extend(notes(entries, &reports, floor.as_ref()).map(|note| format!("- {note}")));
    lines.join("\n")
}

fn line<const N: usize>(cells: [&str; N]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn row(report: &Report, load: &Load, floor: Option<&Limit>) -> String {
    let throughput = report.median(|run| run.throughput);
    let ms = |of: fn(&Measured) -> u64| {
        let median = report.median(|run| microseconds(of(run)));
        format!("{:.2}", median.middle / 1000.0)
    };
    let rate = load.rate.map(|rate| format!(", {rate}/s"));
    let share = floor.and_then(|floor| floor.below(load));
    line([
        // A pipe in a name would end its cell.
        &report.name.replace('|', "\\|"),
        &format!(
            "{} × {}{}",
            load.connections,
            load.in_flight,
            rate.unwrap_or_default()
        ),
        match load.ack {
            Ack::Durable => "durable",
            Ack::Applied => "applied",
        },
        &grouped(throughput.middle),
        &format!(
            "{} to {}",
            grouped(throughput.low),
            grouped(throughput.high)
        ),
        &ms(|run| run.p50_us),
        &ms(|run| run.p99_us),
        &share.map_or_else(String::new, |below| {
            format!("{:.1} %", 100.0 * throughput.middle / below)
        }),
    ])
}

/// How often, on what, how fast its disk was, and the floor.
fn notes(
    entries: &[Entry],
    reports: &[&Report],
    floor: Option<&Limit>,
) -> impl Iterator<Item = String> {
    let fewest = reports.iter().map(|report| report.runs.len()).min();
    let most = reports.iter().map(|report| report.runs.len()).max();
    let runs = fewest.zip(most).map(|(fewest, most)| {
        let runs = match (fewest, most) {
            (1, 1) => return "one run of each load".to_string(),
            (fewest, most) if fewest == most => fewest.to_string(),
            (fewest, most) => format!("{fewest} to {most}"),
        };
        format!("{runs} runs of each load: their medians, and the slowest and the fastest")
    });
    let mut machines = Vec::new();
    for entry in entries {
        let machine = entry.machine();
        let machine = format!(
            "{} build of {}, on {} cores of {}, kernel {}",
            machine.build, machine.commit, machine.cores, machine.processor, machine.kernel
        );
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    let span = |of: fn(&Entry) -> u64| {
        let values = entries.iter().map(of);
        let (low, high) = (values.clone().min(), values.max());
        low.zip(high)
            .map(|(low, high)| format!("{low} to {high} µs"))
    };
    let p50 = span(|entry| entry.machine().sync_p50_us);
    let p99 = span(|entry| entry.machine().sync_p99_us);
    let syncs = p50.zip(p99).map(|(p50, p99)| {
        format!("the disk's sync, measured before each load: p50 {p50}, p99 {p99}")
    });
    let floor = floor.map(|floor| {
        format!(
            "the floor without a node: {} empty calls, {} inserts in memory, {} inserts that are synced in groups, per second; a message there \
             and back over TCP in {:.0} µs",
            grouped(floor.noop),
            grouped(floor.insert_in_memory),
            grouped(floor.insert_synced),
            floor.round_trip_us
        )
    });
    runs.into_iter().chain(machines).chain(syncs).chain(floor)
}

/// Without a fraction, with a space between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^53")]
fn microseconds(us: u64) -> f64 {
    us as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::{machine::Machine, report::Floor};

    fn machine(sync_p50_us: u64) -> Machine {
        Machine {
            commit: "0123456789ab".into(),
            build: "release".into(),
            processor: "a processor".into(),
            cores: 2,
            kernel: "6.1".into(),
            load_average: "0.00".into(),
            sync_p50_us,
            sync_p99_us: 4 * sync_p50_us,
        }
    }

    fn report(name: &str, reducer: &str, throughputs: &[f64]) -> Entry {
        let load = Load::new(name, "m", reducer, Vec::new());
        let runs = throughputs.iter().map(|throughput| Measured {
            throughput: *throughput,
            p50_us: 1500,
            p99_us: 12_345,
            ..Measured::new(&load, &crate::benchmark::drive::Tally::default(), 0)
        });
        Entry::Load(Report {
            name: name.into(),
            machine: machine(90),
            runs: runs.collect(),
        })
    }

    #[test]
    fn a_table_has_medians_shares_of_the_floor_and_what_it_ran_on() {
        let limit = Limit {
            noop: 4_000_000.0,
            insert_in_memory: 2_000_000.0,
            insert_synced: 1_000_000.0,
            round_trip_us: 40.4,
        };
        let entries = [
            report("nothing", "noop", &[900.0, 1_000_000.0, 1_000.0]),
            report("a|b", "other", &[7.0]),
            Entry::Floor(Floor {
                name: "floor".into(),
                machine: machine(110),
                limit,
            }),
        ];
        let text = serde_json::to_string(&entries).expect("writes");
        let read: Vec<Entry> = serde_json::from_str(&text).expect("reads");
        assert_eq!(read, entries);
        insta::assert_snapshot!(table(&read), @r"
        | load | connections × in flight | acknowledged | per second | slowest to fastest | p50 ms | p99 ms | of the floor |
        | --- | --- | --- | --- | --- | --- | --- | --- |
        | nothing | 8 × 32 | durable | 1 000 | 900 to 1 000 000 | 1.50 | 12.35 | 0.0 % |
        | a\|b | 8 × 32 | durable | 7 | 7 to 7 | 1.50 | 12.35 |  |

        - 1 to 3 runs of each load: their medians, and the slowest and the fastest
        - release build of 0123456789ab, on 2 cores of a processor, kernel 6.1
        - the disk's sync, measured before each load: p50 90 to 110 µs, p99 360 to 440 µs
        - the floor without a node: 4 000 000 empty calls, 2 000 000 inserts in memory, 1 000 000 inserts that are synced in groups, per second; a message there and back over TCP in 40 µs
        ");
    }

    #[test]
    fn without_a_load_there_is_no_table() {
        assert_eq!(table(&[]), "");
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.6), "1 000");
        assert_eq!(grouped(1_234_567.0), "1 234 567");
    }
}
