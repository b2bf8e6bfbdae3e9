//! The clock that makes guests yield: a thread that advances the engine's epoch every millisecond while a guest runs.
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

/// How long a guest keeps its thread to itself: neighbours wait for two at most, and yielding costs under 0.1 %.
const TICK: Duration = Duration::from_millis(1);

/// Owns the thread.
pub(crate) struct Ticker {
    guests: Arc<Guests>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the guests share.
struct Guests {
    running: AtomicUsize,
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
    while !guests.stop.load(Ordering::SeqCst) {
        thread::park();
        while !guests.stop.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            engine.increment_epoch();
            if guests.running.load(Ordering::SeqCst) == 0 {
                break;
            }
        }
    }
}

impl Ticks {
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
