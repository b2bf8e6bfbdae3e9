//! How long a change of the catalogue or a backup waits for what has a place before it, and what is shed then.
//!
//! Both wait until everything earlier has ended, and everybody who comes later waits for them, so what a client may put into
//! the queues must not decide how long that takes. First the reads that have not begun are refused,
//! then those that run are ended, then the calls that have not begun are refused
//! ([`crate::shedding`]). What is left is the step or the cascade that each module runs, and both
//! are bounded.

use std::time::Duration;

use actix::prelude::{AsyncContext, Context};

use super::Supervisor;
use crate::module::turn::Ticket;

/// After this, reads that have not begun are refused: a module that is not overloaded has answered hundreds by then.
const READS_PATIENCE: Duration = Duration::from_millis(500);

/// After this, queries that run are ended. The deadline of a step counts running time, and a busy machine stretches it.
const RUNNING_READS_PATIENCE: Duration = Duration::from_secs(3);

/// After this, calls of clients that have not begun are refused: by then a full queue of ordinary calls has run, also on a
/// machine that has other work.
const CALLS_PATIENCE: Duration = Duration::from_secs(10);

/// What waits for earlier work to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A change of the catalogue. Nothing is admitted meanwhile.
    Change,
    /// A backup's marker. What is behind it goes on where the marker has passed.
    Backup,
}

impl Supervisor {
    /// Something waits from now on for all that has a ticket. The bounds are tickets, so nothing has to be taken back when it
    /// waits no more: what comes later has a larger one.
    pub(crate) fn press(&mut self, waiting: Waiting, ctx: &mut Context<Self>) {
        let ticket = self.stamper.last_ticket();
        if waiting == Waiting::Change && self.barrier.presses(ticket) {
            return;
        }
        ctx.run_later(READS_PATIENCE, move |supervisor, _| {
            supervisor.shared.shedding.shed_reads(ticket);
        });
        ctx.run_later(RUNNING_READS_PATIENCE, move |supervisor, _| {
            supervisor.shared.shedding.shed_running_reads(ticket);
        });
        ctx.run_later(CALLS_PATIENCE, move |supervisor, _| {
            supervisor.shed_calls(ticket);
        });
    }

    fn shed_calls(&mut self, ticket: Ticket) {
        self.shared.shedding.shed_calls(ticket);
        if self.barrier.waits_since(ticket) {
            let text = format!(
                "a change of the node's modules has waited for {} s: calls that wait before it and have not begun are refused",
                CALLS_PATIENCE.as_secs()
            );
            self.shared.lines.warn(None, None, &text);
        }
    }
}
