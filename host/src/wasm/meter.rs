//! How long a step has run: the time in which its guest has the thread, not the time in which it
//! waits.
//!
//! [`Meter::run`] polls the guest's future and counts the polls; what the guest waits for inside
//! such a poll ([`Meter::wait`]) is not counted. The running time of callees is added when they
//! answer. On threads that give way to others ([`count_computing_time`]) only the time counts in
//! which they have a core.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;

use super::{fault::Fault, ticker::Runner};

thread_local! {
    /// On a thread whose steps are charged for computing time: how much it had computed when that
    /// was last looked at.
    static COMPUTED: Cell<Option<Duration>> = const { Cell::new(None) };

    /// How much this thread had computed when it began the poll that it is in.
    static BEFORE_POLL: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// This thread begins to poll something, and has computed for so long until now.
pub fn polling_begins(computed: Duration) {
    BEFORE_POLL.set(Some(computed));
}

/// Whether this thread has computed for [`LONG`] in the poll that it is in; also where nobody has
/// told when that began.
fn has_computed_for_long() -> bool {
    let before = BEFORE_POLL.get();
    before.is_none_or(|before| ThreadTime::now().as_duration().saturating_sub(before) > LONG)
}

/// From now on, steps on this thread are charged for the time in which it computes, not for the
/// time in which it waits for a core.
pub fn count_computing_time() {
    COMPUTED.set(Some(ThreadTime::now().as_duration()));
}

/// On such a thread: something new begins. What it is charged for begins here, to within 50 µs.
pub fn computing_begins() {
    if COMPUTED.get().is_some() {
        count_computing_time();
    }
}

/// Up to this, a part is charged by the clock on the wall: to read how much a thread has computed
/// costs a system call.
const SHORT: Duration = Duration::from_micros(50);

/// What to charge for a part of a step that took `passed` on this thread until now.
fn charged(passed: Duration) -> Duration {
    match COMPUTED.get() {
        Some(before) if passed > SHORT => {
            let computed = ThreadTime::now().as_duration().saturating_sub(before);
            passed.min(computed)
        }
        _ => passed,
    }
}

/// What a step may run before a tick finds it to be long.
const LONG: Duration = Duration::from_micros(250);

/// Measures one step at a time.
pub(crate) struct Meter {
    runner: Runner,
    base: Instant,
    /// Nanoseconds that were counted already.
    used_ns: AtomicU64,
    /// When the running part began, in nanoseconds after `base`, plus 1; 0 while the guest does
    /// not run.
    since_ns: AtomicU64,
    /// Whether the guest waits for something outside.
    waits: AtomicBool,
    /// Nanoseconds that the callers of this step had used before it began.
    before_ns: AtomicU64,
    /// When a running part last ended, as `since_ns`.
    seen_ns: AtomicU64,
    /// Whether it is asked how long the step ran.
    is_timed: AtomicBool,
    limit_ms: u64,
}

/// Ends a running part when it is dropped.
struct Part<'a>(&'a Meter);

/// A guest waits: the next running part begins when this is dropped.
pub(crate) struct Waiting<'a> {
    meter: &'a Meter,
    ended: Option<Instant>,
}

impl Waiting<'_> {
    /// Polls what the guest waits for to its end; what came of it may say when that was, so that
    /// the clock need not be read.
    pub(crate) async fn until<F: Future>(
        mut self,
        other: F,
        ended: impl FnOnce(&F::Output) -> Option<Instant>,
    ) -> F::Output {
        let output = other.await;
        self.ended = ended(&output);
        output
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.waits.store(false, Ordering::Relaxed);
        match self.ended {
            Some(ended) => self.meter.start_at(self.meter.ns_at(ended)),
            None => self.meter.start(),
        }
    }
}

impl Meter {
    /// A meter with nothing used.
    pub(crate) fn new(runner: Runner, limit_ms: u64) -> Self {
        Self {
            runner,
            base: Instant::now(),
            used_ns: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            before_ns: AtomicU64::new(0),
            seen_ns: AtomicU64::new(0),
            is_timed: AtomicBool::new(true),
            limit_ms,
        }
    }

    /// Begins another step, whose callers have used `before_us` microseconds: with its first poll,
    /// or where `began` says that the clock was read just now, then. The clock is not read at the
    /// end of a step that nobody times.
    pub(crate) fn restart(&self, before_us: u64, began: Option<Instant>, is_timed: bool) {
        self.used_ns.store(0, Ordering::Relaxed);
        let since = began.map_or(0, |began| self.ns_at(began));
        self.since_ns.store(since, Ordering::Relaxed);
        self.is_timed.store(is_timed, Ordering::Relaxed);
        self.waits.store(false, Ordering::Relaxed);
        self.before_ns
            .store(before_us.saturating_mul(1000), Ordering::Relaxed);
    }

    /// Polls `guest` to its end and counts the time.
    pub(crate) async fn run<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        poll_fn(|context| {
            let _running = self.runner.run();
            let _part = self.part();
            let polled = guest.as_mut().poll(context);
            // Where computing time is charged, each part has to be taken off it.
            if polled.is_ready()
                && !self.is_timed.load(Ordering::Relaxed)
                && COMPUTED.get().is_none()
            {
                self.start_at(0);
            }
            polled
        })
        .await
    }

    /// Polls what a guest waits for to its end and does not count the time.
    pub(crate) async fn wait<F: Future>(&self, other: F) -> F::Output {
        self.begin_wait().until(other, |_| None).await
    }

    /// The guest waits from now on, until the result is dropped.
    pub(crate) fn begin_wait(&self) -> Waiting<'_> {
        self.waits.store(true, Ordering::Relaxed);
        self.stop();
        Waiting {
            meter: self,
            ended: None,
        }
    }

    /// Adds what a callee has used.
    pub(crate) fn add_us(&self, us: u64) {
        let used = self.used_ns.load(Ordering::Relaxed);
        let used = used.saturating_add(us.saturating_mul(1000));
        self.used_ns.store(used, Ordering::Relaxed);
    }

    /// When a running part last ended.
    pub(crate) fn seen(&self) -> Instant {
        let ns = self.seen_ns.load(Ordering::Relaxed).saturating_sub(1);
        self.base + Duration::from_nanos(ns)
    }

    /// Microseconds that this step has run, its callees included.
    pub(crate) fn used_us(&self) -> u64 {
        self.used_ns() / 1000
    }

    /// Microseconds that this step and its callers have run, without the part that runs now.
    pub(crate) fn counted_us(&self) -> u64 {
        self.counted_ns() / 1000
    }

    fn counted_ns(&self) -> u64 {
        let used = self.used_ns.load(Ordering::Relaxed);
        used.saturating_add(self.before_ns.load(Ordering::Relaxed))
    }

    /// A tick has found the guest running.
    ///
    /// # Errors
    /// [`Fault::Deadline`] once the step has used up its time.
    pub(crate) fn check_at_tick(&self) -> Result<(), Fault> {
        // A step from which the system has taken the core has run for long only by the clock on
        // the wall, and short ticks would take the core from it again and again.
        if self.used_ns() > saturating_ns(LONG) && has_computed_for_long() {
            self.runner.runs_long();
        }
        self.check()
    }

    /// # Errors
    /// [`Fault::Deadline`] once the step has used up its time.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let before = self.before_ns.load(Ordering::Relaxed);
        self.within_limit(self.used_ns().saturating_add(before))
    }

    /// [`Meter::check`] without a look at the clock, where no part runs or one has just begun.
    ///
    /// # Errors
    /// [`Fault::Deadline`].
    pub(crate) fn check_counted(&self) -> Result<(), Fault> {
        self.within_limit(self.counted_ns())
    }

    fn within_limit(&self, ns: u64) -> Result<(), Fault> {
        if ns > self.limit_ms.saturating_mul(1_000_000) {
            return Err(Fault::Deadline {
                limit_ms: self.limit_ms,
            });
        }
        Ok(())
    }

    fn used_ns(&self) -> u64 {
        let used = self.used_ns.load(Ordering::Relaxed);
        match self.since_ns.load(Ordering::Relaxed) {
            0 => used,
            since => used.saturating_add(charged_ns(since, self.now_ns())),
        }
    }

    /// Nanoseconds after `base`, plus 1, so that it is never 0. A part begins and ends on one
    /// thread.
    fn now_ns(&self) -> u64 {
        self.ns_at(Instant::now())
    }

    fn ns_at(&self, at: Instant) -> u64 {
        saturating_ns(at.saturating_duration_since(self.base)).saturating_add(1)
    }

    fn part(&self) -> Part<'_> {
        // A guest that waits looks at what it waits for, and goes on only when that has come. The
        // clock is read once less so, as where it is known when the step began.
        if !self.waits.load(Ordering::Relaxed) && self.since_ns.load(Ordering::Relaxed) == 0 {
            self.start();
        }
        Part(self)
    }

    fn start(&self) {
        self.start_at(self.now_ns());
    }

    fn start_at(&self, ns: u64) {
        self.since_ns.store(ns, Ordering::Relaxed);
    }

    fn stop(&self) {
        let since = self.since_ns.load(Ordering::Relaxed);
        if since == 0 {
            return;
        }
        self.start_at(0);
        let now = self.now_ns();
        let charged = charged_ns(since, now);
        if charged > saturating_ns(SHORT) {
            computing_begins();
        }
        self.seen_ns.store(now, Ordering::Relaxed);
        let used = self.used_ns.load(Ordering::Relaxed);
        self.used_ns
            .store(used.saturating_add(charged), Ordering::Relaxed);
    }
}

/// What to charge for a part from `since` to `now`.
fn charged_ns(since: u64, now: u64) -> u64 {
    let passed = Duration::from_nanos(now.saturating_sub(since));
    saturating_ns(charged(passed))
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn saturating_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures::FutureExt;

    use super::Meter;
    use crate::wasm::ticker::Ticker;

    #[test]
    fn waiting_inside_a_running_part_is_not_counted() {
        let ticker = Ticker::start(wasmtime::Engine::default()).unwrap();
        let meter = Meter::new(ticker.runner().unwrap(), 1000);
        meter.restart(5, None, true);
        let spin = || {
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(2) {}
        };
        let (tell, told) = futures::channel::oneshot::channel::<()>();
        let mut step = Box::pin(meter.run(async {
            spin();
            let waiting = meter.wait(async {
                let before = meter.used_ns();
                spin();
                assert_eq!(meter.used_ns(), before);
                told.await
            });
            waiting.await.unwrap();
            spin();
            futures::pending!();
        }));
        assert!(step.as_mut().now_or_never().is_none());
        let before_waiting = meter.used_ns();
        assert!(before_waiting >= 2_000_000);
        assert!(step.as_mut().now_or_never().is_none());
        assert_eq!(meter.used_ns(), before_waiting);
        tell.send(()).unwrap();
        assert!(step.as_mut().now_or_never().is_none());
        let yielded = meter.used_ns();
        assert!(yielded >= before_waiting + 2_000_000);
        spin();
        assert_eq!(meter.used_ns(), yielded);
        assert!(step.as_mut().now_or_never().is_some());
        drop(step);
        meter.add_us(2_000_000);
        assert!(meter.check().is_err());
        meter.restart(0, None, true);
        assert_eq!(meter.used_us(), 0);
        assert!(meter.check().is_ok());
    }

    #[test]
    fn the_clock_is_not_read_where_the_time_is_known_or_nobody_asks() {
        let ticker = Ticker::start(wasmtime::Engine::default()).unwrap();
        let meter = Meter::new(ticker.runner().unwrap(), 1000);
        std::thread::sleep(Duration::from_millis(5));
        let long_ago = Instant::now() - Duration::from_millis(5);
        meter.restart(0, Some(long_ago), true);
        meter.run(async {}).now_or_never().unwrap();
        assert!(meter.used_us() >= 5_000);
        assert!(meter.seen() > long_ago);
        meter.restart(0, Some(long_ago), false);
        meter.run(async {}).now_or_never().unwrap();
        assert_eq!(meter.used_us(), 0);
        meter.restart(0, None, true);
        let waits = async {
            meter
                .begin_wait()
                .until(async {}, |()| Some(long_ago))
                .await
        };
        meter.run(waits).now_or_never().unwrap();
        assert!(meter.used_us() >= 5_000);
    }

    #[test]
    fn waiting_for_a_core_is_not_counted_where_computing_time_is() {
        let ticker = Ticker::start(wasmtime::Engine::default()).unwrap();
        let meter = Meter::new(ticker.runner().unwrap(), 1000);
        let nap = || std::thread::sleep(Duration::from_millis(50));
        let used = |meter: &Meter| {
            meter.restart(0, None, true);
            let running = meter.part();
            nap();
            drop(running);
            meter.used_us()
        };
        assert!(used(&meter) >= 50_000);
        super::count_computing_time();
        assert!(used(&meter) < 40_000);
    }
}
