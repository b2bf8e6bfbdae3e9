//! The clock that makes guests yield: a thread that advances the engine's epoch every millisecond
//! while guests run, and eight times as often while one of them runs for long.
//!
//! It parks when no guest runs and none has begun to since the last tick, so an idle node does
//! nothing. Invariant: it does not park while there is a [`Running`]. Whoever lets a guest run
//! marks its [`Runner`] first, and then looks whether the thread may be about to park or has done
//! so; the thread looks at the runners behind the last look at that, in the one order that both
//! agree on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use interstice_abi::failure::Failure;

/// How long a guest keeps its thread to itself at first: nearly all have ended by then, and the
/// clock costs little.
const TICK: Duration = Duration::from_millis(1);

/// The same while some guest is known to run for long: neighbours on its core wait for one tick,
/// and each costs a wake-up.
const SHORT_TICK: Duration = Duration::from_micros(125);

/// How many ticks are short after a guest has told that it runs for long.
const SHORT_TICKS: u32 = 400;

/// So many runners come at least before those that are gone are forgotten.
const FORGOTTEN_MIN: usize = 64;

/// Owns the thread.
pub(crate) struct Ticker {
    guests: Arc<Guests>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the guests share.
#[derive(Default)]
struct Guests {
    /// Whether one has begun to run since the last tick. Written once a tick, so that the modules'
    /// threads do not take it from each other.
    active: AtomicBool,
    runners: Mutex<Runners>,
    /// Whether a guest has told since the last tick that it runs for long.
    long: AtomicBool,
    stop: AtomicBool,
}

/// Those who may let a guest run. Some may be gone.
#[derive(Default)]
struct Runners {
    all: Vec<Weak<AtomicBool>>,
    /// How many there were when those that were gone were forgotten.
    kept: usize,
}

/// Lets guests run, one at a time.
pub(crate) struct Runner {
    guests: Arc<Guests>,
    thread: Thread,
    is_running: Arc<AtomicBool>,
}

/// Proof that a guest runs; the clock ticks as long as there is one.
pub(crate) struct Running<'a>(&'a Runner);

impl Ticker {
    /// Starts the thread, parked.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(engine: wasmtime::Engine) -> Result<Self, Failure> {
        let guests = Arc::new(Guests::default());
        let shared = guests.clone();
        let thread = thread::Builder::new()
            .name("epoch ticker".into())
            .spawn(move || tick(&shared, &engine))
            .map_err(|error| {
                Failure::internal(format_args!("the ticker cannot be started: {error}"))
            })?;
        Ok(Self {
            guests,
            thread: Some(thread),
        })
    }

    /// One more who lets guests run.
    ///
    /// # Errors
    /// Never while the thread is there, which is until `self` is dropped.
    pub(crate) fn runner(&self) -> Result<Runner, Failure> {
        let thread = self
            .thread
            .as_ref()
            .ok_or_else(|| Failure::internal("the ticker has ended"))?;
        let is_running = Arc::new(AtomicBool::new(false));
        self.guests.runners().add(Arc::downgrade(&is_running));
        Ok(Runner {
            guests: self.guests.clone(),
            thread: thread.thread().clone(),
            is_running,
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.guests.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread was reported when it happened, and there is nothing left to
            // tick for.
            let _ = thread.join();
        }
    }
}

fn tick(guests: &Guests, engine: &wasmtime::Engine) {
    let mut short_ticks = 0_u32;
    while !guests.stop.load(Ordering::SeqCst) {
        thread::park();
        while !guests.stop.load(Ordering::SeqCst) {
            thread::sleep(if short_ticks > 0 { SHORT_TICK } else { TICK });
            short_ticks = if guests.long.swap(false, Ordering::Relaxed) {
                SHORT_TICKS
            } else {
                short_ticks.saturating_sub(1)
            };
            engine.increment_epoch();
            if !guests.active.swap(false, Ordering::SeqCst) && !guests.runners().any_runs() {
                break;
            }
        }
    }
}

impl Guests {
    fn runners(&self) -> MutexGuard<'_, Runners> {
        // Nothing panics under the lock; a poisoned list is a whole one.
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runners {
    fn add(&mut self, runner: Weak<AtomicBool>) {
        if self.all.len() >= 2 * self.kept + FORGOTTEN_MIN {
            self.all.retain(|runner| runner.strong_count() > 0);
            self.kept = self.all.len();
        }
        self.all.push(runner);
    }

    fn any_runs(&self) -> bool {
        let mut all = self.all.iter().filter_map(Weak::upgrade);
        all.any(|is_running| is_running.load(Ordering::SeqCst))
    }
}

impl Runner {
    /// Says that a guest runs for long.
    pub(crate) fn runs_long(&self) {
        self.guests.long.store(true, Ordering::Relaxed);
    }

    /// Says that a guest runs, until the result is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        self.is_running.store(true, Ordering::SeqCst);
        if !self.guests.active.load(Ordering::SeqCst)
            && !self.guests.active.swap(true, Ordering::SeqCst)
        {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_ticks_while_a_guest_runs_however_long_ago_it_began() {
        let engine = crate::wasm::Engine::new(None).expect("an engine");
        let module = wasmtime::Module::new(
            engine.wasmtime(),
            wat::parse_str(r#"(module (func (export "spin") (loop (br 0))))"#).expect("is text"),
        );
        let ticker = Ticker::start(engine.wasmtime().clone()).expect("a thread");
        let runner = ticker.runner().expect("it has not ended");
        let mut store = wasmtime::Store::new(engine.wasmtime(), ());
        let running = runner.run();
        thread::sleep(20 * TICK);
        // The next tick from here on, long after the guest was announced.
        store.set_epoch_deadline(1);
        store.epoch_deadline_trap();
        let ended = futures::executor::block_on(async {
            let module = module.expect("compiles");
            let instance = wasmtime::Instance::new_async(&mut store, &module, &[]).await?;
            let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
            spin.call_async(&mut store, ()).await
        });
        assert!(ended.is_err());
        drop(running);
    }

    #[test]
    fn runners_that_are_gone_are_forgotten() {
        let ticker = Ticker::start(wasmtime::Engine::default()).expect("a thread");
        let kept: Vec<_> = (0..10).map(|_| ticker.runner()).collect();
        for _ in 0..1000 {
            drop(ticker.runner());
        }
        let runners = ticker.guests.runners();
        assert!(runners.all.len() < 3 * FORGOTTEN_MIN);
        let alive = runners.all.iter().filter(|one| one.strong_count() > 0);
        assert_eq!(alive.count(), kept.len());
        assert!(!runners.any_runs());
    }
}
