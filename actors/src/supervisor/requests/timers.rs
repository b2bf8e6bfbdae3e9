//! Requests about timers: how many there are, which ones wait, and the end of one.
//!
//! Cancelling is an input like a call: it takes its place in the module's queue and stands in the
//! log.

use interstice_abi::{
    failure::Failure,
    id::TimerId,
    schema::Visibility,
    wire::{Ack, RequestBody, Response, ResponseBody, Standing, TimerCounts},
};
use tokio::sync::oneshot;

use super::sight::owner;
use crate::{
    ingress::{Peer, Replies},
    module::{
        Order,
        core::StatisticsDepth,
        gone,
        timers::TimersWanted,
        turn::{PendingStep, StepKind, Waiter},
    },
    one_or_more::OneOrMore,
    record::Input,
    supervisor::Supervisor,
};

impl Supervisor {
    /// Counts the timers of every module that the peer may see, and answers when all have
    /// answered.
    pub(super) fn timer_counts(&self, peer: &Peer, replies: Replies, request: u64) {
        let is_owner = peer.standing == Standing::Owner;
        let mut asked = Vec::new();
        for (_, entry) in self.catalogue.entries() {
            let schema = &entry.installed.schema;
            if is_owner || schema.visibility == Visibility::Public {
                let (reply, answer) = oneshot::channel();
                let order = Order::Statistics(StatisticsDepth::Counts, reply);
                entry.installed.address.do_send(order);
                asked.push((schema.name.clone(), answer));
            }
        }
        actix::spawn(async move {
            let mut counts = Vec::new();
            for (module, answer) in asked {
                // A module that goes meanwhile has no timers any more.
                if let Ok(statistics) = answer.await {
                    counts.push(TimerCounts {
                        module,
                        pending: statistics.timers_pending,
                        failed: statistics.timers_failed,
                    });
                }
            }
            replies.send(Response {
                id: request,
                body: Ok(ResponseBody::TimerCounts(counts)),
            });
        });
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
        let replies = replies.clone();
        let name = entry.installed.schema.name.clone();
        let (reply, answer) = oneshot::channel();
        entry
            .installed
            .address
            .do_send(Order::Timers(wanted, reply));
        actix::spawn(async move {
            let page = answer.await.map_err(|_| gone(&name));
            replies.send(Response {
                id: request,
                body: page.map(ResponseBody::Timers),
            });
        });
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
