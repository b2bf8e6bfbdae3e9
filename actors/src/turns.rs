//! Turns that are under way: owners see which modules they hold, and drop one.
//!
//! Neither waits for the supervisor, which hears nothing while it makes a change. A module's
//! actor answers between two steps; the step that runs is shown beside the actor
//! ([`snapshot::Running`]). A dropped turn ends like one whose time is used up: the running step
//! ends at the next tick of the clock, and each step that waits is recorded as one that was not
//! run, when it heads the queue of its module ([`drops`]).

pub(crate) mod drops;

pub(crate) mod snapshot;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, NodeId, Seq},
    wire::{RequestBody, Response, ResponseBody, TURNS_SHOWN_MAX, TurnDrop, TurnsUnderWay},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use self::{
    drops::{DropEnd, Drops},
    snapshot::Snapshot,
};
use crate::{
    ingress::{Batch, Peer, Replies, Work},
    module::Order,
    shared::Shared,
    supervisor::{catalogue::Catalogue, requests::sight::owner},
};

/// How long a list of turns waits for modules that are in the middle of a step.
const LIST_WAIT: Duration = Duration::from_secs(1);

/// How long it is looked for a turn that is to be dropped, and how long its end is waited for.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// What all actors of a node share about turns that are under way.
#[derive(Default)]
pub(crate) struct Turns {
    /// Orders to drop some.
    pub(crate) drops: Drops,
    /// Weak: the catalogue leads to the actors, which lead here.
    catalogue: Mutex<Weak<Catalogue>>,
}

impl Turns {
    /// From here on turns are looked for in the modules of this catalogue.
    pub(crate) fn look_in(&self, catalogue: &Arc<Catalogue>) {
        let mut known = self
            .catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Arc::downgrade(catalogue);
    }

    fn catalogue(&self) -> Result<Arc<Catalogue>, Failure> {
        let known = self
            .catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.upgrade().ok_or_else(stopping)
    }
}

/// Answers what owners ask about turns that are under way, beside the supervisor.
#[derive(Clone)]
pub(crate) struct TurnRequests {
    /// Weak: clients of an embedding program may outlive the node.
    shared: Weak<Shared>,
    /// How long the reactions of a turn may run.
    turn_time: Duration,
    /// Where answers are gathered.
    runtime: Handle,
}

/// Where a turn was seen.
enum Found {
    There,
    Nowhere,
    /// Perhaps in this module, which has not answered.
    Unknown(ModuleName),
}

impl TurnRequests {
    /// Answers on `runtime`.
    pub(crate) fn new(shared: &Arc<Shared>, turn_time: Duration, runtime: Handle) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            turn_time,
            runtime,
        }
    }

    /// Takes what is asked about turns out of a batch. `None` when nothing else is in it.
    pub(crate) fn take(&self, mut batch: Batch) -> Option<Batch> {
        let is_own = |work: &Work| {
            matches!(
                work,
                Work::Request(request)
                    if matches!(request.body, RequestBody::Turns | RequestBody::DropTurn { .. })
            )
        };
        if !batch.work.iter().any(is_own) {
            return Some(batch);
        }
        let (own, others) = batch.work.into_iter().partition(is_own);
        let own: Vec<Work> = own;
        for work in own {
            if let Work::Request(request) = work {
                self.answer(&batch.peer, request.id, request.body, &batch.replies);
            }
        }
        batch.work = others;
        (!batch.work.is_empty()).then_some(batch)
    }

    fn answer(&self, peer: &Peer, id: u64, body: RequestBody, replies: &Replies) {
        if let Err(failure) = owner(peer) {
            let body = Err(failure);
            return replies.send(Response { id, body });
        }
        let (this, replies, by) = (self.clone(), replies.clone(), peer.node.clone());
        self.runtime.spawn(async move {
            let body = match body {
                RequestBody::DropTurn { seq } => {
                    this.drop_turn(seq, by).await.map(ResponseBody::TurnDrop)
                }
                _ => this.list().await.map(ResponseBody::Turns),
            };
            replies.send(Response { id, body });
        });
    }

    async fn list(&self) -> Result<TurnsUnderWay, Failure> {
        let shared = self.shared.upgrade().ok_or_else(stopping)?;
        let catalogue = shared.turns.catalogue()?;
        let mut turns: BTreeMap<Seq, Snapshot> = BTreeMap::new();
        let mut silent = Vec::new();
        let shown = |turns: &mut BTreeMap<Seq, Snapshot>| {
            let running = catalogue.entries();
            let running = running.filter_map(|(_, entry)| entry.installed.address.running().look());
            turns.extend(running.map(|turn| (turn.seq(), turn)));
        };
        shown(&mut turns);
        let until = Instant::now() + LIST_WAIT;
        for (module, answer) in ask(&catalogue, None) {
            match timeout_at(until, answer).await {
                Ok(Ok(waiting)) => turns.extend(waiting.into_iter().map(|turn| (turn.seq(), turn))),
                // Its actor has ended.
                Ok(Err(_)) => {}
                Err(_) => silent.push(module),
            }
        }
        // What has begun to run meanwhile.
        shown(&mut turns);
        let now_ms = shared.now_ms();
        let turns = turns.into_values();
        let told = turns.filter_map(|turn| turn.tell(now_ms, self.turn_time));
        Ok(TurnsUnderWay {
            turns: told.take(TURNS_SHOWN_MAX).collect(),
            silent,
        })
    }

    async fn drop_turn(&self, seq: Seq, by: NodeId) -> Result<TurnDrop, Failure> {
        let shared = self.shared.upgrade().ok_or_else(stopping)?;
        let catalogue = shared.turns.catalogue()?;
        let drops = &shared.turns.drops;
        let mut told = drops.give(seq, by)?;
        let found = tokio::select! {
            biased;
            end = &mut told => return ended(seq, end.ok()),
            found = find(&catalogue, seq) => found,
        };
        let missing = match found {
            Found::There => None,
            Found::Nowhere => Some(not_under_way(seq)),
            Found::Unknown(module) => {
                let text = format!(
                    "turn {seq} was not found, and module `{module}` is in the middle of a step and has not answered; try again, or drop the turn that runs there (`turns` shows it)"
                );
                Some(Failure::new(Code::Unavailable, text))
            }
        };
        // An order that is not there any more was taken by the end of its turn, which says so at
        // once.
        if let Some(missing) = missing
            && drops.take(seq).is_some()
        {
            return Err(missing);
        }
        match timeout(DROP_WAIT, told).await {
            Ok(end) => ended(seq, end.ok()),
            Err(_) => Ok(TurnDrop::Ordered),
        }
    }
}

/// Looks for a turn. One that moves from one module to the next may be missed once, but then it
/// runs a step, or waits where it is found when it is looked for again; and what runs a step
/// notices the order.
async fn find(catalogue: &Arc<Catalogue>, seq: Seq) -> Found {
    let until = Instant::now() + DROP_WAIT;
    for _ in 0..2 {
        let mut unknown = None;
        let runs = || {
            let mut all = catalogue.entries();
            all.any(|(_, entry)| entry.installed.address.running().is(seq))
        };
        if runs() {
            return Found::There;
        }
        for (module, answer) in ask(catalogue, Some(seq)) {
            match timeout_at(until, answer).await {
                Ok(Ok(found)) if !found.is_empty() => return Found::There,
                Ok(_) => {}
                Err(_) => unknown = Some(module),
            }
        }
        if runs() {
            return Found::There;
        }
        if let Some(module) = unknown {
            return Found::Unknown(module);
        }
    }
    Found::Nowhere
}

fn stopping() -> Failure {
    Failure::new(Code::Unavailable, "the node is stopping")
}

/// Asks every module for the turns that wait for a step there: the first ones, or this one only.
fn ask(
    catalogue: &Catalogue,
    only: Option<Seq>,
) -> Vec<(ModuleName, oneshot::Receiver<Vec<Snapshot>>)> {
    let asked = catalogue.entries().map(|(_, entry)| {
        let (reply, answer) = oneshot::channel();
        let installed = &entry.installed;
        installed.address.do_send(Order::Turns(only, reply));
        (installed.schema.name.clone(), answer)
    });
    asked.collect()
}

fn ended(seq: Seq, end: Option<DropEnd>) -> Result<TurnDrop, Failure> {
    match end {
        Some(DropEnd::Dropped { steps, dropped }) => Ok(TurnDrop::Dropped { steps, dropped }),
        Some(DropEnd::ByItself) => Err(Failure::new(
            Code::NotFound,
            format!("turn {seq} has ended by itself before it could be dropped"),
        )),
        None => Err(Failure::new(
            Code::Unavailable,
            format!(
                "the node has stopped before turn {seq} was dropped; what it has begun goes on at the next start"
            ),
        )),
    }
}

fn not_under_way(seq: Seq) -> Failure {
    let text = format!(
        "turn {seq} is not under way: it has ended, or has never begun; `turns` lists those that are"
    );
    Failure::new(Code::NotFound, text)
}
