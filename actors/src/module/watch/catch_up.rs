//! Resuming a watch: the changes of a table behind a position, read from the log, before the watch
//! goes live.
//!
//! The log is read on a thread of its own, up to the turn at which the watch began; what comes
//! later waits with the watcher, so the two meet without a gap. How many watches read at the same
//! time is bounded ([`crate::slots`]).

use std::sync::Arc;

use interstice_abi::failure::{Code, Failure};

use super::{
    Resume, StartWatch,
    watcher::{Begin, Watcher, frames},
};
use crate::{history::MissedChanges, module::core::Core, slots::wait_for_room};

impl Core {
    /// Reads the log on a thread of its own, from a position up to what this module has done so
    /// far.
    pub(super) fn catch_up(
        &self,
        watch: &StartWatch,
        resume: Resume,
    ) -> Result<Arc<Watcher>, Failure> {
        let Resume {
            from,
            oldest,
            log_start,
            around,
        } = resume;
        if from.epoch != self.shared.epoch || from.seq > watch.seq {
            return Err(Failure::new(
                Code::BadArguments,
                format!(
                    "{from} is no position of this node, which is at turn {} of epoch {}; watch without --from",
                    watch.seq, self.shared.epoch
                ),
            ));
        }
        if from < oldest {
            return Err(Failure::new(
                Code::NotFound,
                format!(
                    "the log no longer resumes from {from}, only from {}; watch without --from",
                    oldest
                ),
            ));
        }
        let slot = self.shared.slots.resumes.take(&watch.peer)?;
        let missed = MissedChanges {
            module: self.name.clone(),
            table: watch.table_name.clone(),
            from,
            until: watch.seq,
            start: log_start,
        };
        let begun = Arc::new(Watcher::new(watch, Begin::Behind, Some(from)));
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
                let read = missed.read(&around, |changes| {
                    for frame in frames(changes) {
                        wait_for_room(&watcher.replies)?;
                        if watcher.replies.is_closed() || !watcher.earlier_changes(frame) {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                });
                // A client that has a failure finds the slot free.
                drop(slot);
                match read {
                    Ok(()) => watcher.go_live(),
                    Err(failure) => watcher.fail(failure),
                }
            });
        }));
        Ok(begun)
    }
}
