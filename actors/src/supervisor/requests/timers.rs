//! Requests about timers: how many there are, which ones wait, and the end of one.
//!
//! Cancelling is an input like a call: it takes its place in the module's queue and stands in the
//! log.

use interstice_abi::{
    failure::Failure,
    id::TimerId,
    wire::{Ack, RequestBody},
};

use super::sight::owner;
use crate::{
    ingress::{Peer, Replies},
    module::{
        timers::TimersWanted,
        turn::{PendingStep, StepKind, Waiter},
    },
    one_or_more::OneOrMore,
    record::Input,
    supervisor::{
        Supervisor,
        inspect::{Subject, rounds::Key},
    },
};

impl Supervisor {
    /// Has the timers counted of every module that the peer may see.
    pub(super) fn timer_counts(&self, peer: &Peer, replies: &Replies, request: u64) {
        let subject = Subject::Modules(self.catalogue.clone(), Key::timers(peer.standing));
        self.inspector.ask(subject, replies, request);
    }

    /// A page of a module's pending timers.
    pub(super) fn pending_timers(
        &self,
        peer: &Peer,
        body: RequestBody,
        replies: &Replies,
        request: u64,
    ) -> Result<(), Failure> {
        owner(peer)?;
        let RequestBody::Timers {
            module,
            after,
            limit,
        } = body
        else {
            return Err(Failure::internal("this request is not about timers"));
        };
        let wanted = TimersWanted {
            after,
            limit,
            now_ms: self.batched_ms().max(self.stamper.last_ms()),
        };
        let entry = self.entry(self.catalogue.find(&module)?)?;
        let name = entry.installed.schema.name.clone();
        let subject = Subject::Timers(entry.installed.address.clone(), name, wanted);
        self.inspector.ask(subject, replies, request);
        Ok(())
    }

    /// Ends a pending timer. Also of a module that does not serve: its timers may be the reason.
    pub(super) fn cancel_timer(
        &mut self,
        peer: &Peer,
        (module, timer): (&str, TimerId),
        replies: &Replies,
        request: u64,
    ) -> Result<(), Failure> {
        owner(peer)?;
        let index = self.catalogue.find(module)?;
        let module = self.name_of(index);
        self.admission.check(&module, index, None, 0)?;
        let what = StepKind::CancelTimer(timer);
        let step = PendingStep::of_node(&self.shared.id, index, what, Vec::new());
        let input = Input::CancelTimer {
            caller: peer.node.clone(),
            module,
            timer,
        };
        let waiter = Waiter::Client {
            replies: replies.clone(),
            request,
            ack: Ack::Durable,
        };
        let turn = self.new_turn(input, OneOrMore::one(step), waiter);
        self.place_turn(turn);
        Ok(())
    }
}
