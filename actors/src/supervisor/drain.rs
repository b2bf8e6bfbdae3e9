//! The end of a node: nothing new is taken, what runs may end, a last checkpoint is written. All of it within a bound.
//!
//! Waiting reads and what is parked are refused at once. After a quarter of `drain_ms` the queries that run are ended, after
//! half of it the calls that have not begun are refused. When all of it is over, turns stop before their next step, and the
//! node ends without a last checkpoint: the next start redoes the log and finishes the turns that have begun.

use std::time::Duration;

use actix::prelude::{
    ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use interstice_abi::failure::{Code, Failure};
use tokio::sync::oneshot;

use super::{Drain, Supervisor, admission::Admission};
use crate::module::{Order, core::StatisticsDepth};

/// How long a step that runs may take to end beyond its deadline, which counts running time only.
pub(crate) const LAST_STEP: Duration = Duration::from_secs(2);

/// Whether the node is on its way down.
pub(crate) enum Stopping {
    /// It takes turns.
    No,
    /// It takes no more.
    Draining(Draining),
}

/// A node that ends.
pub(crate) struct Draining {
    /// The askers are answered when the last turn has ended and a checkpoint is written.
    waiting: Vec<oneshot::Sender<()>>,
    /// Turns are left unfinished, and no checkpoint is written.
    gives_up: bool,
}

/// Module actors have ended their steps, or have had enough time for that.
#[derive(Message)]
#[rtype(result = "()")]
struct StepsEnded;

impl Supervisor {
    fn begin_drain(&mut self, ctx: &mut Context<Self>) {
        let stopping = Failure::new(Code::Unavailable, "the node is stopping");
        let (requests, changes) = self.barrier.abandon(Some(&stopping));
        if requests + changes > 0 {
            let text = format!(
                "the node stops: {requests} requests and {changes} changes of modules that waited were refused"
            );
            self.shared.lines.message(None, None, &text);
        }
        let ticket = self.stamper.last_ticket();
        self.shared.shedding.node_stops();
        self.shared.shedding.shed_reads(ticket);
        if self.shared.shedding.turns_stop() {
            self.stop_turns(ctx);
            return;
        }
        let all = Duration::from_millis(self.config.drain_ms);
        ctx.run_later(all / 4, move |supervisor, _| {
            supervisor.shared.shedding.shed_running_reads(ticket);
        });
        ctx.run_later(all / 2, move |supervisor, _| {
            supervisor.shared.shedding.shed_calls(ticket);
        });
        ctx.run_later(all, Self::stop_turns);
    }

    /// Lets running steps end, and no other begin.
    fn stop_turns(&mut self, ctx: &mut Context<Self>) {
        let Stopping::Draining(draining) = &mut self.stopping else {
            return;
        };
        if draining.gives_up || self.admission.is_idle() && !self.checkpoints.is_freezing() {
            return;
        }
        draining.gives_up = true;
        self.shared.shedding.stop_turns();
        let text = format!(
            "the node has drained for {} ms (drain_ms in node.toml) and stops with {} turns and queries under way: what a turn has begun goes on at the next start, and calls that have not begun are refused",
            self.config.drain_ms,
            self.admission.in_flight()
        );
        self.shared.lines.warn(None, None, &text);
        let mut answers = Vec::new();
        for (_, entry) in self.catalogue.entries() {
            let (reply, answer) = oneshot::channel();
            let order = Order::Statistics(StatisticsDepth::Counts, reply);
            // Answered between two steps.
            entry.installed.address.do_send(order);
            answers.push(answer);
        }
        let deadline = Duration::from_millis(self.config.limits.deadline_ms);
        let ended = tokio::time::timeout(deadline + LAST_STEP, futures::future::join_all(answers));
        let ended = ended.into_actor(self);
        ctx.spawn(ended.map(|_, _, ctx| ctx.notify(StepsEnded)));
    }

    /// Whether turns are left unfinished.
    pub(crate) fn gives_up(&self) -> bool {
        matches!(&self.stopping, Stopping::Draining(draining) if draining.gives_up)
    }

    /// Ends the node when nothing is left to wait for.
    pub(crate) fn maybe_drained(&mut self, ctx: &mut Context<Self>) {
        let Stopping::Draining(draining) = &self.stopping else {
            return;
        };
        let gives_up = draining.gives_up;
        if draining.waiting.is_empty()
            || !self.admission.is_idle()
            || self.barrier.is_busy()
            || self.checkpoints.is_running()
        {
            return;
        }
        if !gives_up
            && self.checkpoints.needs_last(&self.stamper)
            && self.broken.is_none()
            && self.shared.log.is_poisoned().is_none()
        {
            self.start_checkpoint(ctx);
            return;
        }
        if let Stopping::Draining(draining) = &mut self.stopping {
            for waiter in draining.waiting.drain(..) {
                // The asker may have gone; the node stops all the same.
                let _ = waiter.send(());
            }
        }
        ctx.stop();
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, Drain(done): Drain, ctx: &mut Context<Self>) {
        match &mut self.stopping {
            Stopping::Draining(draining) => draining.waiting.push(done),
            Stopping::No => {
                self.stopping = Stopping::Draining(Draining {
                    waiting: vec![done],
                    gives_up: false,
                });
                self.begin_drain(ctx);
            }
        }
        if self.broken.is_some() || self.shared.log.is_poisoned().is_some() {
            self.give_up(ctx);
        }
        self.after_endings(ctx);
    }
}

impl Handler<StepsEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: StepsEnded, ctx: &mut Context<Self>) {
        let text = "the node has stopped: what the call had begun goes on at its next start, and nothing happened if it had not begun";
        let failure = Failure::new(Code::Unavailable, text);
        for (_, entry) in self.catalogue.entries() {
            entry
                .installed
                .address
                .do_send(Order::Abandon(failure.clone()));
        }
        self.admission = Admission::new(&self.config);
        self.checkpoints.abandon_markers();
        self.after_endings(ctx);
    }
}
