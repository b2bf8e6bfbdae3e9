//! The slow lane: a few threads on which what computes for long goes on, so that it keeps no
//! arbiter from its other actors.
//!
//! Work begins on its actor's arbiter, where nearly all of it ends within microseconds. When it
//! has held the thread for [`HELD_MAX`], it moves here and stays until it is done; a batch of
//! short pieces is forgiven twice that now and then, because the system may have taken the time.
//! What cannot yield (the undo of a large step, a guest that fills its memory with one
//! instruction) is noticed only when it is over: so an actor whose work has held the arbiter
//! begins here for some time ([`Conduct`]), and stays as long as it holds threads here too. Once
//! it may have been the system's doing, a pause of the whole machine for instance; whoever does it
//! again soon stays away for longer, and so takes about 1 % of its neighbours' time. A step that
//! asks other modules for something lets others have its thread in between, and stays.
//!
//! There is one thread less than there are workers, so that a core is left for everybody else, and
//! they make way for whoever wakes up.

pub(crate) mod conduct;

use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use conduct::{ADDED_MIN, Conduct, Held, Polled, SoFar};
use cpu_time::ThreadTime;
use futures::future::BoxFuture;
use interstice_host::wasm::{computing_begins, count_computing_time, polling_begins};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// How long work may hold an arbiter's thread at once, in computing time. A guest yields at the
/// tick of a clock of 1 ms, so one that computes is noticed at its first or second yield; a stack
/// that overflows and what fills a few megabytes take a little longer than this. Moving costs two
/// wake-ups of a thread, about a tenth of a millisecond.
pub(crate) const HELD_MAX: Duration = Duration::from_micros(300);

/// After how long a loop on the slow lane lets others have the thread and its core: about as often
/// as a guest does that runs for long.
const PIECE: Duration = Duration::from_micros(125);

/// The niceness of the threads: a tenth of an ordinary thread's share when both want the same
/// core. What a step waits for a core does not count towards its deadline; still less would keep
/// honest long steps from ending on a busy machine.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The threads. When they are dropped, what runs on them ends at its next yield.
pub(crate) struct Lane {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Lane {
    /// A lane for a node that runs modules on `workers` threads.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub(crate) fn start(workers: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers.saturating_sub(1).max(1))
            .thread_name("slow lane")
            .on_thread_start(enter)
            // The rows of a watch that begins here are given up when nobody reads them.
            .enable_time()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs `work` where it is polled until it takes long, then here; or here from the beginning,
    /// by its actor's conduct.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        conduct: Conduct,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Work<T> {
        let place = if conduct.is_suspect(Instant::now()) {
            Place::there(&self.handle, Box::pin(work))
        } else {
            Place::Here(Box::pin(work))
        };
        Work {
            lane: self.handle.clone(),
            place,
            conduct,
            so_far: SoFar::default(),
        }
    }

    /// Frees what is large: a module's rows, page by page, take milliseconds.
    pub(crate) fn discard<T: Send + 'static>(&self, what: T) {
        self.handle.spawn_blocking(move || drop(what));
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last owner may be an actor: that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// How old a reading of a thread's computing time may be, but on the lane. A reading costs a
/// system call.
const READING_AGE_MAX: Duration = Duration::from_micros(50);

/// What a thread has computed until a moment, to within [`READING_AGE_MAX`]: on the lane exactly,
/// because there it decides who stays.
#[derive(Clone, Copy)]
struct Computed {
    read_at: Instant,
    time: ThreadTime,
}

impl Computed {
    /// What this thread has computed until `now`.
    fn until(now: Instant) -> Self {
        match COMPUTED.get() {
            Some(read)
                if !ON_LANE.get()
                    && now.saturating_duration_since(read.read_at) < READING_AGE_MAX =>
            {
                read
            }
            _ => {
                let read = Self {
                    read_at: now,
                    time: ThreadTime::now(),
                };
                COMPUTED.set(Some(read));
                read
            }
        }
    }

    /// What this thread has computed in the time that has passed. Not by the clock on the wall
    /// where that is long: who shares the machine with a busy program is no suspect, nor who
    /// rests.
    fn since(self, passed: Duration) -> Duration {
        if passed < ADDED_MIN {
            passed
        } else {
            passed.min(self.time.elapsed())
        }
    }
}

thread_local! {
    /// The last reading.
    static COMPUTED: Cell<Option<Computed>> = const { Cell::new(None) };

    /// Whether this is one of the lane's threads.
    static ON_LANE: Cell<bool> = const { Cell::new(false) };

    /// The poll that this thread is in, if it is in one.
    static POLLED: Cell<Option<Polled>> = const { Cell::new(None) };
}

/// Polls, and says how long work has held this thread with that and with what `so_far` knows,
/// until when.
fn measured<T>(so_far: &mut SoFar, poll: impl FnOnce() -> T) -> (T, Held, Instant) {
    let started = Instant::now();
    let computed = Computed::until(started);
    polling_begins(computed.time.as_duration());
    POLLED.set(Some(Polled::new(started)));
    let done = poll();
    let now = Instant::now();
    let time = computed.since(now.saturating_duration_since(started));
    let polled = POLLED.take().unwrap_or_else(|| Polled::new(started));
    (done, so_far.with(polled, time, now), now)
}

/// A piece of an actor's work has ended.
pub(crate) fn piece_ended(now: Instant) {
    if let Some(mut polled) = POLLED.take() {
        polled.piece_ended(now);
        POLLED.set(Some(polled));
    }
}

/// How long a thread may be held at once by a step that asks other modules for something, which is
/// done in its task, before others may have it: as long as by a drive of short steps.
const ASKING_MAX: Duration = Duration::from_micros(200);

/// Whether this thread has been held for [`ASKING_MAX`].
pub(crate) fn is_thread_held() -> bool {
    POLLED
        .get()
        .is_some_and(|polled| polled.held(Instant::now()) >= ASKING_MAX)
}

/// Lets others have the thread between two things that a step asks for.
pub(crate) async fn free_thread() {
    if let Some(mut polled) = POLLED.take() {
        polled.makes_way(Instant::now());
        POLLED.set(Some(polled));
    }
    tokio::task::yield_now().await;
}

/// How long a thread of the lane rests where a step asks others for something again and again.
const REST: Duration = Duration::from_micros(50);

/// On a thread of the lane, leaves the core to others for a moment.
pub(crate) fn rest_on_lane() {
    if ON_LANE.get() {
        std::thread::sleep(REST);
    }
}

/// Whether this is a thread of the lane.
pub(crate) fn is_on_lane() -> bool {
    ON_LANE.get()
}

/// What each of the lane's threads begins with.
fn enter() {
    ON_LANE.set(true);
    count_computing_time();
    make_way();
}

/// Others than this thread come first on a busy machine, which have little to do. An idle one
/// makes no difference.
#[cfg(target_os = "linux")]
pub(crate) fn make_way() {
    // What may not be changed stays: then the system's scheduler treats all threads alike.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

/// Elsewhere a thread's priority is the system's choice.
#[cfg(not(target_os = "linux"))]
pub(crate) fn make_way() {}

/// The work has panicked; what it had taken with it is gone.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Work on its way.
pub(crate) struct Work<T> {
    lane: Handle,
    place: Place<T>,
    conduct: Conduct,
    so_far: SoFar,
}

/// Work that offers its core to others whenever it waits or yields. A guest that computes does so
/// at each tick; without that the system would let whoever wakes up wait for the rest of a slice
/// of several ticks.
struct Polite<T> {
    work: BoxFuture<'static, T>,
    so_far: SoFar,
    /// Its longest poll, or all of them.
    longest: Held,
}

impl<T> Future for Polite<T> {
    /// And how long it has held its thread.
    type Output = (T, Held);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        computing_begins();
        let Self { work, so_far, .. } = &mut *self;
        let (polled, held, _) = measured(so_far, || work.as_mut().poll(context));
        if held.time > self.longest.time {
            self.longest = held;
        }
        if polled.is_pending() {
            std::thread::yield_now();
        }
        polled.map(|done| (done, self.longest))
    }
}

enum Place<T> {
    /// On the thread of whoever polls it.
    Here(BoxFuture<'static, T>),
    /// On the slow lane.
    There(JoinHandle<(T, Held)>),
    Ended,
}

impl<T: Send + 'static> Place<T> {
    /// On the lane from now on.
    fn there(lane: &Handle, work: BoxFuture<'static, T>) -> Self {
        Self::There(lane.spawn(Polite {
            work,
            so_far: SoFar::default(),
            longest: Held::default(),
        }))
    }
}

impl<T: Send + 'static> Future for Work<T> {
    /// What came of it, and how its actor has behaved.
    type Output = (Result<T, Panicked>, Conduct);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut so_far = self.so_far;
        if let Place::Here(work) = &mut self.place {
            let poll = || catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
            let (polled, held, now) = measured(&mut so_far, poll);
            self.so_far = so_far;
            self.conduct.has_held(held, now);
            match polled {
                Err(_) => {
                    self.place = Place::Ended;
                    return Poll::Ready((Err(Panicked), self.conduct));
                }
                Ok(Poll::Ready(done)) => {
                    self.place = Place::Ended;
                    return Poll::Ready((Ok(done), self.conduct));
                }
                Ok(Poll::Pending) if !self.conduct.is_suspect(now) => return Poll::Pending,
                Ok(Poll::Pending) => {}
            }
            if let Place::Here(work) = std::mem::replace(&mut self.place, Place::Ended) {
                self.place = Place::there(&self.lane, work);
            }
        }
        let ended = match &mut self.place {
            Place::There(work) => std::task::ready!(Pin::new(work).poll(context)).ok(),
            Place::Here(_) | Place::Ended => None,
        };
        let Some((done, longest)) = ended else {
            return Poll::Ready((Err(Panicked), self.conduct));
        };
        self.conduct.has_held(longest, Instant::now());
        Poll::Ready((Ok(done), self.conduct))
    }
}

/// Lets others have the thread now and then, where a loop does not wait for anything.
pub(crate) struct Breather {
    began: Instant,
    since: Instant,
}

impl Breather {
    /// The thread has just been taken.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            since: now,
        }
    }

    /// When the thread was taken.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// How long the thread has been held until `now`.
    pub(crate) fn held(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Yields when the thread was held for long. Returns the age of this `Breather`.
    pub(crate) async fn breathe(&mut self) -> Duration {
        let held_max = if ON_LANE.get() { PIECE } else { HELD_MAX };
        let now = Instant::now();
        if now.saturating_duration_since(self.since) >= held_max {
            tokio::task::yield_now().await;
            self.since = Instant::now();
        }
        now.saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{conduct::WATCHED, *};

    fn busy(time: Duration) {
        let started = ThreadTime::now();
        while started.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    async fn thread_of(work: Work<thread::ThreadId>) -> (thread::ThreadId, Conduct) {
        let (ended, conduct) = work.await;
        (ended.expect("does not panic"), conduct)
    }

    #[tokio::test]
    async fn short_work_stays_where_it_is() {
        let lane = Lane::start(2).expect("threads");
        let work = lane.run(Conduct::default(), async {
            tokio::task::yield_now().await;
            thread::current().id()
        });
        assert_eq!(thread_of(work).await.0, thread::current().id());
    }

    #[tokio::test]
    async fn work_that_holds_its_thread_goes_on_elsewhere_and_its_actor_begins_there_for_a_while() {
        let lane = Lane::start(2).expect("threads");
        let work = lane.run(Conduct::default(), async {
            busy(2 * HELD_MAX);
            tokio::task::yield_now().await;
            thread::current().id()
        });
        let (ran, conduct) = thread_of(work).await;
        assert_ne!(ran, thread::current().id());
        let again = lane.run(conduct, async { thread::current().id() });
        assert_ne!(thread_of(again).await.0, thread::current().id());
    }

    #[tokio::test]
    async fn who_holds_threads_of_the_lane_stays_there() {
        let lane = Lane::start(2).expect("threads");
        let mut conduct = Conduct::default();
        let soon = || Instant::now() + HELD_MAX * WATCHED;
        for _ in 0..2 {
            let work = lane.run(conduct, async {
                busy(2 * HELD_MAX);
                thread::current().id()
            });
            conduct = thread_of(work).await.1;
        }
        assert!(conduct.is_suspect(soon()));
        let quick = lane.run(conduct, async { thread::current().id() });
        assert_eq!(
            thread_of(quick).await.1.suspect_until,
            conduct.suspect_until
        );
    }

    #[tokio::test]
    async fn a_loop_that_breathes_is_moved_too() {
        let lane = Lane::start(1).expect("a thread");
        let work = lane.run(Conduct::default(), async {
            let mut breather = Breather::new();
            for _ in 0..20 {
                busy(HELD_MAX / 5);
                breather.breathe().await;
            }
            thread::current().id()
        });
        assert_ne!(thread_of(work).await.0, thread::current().id());
    }

    #[tokio::test]
    async fn a_panic_is_told_from_either_place() {
        let lane = Lane::start(2).expect("threads");
        let quick = lane.run(Conduct::default(), async {
            std::panic::resume_unwind(Box::new("a bug"))
        });
        let (ended, _): (Result<(), Panicked>, Conduct) = quick.await;
        assert!(ended.is_err());
        let slow = lane.run(Conduct::default(), async {
            busy(2 * HELD_MAX);
            tokio::task::yield_now().await;
            std::panic::resume_unwind(Box::new("a bug"))
        });
        let (ended, _): (Result<(), Panicked>, Conduct) = slow.await;
        assert!(ended.is_err());
    }
}
