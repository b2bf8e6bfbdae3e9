//! Steps that fail: what is counted, what is said, and when a module is to be quarantined.

use interstice_abi::{
    codec::{Column, Input},
    failure::{Code, Failure},
    id::{StepIndex, TimerId},
};
use interstice_host::module::Effect;

use super::running::{Ended, prepare};
use crate::{
    module::{
        core::{Core, FAULTS_IN_A_ROW_MAX},
        turn::{Origin, PendingStep, StepKind, Turn, Waiter},
    },
    supervisor::Quarantine,
};

/// Which step has failed: one that nobody waits for is said in the module's log.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum FailedStep {
    /// That of a timer.
    Timer,
    /// Another one, by its place in the turn.
    Other(StepIndex),
}

impl Core {
    pub(super) fn note_failure(
        &mut self,
        turn: &Turn,
        step: FailedStep,
        function: &str,
        failure: &Failure,
        is_fault: bool,
    ) {
        if is_fault {
            self.counters.faults += 1;
            self.last_fault = Some(format!("{function}: {failure}"));
        } else {
            self.counters.rejected += 1;
        }
        let is_timer = step == FailedStep::Timer;
        self.timers_failed += u64::from(is_timer);
        let is_later = step != FailedStep::Other(StepIndex(0));
        // Nobody else hears of timers and reactions, and of `init` and `load` only who deploys.
        if is_fault || is_later || matches!(turn.waiter, Waiter::Node(_)) {
            let what = if is_fault {
                "faulted"
            } else {
                "returned an error"
            };
            let run_by = if is_timer { ", run by a timer," } else { "" };
            self.shared.lines.warn(
                Some(&self.name),
                Some(turn.seq),
                &format!("reducer `{function}`{run_by} {what}: {failure}"),
            );
        }
    }

    /// Counts faults of events and timers in a row. Those that strangers could cause are counted apart and quarantine
    /// nothing: what descends from their calls and connections, and timers that such a step has set.
    pub(super) fn count(&mut self, turn: &mut Turn, what: &StepKind, ended: &Ended) {
        let of_owner = ended.of_load || turn.origin == Origin::Owner;
        let counts = match what {
            StepKind::Call(_)
            | StepKind::CancelTimer(_)
            | StepKind::Drop(_)
            | StepKind::Nothing => None,
            StepKind::Load(_) => Some(true),
            StepKind::Event(_) => Some(of_owner),
            StepKind::Timer(timer) => {
                let of_owner = self.timers_of_owners.remove(timer) || of_owner;
                if of_owner {
                    // What it starts and sets has the same origin.
                    turn.origin = Origin::Owner;
                }
                Some(of_owner)
            }
        };
        let is_owners = turn.origin == Origin::Owner;
        if is_owners || !self.timers_of_owners.is_empty() {
            self.remember_timers(ended, is_owners);
        }
        let (Some(of_owner), Some(_)) = (counts, &ended.ran) else {
            return;
        };
        let is_fault = ended
            .result
            .as_ref()
            .is_err_and(|failure| is_fault(failure.code));
        let row = if of_owner {
            &mut self.faults_in_a_row
        } else {
            &mut self.caused_faults_in_a_row
        };
        *row = if is_fault { row.saturating_add(1) } else { 0 };
        if !is_fault {
            return;
        }
        if self.caused_faults_in_a_row == FAULTS_IN_A_ROW_MAX && !of_owner {
            let text = format!(
                "{FAULTS_IN_A_ROW_MAX} reactions or timers in a row have failed that clients have caused; the module goes on serving"
            );
            self.shared
                .lines
                .warn(Some(&self.name), Some(turn.seq), &text);
        }
        if self.faults_in_a_row >= FAULTS_IN_A_ROW_MAX && !self.quarantine_asked {
            self.quarantine_asked = true;
            let reason = self.last_fault.clone().unwrap_or_default();
            self.endings.quarantine = Some(Quarantine {
                module: self.name.clone(),
                hash: self.module.binary().hash,
                reason,
            });
        }
    }

    /// Remembers which timers of owners a step has set, if it is one of theirs, and ended.
    fn remember_timers(&mut self, ended: &Ended, is_owners: bool) {
        let hidden = self.module.tables().schema().tables.len();
        for effect in &ended.effects {
            let Effect::Change { module, change } = effect else {
                continue;
            };
            if usize::from(change.table.0) != hidden || *module != self.name {
                continue;
            }
            let id = |row: &[u8]| u64::decode(&mut Input::new(row)).ok().map(TimerId);
            match (&change.before, &change.after) {
                // One that repeats keeps its row, with its next time.
                (_, Some(row)) if is_owners => self.timers_of_owners.extend(id(row)),
                (Some(row), None) => {
                    id(row).map(|timer| self.timers_of_owners.remove(&timer));
                }
                _ => {}
            }
        }
    }

    /// Why a step is not run, if so: an owner has dropped its turn; the reactions of its turn
    /// have used up their time; or it hears of a connection and a change of the node's modules
    /// has waited for long. A load always runs: no module is to be without.
    pub(super) fn why_dropped(
        &self,
        turn: &mut Turn,
        step: StepIndex,
        what: &StepKind,
    ) -> Option<&'static str> {
        self.note_drop(turn, step);
        if turn.dropped_at.is_some()
            && matches!(
                what,
                StepKind::Call(_) | StepKind::Event(_) | StepKind::Timer(_)
            )
        {
            return Some("an owner of the node has dropped the turn");
        }
        if !matches!(what, StepKind::Event(_)) {
            return None;
        }
        if turn.left.is_zero() {
            return Some(
                "the reactions of the turn have used up their time (turn_ms in node.toml)",
            );
        }
        let is_shed =
            turn.origin == Origin::Connection && self.shared.shedding.call(turn.ticket).is_some();
        is_shed.then_some("too many connections came and went for the module to hear of each")
    }

    /// The end of a reaction that is not run. Its record says so, and replay and recovery take that from it like any step that
    /// ran too long.
    pub(super) fn drop_step(
        &mut self,
        turn: &Turn,
        pending: &PendingStep,
        why: &'static str,
    ) -> Ended {
        let (module, now_ms) = (&mut self.module, turn.timestamp_ms);
        let prepared = prepare(module, &turn.catalogue, pending.module, pending, now_ms);
        let Some(function) = prepared.function.clone() else {
            return prepared.without_guest();
        };
        if turn.dropped == 0 && turn.left.is_zero() {
            let text = format!("{why}; those that are left are dropped, from `{function}` on");
            self.shared
                .lines
                .warn(Some(&self.name), Some(turn.seq), &text);
        }
        self.module.renew();
        let failure = Failure::new(Code::Deadline, format!("the step was not run: {why}"));
        prepared.failed(&self.module, failure, true)
    }
}

/// Whether a failure is the guest's crash rather than its answer.
const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Trap | Code::Deadline | Code::OutOfMemory | Code::StackOverflow | Code::Internal
    )
}
