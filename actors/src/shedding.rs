//! Load shedding: which waiting work the module actors answer without running it, so that their queues empty soon.
//!
//! The supervisor sets the bounds: while a change of the catalogue or a backup waits, and when the node stops. Module actors
//! read them between two pieces of work, and running queries at each tick of the clock. A query or a page of rows has no
//! record, so it can be refused or ended at any moment. A call of a client can be refused until its step 0 runs, and a
//! timer put off: a turn whose step 0 is not in the log never happened, and its seq stays unused. What a module hears of
//! connections is dropped by a record, like the reactions of a turn that ran too long. Everything else runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use interstice_abi::failure::{Code, Failure};

use crate::module::turn::Ticket;

/// Bounds by ticket: work that has a ticket up to the bound is shed. They only grow. All loads are relaxed: an actor that sees
/// a bound a moment late runs one more piece of work.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Shedding {
    /// Queries, pages of rows and beginnings of watches that have not begun.
    reads: AtomicU64,
    /// Queries of clients that run.
    running_reads: AtomicU64,
    /// Calls of clients and timers whose step 0 has not begun, and reactions to connections.
    calls: AtomicU64,
    /// The node stops; a refused request is answered with that reason.
    stops: AtomicBool,
    /// No turn begins another step: the node ends.
    turns_stop: AtomicBool,
}

impl Shedding {
    /// Reads up to `ticket` that have not begun are refused.
    pub(crate) fn shed_reads(&self, ticket: Ticket) {
        self.reads.fetch_max(ticket.0, Ordering::Relaxed);
    }

    /// Queries up to `ticket` that run end at the next tick.
    pub(crate) fn shed_running_reads(&self, ticket: Ticket) {
        self.running_reads.fetch_max(ticket.0, Ordering::Relaxed);
    }

    /// Calls up to `ticket` that have not begun are refused.
    pub(crate) fn shed_calls(&self, ticket: Ticket) {
        self.calls.fetch_max(ticket.0, Ordering::Relaxed);
    }

    /// Requests that are refused from here on are answered that the node stops.
    pub(crate) fn node_stops(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// No turn begins another step from here on; the next start of the node finishes those that have begun.
    pub(crate) fn stop_turns(&self) {
        self.turns_stop.store(true, Ordering::Relaxed);
    }

    /// Whether no turn begins another step.
    pub(crate) fn turns_stop(&self) -> bool {
        self.turns_stop.load(Ordering::Relaxed)
    }

    /// Why the read with `ticket` is not begun, if so.
    pub(crate) fn read(&self, ticket: Ticket) -> Option<Failure> {
        (ticket.0 <= self.reads.load(Ordering::Relaxed)).then(|| self.why("the request"))
    }

    /// Why the running query with `ticket` ends, if so.
    pub(crate) fn running_read(&self, ticket: Ticket) -> Option<Failure> {
        (ticket.0 <= self.running_reads.load(Ordering::Relaxed)).then(|| self.why("the query"))
    }

    /// Why the call with `ticket` is not begun, if so.
    pub(crate) fn call(&self, ticket: Ticket) -> Option<Failure> {
        (ticket.0 <= self.calls.load(Ordering::Relaxed)).then(|| self.why("the call"))
    }

    fn why(&self, what: &str) -> Failure {
        if self.stops.load(Ordering::Relaxed) {
            let text = format!("the node is stopping: {what} was not run to its end");
            return Failure::new(Code::Unavailable, text);
        }
        let text = format!(
            "an owner changes the node's modules or makes a backup, and the module has too much to do: {what} was dropped and changed nothing; try again"
        );
        Failure::new(Code::Busy, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_bound_is_shed_and_a_smaller_bound_changes_nothing() {
        let shedding = Shedding::default();
        assert!(shedding.read(Ticket(1)).is_none() && shedding.call(Ticket(1)).is_none());
        shedding.shed_reads(Ticket(7));
        shedding.shed_reads(Ticket(3));
        let code = |failure: Option<Failure>| failure.map(|failure| failure.code);
        assert_eq!(code(shedding.read(Ticket(7))), Some(Code::Busy));
        assert!(shedding.read(Ticket(8)).is_none() && shedding.call(Ticket(7)).is_none());
        assert!(shedding.running_read(Ticket(7)).is_none());
        shedding.node_stops();
        assert_eq!(code(shedding.read(Ticket(7))), Some(Code::Unavailable));
    }
}
