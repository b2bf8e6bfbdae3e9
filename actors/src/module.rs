//! Stage 3 and 7: the module actor. It owns one module's queue, instance and tables; nothing else touches them.
//!
//! The actor's whole state is a [`core::Core`]. A message is put into the queue, then the core is driven: it moves into a
//! future that works off what heads the queue, while the mailbox is suspended (`ctx.wait`), and comes back when nothing
//! more can run. So a guest on its fiber never meets another message, and its thread is never blocked; what computes for long
//! goes on in the [slow lane](lane). While nothing runs the core is at [`home`], where a caller may have it serve a call.
//!
//! What reaches it: [`Places`] from the supervisor, [`Traffic`] from other module actors of the same turns, [`Order`]s from
//! the supervisor while a catalogue change has the node to itself.

pub(crate) mod turn;

pub(crate) mod queue;

pub(crate) mod core;

pub(crate) mod step;

pub(crate) mod nested;

pub(crate) mod query;

pub(crate) mod readings;

pub(crate) mod watch;

pub(crate) mod checkpoint;

pub(crate) mod lane;

pub(crate) mod broken;

pub(crate) mod awake;

pub(crate) mod home;

mod gathered;

mod shed;

mod under_way;

pub(crate) mod timers;

pub(crate) use self::timers::TIMERS_TOLD_MAX;

use std::sync::Arc;

use actix::prelude::{
    Actor, ActorContext, ActorFutureExt, ArbiterHandle, AsyncContext, Context, Handler, Message,
    WrapFuture,
};
use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq},
    wire::{Ack, TimersPage},
};
use interstice_host::{
    module::Revocation,
    table::{Hashed, Savepoint, Tables},
    wasm::Binary,
};
use tokio::sync::oneshot;

use self::{
    checkpoint::{Frozen, Passing},
    core::{Core, Statistics, StatisticsDepth},
    home::{Arrived, Home, ModuleAddress},
    lane::conduct::Conduct,
    nested::{NestedCall, NestedRead},
    query::{ClientQuery, Pass, ReadRows},
    timers::TimersWanted,
    turn::{Ticket, Turn, Waiter},
    watch::StartWatch,
};
use crate::turns::snapshot::Snapshot;

/// Places in the queue, in the order of their tickets. From the supervisor only.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Places(pub(crate) Vec<NewPlace>);

/// A place in the queue and what it is for.
pub(crate) enum NewPlace {
    /// A turn or query that starts elsewhere may reach this module.
    Hold(Ticket),
    /// A turn whose next step runs here.
    Turn(Box<Turn>),
    /// A client's query.
    Query(Box<ClientQuery>),
    /// A page of rows for a client.
    Rows(Box<ReadRows>),
    /// A client wants to watch a table.
    Watch(Box<StartWatch>),
    /// A marker passes: hand over what it wants.
    Marker(Ticket, Passing, oneshot::Sender<Frozen>),
    /// Something waits until every earlier turn has ended here.
    Pass(Box<Pass>),
}

impl NewPlace {
    /// Whether a client waits for this that need not wait for the log.
    pub(crate) fn is_answered_when_run(&self) -> bool {
        match self {
            Self::Turn(turn) => matches!(
                turn.waiter,
                Waiter::Client {
                    ack: Ack::Applied,
                    ..
                }
            ),
            Self::Query(query) => query.ack == Ack::Applied,
            _ => false,
        }
    }
}

/// What module actors say to each other about a turn or query that has a place with both.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Traffic {
    /// The turn's next step runs here.
    Continue(Box<Turn>),
    /// A step or query elsewhere calls into this module. Answered on its own channel.
    Call(Box<NestedCall>),
    /// A step or query elsewhere reads a public table of this module. Answered on its own channel.
    Read(Box<NestedRead>),
    /// The step that called into this module is in the log: its part here holds.
    Commit(Ticket),
    /// The step, or the call that led here, is undone.
    Undo(Ticket, Savepoint),
    /// Nothing that is left of the turn or query can reach this module.
    Release(Ticket),
}

/// What the supervisor asks outside of turns.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Order {
    /// Counts and sizes, now.
    Statistics(StatisticsDepth, oneshot::Sender<Statistics>),
    /// A page of pending timers, now.
    Timers(TimersWanted, oneshot::Sender<TimersPage>),
    /// The first turns that wait for a step here, or this one only, now.
    Turns(Option<Seq>, oneshot::Sender<Vec<Snapshot>>),
    /// Digests of pages that were handed out with the statistics.
    Hashed(Hashed),
    /// Only while nothing runs: these grants are taken back.
    Revoke(Vec<Revocation>),
    /// Only while nothing runs: forget the instance, the timers of its load and ephemeral rows. Answered when done.
    Reset(oneshot::Sender<()>),
    /// Hands out what the instances are made from.
    Binary(oneshot::Sender<Arc<Binary>>),
    /// Only while nothing runs: looks at the tables.
    Look(Box<dyn FnOnce(&Tables) + Send>),
    /// The node takes no more turns: whoever waits here is told so.
    Abandon(Failure),
    /// Only while nothing runs: hand over everything; the actor ends.
    HandOver(oneshot::Sender<Box<Core>>),
}

/// The actor of one loaded module.
pub(crate) struct ModuleActor {
    name: ModuleName,
    home: Arc<Home>,
    conduct: Conduct,
}

impl ModuleActor {
    /// Starts the actor of `core`, on `arbiter` or, without one, on this thread's.
    pub(crate) fn of(core: Core, arbiter: Option<&ArbiterHandle>) -> ModuleAddress {
        let name = core.name().clone();
        let home = Home::of(core);
        let actor = Self {
            name,
            home: home.clone(),
            conduct: Conduct::default(),
        };
        let address = match arbiter {
            Some(arbiter) => Self::start_in_arbiter(arbiter, move |_| actor),
            None => actor.start(),
        };
        ModuleAddress::new(address, home)
    }

    /// Takes in what has arrived, and works.
    fn accept(&mut self, ctx: &mut Context<Self>, arrived: Arrived) {
        let Some((mut core, all)) = self.home.take(arrived) else {
            return;
        };
        for arrived in all {
            match arrived {
                Arrived::Places(places) => {
                    places.0.into_iter().for_each(|place| core.place(place));
                }
                Arrived::Traffic(traffic) => core.traffic(traffic),
                Arrived::Order(Order::HandOver(reply)) => {
                    self.home.close();
                    // A receiver that is gone has nobody waiting for the module.
                    let _ = reply.send(core);
                    ctx.stop();
                    return;
                }
                Arrived::Order(order) => core.order(order),
                Arrived::Resume => {}
            }
        }
        self.drive(core, ctx);
    }

    /// Works off what heads the queue, with the mailbox suspended.
    fn drive(&mut self, core: Box<Core>, ctx: &mut Context<Self>) {
        if !core.has_work() {
            self.home.put(core);
            return;
        }
        let shared = core.shared().clone();
        let driven = shared.lane.run(self.conduct, core.drive()).into_actor(self);
        ctx.wait(driven.map(move |(outcome, conduct), actor, ctx| {
            match outcome {
                Ok(mut core) => {
                    if !std::mem::take(&mut core.marked) {
                        actor.conduct = conduct;
                    }
                    let more = core.has_work();
                    actor.home.put(core);
                    if more {
                        // Through the mailbox, so that what has arrived meanwhile is taken in first.
                        ctx.notify(Resume);
                    }
                }
                Err(_) => shared.broken(&actor.name),
            }
        }));
    }
}

impl Actor for ModuleActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Admission bounds what is on its way; the mailbox must never be the reason to refuse a reaction.
        ctx.set_mailbox_capacity(1024);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Resume;

impl Drop for ModuleActor {
    fn drop(&mut self) {
        // Turns in its queue lead to it, and it would lead to them.
        self.home.close();
    }
}

impl Handler<Resume> for ModuleActor {
    type Result = ();

    fn handle(&mut self, _: Resume, ctx: &mut Context<Self>) {
        self.accept(ctx, Arrived::Resume);
    }
}

impl Handler<Places> for ModuleActor {
    type Result = ();

    fn handle(&mut self, places: Places, ctx: &mut Context<Self>) {
        self.accept(ctx, Arrived::Places(places));
    }
}

impl Handler<Traffic> for ModuleActor {
    type Result = ();

    fn handle(&mut self, traffic: Traffic, ctx: &mut Context<Self>) {
        self.accept(ctx, Arrived::Traffic(traffic));
        self.home.has_read();
    }
}

impl Handler<Order> for ModuleActor {
    type Result = ();

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) {
        self.accept(ctx, Arrived::Order(order));
    }
}

/// The failure of whoever asked an actor that is gone.
pub(crate) fn gone(name: &ModuleName) -> Failure {
    Failure::new(
        interstice_abi::failure::Code::Unavailable,
        format!("module `{name}` was stopped before it could answer"),
    )
}
