//! Everything that a test's node has: one [`World`] per thread.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use interstice_abi::{
    failure::Failure,
    host_call::{Invocation, TimerDue, TimerRequest},
    id::TimerId,
};

use super::table::Table;

/// What `current_node_id` answers.
const NODE_ID: &str = "test-node";

/// What `time_now_ms` answers until a test says otherwise: some day of 2023.
const TIME_MS: u64 = 1_700_000_000_000;

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What `schedule` returned.
    pub id: TimerId,
    /// The reducer that it runs.
    pub reducer: String,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The time between two runs, in milliseconds; `None`: it runs once.
    pub period_ms: Option<u64>,
    /// The encoded arguments of the reducer, one after the other.
    pub arguments: Vec<u8>,
}

/// What answers calls into another module.
pub(super) type Answer = Rc<dyn Fn(&[u8]) -> Result<Vec<u8>, Failure>>;

pub(super) struct World {
    pub(super) node_id: String,
    pub(super) invocation: Invocation,
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    /// The state of the random stream.
    pub(super) random: u64,
    pub(super) logs: Vec<String>,
    /// In the order in which they are due.
    pub(super) timers: Vec<Timer>,
    pub(super) timers_made: u64,
    /// Tables by handle.
    pub(super) tables: Vec<(String, Table)>,
    /// By whether it is a query, and `module.function`.
    pub(super) answers: BTreeMap<(bool, String), Answer>,
    /// The input of the running export.
    pub(super) input: Vec<u8>,
    /// The output of the running export.
    pub(super) output: Vec<u8>,
    /// An answer that did not fit into the guest's buffer.
    pub(super) waiting: Vec<u8>,
}

/// What a step that fails goes back to.
pub(super) struct Saved {
    timers: Vec<Timer>,
    timers_made: u64,
    tables: Vec<(String, Table)>,
}

/// Works on the thread's world. Not to be nested.
pub(super) fn with<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(work)
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            node_id: NODE_ID.to_string(),
            invocation: Invocation {
                caller_node_id: NODE_ID.to_string(),
                ..Invocation::default()
            },
            seq: 0,
            time_ms: TIME_MS,
            random: 0,
            logs: Vec::new(),
            timers: Vec::new(),
            timers_made: 0,
            tables: Vec::new(),
            answers: BTreeMap::new(),
            input: Vec::new(),
            output: Vec::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn save(&self) -> Saved {
        Saved {
            timers: self.timers.clone(),
            timers_made: self.timers_made,
            tables: self.tables.clone(),
        }
    }

    pub(super) fn restore(&mut self, saved: Saved) {
        self.timers = saved.timers;
        self.timers_made = saved.timers_made;
        // Tables that were first opened in between are empty again, but keep their handles.
        for (_, table) in self.tables.iter_mut().skip(saved.tables.len()) {
            table.reset();
        }
        for (table, before) in self.tables.iter_mut().zip(saved.tables) {
            *table = before;
        }
    }

    pub(super) fn empty_ephemeral(&mut self) {
        for (_, table) in &mut self.tables {
            if table.is_ephemeral() {
                table.reset();
            }
        }
    }

    /// The next number of the stream: splitmix64, small and good enough for tests.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn schedule(&mut self, request: TimerRequest) -> TimerId {
        self.timers_made += 1;
        let id = TimerId(self.timers_made);
        self.insert(Timer {
            id,
            reducer: request.reducer,
            due_ms: match request.due {
                TimerDue::After(delay_ms) => self.time_ms.saturating_add(delay_ms),
                TimerDue::At(due_ms) => due_ms,
            },
            period_ms: request.period_ms,
            arguments: request.arguments,
        });
        id
    }

    fn insert(&mut self, timer: Timer) {
        let place = self
            .timers
            .partition_point(|other| other.due_ms <= timer.due_ms);
        self.timers.insert(place, timer);
    }

    /// A timer that repeats comes once for each of its times, and stays.
    pub(super) fn advance(&mut self, ms: u64) -> Vec<Timer> {
        self.time_ms = self.time_ms.saturating_add(ms);
        let mut due = Vec::new();
        while let Some(first) = self.timers.first()
            && first.due_ms <= self.time_ms
        {
            let timer = self.timers.remove(0);
            if let Some(period_ms) = timer.period_ms {
                self.insert(Timer {
                    due_ms: timer.due_ms.saturating_add(period_ms),
                    ..timer.clone()
                });
            }
            due.push(timer);
        }
        due
    }
}
