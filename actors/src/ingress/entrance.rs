//! The entrance: which connections may stay that have not greeted, and how many that have.
//!
//! A connection passes through stages: silent, talking (its handshake has begun), known (its key
//! is proven), greeted. Each stage before the greeting has room for a number of connections; who
//! enters a full one pushes out, of the address that has the most there, the one that has been
//! silent longest. So idle and half-open connections, however many, never keep a client out that
//! goes on talking. All stages together have one deadline. Of those that have greeted, owners are
//! always admitted; a guest that finds all places taken gets that of an idle one, or `Busy`.
//! Decides only: sockets are closed by their holders ([`Place`]).

mod holding;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;
use interstice_abi::{
    failure::{Code, Failure},
    wire::Standing,
};
use libp2p::Multiaddr;

use super::Replies;

/// How long an idle guest keeps its place when another one wants it that comes from a no less
/// crowded address: longer than anybody thinks between two calls of a program.
const IDLE_GUEST_MIN: Duration = Duration::from_secs(10);

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntranceBounds {
    /// In each of the stages before the greeting.
    pub(crate) waiting_max: usize,
    /// Greeted ones that are no owner's.
    pub(crate) guests_max: usize,
    /// From the connection to the greeting.
    pub(crate) deadline: Duration,
    /// Bytes that all of them may have sent and that were not read.
    pub(crate) held_bytes_max: usize,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing has come.
    Silent,
    /// Something has come.
    Talking,
    /// Its key is proven and streams can be opened.
    Known,
    /// It has greeted and is no owner's.
    Guest,
    /// It has greeted and is an owner's.
    Owner,
}

const WAITING: [Stage; 3] = [Stage::Silent, Stage::Talking, Stage::Known];

/// Both ends of a TCP connection: this one's address, then the other one's.
pub(crate) type Ends = (Multiaddr, Multiaddr);

/// All connections of a node.
#[derive(Debug)]
pub(crate) struct Entrance {
    bounds: EntranceBounds,
    started: Instant,
    state: Mutex<State>,
    /// Bytes that connections have sent and that were not read.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    stages: BTreeMap<Stage, BTreeMap<u64, Arc<Entrant>>>,
    by_ends: HashMap<Ends, Arc<Entrant>>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Entrant {
    /// Its number in its stage: of those that wait, the higher one has been heard later.
    number: AtomicU64,
    waits: AtomicBool,
    source: Option<IpAddr>,
    since: Instant,
    stage: Mutex<Stage>,
    cut: AtomicBool,
    waker: AtomicWaker,
    /// When it was last heard, in milliseconds since the entrance was made.
    heard_ms: AtomicU64,
    /// Its part of what the node holds.
    held: AtomicUsize,
    streams: Mutex<Vec<Replies>>,
}

/// A connection's place; it is given back when this is dropped with the socket.
#[derive(Debug)]
pub(crate) struct Place {
    entrance: Arc<Entrance>,
    entrant: Arc<Entrant>,
    ends: Ends,
}

impl Entrance {
    pub(crate) fn new(bounds: EntranceBounds) -> Arc<Self> {
        let (started, state) = (Instant::now(), Mutex::default());
        Arc::new(Self {
            bounds,
            started,
            state,
            held: AtomicUsize::new(0),
        })
    }

    /// A connection has been accepted.
    pub(crate) fn enter(self: &Arc<Self>, ends: Ends, now: Instant) -> Place {
        let mut state = self.state();
        let entrant = Arc::new(Entrant {
            number: AtomicU64::new(state.number()),
            waits: AtomicBool::new(true),
            source: source(&ends.1),
            since: now,
            stage: Mutex::new(Stage::Silent),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            heard_ms: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            streams: Mutex::default(),
        });
        self.make_room(&state, Stage::Silent);
        state.by_ends.insert(ends.clone(), entrant.clone());
        state
            .stage(Stage::Silent)
            .insert(entrant.number(), entrant.clone());
        drop(state);
        Place {
            entrance: self.clone(),
            entrant,
            ends,
        }
    }

    /// The connection between these ends.
    pub(crate) fn find(&self, ends: &Ends) -> Option<Arc<Entrant>> {
        self.state().by_ends.get(ends).cloned()
    }

    /// Something has come from the connection, which is at `stage` at least; that is before the
    /// greeting.
    pub(crate) fn reach(&self, entrant: &Arc<Entrant>, stage: Stage) {
        let mut state = self.state();
        let before = entrant.stage();
        if before < stage && !entrant.is_cut() {
            self.make_room(&state, stage);
        }
        if before <= Stage::Known {
            state.transfer(entrant, before.max(stage));
        }
    }

    /// The connection greets on a stream that `replies` leads back to.
    ///
    /// # Errors
    /// `Busy` when all places for guests are taken by clients that use them.
    pub(crate) fn greet(
        &self,
        entrant: &Arc<Entrant>,
        standing: Standing,
        replies: &Replies,
        now: Instant,
    ) -> Result<(), Failure> {
        let mut state = self.state();
        match standing {
            Standing::Owner => state.transfer(entrant, Stage::Owner),
            Standing::Guest if entrant.stage() < Stage::Guest => {
                self.make_guest_room(&state, entrant.source, now)?;
                state.transfer(entrant, Stage::Guest);
            }
            Standing::Guest => {}
        }
        entrant.waits.store(false, Ordering::Relaxed);
        drop(state);
        entrant.heard(self.since_start(now));
        let mut streams = entrant.streams();
        streams.retain(|stream| !stream.is_closed());
        streams.push(replies.clone());
        Ok(())
    }

    /// Something has come from a connection that has greeted.
    pub(crate) fn heard(&self, entrant: &Entrant, now: Instant) {
        entrant.heard(self.since_start(now));
    }

    /// Cuts connections that have not greeted in time.
    pub(crate) fn sweep(&self, now: Instant) {
        let state = self.state();
        for stage in WAITING {
            let entrants = state.stages.get(&stage).into_iter().flatten();
            entrants
                .filter(|(_, entrant)| {
                    now.saturating_duration_since(entrant.since) >= self.bounds.deadline
                })
                .for_each(|(_, entrant)| entrant.cut());
        }
    }

    fn make_room(&self, state: &State, stage: Stage) {
        let Some(entrants) = state.stages.get(&stage) else {
            return;
        };
        // Those that are cut leave in a moment; each newcomer cuts one, so they are never more
        // than are added.
        if entrants.len() >= self.bounds.waiting_max {
            let (crowded, _) = most_present(entrants);
            let silent_longest = entrants
                .values()
                .find(|entrant| entrant.source == crowded && !entrant.is_cut());
            if let Some(silent_longest) = silent_longest {
                silent_longest.cut();
            }
        }
    }

    fn make_guest_room(
        &self,
        state: &State,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Failure> {
        let nobody = BTreeMap::new();
        let guests = state.stages.get(&Stage::Guest).unwrap_or(&nobody);
        let open = guests.values().filter(|guest| !guest.is_cut()).count();
        if open < self.bounds.guests_max {
            return Ok(());
        }
        let (crowded, most) = most_present(guests);
        let mine = guests.values().filter(|guest| guest.source == from).count();
        let patience = if mine + 1 < most {
            Duration::ZERO
        } else {
            IDLE_GUEST_MIN
        };
        let now_ms = self.since_start(now);
        let has_rested = |guest: &&Arc<Entrant>| {
            let heard_ms = guest.heard_ms.load(Ordering::Relaxed);
            heard_ms.saturating_add(millis(patience)) <= now_ms
        };
        let idle = guests
            .values()
            .filter(|guest| !guest.is_cut() && guest.is_idle())
            .filter(|guest| guest.source == crowded || !patience.is_zero())
            .min_by_key(|guest| guest.heard_ms.load(Ordering::Relaxed))
            .filter(has_rested);
        match idle {
            Some(idle) => {
                idle.cut();
                Ok(())
            }
            None => Err(Failure::new(
                Code::Busy,
                format!(
                    "{open} clients are connected, which is the limit (connections_max in node.toml); try again later"
                ),
            )),
        }
    }

    fn since_start(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.started))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn stage(&mut self, stage: Stage) -> &mut BTreeMap<u64, Arc<Entrant>> {
        self.stages.entry(stage).or_default()
    }

    fn transfer(&mut self, entrant: &Arc<Entrant>, stage: Stage) {
        let before = entrant.stage();
        if self.stage(before).remove(&entrant.number()).is_some() {
            let number = self.number();
            entrant.number.store(number, Ordering::Relaxed);
            *entrant.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
            self.stage(stage).insert(number, entrant.clone());
        }
    }
}

impl Entrant {
    /// Changes under the entrance's lock only.
    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Replies>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node owes it nothing.
    fn is_idle(&self) -> bool {
        self.streams().iter().all(Replies::is_idle)
    }

    fn heard(&self, at_ms: u64) {
        self.heard_ms.store(at_ms, Ordering::Relaxed);
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

impl Place {
    /// Whether the socket is to be closed; if not, `waker` is woken when it is.
    pub(crate) fn is_cut(&self, waker: &Waker) -> bool {
        if self.entrant.is_cut() {
            return true;
        }
        self.entrant.waker.register(waker);
        // It may have been cut in between.
        self.entrant.is_cut()
    }

    /// Something has come.
    pub(crate) fn talks(&self) {
        // Later on it costs no lock.
        if self.entrant.waits.load(Ordering::Relaxed) {
            self.entrance.reach(&self.entrant, Stage::Talking);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.entrance.state();
        state.by_ends.remove(&self.ends);
        let stage = self.entrant.stage();
        state.stage(stage).remove(&self.entrant.number());
    }
}

/// The address with the most connections among `entrants`, and how many it has.
fn most_present(entrants: &BTreeMap<u64, Arc<Entrant>>) -> (Option<IpAddr>, usize) {
    let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
    for entrant in entrants.values().filter(|entrant| !entrant.is_cut()) {
        *counts.entry(entrant.source).or_default() += 1;
    }
    let most = counts
        .into_iter()
        .max_by_key(|(source, count)| (*count, *source));
    most.unwrap_or_default()
}

/// Where a connection comes from: its address, and of a version 6 one the network, because that is
/// what one host is given.
fn source(remote: &Multiaddr) -> Option<IpAddr> {
    use libp2p::multiaddr::Protocol;
    remote.iter().find_map(|part| match part {
        Protocol::Ip4(address) => Some(address.into()),
        Protocol::Ip6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Some(std::net::Ipv6Addr::from(network).into())
        }
        _ => None,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
