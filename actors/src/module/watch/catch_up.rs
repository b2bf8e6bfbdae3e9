//! Resuming a watch: the changes of a table behind a position, read from the log, before the watch goes live.
//!
//! The log is read on a thread of its own, up to the turn at which the watch began; what comes later waits with the watcher,
//! so the two meet without a gap. At most [`CATCH_UPS_MAX`] watches of a process read at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use interstice_abi::failure::{Code, Failure};

use super::{
    Resume, StartWatch,
    watcher::{Begin, Watcher, frames},
};
use crate::{history::MissedChanges, module::core::Core};

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
        let slot = CatchUp::begin()?;
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
                let _slot = slot;
                let read = missed.read(&around, |changes| {
                    frames(changes).all(|frame| {
                        futures::executor::block_on(watcher.replies.room());
                        !watcher.replies.is_closed() && watcher.earlier_changes(frame)
                    })
                });
                match read {
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
