//! What a module actor owns: the queue, the module with its instance and tables, and what is to be told to others.
//!
//! [`Core::drive`] works off the queue. Records, answers and ends of turns are gathered (`gathered.rs`) and handed on in batches.

use std::{collections::HashSet, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Instant};

use futures::FutureExt;
use tokio::sync::oneshot;

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, NodeId, TimerId},
    wire::{CallCounters, Called, Response, ResponseBody},
};
use interstice_host::{
    module::Module,
    table::{Hashing, TableStatistics, Tables},
};

use super::{
    NewPlace, Order, Traffic,
    checkpoint::{Frozen, Passing},
    gathered::{Acks, Recorded},
    lane::{Breather, piece_ended},
    nested::{NestedCall, NestedRead, touched::Touched, trace::Trace},
    query::{ClientQuery, Pass, ReadRows},
    queue::Queue,
    timers::TimersTold,
    turn::{Turn, Waiter},
    under_way::Pause,
    watch::StartWatch,
};
use crate::{
    apart::Apart,
    shared::Shared,
    supervisor::{EndedPlace, Endings, admission::shares::GuestIndex, catalogue::ModuleIndex},
    turns::snapshot::Running,
};

/// How much of the queue is worked off before the mailbox is looked at again: large enough to batch, small enough that a
/// nested call of a neighbour does not wait for long.
const WORK_PER_DRIVE: usize = 256;

/// After how long the mailbox is looked at, however little was worked off: well before the slow lane takes notice.
const TIME_PER_DRIVE: std::time::Duration = std::time::Duration::from_micros(200);

/// Steps slower than this are not batched: what ended before them is told first.
const SLOW_STEP: std::time::Duration = std::time::Duration::from_micros(100);

/// So many changes are undone before others may have the thread.
const UNDONE_AT_ONCE: usize = 256;

/// Faults in a row, in load, timers and reactions that no stranger can cause, after which the module is quarantined.
pub(crate) const FAULTS_IN_A_ROW_MAX: u32 = 16;

/// A piece of work for one place of the queue.
pub(crate) enum Work {
    Turn(Box<Turn>),
    Query(Box<ClientQuery>),
    Call(Box<NestedCall>),
    Read(Box<NestedRead>),
    Commit,
    Undo(interstice_host::table::Savepoint),
    Rows(Box<ReadRows>),
    Pass(Box<Pass>),
    Watch(Box<StartWatch>),
    Marker(Passing, tokio::sync::oneshot::Sender<Frozen>),
}

/// The state of a module actor.
pub(crate) struct Core {
    pub(super) name: ModuleName,
    pub(super) shared: Apart<Shared>,
    /// This node; every step takes a clone along.
    pub(super) node: NodeId,
    pub(super) module: Module,
    pub(super) queue: Queue<Work>,
    pub(super) counters: CallCounters,
    /// Runs by timers that were undone, since the module was loaded.
    pub(super) timers_failed: u64,
    pub(super) last_fault: Option<String>,
    /// Of steps that no stranger can cause.
    pub(super) faults_in_a_row: u32,
    /// Of the other reactions and timers. They lead to nothing but a warning.
    pub(super) caused_faults_in_a_row: u32,
    /// Pending timers that descend from an owner's call or from a load.
    pub(super) timers_of_owners: HashSet<TimerId>,
    /// Step 0's calls and events go on being counted after quarantine was asked for; ask once.
    pub(super) quarantine_asked: bool,
    pub(super) recorded: Recorded,
    /// The turn whose step runs, for those who do not wait for this.
    pub(super) running: Arc<Running>,
    /// Whether a turn that has run steps here waits in front for the next one.
    pub(super) pause: Pause,
    /// Who wants a digest, which is not taken in the middle of such a turn.
    pub(super) digests_wanted: Vec<oneshot::Sender<Statistics>>,
    /// For the next step: nearly all leave both as they were.
    pub(super) spare: (Option<Touched>, Option<Trace>),
    pub(super) acks: Acks,
    pub(super) endings: Endings,
    /// When the supervisor was told of some while more was to be done.
    pub(super) told_at: Option<Instant>,
    pub(super) timers: TimersTold,
    last_step_was_slow: bool,
    /// When the piece of work began that is next to run a guest: the clock is read once for both.
    pub(super) piece_began: Option<Instant>,
    /// Whether a marker has passed since the lane was told: what it takes is the node's doing, not the module's.
    pub(super) marked: bool,
    /// Why nothing runs here any more.
    pub(super) abandoned: Option<Failure>,
    /// What a test lets happen in place of the next piece of work.
    #[cfg(test)]
    pub(super) mishap: Option<fn()>,
}

/// How much is asked of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatisticsDepth {
    /// What is counted anyhow.
    Counts,
    /// The digest too, for whoever asks to finish.
    WithDigest,
}

/// Counts and sizes of a module.
pub(crate) struct Statistics {
    /// Rows and bytes per declared table.
    pub(crate) tables: Vec<TableStatistics>,
    /// Counts since the load.
    pub(crate) counters: CallCounters,
    /// Places in the queue.
    pub(crate) queue_depth: u64,
    /// The last fault.
    pub(crate) last_fault: Option<String>,
    /// Timers that wait.
    pub(crate) timers_pending: u64,
    /// Runs by timers that were undone.
    pub(crate) timers_failed: u64,
    /// The digest of all tables, as far as it is known; `None` while a step has them open.
    pub(crate) digest: Option<Hashing>,
}

impl Core {
    /// The state around a module that has just been made, restored or upgraded.
    pub(crate) fn new(name: ModuleName, shared: Arc<Shared>, module: Module) -> Self {
        Self {
            name,
            node: shared.id.apart(),
            shared: Apart::new(shared),
            module,
            queue: Queue::new(),
            counters: CallCounters::default(),
            timers_failed: 0,
            last_fault: None,
            faults_in_a_row: 0,
            caused_faults_in_a_row: 0,
            timers_of_owners: HashSet::new(),
            quarantine_asked: false,
            recorded: Recorded::default(),
            running: Arc::default(),
            pause: Pause::Through,
            digests_wanted: Vec::new(),
            spare: Default::default(),
            acks: Acks::default(),
            endings: Endings::default(),
            told_at: None,
            timers: TimersTold::default(),
            last_step_was_slow: false,
            piece_began: None,
            marked: false,
            abandoned: None,
            #[cfg(test)]
            mishap: None,
        }
    }

    /// The module's name.
    pub(crate) fn name(&self) -> &ModuleName {
        &self.name
    }

    /// What all actors of the node share.
    pub(crate) fn shared(&self) -> &Apart<Shared> {
        &self.shared
    }

    /// For the next step.
    pub(super) fn take_spare(&mut self) -> (Touched, Trace) {
        let (touched, trace) = &mut self.spare;
        let touched = touched.take().unwrap_or_default();
        (touched, trace.take().unwrap_or_default())
    }

    /// Keeps what a step has not used.
    pub(super) fn keep_spare(&mut self, touched: Touched, trace: Trace) {
        self.spare = (touched.unused(), trace.unused());
    }

    /// Takes the tables out while no actor drives this; none may from here on.
    pub(crate) fn take_tables(&mut self) -> Tables {
        self.module.take_tables()
    }

    /// Whether the first place has work, or is done and can go.
    pub(crate) fn has_work(&self) -> bool {
        self.queue.is_ready()
    }

    /// Takes in a place.
    pub(crate) fn place(&mut self, place: NewPlace) {
        match place {
            NewPlace::Hold(ticket) => self.queue.place(ticket),
            NewPlace::Turn(turn) => self.open(turn.ticket, Work::Turn(turn)),
            NewPlace::Query(query) => self.open(query.ticket, Work::Query(query)),
            NewPlace::Rows(rows) => self.open(rows.ticket, Work::Rows(rows)),
            NewPlace::Pass(pass) => self.open(pass.ticket, Work::Pass(pass)),
            NewPlace::Watch(watch) => self.open(watch.ticket, Work::Watch(watch)),
            NewPlace::Marker(ticket, passing, reply) => {
                self.open(ticket, Work::Marker(passing, reply));
                self.queue.release(ticket);
            }
        }
        self.refuse_when_abandoned();
    }

    fn open(&mut self, ticket: super::turn::Ticket, work: Work) {
        self.queue.place_with(ticket, work);
    }

    /// Takes in what another module's actor says.
    pub(crate) fn traffic(&mut self, traffic: Traffic) {
        match traffic {
            Traffic::Continue(turn) => self.queue.work(turn.ticket, Work::Turn(turn)),
            Traffic::Call(call) => self.queue.work(call.ticket, Work::Call(call)),
            Traffic::Read(read) => self.queue.work(read.ticket, Work::Read(read)),
            Traffic::Commit(ticket) => self.queue.work(ticket, Work::Commit),
            Traffic::Undo(ticket, savepoint) => self.queue.work(ticket, Work::Undo(savepoint)),
            Traffic::Release(ticket) => self.queue.release(ticket),
        }
        self.refuse_when_abandoned();
    }

    /// Does what the supervisor asks outside of turns.
    pub(crate) fn order(&mut self, order: Order) {
        if self.refuse_when_abandoned() {
            return;
        }
        match order {
            Order::Abandon(failure) => self.abandon(failure),
            Order::Statistics(StatisticsDepth::WithDigest, reply)
                if self.pause == Pause::GoesOn =>
            {
                self.digests_wanted.push(reply);
            }
            Order::Statistics(depth, reply) => {
                // Nobody waits any more when the asker has gone.
                let _ = reply.send(self.statistics(depth));
            }
            Order::Timers(wanted, reply) => {
                let _ = reply.send(self.pending_timers(wanted));
            }
            Order::Turns(only, reply) => {
                let _ = reply.send(self.waiting_turns(only));
            }
            Order::Hashed(hashed) => self.module.tables_mut().keep_digests(hashed),
            Order::Revoke(revocations) => self.module.set_revoked(revocations),
            Order::Reset(reply) => {
                self.module.renew();
                self.module.tables_mut().clear_ephemeral();
                self.faults_in_a_row = 0;
                self.caused_faults_in_a_row = 0;
                self.quarantine_asked = false;
                self.report_timers_again();
                self.flush();
                let _ = reply.send(());
            }
            Order::Binary(reply) => {
                // The asker may have given up.
                let _ = reply.send(self.module.binary().clone());
            }
            Order::Look(look) => look(self.module.tables()),
            Order::HandOver(_) => {}
        }
    }

    pub(super) fn statistics(&self, depth: StatisticsDepth) -> Statistics {
        let idle = depth == StatisticsDepth::WithDigest && !self.module.tables().has_open_changes();
        Statistics {
            tables: self.module.tables().statistics(),
            counters: self.counters,
            queue_depth: u64::try_from(self.queue.depth()).unwrap_or(u64::MAX),
            last_fault: self.last_fault.clone(),
            timers_pending: self.module.tables().timers_pending(),
            timers_failed: self.timers_failed,
            digest: idle.then(|| self.module.tables().begin_digest()),
        }
    }

    /// Works off what heads the queue, up to a batch. Only a piece that is long by itself is noticed by the lane.
    pub(crate) async fn drive(mut self: Box<Self>) -> Box<Self> {
        self.shared.room_in_log().await;
        let mut breather = Breather::new();
        let mut worked_off = 0;
        let mut before = breather.since();
        while let Some((_, work)) = self.queue.next() {
            let waiting = work.waiting();
            let is_step = matches!(work, Work::Turn(_) | Work::Query(_));
            self.piece_began = Some(before);
            let worked = {
                // Pinned where it is made: it is large, and wrapping it by value copies it.
                let work = pin!(self.work(work, &mut breather));
                AssertUnwindSafe(work).catch_unwind().await
            };
            if worked.is_err() {
                self.broke(waiting);
                break;
            }
            worked_off += 1;
            let now = Instant::now();
            piece_ended(now);
            let was_slow = now.duration_since(before) > SLOW_STEP;
            if is_step {
                self.last_step_was_slow = was_slow;
            }
            before = now;
            if was_slow || worked_off == WORK_PER_DRIVE || breather.held(now) >= TIME_PER_DRIVE {
                if was_slow || !self.has_work() {
                    self.flush();
                } else {
                    self.hand_on(now);
                }
                // An arbiter looks at its sockets and at what other threads have sent only when nothing is ready, or after
                // dozens of tasks, each of which may be a drive as long as this one.
                tokio::task::yield_now().await;
                return self;
            }
        }
        self.flush();
        self
    }

    pub(super) async fn work(&mut self, work: Work, breather: &mut Breather) {
        #[cfg(test)]
        if let Some(mishap) = self.mishap.take() {
            mishap();
        }
        if let Some(why) = self.why_shed(&work) {
            self.shed(work, why);
            return;
        }
        if !matches!(work, Work::Turn(_) | Work::Query(_)) {
            // What others do here, read here or take from here, they may record.
            self.hand_over_records();
        }
        match work {
            Work::Turn(turn) => {
                if self.last_step_was_slow || turn.held.len() > 1 {
                    self.flush();
                }
                self.turn(turn, breather).await;
            }
            Work::Query(query) => {
                if self.last_step_was_slow || query.reaches_others() {
                    self.flush();
                }
                self.client_query(query).await;
            }
            Work::Call(call) => {
                self.flush();
                self.nested_call(call).await;
            }
            Work::Read(read) => self.nested_read(*read),
            Work::Commit => {
                self.module.tables_mut().commit();
                self.report_timers();
            }
            Work::Undo(savepoint) => self.undo(savepoint, breather).await,
            Work::Rows(rows) => self.read_rows(*rows),
            Work::Pass(pass) => self.pass(*pass),
            Work::Watch(watch) => self.start_watch(*watch),
            Work::Marker(passing, reply) => {
                self.marked = true;
                let _ = reply.send(Frozen::of(&self.name, &mut self.module, passing));
            }
        }
    }

    async fn undo(
        &mut self,
        savepoint: interstice_host::table::Savepoint,
        breather: &mut Breather,
    ) {
        while self
            .module
            .tables_mut()
            .rollback_some(savepoint, UNDONE_AT_ONCE)
        {
            breather.breathe().await;
        }
        self.module.renew();
        self.counters.restarts += 1;
    }

    /// Ends a turn: its waiter is answered, the supervisor told, both with the next batch.
    pub(super) fn end_turn(&mut self, mut turn: Box<Turn>) {
        self.say_end(&turn);
        let result = turn.result();
        let what = match &result {
            Ok(_) => EndedPlace::Committed,
            Err(_) => EndedPlace::Failed,
        };
        match std::mem::replace(&mut turn.waiter, Waiter::Nobody) {
            Waiter::Client {
                replies,
                request,
                ack,
            } => {
                let response = Response {
                    id: request,
                    body: result.map(ResponseBody::Called),
                };
                self.answer(ack, replies, response);
            }
            Waiter::Node(waiter) => {
                self.hand_over_records();
                // The supervisor drops the receiver only when the node stops. Such a turn was not counted.
                let _ = waiter.send(result);
                return;
            }
            Waiter::Nobody => {}
        }
        self.endings.add(turn.home, turn.guest, turn.bytes, what);
    }

    /// Ends a place that was no turn.
    pub(super) fn end_place(&mut self, home: ModuleIndex, guest: Option<GuestIndex>, bytes: u64) {
        self.endings.add(Some(home), guest, bytes, EndedPlace::Read);
    }
}

/// The answer of a turn that failed before it had a place.
pub(crate) fn refuse(waiter: Waiter, failure: Failure) {
    match waiter {
        Waiter::Client {
            replies, request, ..
        } => replies.send(Response {
            id: request,
            body: Err(failure),
        }),
        Waiter::Node(waiter) => {
            let _ = waiter.send(Err::<Called, _>(failure));
        }
        Waiter::Nobody => {}
    }
}
