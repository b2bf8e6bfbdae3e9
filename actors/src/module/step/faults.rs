//! Steps that fail: what is counted, what is said, and when a module is to be quarantined.

use interstice_abi::{
    failure::{Code, Failure},
    id::StepIndex,
};

use super::running::Ended;
use crate::{
    module::{
        core::{Core, FAULTS_IN_A_ROW_MAX},
        turn::{Turn, Waiter},
    },
    supervisor::Quarantine,
};

impl Core {
    pub(super) fn note_failure(
        &mut self,
        turn: &Turn,
        step: StepIndex,
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
        // Nobody else hears of reactions, and of `init` and `load` only who deploys.
        if is_fault || step.0 > 0 || matches!(turn.waiter, Waiter::Node(_)) {
            let what = if is_fault {
                "faulted"
            } else {
                "returned an error"
            };
            self.shared.lines.warn(
                Some(&self.name),
                Some(turn.seq),
                &format!("reducer `{function}` {what}: {failure}"),
            );
        }
    }

    /// Counts faults of events and timers in a row; strangers could cause those of calls.
    pub(super) fn count(&mut self, ended: &Ended, counts_to_quarantine: bool) {
        if !counts_to_quarantine || ended.ran.is_none() {
            return;
        }
        let is_fault = ended
            .result
            .as_ref()
            .is_err_and(|failure| is_fault(failure.code));
        self.faults_in_a_row = if is_fault {
            self.faults_in_a_row + 1
        } else {
            0
        };
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
}

/// Whether a failure is the guest's crash rather than its answer.
const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Trap | Code::Deadline | Code::OutOfMemory | Code::StackOverflow | Code::Internal
    )
}
