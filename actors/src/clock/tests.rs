//! The node's time while the clocks of the machine do what they like.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Clocks that a test sets, in microseconds.
#[derive(Default)]
struct Set {
    monotonic: AtomicI64,
    wall: AtomicI64,
    slept: AtomicI64,
}

fn read(clock: &AtomicI64) -> Duration {
    Duration::from_micros(clock.load(Ordering::Relaxed).unsigned_abs())
}

impl Clocks for Set {
    fn monotonic(&self) -> Duration {
        read(&self.monotonic)
    }

    fn wall(&self) -> Duration {
        read(&self.wall)
    }

    fn slept(&self) -> Duration {
        read(&self.slept)
    }
}

/// A machine and the node on it.
struct Machine {
    clocks: Arc<Set>,
    node: NodeClock,
    jumps: Vec<i64>,
}

impl Machine {
    /// The system's clock shows `wall`, and the last turn was at `last`.
    fn new(wall: i64, last: i64) -> Self {
        let clocks = Arc::new(Set::default());
        clocks.wall.store(wall, Ordering::Relaxed);
        let last_ms = last.unsigned_abs() / 1000;
        Self {
            node: NodeClock::after(last_ms, clocks.clone()),
            clocks,
            jumps: Vec::new(),
        }
    }

    fn set_clock(&self, by: i64) {
        self.clocks.wall.fetch_add(by, Ordering::Relaxed);
    }

    fn now(&mut self) -> i64 {
        let (now_ms, jump) = self.node.now();
        self.jumps.extend(jump.map(|jump| jump.0));
        i64::try_from(now_ms).expect("fits") * 1000
    }

    /// Time goes by, and the node looks at its clock again and again.
    fn pass(&mut self, time: i64) -> i64 {
        let (before, steps) = (self.now(), 1000);
        let mut last = before;
        for _ in 0..steps {
            self.clocks
                .monotonic
                .fetch_add(time / steps, Ordering::Relaxed);
            self.set_clock(time / steps);
            let now = self.now();
            assert!(now >= last, "it goes back from {last} to {now}");
            last = now;
        }
        last - before
    }

    fn difference(&mut self) -> i64 {
        self.now() - self.clocks.wall.load(Ordering::Relaxed)
    }
}

#[test]
fn without_jumps_it_is_the_clock_of_the_system() {
    let mut machine = Machine::new(100 * HOUR, HOUR);
    machine.pass(HOUR);
    assert_eq!(machine.difference(), 0);
    // Time services move the clock a little, and the node follows.
    machine.set_clock(-SECOND);
    machine.pass(60 * SECOND);
    assert_eq!(machine.difference(), 0);
    assert!(machine.jumps.is_empty());
}

#[test]
fn a_clock_that_is_set_back_or_ahead_leaves_the_time_at_its_pace() {
    for by in [-HOUR, HOUR] {
        let mut machine = Machine::new(100 * HOUR, 0);
        machine.pass(HOUR);
        machine.set_clock(by);
        let passed = machine.pass(1000 * SECOND);
        assert!(
            (passed - 1000 * SECOND).abs() <= 1000 * SECOND / SLEW,
            "{passed}"
        );
        assert_eq!(machine.jumps, [by]);
        machine.pass(21 * HOUR);
        assert_eq!(machine.difference(), 0);
        assert_eq!(machine.jumps.len(), 1);
    }
}

#[test]
fn a_start_behind_the_last_turn_goes_on_from_that_turn_and_becomes_right() {
    let mut machine = Machine::new(100 * HOUR, 101 * HOUR);
    assert_eq!(machine.node.seconds_ahead(), Some(3600));
    assert_eq!(machine.now(), 101 * HOUR);
    let passed = machine.pass(100 * SECOND);
    assert!((95 * SECOND..100 * SECOND).contains(&passed), "{passed}");
    machine.pass(21 * HOUR);
    assert_eq!(machine.difference(), 0);
    assert!(machine.jumps.is_empty());
    assert_eq!(
        Machine::new(100 * HOUR, 99 * HOUR).node.seconds_ahead(),
        None
    );
}

#[test]
fn a_machine_that_sleeps_wakes_up_at_the_right_time() {
    let mut machine = Machine::new(100 * HOUR, 0);
    machine.pass(10 * SECOND);
    machine.clocks.slept.fetch_add(8 * HOUR, Ordering::Relaxed);
    machine.set_clock(8 * HOUR);
    machine.pass(10 * SECOND);
    assert_eq!(machine.difference(), 0);
    assert!(machine.jumps.is_empty());
}

#[test]
fn a_warning_says_which_way_the_clock_went() {
    let text = |by| Jump(by).text();
    assert!(text(-HOUR).contains("set back by 3600 s"));
    assert!(text(HOUR).contains("set ahead by 3600 s"));
}
