//! What a module's actor says of turns that are under way, and what it does when an owner has
//! dropped one. The orders and the requests are in [`crate::turns`].

use interstice_abi::{
    failure::{Code, Failure},
    id::{Seq, StepIndex},
    wire::TURNS_SHOWN_MAX,
};

use super::{
    core::{Core, StatisticsDepth, Work},
    turn::Turn,
};
use crate::turns::{drops::DropEnd, snapshot::Snapshot};

/// Where a turn stands whose steps have run in this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// It waits in front of the queue for its next step here.
    GoesOn,
    /// It has ended, or goes on elsewhere.
    Through,
}

impl Core {
    /// Nothing of the turn in front waits here any more: digests that are wanted are taken.
    pub(super) fn turn_is_through(&mut self) {
        self.pause = Pause::Through;
        for reply in std::mem::take(&mut self.digests_wanted) {
            // Nobody waits any more when the asker has gone.
            let _ = reply.send(self.statistics(StatisticsDepth::WithDigest));
        }
    }

    /// The first turns that wait for a step here, or this one only.
    pub(super) fn waiting_turns(&self, only: Option<Seq>) -> Vec<Snapshot> {
        let turns = self.queue.works().filter_map(|work| match work {
            Work::Turn(turn) if only.is_none_or(|seq| turn.seq == seq) => Snapshot::waiting(turn),
            _ => None,
        });
        turns.take(TURNS_SHOWN_MAX).collect()
    }

    /// Notices an order of an owner to drop the turn, which holds from `step` on.
    pub(super) fn note_drop(&self, turn: &mut Turn, step: StepIndex) {
        if turn.dropped_at.is_some() {
            return;
        }
        let Some(by) = self.shared.turns.drops.by(turn.seq) else {
            return;
        };
        turn.dropped_at = Some(step);
        let text = format!("owner {by} has dropped the turn after {step} steps");
        self.shared
            .lines
            .warn(Some(&self.name), Some(turn.seq), &text);
    }

    /// Whether a step has been ended because an owner has dropped its turn: it counts as dropped,
    /// and as nobody's fault.
    pub(super) fn was_cut_short(
        &self,
        turn: &mut Turn,
        step: StepIndex,
        result: &Result<(), Failure>,
    ) -> bool {
        let is_cut = result
            .as_ref()
            .is_err_and(|failure| failure.code == Code::Deadline);
        if is_cut {
            self.note_drop(turn, step);
        }
        is_cut && turn.dropped_at.is_some()
    }

    /// Says the end of a turn where somebody wants to hear of it: an owner who has dropped it, or
    /// readers of the log when it is one that the last end of the node had cut off.
    pub(super) fn say_end(&mut self, turn: &Turn) {
        if turn.resumed {
            let text = "the turn that the last stop of the node had cut off has ended";
            self.shared
                .lines
                .message(Some(&self.name), Some(turn.seq), text);
        }
        let Some(tell) = self.shared.turns.drops.take(turn.seq) else {
            return;
        };
        let end = match turn.dropped_at {
            Some(step) => DropEnd::Dropped {
                steps: step.0,
                dropped: turn.dropped,
            },
            None => DropEnd::ByItself,
        };
        self.hand_over_records();
        self.shared.log.when_durable(Box::new(move |durable| {
            if durable.is_ok() {
                // The one who waits may have gone.
                let _ = tell.send(end);
            }
        }));
    }
}
