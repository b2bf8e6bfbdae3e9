//! The thread that writes reports: to standard error as they come, and to the node's log once
//! there is one.
//!
//! Some reports are caused by peers. Unless more was asked for by `RUST_LOG`, so many in a while
//! are written and the others counted: the node's log must keep what modules and the node itself
//! have said.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use interstice_actors::node::NodeLog;
use tracing::Level;

use super::{LogFormat, record::Report};
use crate::output;

/// Reports from before the start of the node that are kept for its log. A start reports a few.
const EARLY_MAX: usize = 256;

/// The time for which reports are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Reports that are written in that time.
const IN_WINDOW_MAX: u64 = 200;

/// What the queue holds.
pub(super) enum Message {
    /// Something was reported.
    Report(Report),
    /// There is a node.
    Attach(NodeLog),
    /// No more is to be written.
    End,
}

/// The thread's state.
pub(super) struct Writer {
    format: Option<LogFormat>,
    log: Option<NodeLog>,
    early: VecDeque<Report>,
    pace: Option<Pace>,
    /// Reports for which the queue had no room.
    dropped: Arc<AtomicU64>,
}

impl Writer {
    /// `is_paced`: whether only some reports in a while are written.
    pub(super) fn new(format: Option<LogFormat>, is_paced: bool, dropped: Arc<AtomicU64>) -> Self {
        Self {
            format,
            log: None,
            early: VecDeque::new(),
            pace: is_paced.then(|| Pace::new(Instant::now())),
            dropped,
        }
    }

    /// Writes until the end.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.recv() {
            match message {
                Message::Report(report) => self.report(report),
                Message::Attach(log) => {
                    self.log = Some(log);
                    for report in std::mem::take(&mut self.early) {
                        self.keep(report);
                    }
                }
                Message::End => break,
            }
        }
        let passed_over = self.pace.as_mut().map_or(0, Pace::end);
        self.say_dropped(passed_over);
    }

    fn report(&mut self, report: Report) {
        let verdict = self
            .pace
            .as_mut()
            .map_or(Verdict::Write(0), |pace| pace.ask(Instant::now()));
        if let Verdict::Write(passed_over) = verdict {
            self.say_dropped(passed_over);
            self.write(report);
        }
    }

    fn say_dropped(&mut self, passed_over: u64) {
        let dropped = passed_over + self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} reports were dropped, because too many came");
            self.write(Report::new(Level::WARN, env!("CARGO_CRATE_NAME"), text));
        }
    }

    fn write(&mut self, report: Report) {
        match self.format {
            Some(LogFormat::Text) => output::talk(&report.line()),
            Some(LogFormat::Json) => output::talk(&report.json()),
            None => {}
        }
        self.keep(report);
    }

    fn keep(&mut self, report: Report) {
        match &self.log {
            Some(log) => log.say(report.log_level(), &report.text()),
            None if self.early.len() < EARLY_MAX => self.early.push_back(report),
            // The node may never start; these were on standard error.
            None => {}
        }
    }
}

/// How many reports are written in a while.
struct Pace {
    since: Instant,
    written: u64,
    passed_over: u64,
}

/// What becomes of a report.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is written, after it was said how many were not.
    Write(u64),
    /// It is counted.
    PassOver,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            written: 0,
            passed_over: 0,
        }
    }

    fn ask(&mut self, now: Instant) -> Verdict {
        let mut passed_over = 0;
        if now.saturating_duration_since(self.since) > WINDOW {
            passed_over = self.end();
            *self = Self::new(now);
        }
        if self.written >= IN_WINDOW_MAX {
            self.passed_over += 1;
            return Verdict::PassOver;
        }
        self.written += 1;
        Verdict::Write(passed_over)
    }

    /// How many were passed over and not said.
    fn end(&mut self) -> u64 {
        std::mem::take(&mut self.passed_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_its_end_says_how_many() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        for _ in 0..IN_WINDOW_MAX {
            assert_eq!(pace.ask(begun), Verdict::Write(0));
        }
        for _ in 0..7 {
            assert_eq!(pace.ask(begun + WINDOW), Verdict::PassOver);
        }
        let later = begun + WINDOW + Duration::from_millis(1);
        assert_eq!(pace.ask(later), Verdict::Write(7));
        assert_eq!(pace.ask(later), Verdict::Write(0));
    }
}
