//! Work that is answered without being run: the client has gone, or the queue is to empty soon (see [`crate::shedding`]).

use interstice_abi::{
    failure::{Code, Failure},
    id::TimerId,
    wire::{Ack, Response},
};

use super::{
    Traffic,
    core::{Core, Work, refuse},
    turn::{StepKind, Ticket, Turn, Waiter, pending::Pending},
};
use crate::ingress::Replies;

impl Core {
    /// Why the work is not to be run, if so.
    pub(super) fn why_shed(&self, work: &Work) -> Option<Failure> {
        match work {
            Work::Query(query) => self.read_is_shed(query.ticket, &query.replies),
            Work::Rows(rows) => self.read_is_shed(rows.ticket, &rows.replies),
            Work::Pass(pass) => self.read_is_shed(pass.ticket, &pass.replies),
            Work::Watch(watch) => self.read_is_shed(watch.ticket, &watch.replies),
            Work::Turn(turn) => self.call_is_shed(turn),
            _ => None,
        }
    }

    /// Answers work that is not to be run, and releases its places.
    pub(super) fn shed(&mut self, work: Work, failure: Failure) {
        let (ticket, (module, guest), replies, request) = match work {
            Work::Turn(mut turn) => {
                turn.refused = Some(Box::new(failure));
                let timer = first_timer(&turn);
                turn.pending = Pending::default();
                for module in turn.take_unreachable() {
                    self.send_traffic(&turn.catalogue, module, Traffic::Release(turn.ticket));
                }
                self.end_turn(turn);
                if let Some(timer) = timer {
                    // It is still in its table, and due again.
                    self.report_timer_ended(timer);
                }
                return;
            }
            Work::Query(query) => {
                self.reply_shed(query.replies.clone(), query.request, failure);
                self.end_query(&query);
                return;
            }
            Work::Rows(rows) => (
                rows.ticket,
                (rows.module, rows.guest),
                rows.replies,
                rows.request,
            ),
            Work::Pass(pass) => (
                pass.ticket,
                (pass.module, pass.guest),
                pass.replies,
                pass.request,
            ),
            Work::Watch(watch) => (
                watch.ticket,
                (watch.module, watch.guest),
                watch.replies,
                watch.request,
            ),
            // Nothing else has a reason to be shed.
            _ => return,
        };
        self.reply_shed(replies, request, failure);
        self.queue.release(ticket);
        self.end_place(module, guest, 0);
    }

    fn read_is_shed(&self, ticket: Ticket, replies: &Replies) -> Option<Failure> {
        if replies.is_closed() {
            return Some(Failure::new(Code::Unavailable, "the client has gone"));
        }
        self.shared.shedding.read(ticket)
    }

    /// Only a client's call or a timer that has not begun: afterwards its records are in the log.
    fn call_is_shed(&self, turn: &Turn) -> Option<Failure> {
        let can_wait = matches!(turn.waiter, Waiter::Client { .. }) || first_timer(turn).is_some();
        if turn.input.is_none() || !can_wait {
            return None;
        }
        self.shared.shedding.call(turn.ticket)
    }

    /// Leaves a turn as it is, because the node ends. Its places stay, so that nothing overtakes what is left of it, and the
    /// next start finishes it from its records.
    pub(super) fn stop_turn(&mut self, turn: Turn) {
        let text = if turn.input.is_some() {
            "the node has stopped before the call began; nothing happened"
        } else {
            "the node has stopped before all that the call started had run; the rest runs at its next start"
        };
        self.hand_over_records();
        // An owner who waits for its end is told that the node stops, with the channel.
        drop(self.shared.turns.drops.take(turn.seq));
        refuse(turn.waiter, Failure::new(Code::Unavailable, text));
    }

    fn reply_shed(&mut self, replies: Replies, id: u64, failure: Failure) {
        let response = Response {
            id,
            body: Err(failure),
        };
        self.answer(Ack::Applied, replies, response);
    }
}

/// The timer that a turn begins with, if it does and has not begun.
fn first_timer(turn: &Turn) -> Option<TimerId> {
    match turn.pending.front()?.what {
        StepKind::Timer(timer) => Some(timer),
        _ => None,
    }
}
