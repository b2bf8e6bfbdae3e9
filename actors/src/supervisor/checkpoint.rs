//! Checkpoints: the tables' trees on disk, complete up to a marker; and bases, which are taken with some of them.
//!
//! The order is the promise. A marker takes a place in every module's queue; where it passes, the module freezes its changed
//! pages. When all have passed and the log is synced, the pages go into the store, the store is synced, and only then the
//! marker moves. A crash anywhere leaves the marker before, whose log is still there. A base is written behind that, and what it replaces
//! goes last (`checkpoint/writer.rs`). The marker itself is in `checkpoint/marker.rs`.

pub(crate) mod marker;
pub(crate) mod passing;
mod writer;

use std::sync::{Arc, atomic::Ordering};

use actix::prelude::{AsyncContext, Context, Message};
use interstice_abi::id::Seq;
use interstice_host::log::LogPosition;

use self::{
    marker::{Clean, Mark, Marker, marked_modules},
    writer::Writer,
};
use super::{Supervisor, drain::Stopping, stamp::Stamper};
use crate::{
    base::{Base, Head},
    module::checkpoint::Passing,
    record::{NamedLimits, Record},
};

/// A checkpoint that begins with so many times the bytes at which it was due makes way for nobody: the one before took long, and the log must
/// not grow without end.
const LATE: u64 = 2;

/// What the supervisor knows of checkpoints.
pub(crate) struct Checkpoints {
    /// The bases on disk, oldest first. The log reaches back to the first.
    bases: Arc<[Base]>,
    phase: Phase,
    /// The last seq that the last checkpoint holds.
    last: Option<Seq>,
    /// Backups under way, and modules that catch up: while there is one, no history goes.
    backups: u32,
    /// Those of them whose markers are in the queues.
    backups_passing: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Markers are in the queues.
    Freezing,
    /// Pages go to disk.
    Writing,
}

/// The end of a checkpoint, or of its first phase.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum CheckpointDone {
    /// All modules have frozen their pages.
    Frozen,
    /// The marker is on disk.
    Written {
        /// Up to which turn.
        seq: Seq,
        /// The bases that are there.
        bases: Vec<Base>,
    },
    /// It could not be written.
    Failed(String),
}

impl Checkpoints {
    /// With the bases that are on disk, oldest first.
    pub(crate) fn after(bases: Vec<Base>) -> Self {
        Self {
            bases: bases.into(),
            phase: Phase::Idle,
            last: None,
            backups: 0,
            backups_passing: 0,
        }
    }

    /// The first seq of which every later one is in the kept log, and where the kept log begins.
    pub(crate) fn history(&self) -> Mark {
        self.bases
            .first()
            .map_or((Seq(0), LogPosition(0)), |base| (base.seq, base.position))
    }

    /// The bases on disk, oldest first.
    pub(crate) fn bases(&self) -> &Arc<[Base]> {
        &self.bases
    }

    /// Whether markers are in the queues, of a checkpoint or of a backup: nothing may be changed that they are to pass.
    pub(crate) fn is_freezing(&self) -> bool {
        self.phase == Phase::Freezing || self.backups_passing > 0
    }

    /// Whether one is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Waits for none any more.
    pub(crate) fn abandon(&mut self) {
        self.phase = Phase::Idle;
        self.backups_passing = 0;
    }

    /// Waits for no marker any more; pages that go to disk are waited for.
    pub(crate) fn abandon_markers(&mut self) {
        if self.phase == Phase::Freezing {
            self.phase = Phase::Idle;
        }
        self.backups_passing = 0;
    }

    /// Whether a last one has something to write.
    pub(crate) fn needs_last(&self, stamper: &Stamper) -> bool {
        self.last != Some(stamper.last_seq())
    }

    /// A backup begins: what it copies stays.
    pub(crate) fn hold(&mut self) {
        self.hold_history();
        self.backups_passing += 1;
    }

    /// Somebody reads history that may not go meanwhile.
    pub(crate) fn hold_history(&mut self) {
        self.backups += 1;
    }

    /// The marker of a backup has passed every module.
    pub(crate) fn backup_passed(&mut self) {
        self.backups_passing = self.backups_passing.saturating_sub(1);
    }

    /// A backup has ended, or somebody has read what was to stay.
    pub(crate) fn release(&mut self) {
        self.backups = self.backups.saturating_sub(1);
    }
}

impl Supervisor {
    /// Begins a checkpoint when enough was recorded since the last one.
    pub(crate) fn maybe_checkpoint(&mut self, ctx: &mut Context<Self>) {
        let due =
            self.shared.recorded_bytes.load(Ordering::Relaxed) >= self.config.checkpoint_bytes;
        if due
            && !self.checkpoints.is_running()
            && !self.barrier.is_running()
            && self.refuses().is_ok()
        {
            self.start_checkpoint(ctx);
        }
    }

    /// Whether the log has grown so far behind the last base that another is due.
    fn wants_base(&self) -> bool {
        let durable = self.shared.log.durable().0;
        let seq = self.stamper.last_seq();
        self.checkpoints.bases.last().is_none_or(|last| {
            // Nothing has happened since the last one, or hardly anything.
            if last.seq == seq {
                return false;
            }
            let behind = durable.saturating_sub(last.position.0);
            let bytes = self.config.base_bytes;
            self.config.history.is_due(last, behind, bytes)
        })
    }

    /// Sends markers to all modules and writes what they freeze.
    pub(crate) fn start_checkpoint(&mut self, ctx: &mut Context<Self>) {
        self.checkpoints.phase = Phase::Freezing;
        let recorded = self.shared.recorded_bytes.swap(0, Ordering::Relaxed);
        let seq = self.stamper.last_seq();
        let passing = if self.wants_base() {
            Passing::Base
        } else {
            Passing::Checkpoint
        };
        if passing == Passing::Base {
            // Before anything of a later turn can be recorded.
            match (Record::Base { seq }).encode() {
                Ok(record) => self.shared.append(record),
                Err(failure) => self.shared.stop_because(&failure.message),
            }
        }
        let passed = self.pass(passing);
        let modules = marked_modules(&self.catalogue);
        let timestamp_ms = self.stamper.last_ms().max(self.shared.now_ms());
        let base = (passing == Passing::Base).then(|| Head {
            epoch: self.shared.epoch,
            seq,
            timestamp_ms,
            modules: modules.clone(),
            connected: self.connected.clone(),
            limits: NamedLimits(self.config.limits.clone()),
        });
        let marker = Marker {
            epoch: self.shared.epoch,
            seq,
            timestamp_ms,
            position: LogPosition(0),
            modules,
            connected: self.connected.clone(),
            clean: match self.stopping {
                Stopping::No => Clean::Running,
                Stopping::Draining(_) => Clean::Stopped,
            },
        };
        let writer = Writer {
            shared: self.shared.clone(),
            store: self.store.clone(),
            directory: self.installer.directory.clone(),
            history: self.config.history,
            bases: self.checkpoints.bases.to_vec(),
            holds: self.checkpoints.backups > 0,
            marker,
            base,
            hurries: recorded > self.config.checkpoint_bytes.saturating_mul(LATE)
                || matches!(self.stopping, Stopping::Draining(_)),
        };
        let supervisor = ctx.address();
        let work = async move {
            let (position, frozen) = match passed.all().await {
                Ok(passed) => passed,
                Err(problem) => {
                    supervisor.do_send(CheckpointDone::Failed(problem));
                    return;
                }
            };
            supervisor.do_send(CheckpointDone::Frozen);
            supervisor.do_send(match writer.write(frozen, position).await {
                Ok(bases) => CheckpointDone::Written { seq, bases },
                Err(problem) => CheckpointDone::Failed(problem),
            });
        };
        actix::spawn(work);
    }

    /// Takes in the end of a checkpoint.
    pub(crate) fn finish_checkpoint(&mut self, done: CheckpointDone) {
        match done {
            // Modules that have stopped let no marker pass, and no later checkpoint will miss what they froze.
            CheckpointDone::Failed(_) if self.gives_up() => self.checkpoints.abandon(),
            CheckpointDone::Frozen => self.checkpoints.phase = Phase::Writing,
            CheckpointDone::Written { seq, bases } => {
                self.checkpoints.phase = Phase::Idle;
                self.checkpoints.last = Some(seq);
                self.checkpoints.bases = bases.into();
            }
            CheckpointDone::Failed(problem) => {
                self.checkpoints.phase = Phase::Idle;
                self.checkpoints.last = Some(self.stamper.last_seq());
                // Frozen pages are no longer marked as changed in memory, so a later checkpoint would miss them.
                let text = format!("a checkpoint could not be written: {problem}");
                // The first one is the reason for all later ones.
                let _ = self.shared.unwritten.set(text.clone());
                self.shared.stop_because(&text);
                self.broken.get_or_insert(text);
            }
        }
    }
}
