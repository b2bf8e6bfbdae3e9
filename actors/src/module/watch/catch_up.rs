//! Resuming a watch: the changes of a table behind a position, read from the log, before the watch goes live.
//!
//! The log is read on a thread of its own, up to the turn at which the watch began; what comes later waits with the watcher,
//! so the two meet without a gap. At most [`CATCH_UPS_MAX`] watches of a process read at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Position, Seq, TableId},
    wire::WatchedChange,
};
use interstice_host::{
    log::{Log, LogError, LogPosition},
    module::Effect,
};

use super::{
    StartWatch,
    watcher::{Begin, Watcher, frames},
    watchers::watched,
};
use crate::{
    module::core::Core,
    record::{Record, StepRecord},
};

impl Core {
    /// Reads the log on a thread of its own, from behind `from` up to what this module has done so far.
    pub(super) fn catch_up(
        &self,
        watch: &StartWatch,
        from: Position,
    ) -> Result<Arc<Watcher>, Failure> {
        if from.epoch != self.shared.epoch || from.seq > watch.seq {
            return Err(Failure::new(
                Code::BadArguments,
                format!(
                    "{from} is no position of this node, which is at turn {} of epoch {}; watch without --from",
                    watch.seq, self.shared.epoch
                ),
            ));
        }
        if from < watch.oldest {
            return Err(Failure::new(
                Code::NotFound,
                format!(
                    "the log no longer resumes from {from}, only from {}; watch without --from",
                    watch.oldest
                ),
            ));
        }
        let slot = CatchUp::begin()?;
        let log = self.shared.log.clone();
        let search = Search {
            module: self.name.clone(),
            table: watch.table,
            from,
            until: watch.seq,
            start: watch.log_start,
        };
        let begun = Arc::new(Watcher::new(watch, Begin::Behind, from));
        let watcher = begun.clone();
        self.shared.log.when_durable(Box::new(move |durable| {
            if let Err(error) = durable {
                watcher.fail(Failure::new(
                    Code::Unavailable,
                    format!("the log could not be written: {error}"),
                ));
                return;
            }
            // Detached: it ends by itself when the log has been read or the client has gone.
            std::thread::spawn(move || {
                let _slot = slot;
                match search.run(&log, &watcher) {
                    Ok(()) => watcher.go_live(),
                    Err(failure) => watcher.fail(failure),
                }
            });
        }));
        Ok(begun)
    }
}

/// Watches that read the log at the same time; each is a thread and reads all that is kept.
const CATCH_UPS_MAX: usize = 16;

static CATCH_UPS: AtomicUsize = AtomicUsize::new(0);

/// One of the [`CATCH_UPS_MAX`] places.
struct CatchUp;

impl CatchUp {
    fn begin() -> Result<Self, Failure> {
        if CATCH_UPS.fetch_add(1, Ordering::AcqRel) >= CATCH_UPS_MAX {
            CATCH_UPS.fetch_sub(1, Ordering::AcqRel);
            return Err(Failure::new(
                Code::Busy,
                "too many watches resume at this moment; try again in a moment",
            ));
        }
        Ok(Self)
    }
}

impl Drop for CatchUp {
    fn drop(&mut self) {
        CATCH_UPS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a watch looks for in the log.
struct Search {
    module: ModuleName,
    table: TableId,
    from: Position,
    until: Seq,
    start: LogPosition,
}

impl Search {
    fn run(&self, log: &Log, watcher: &Watcher) -> Result<(), Failure> {
        for record in records(log, self.start) {
            let Record::Step(step) = record? else {
                continue;
            };
            if step.seq < self.from.seq || step.seq > self.until {
                continue;
            }
            for frame in frames(self.changes(&step)) {
                futures::executor::block_on(watcher.replies.room());
                if watcher.replies.is_closed() || !watcher.earlier_changes(frame) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn changes(&self, step: &StepRecord) -> impl Iterator<Item = WatchedChange> {
        (0..).zip(&step.effects).filter_map(move |(index, effect)| {
            let position = Position {
                epoch: self.from.epoch,
                seq: step.seq,
                step: step.step,
                index,
            };
            match effect {
                Effect::Change { module, change }
                    if *module == self.module
                        && change.table == self.table
                        && position > self.from =>
                {
                    Some(watched(position, change))
                }
                _ => None,
            }
        })
    }
}

/// The records from `start` on. Where the log has dropped some of them since the watch was accepted, that is said and nothing is left out.
fn records(log: &Log, start: LogPosition) -> impl Iterator<Item = Result<Record, Failure>> {
    log.read(start).map(|entry| {
        let (_, bytes) = entry.map_err(|error| unreadable(&error))?;
        Record::decode(&bytes).map_err(|problem| Failure::new(Code::Corrupt, problem))
    })
}

fn unreadable(error: &LogError) -> Failure {
    match error {
        LogError::Truncated { .. } => Failure::new(
            Code::NotFound,
            "the log was dropped while this watch was reading it; watch without --from",
        ),
        other => Failure::new(Code::Corrupt, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::id::Epoch;
    use interstice_host::{
        limits::Limits,
        log::{LogOptions, StdFiles},
    };

    use super::*;
    use crate::record::NamedLimits;

    const RECORDS: u32 = 256;

    /// A log of several segments on disk.
    fn filled(folder: &std::path::Path) -> Log {
        let options = LogOptions {
            segment_bytes: 4096,
            ..LogOptions::default()
        };
        let (log, _) = Log::open(folder, Arc::new(StdFiles), options).expect("opens");
        for epoch in 0..RECORDS {
            let record = Record::Restarted {
                epoch: Epoch(epoch),
                limits: NamedLimits(Limits::default()),
            };
            log.append(record.encode().expect("is small"));
            let (tell, told) = std::sync::mpsc::channel();
            log.when_durable(Box::new(move |result| drop(tell.send(result))));
            told.recv().expect("is told").expect("is written");
        }
        log
    }

    #[test]
    fn a_log_that_was_dropped_before_a_watch_came_to_read_it_is_said_and_leaves_no_gap() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = filled(folder.path());
        let all: Vec<_> = records(&log, LogPosition(0)).collect();
        assert!(u32::try_from(all.len()) == Ok(RECORDS) && all.iter().all(Result::is_ok));
        log.truncate_before(log.durable()).expect("drops segments");
        assert!(log.start() > LogPosition(0));
        let mut left = records(&log, LogPosition(0));
        let failure = left.next().expect("something").expect_err("is gone");
        assert_eq!(failure.code, Code::NotFound, "{failure}");
        assert!(
            failure.message.contains("watch without --from"),
            "{failure}"
        );
        assert!(left.next().is_none());
    }

    #[test]
    fn a_log_that_is_dropped_while_a_watch_reads_it_is_no_corruption() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = filled(folder.path());
        let mut reading = records(&log, LogPosition(0));
        assert!(reading.next().is_some_and(|first| first.is_ok()));
        log.truncate_before(log.durable()).expect("drops segments");
        let failure = reading.find_map(Result::err).expect("comes to the gap");
        assert_eq!(failure.code, Code::NotFound, "{failure}");
    }
}
