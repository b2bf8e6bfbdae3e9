//! The node's own time: what turns are stamped with, by which timers become due, and by which
//! history grows old.
//!
//! Within a run it moves at the rate of the monotonic clock, whatever happens to the system's
//! clock, and never goes back. It begins with the system's clock, or with the last turn of the
//! run before where that is later. Where the two differ it moves faster or slower by one part in
//! twenty until they agree: a machine whose clock was an hour ahead has a node whose time goes
//! on, and is right after a day. A time that the machine sleeps through counts in full. Replay
//! takes the time of each turn from its record.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// By which part of the time that goes by the node's time approaches the system's. At 5 percent a
/// timer of a minute is 3 seconds late or early, which programs take for load, and an hour is
/// made up for within a day.
const SLEW: i64 = 20;

/// How long the system's clock is not looked at: a second, so that a busy node reads one clock
/// per batch and not two.
const LOOK_US: i64 = 1_000_000;

/// From which difference on a change of the system's clock is worth a warning: time services
/// change it by less.
const JUMP_US: i64 = 5_000_000;

/// The clocks of a machine. Tests have their own.
pub trait Clocks: Send + Sync {
    /// Since some moment, the same in every call. Never goes back, and is not set by anybody.
    fn monotonic(&self) -> Duration;

    /// The system's clock, since 1970.
    fn wall(&self) -> Duration;

    /// How long the machine has slept since some moment: what [`Clocks::monotonic`] leaves out.
    /// Read when the clocks differ.
    fn slept(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClocks {
    start: Instant,
    uptime: Option<Duration>,
}

impl Default for SystemClocks {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            uptime: uptime(),
        }
    }
}

impl Clocks for SystemClocks {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn slept(&self) -> Duration {
        let (Some(before), Some(now)) = (self.uptime, uptime()) else {
            return Duration::ZERO;
        };
        now.saturating_sub(before)
            .saturating_sub(self.start.elapsed())
    }
}

/// Since the machine was switched on, sleep included, where the system says so.
fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// How the system's clock was changed, in microseconds; negative: it was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump(i64);

impl Jump {
    /// What the node's log says of it.
    pub(crate) fn text(self) -> String {
        let seconds = self.0.unsigned_abs() / 1_000_000;
        let direction = if self.0 < 0 { "back" } else { "ahead" };
        format!(
            "the system's clock was set {direction} by {seconds} s; the node's time, which turns and timers go by, goes on as before and approaches the clock by 3 minutes an hour{}",
            if self.0 < 0 {
                ""
            } else {
                "; restart the node to take the clock over at once"
            }
        )
    }
}

/// The node's time.
pub(crate) struct NodeClock {
    clocks: Arc<dyn Clocks>,
    state: Mutex<State>,
}

/// The clocks at the last look, in microseconds.
#[derive(Clone, Copy, Debug)]
struct State {
    monotonic_us: i64,
    wall_us: i64,
    node_us: i64,
    slept_us: i64,
}

impl NodeClock {
    /// Begins with the clock, or with `last_ms`, the time of the last turn, where that is later.
    pub(crate) fn after(last_ms: u64, clocks: Arc<dyn Clocks>) -> Self {
        let wall_us = micros(clocks.wall());
        let last_us = i64::try_from(last_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        let state = State {
            monotonic_us: micros(clocks.monotonic()),
            wall_us,
            node_us: wall_us.max(last_us),
            slept_us: micros(clocks.slept()),
        };
        Self {
            clocks,
            state: Mutex::new(state),
        }
    }

    /// By how many seconds the node's time was ahead of the system's clock at the last look,
    /// where that is worth a warning.
    pub(crate) fn seconds_ahead(&self) -> Option<u64> {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead_us = state.node_us.saturating_sub(state.wall_us);
        (ahead_us > JUMP_US).then(|| ahead_us.unsigned_abs() / 1_000_000)
    }

    /// The node's time, in milliseconds since 1970, and how the system's clock has jumped, once
    /// after it has.
    pub(crate) fn now(&self) -> (u64, Option<Jump>) {
        let monotonic_us = micros(self.clocks.monotonic());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let jump = if monotonic_us.saturating_sub(state.monotonic_us) < LOOK_US {
            None
        } else {
            state.look(self.clocks.as_ref(), monotonic_us)
        };
        let now_ms = state.node_at(monotonic_us) / 1000;
        (u64::try_from(now_ms).unwrap_or(0), jump)
    }
}

impl State {
    /// The node's time when the monotonic clock shows this: it moves with that clock, and makes
    /// up for the difference on the way.
    fn node_at(&self, monotonic_us: i64) -> i64 {
        let passed = monotonic_us.saturating_sub(self.monotonic_us).max(0);
        let most = passed / SLEW;
        let behind = self.wall_us.saturating_sub(self.node_us);
        let made_up = behind.clamp(-most, most);
        self.node_us.saturating_add(passed).saturating_add(made_up)
    }

    /// Looks at the system's clock again; how it has jumped since the last look.
    fn look(&mut self, clocks: &dyn Clocks, monotonic_us: i64) -> Option<Jump> {
        let wall_us = micros(clocks.wall());
        let passed = monotonic_us.saturating_sub(self.monotonic_us);
        let mut jump = wall_us.saturating_sub(self.wall_us).saturating_sub(passed);
        self.node_us = self.node_at(monotonic_us);
        self.monotonic_us = monotonic_us;
        self.wall_us = wall_us;
        if jump > JUMP_US {
            let slept_us = micros(clocks.slept());
            let slept = slept_us.saturating_sub(self.slept_us).clamp(0, jump);
            self.slept_us = slept_us;
            self.node_us = self.node_us.saturating_add(slept);
            jump = jump.saturating_sub(slept);
        }
        (jump.saturating_abs() > JUMP_US).then_some(Jump(jump))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
