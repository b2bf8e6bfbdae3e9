//! The clock that makes guests yield: a thread that advances the engine's epoch every millisecond while a guest runs, and eight
//! times as often while one of them runs for long.
//!
//! It parks when no guest runs, so an idle node does nothing. Invariant: whoever lets a guest run holds a [`Running`], and
//! the first of them wakes the thread. Woken, it ticks at least once, so a burst of short steps wakes it once a tick.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use interstice_abi::failure::Failure;

/// How long a guest keeps its thread to itself at first: nearly all have ended by then, and the clock costs little.
const TICK: Duration = Duration::from_millis(1);

/// The same while some guest is known to run for long: neighbours on its core wait for one tick, and each costs a wake-up.
const SHORT_TICK: Duration = Duration::from_micros(125);

/// How many ticks are short after a guest has told that it runs for long.
const SHORT_TICKS: u32 = 400;

/// Owns the thread.
pub(crate) struct Ticker {
    guests: Arc<Guests>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the guests share.
struct Guests {
    running: AtomicUsize,
    /// Whether a guest has told since the last tick that it runs for long.
    long: AtomicBool,
    stop: AtomicBool,
}

/// The way to wake the thread.
#[derive(Clone)]
pub(crate) struct Ticks {
    guests: Arc<Guests>,
    thread: Thread,
}

/// Proof that a guest runs; the clock ticks as long as there is one.
pub(crate) struct Running<'a>(&'a Ticks);

impl Ticker {
    /// Starts the thread, parked.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(crate) fn start(engine: wasmtime::Engine) -> Result<Self, Failure> {
        let guests = Arc::new(Guests {
            running: AtomicUsize::new(0),
            long: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
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

    /// The way to wake the thread.
    ///
    /// # Errors
    /// Never while the thread is there, which is until `self` is dropped.
    pub(crate) fn ticks(&self) -> Result<Ticks, Failure> {
        let thread = self
            .thread
            .as_ref()
            .ok_or_else(|| Failure::internal("the ticker has ended"))?;
        Ok(Ticks {
            guests: self.guests.clone(),
            thread: thread.thread().clone(),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.guests.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread was reported when it happened, and there is nothing left to tick for.
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
            if guests.running.load(Ordering::SeqCst) == 0 {
                break;
            }
        }
    }
}

impl Ticks {
    /// Says that a guest runs for long.
    pub(crate) fn runs_long(&self) {
        self.guests.long.store(true, Ordering::Relaxed);
    }

    /// Says that a guest runs, until the result is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        if self.guests.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.guests.running.fetch_sub(1, Ordering::SeqCst);
    }
}
