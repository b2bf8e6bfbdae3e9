//! Stage 2: the supervisor. One per node; it stamps every input with a sequence number, checks who may do what, and gives
//! the input a place in the queue of every module that it may reach.
//!
//! It owns the catalogue, the count of seqs, what is admitted, and when the next timer is due. It runs no guest and holds
//! no rows. A catalogue change closes the [`barrier`]: what comes later is parked until everything earlier has ended and
//! the change is made.

pub(crate) mod admission;

pub(crate) mod barrier;

pub(crate) mod catalogue;

pub(crate) mod change;

pub(crate) mod checkpoint;

pub(crate) mod drain;

pub(crate) mod grants;

pub(crate) mod inspect;

pub(crate) mod install;

pub(crate) mod message;

pub(crate) mod places;

pub(crate) mod pressure;

pub(crate) mod raised;

pub(crate) mod requests;

pub(crate) mod second_chance;

pub(crate) mod stamp;

pub(crate) mod status;

pub(crate) mod timers;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use actix::prelude::{Actor, AsyncContext, Context, Handler};
use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    id::{ModuleName, NodeId, Seq},
};
use interstice_host::store::Store;

pub(crate) use self::message::{
    Broken, Connected, Disconnected, Drain, EndedPlace, Endings, FromClient, Listening, Quarantine,
    TimerDue, TimerNews,
};
use self::requests::batched::Batched;
use self::{
    admission::{Admission, shares::GuestIndex},
    barrier::{Barrier, Parked},
    catalogue::Catalogue,
    checkpoint::{CheckpointDone, Checkpoints},
    drain::Stopping,
    inspect::{Inspector, gauges::Gauges},
    install::installer::Installer,
    places::Outgoing,
    raised::raised,
    second_chance::SecondChances,
    stamp::Stamper,
    timers::Timers,
};
use crate::{
    backup::serve::{BackupDone, BackupPassed, Backups},
    config::Config,
    ingress::ConnectionId,
    module::{Order, broken::abandoned, turn::Turn},
    record::Input,
    shared::Shared,
};

/// The supervisor of a node.
pub(crate) struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<Store>,
    pub(crate) installer: Installer,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) stamper: Stamper,
    pub(crate) admission: Admission,
    pub(crate) barrier: Barrier,
    pub(crate) timers: Timers,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) outgoing: Outgoing,
    /// While a batch of requests is taken up.
    pub(crate) batched: Option<Batched>,
    /// Those that have greeted, each with its key's number.
    pub(crate) connections: BTreeMap<ConnectionId, Option<GuestIndex>>,
    /// Nodes and clients whose `connect` was raised and whose `disconnect` was not.
    pub(crate) connected: Vec<NodeId>,
    pub(crate) about: About,
    pub(crate) inspector: Inspector,
    pub(crate) stopping: Stopping,
    pub(crate) second_chances: SecondChances,
    /// With which turn modules that catch up have begun to; the others that are named have ended.
    pub(crate) catch_ups: BTreeMap<ModuleName, Seq>,
    /// Why no more turns are taken, when the node cannot keep its promises.
    pub(crate) broken: Option<String>,
    /// Turns of before a crash that are to be finished first.
    pub(crate) half_done: Vec<Turn>,
    pub(crate) turns_ended: u64,
    /// Backups that are being made or fetched.
    pub(crate) backups: Backups,
    /// Those whose first step has committed.
    pub(crate) turns_committed: u64,
    /// Ends the whole node.
    pub(crate) stop: crate::node::Stop,
}

/// What a node says of itself.
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) started: Instant,
    pub(crate) gauges: Arc<Gauges>,
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.shared.set_supervisor(ctx.address());
        let half_done = std::mem::take(&mut self.half_done);
        let has_half_done = !half_done.is_empty();
        for turn in half_done {
            self.place_turn(Box::new(turn));
        }
        self.stamp_node_start();
        self.promise_second_chances(ctx);
        self.go_on_catching_up(has_half_done, ctx);
        self.send_out();
    }
}

impl Supervisor {
    /// Raises `connect` or `disconnect` where a module wants to hear of either.
    /// A `connect` beyond its key's share of the module's queue is passed over, and so is the `disconnect` that belongs to it.
    fn stamp_connection(&mut self, node: &NodeId, event: &Event, guest: Option<GuestIndex>) {
        let heard = !self.catalogue.connect_subscribers().is_empty()
            || !self.catalogue.disconnect_subscribers().is_empty();
        let is_connect = *event == Event::Connect;
        let known = self
            .connected
            .iter()
            .position(|connected| connected == node);
        if is_connect && !heard || !is_connect && known.is_none() {
            return;
        }
        let input = if is_connect {
            if let Some(subscriber) = self.catalogue.connect_subscribers().first() {
                let (name, module) = (&subscriber.name, subscriber.module);
                if let Err(busy) = self.admission.check(name, module, guest, 0) {
                    tracing::debug!(%node, %busy, "a connect is not raised");
                    return;
                }
            }
            self.connected.push(node.clone());
            Input::Connect { node: node.clone() }
        } else {
            known.map(|place| self.connected.swap_remove(place));
            Input::Disconnect { node: node.clone() }
        };
        let steps = raised(&self.shared.id, &self.catalogue, &input);
        self.stamp_for_node(input, steps, guest);
    }

    /// Why nothing is taken at the moment, if so.
    pub(crate) fn refuses(&self) -> Result<(), Failure> {
        if let Some(error) = self.shared.log.is_poisoned() {
            return Err(Failure::new(
                Code::Unavailable,
                format!(
                    "the node takes no more turns because its log could not be written: {error}"
                ),
            ));
        }
        if let Some(reason) = &self.broken {
            return Err(Failure::new(
                Code::Unavailable,
                format!(
                    "the node takes no more turns: {reason}; restart it, it recovers from its log"
                ),
            ));
        }
        match self.stopping {
            Stopping::No => Ok(()),
            Stopping::Draining(_) => Err(Failure::new(Code::Unavailable, "the node is stopping")),
        }
    }

    /// What follows when places have ended: the barrier may open or pass, the node may be drained.
    pub(crate) fn after_endings(&mut self, ctx: &mut Context<Self>) {
        self.pass_barrier(ctx);
        self.maybe_checkpoint(ctx);
        self.maybe_drained(ctx);
        self.send_out();
    }

    /// What is in flight may never end: nothing waits for it any more, and what is parked is told so.
    fn give_up(&mut self, ctx: &mut Context<Self>) {
        self.admission = Admission::new(&self.config);
        self.checkpoints.abandon();
        let reason = self.refuses().err();
        self.barrier.abandon(reason.as_ref());
        self.after_endings(ctx);
    }
}

impl Handler<FromClient> for Supervisor {
    type Result = ();

    fn handle(&mut self, FromClient(batch): FromClient, ctx: &mut Context<Self>) {
        self.requests(batch, ctx);
        self.send_out();
    }
}

impl Handler<Endings> for Supervisor {
    type Result = ();

    fn handle(&mut self, endings: Endings, ctx: &mut Context<Self>) {
        for ended in &endings.ended {
            self.admission
                .leave(ended.home, ended.guest, ended.places, ended.bytes);
            if ended.what != EndedPlace::Read {
                self.turns_ended += ended.places;
            }
            if ended.what == EndedPlace::Committed {
                self.turns_committed += ended.places;
            }
        }
        if let Some(news) = endings.timers {
            self.timers.set(news, self.shared.now_ms());
            self.arm_timer(ctx);
        }
        if let Some(quarantine) = endings.quarantine {
            let change = change::Change::Quarantine(quarantine);
            self.park(Parked::Change(change, change::Asker::Nobody), ctx);
        }
        self.after_endings(ctx);
    }
}

impl Handler<TimerDue> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: TimerDue, ctx: &mut Context<Self>) {
        self.timers.disarm();
        for (module, timer) in self.timers.take_due(self.shared.now_ms()) {
            self.park_or(Parked::Timer(module, timer), ctx);
        }
        self.arm_timer(ctx);
        self.send_out();
    }
}

impl Handler<Connected> for Supervisor {
    type Result = ();

    fn handle(&mut self, Connected(peer): Connected, ctx: &mut Context<Self>) {
        let guest = self.admission.guests.begin(&peer);
        self.connections.insert(peer.connection, guest);
        let connect = Parked::Connection(peer.node.clone(), Event::Connect, guest);
        self.park_or(connect, ctx);
        self.send_out();
    }
}

impl Handler<Disconnected> for Supervisor {
    type Result = ();

    fn handle(&mut self, Disconnected(peer): Disconnected, ctx: &mut Context<Self>) {
        if let Some(guest) = self.connections.remove(&peer.connection) {
            self.admission.guests.end(guest, 1);
        }
        self.shared.watchers.end(peer.connection.0, None);
        self.shared.readings.end(peer.connection.0);
        self.shared.lines.unfollow(peer.connection.0, None);
        self.backups.end(peer.connection.0, None);
        self.park_or(
            Parked::Connection(peer.node.clone(), Event::Disconnect, None),
            ctx,
        );
        self.send_out();
    }
}

impl Handler<Broken> for Supervisor {
    type Result = ();

    fn handle(&mut self, Broken(reason): Broken, ctx: &mut Context<Self>) {
        for installed in self.catalogue.installed().into_values() {
            let failure = abandoned(&reason);
            installed.address.do_send(Order::Abandon(failure));
        }
        self.broken.get_or_insert(reason);
        self.give_up(ctx);
    }
}

impl Handler<Listening> for Supervisor {
    type Result = ();

    fn handle(&mut self, Listening(addresses): Listening, _: &mut Context<Self>) {
        self.about.addresses = addresses;
    }
}

impl Handler<BackupPassed> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: BackupPassed, ctx: &mut Context<Self>) {
        self.checkpoints.backup_passed();
        self.after_endings(ctx);
    }
}

impl Handler<BackupDone> for Supervisor {
    type Result = ();

    fn handle(&mut self, done: BackupDone, _: &mut Context<Self>) {
        self.finish_backup(done);
    }
}

impl Handler<CheckpointDone> for Supervisor {
    type Result = ();

    fn handle(&mut self, done: CheckpointDone, ctx: &mut Context<Self>) {
        self.finish_checkpoint(done);
        if !self.checkpoints.is_running() {
            self.start_waiting_backups(ctx);
        }
        self.after_endings(ctx);
    }
}
