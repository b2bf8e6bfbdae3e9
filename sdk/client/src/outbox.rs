//! The outbox: what waits to be written to one stream, for both ends of the protocol.
//!
//! Messages are encoded where they arise, on any thread, right behind what waits already; the
//! stream's task takes all of it at once, so a thousand answers cost one write. Invariants: the
//! bytes that are not written yet are counted and bounded, per stream and, with a [`Meter`], over
//! many; pushing never waits; two buffers go to and fro, so a busy stream allocates nothing.

use std::{
    io, mem,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use futures::{AsyncWrite, AsyncWriteExt as _};
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use crate::frame::{self, FrameError, KEPT_BYTES_MAX};

/// What each stream may have unsent however much the others have: a stream that is read never has
/// more for long.
pub const FAIR_BYTES: usize = 256 * 1024;

/// The unsent bytes of many outboxes together.
#[derive(Debug)]
pub struct Meter {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Meter {
    /// A meter of outboxes that may hold `bytes_max` together, and [`FAIR_BYTES`] each beyond it.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Bytes that wait in all of them.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many may.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// What waits to be written to one stream.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    bytes_max: usize,
    meter: Option<Arc<Meter>>,
    /// There is something to write, or nothing will come any more.
    filled: Arc<Filled>,
    /// Something was written, or the outbox was closed.
    drained: Notify,
}

/// Wakes the stream's task.
#[derive(Debug, Default)]
struct Filled(Notify);

impl Wake for Filled {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    /// Bytes that the writer has taken and not written yet.
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// What waits is written, nothing is added.
    Finishing,
    /// Nothing is written any more.
    Closed,
}

/// A message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The stream has ended.
    #[error("the connection is closed")]
    Closed,
    /// More bytes wait than may.
    #[error("{unsent} bytes wait to be sent; the limit is {limit}")]
    Full {
        /// Bytes that wait.
        unsent: usize,
        /// How many may.
        limit: usize,
    },
    /// All streams together have more bytes waiting than may, and this one is not among the small.
    #[error("{unsent} bytes wait to be sent to all clients together; the limit is {limit}")]
    Crowded {
        /// Bytes that wait.
        unsent: usize,
        /// How many may.
        limit: usize,
    },
    /// The message does not fit into a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Outbox {
    /// An outbox that refuses messages while `bytes_max` bytes or more wait.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let queue = Queue {
            bytes: Vec::new(),
            taken: 0,
            state: State::Open,
        };
        Self {
            queue: Mutex::new(queue),
            bytes_max,
            meter: None,
            filled: Arc::default(),
            drained: Notify::new(),
        }
    }

    /// The same, counted by `meter` as well.
    #[must_use]
    pub fn metered(bytes_max: usize, meter: Arc<Meter>) -> Self {
        let mut outbox = Self::new(bytes_max);
        outbox.meter = Some(meter);
        outbox
    }

    /// Appends a message.
    ///
    /// # Errors
    /// All of [`PushError`]; nothing was appended then.
    pub fn push<T: Serialize>(&self, message: &T) -> Result<(), PushError> {
        let mut queue = self.lock();
        let first = queue.bytes.is_empty();
        let pushed = self.append(&mut queue, |out| frame::encode(message, out));
        drop(queue);
        if first && pushed.is_ok() {
            self.filled.0.notify_one();
        }
        pushed
    }

    /// Appends messages under one lock. `refused` is told of each that was not taken, and may give
    /// a small one instead. A message that finds the outbox full, or a stream that is not read
    /// where all are crowded, cuts the stream: its answer would be missed for ever.
    pub fn push_all<T: Serialize>(
        &self,
        messages: impl IntoIterator<Item = T>,
        refused: impl FnMut(&T, PushError) -> Option<T>,
    ) {
        self.push_all_as(messages, frame::encode, refused);
    }

    /// As [`Outbox::push_all_as`], for callers that have more to push to this and to others. The
    /// stream's task sleeps until the caller wakes it, if there is a way to do so: it then has
    /// something to do.
    pub fn push_all_quietly<T>(
        &self,
        messages: impl IntoIterator<Item = T>,
        encode: impl Fn(&T, &mut Vec<u8>) -> Result<(), FrameError>,
        refused: impl FnMut(&T, PushError) -> Option<T>,
    ) -> Option<Waker> {
        let has_work = self.append_all(messages, encode, refused);
        has_work.then(|| Waker::from(Arc::clone(&self.filled)))
    }

    /// As [`Outbox::push_all`], for messages that `encode` makes frames of.
    pub fn push_all_as<T>(
        &self,
        messages: impl IntoIterator<Item = T>,
        encode: impl Fn(&T, &mut Vec<u8>) -> Result<(), FrameError>,
        refused: impl FnMut(&T, PushError) -> Option<T>,
    ) {
        if self.append_all(messages, encode, refused) {
            self.filled.0.notify_one();
        }
    }

    /// Whether the stream's task has something to do that it may not know of.
    fn append_all<T>(
        &self,
        messages: impl IntoIterator<Item = T>,
        encode: impl Fn(&T, &mut Vec<u8>) -> Result<(), FrameError>,
        mut refused: impl FnMut(&T, PushError) -> Option<T>,
    ) -> bool {
        let mut queue = self.lock();
        let first = queue.bytes.is_empty();
        for message in messages {
            let Err(error) = self.append(&mut queue, |out| encode(&message, out)) else {
                continue;
            };
            let is_crowded = matches!(error, PushError::Crowded { .. });
            if matches!(error, PushError::Full { .. })
                || is_crowded && queue.unsent() > FAIR_BYTES / 2
            {
                self.cut(&mut queue);
            }
            if let Some(instead) = refused(&message, error) {
                // What is sent instead of a refused message is small; when even that is refused,
                // the stream is closing.
                let _ = self.append(&mut queue, |out| encode(&instead, out));
            }
        }
        let (filled, cut) = (
            first && !queue.bytes.is_empty(),
            queue.state == State::Closed,
        );
        drop(queue);
        if cut {
            self.drained.notify_waiters();
        }
        filled || cut
    }

    fn append(
        &self,
        queue: &mut Queue,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), PushError> {
        if queue.state != State::Open {
            return Err(PushError::Closed);
        }
        let unsent = queue.unsent();
        if unsent >= self.bytes_max {
            return Err(PushError::Full {
                unsent,
                limit: self.bytes_max,
            });
        }
        let before = queue.bytes.len();
        encode(&mut queue.bytes)?;
        let added = queue.bytes.len() - before;
        if let Some(meter) = &self.meter {
            let all = meter.bytes.fetch_add(added, Ordering::Relaxed) + added;
            if all > meter.bytes_max && unsent + added > FAIR_BYTES {
                queue.bytes.truncate(before);
                meter.bytes.fetch_sub(added, Ordering::Relaxed);
                return Err(PushError::Crowded {
                    unsent: all - added,
                    limit: meter.bytes_max,
                });
            }
        }
        Ok(())
    }

    /// Drops what has not been taken, and ends.
    fn cut(&self, queue: &mut Queue) {
        queue.state = State::Closed;
        let dropped = mem::take(&mut queue.bytes).len();
        self.less(dropped);
    }

    fn less(&self, bytes: usize) {
        if let Some(meter) = &self.meter {
            meter.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.lock().unsent()
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().state != State::Open
    }

    /// What waits is still written, then the stream is closed.
    pub fn finish(&self) {
        let mut queue = self.lock();
        if queue.state == State::Open {
            queue.state = State::Finishing;
        }
        drop(queue);
        self.filled.0.notify_one();
    }

    /// Drops what waits and cuts the stream.
    pub fn close(&self) {
        let mut queue = self.lock();
        self.cut(&mut queue);
        drop(queue);
        self.filled.0.notify_one();
        self.drained.notify_waiters();
    }

    /// Waits until the stream is cut.
    pub async fn closed(&self) {
        self.until(|queue| queue.state == State::Closed).await;
    }

    /// Waits until at most `bytes` wait, or the stream is cut.
    pub async fn room(&self, bytes: usize) {
        self.until(|queue| queue.unsent() <= bytes || queue.state == State::Closed)
            .await;
    }

    async fn until(&self, reached: impl Fn(&Queue) -> bool) {
        loop {
            let mut drained = pin!(self.drained.notified());
            // From here on no notification is missed.
            drained.as_mut().enable();
            if reached(&self.lock()) {
                return;
            }
            drained.await;
        }
    }

    /// Writes until [`Outbox::finish`] (then everything is written and `writer` closed) or
    /// [`Outbox::close`].
    ///
    /// # Errors
    /// Those of `writer`; `TimedOut` when it takes nothing for `stall`.
    pub async fn write_to<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        stall: Duration,
    ) -> io::Result<()> {
        let mut taken = Vec::new();
        loop {
            let state = self.take(&mut taken);
            if taken.is_empty() {
                match state {
                    State::Open => self.filled.0.notified().await,
                    State::Finishing => return in_time(stall, writer.close()).await,
                    State::Closed => return Ok(()),
                }
                continue;
            }
            let mut rest = taken.as_slice();
            while !rest.is_empty() {
                let written = in_time(stall, writer.write(rest)).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                rest = rest.get(written..).unwrap_or_default();
                self.lock().taken = rest.len();
                self.less(written);
                self.drained.notify_waiters();
            }
            in_time(stall, writer.flush()).await?;
        }
    }

    /// Takes what waits into `taken`, whose old content has been written.
    fn take(&self, taken: &mut Vec<u8>) -> State {
        taken.clear();
        if taken.capacity() > KEPT_BYTES_MAX {
            *taken = Vec::new();
        }
        let mut queue = self.lock();
        mem::swap(&mut queue.bytes, taken);
        queue.taken = taken.len();
        queue.state
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics under the lock; a poisoned queue is a whole one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left = self.lock().unsent();
        self.less(left);
    }
}

impl Queue {
    fn unsent(&self) -> usize {
        self.bytes.len() + self.taken
    }
}

async fn in_time<T>(
    stall: Duration,
    operation: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match timeout(stall, operation).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("nothing could be sent for {} s", stall.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests;
