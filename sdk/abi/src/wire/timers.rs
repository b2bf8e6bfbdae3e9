//! What owners learn of a module's timers.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::HistoryBytes;
use crate::id::{ModuleName, TimerId};

/// Most timers in one page.
pub const TIMERS_PER_PAGE_MAX: u32 = 1000;

/// Longest arguments of a timer, in bytes, that a page shows.
pub const TIMER_ARGUMENTS_SHOWN_MAX: usize = 4096;

/// Pending timers of a module, by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimersPage {
    /// The timers.
    pub timers: Vec<PendingTimer>,
    /// The number behind which the next page starts; `None` behind the last timer.
    pub next: Option<TimerId>,
    /// The node's time, by which timers become due, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A timer that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingTimer {
    /// Its number.
    pub timer: TimerId,
    /// The reducer that it runs.
    pub reducer: String,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The time between two runs, in milliseconds; `None`: it runs once.
    pub period_ms: Option<u64>,
    /// How long it may live.
    pub life: TimerLife,
    /// The arguments' encodings, one after the other; left out beyond
    /// [`TIMER_ARGUMENTS_SHOWN_MAX`].
    pub arguments: HistoryBytes,
}

/// How long a timer may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimerLife {
    /// Until it has fired or is cancelled, over restarts.
    Durable,
    /// At most until the module's next load: it descends from `load`.
    OfLoad,
    /// As long as the module's schema has it: `#[reducer(every = "…")]`. Cancelled, it comes back
    /// with the next load.
    OfSchema,
}

/// The timers of a module in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerCounts {
    /// The module.
    pub module: ModuleName,
    /// Timers that wait.
    pub pending: u64,
    /// Runs by timers that were undone, since the module was loaded; each is a warning in its log.
    pub failed: u64,
}
