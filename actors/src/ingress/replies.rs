//! The way back to one client, from any thread: answers are encoded into its outbox and counted.
//!
//! Invariants: no method waits; a client that does not read is cut off at
//! [`super::Bounds::unsent_bytes_max`]; streams of answers stop well before that, so that a slow
//! watch does not cost its client the connection. What is under way and unsent is counted for the
//! client and in the node's [`Load`].

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use interstice_abi::{
    failure::{Code, Failure},
    wire::Response,
};
use interstice_client::{
    outbox::{FAIR_BYTES, Outbox, PushError},
    parts,
};

use super::{Bounds, load::Load};
use crate::apart::Apart;

/// Bytes that a stream which can wait keeps unsent before it goes on: what each client may have
/// however many there are.
const AHEAD_BYTES_MAX: usize = FAIR_BYTES;

/// Unsent bytes from which no page is made and nothing is read until the client reads: a few large
/// answers.
pub(super) const READ_PAUSE_BYTES: usize = 16 * 1024 * 1024;

/// Largest request that is bounded by its number alone.
pub(super) const SMALL_BYTES: u64 = 4096;

/// The way back to one connection's writer. Clones lead to the same.
#[derive(Clone, Debug)]
pub struct Replies {
    way: Apart<Way>,
}

#[derive(Debug)]
struct Way {
    outbox: Outbox,
    load: Arc<Load>,
    /// Requests that were handed to the node and have no last answer yet.
    in_flight: AtomicU32,
    /// The bytes of those that are large.
    large: Mutex<HashMap<u64, u64>>,
    /// Their sum, to be read without the lock.
    large_bytes: AtomicU64,
    stream_bytes_max: usize,
    /// Bytes of large requests, and of large answers that cannot be sent yet, from which no
    /// further answer is made.
    answer_bytes_max: u64,
    /// Streams of answers that have neither ended nor been cancelled.
    streams: Mutex<HashSet<u64>>,
    /// How many those are, to be read without the lock.
    streams_open: AtomicUsize,
}

impl Way {
    fn end_stream(&self, id: u64) -> bool {
        // Most connections have no streams, and an answer then costs no second lock.
        if self.streams_open.load(Ordering::Relaxed) == 0 || !self.streams().remove(&id) {
            return false;
        }
        self.streams_open.fetch_sub(1, Ordering::Relaxed);
        true
    }

    fn end_large(&self, id: u64) {
        if self.large_bytes.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(bytes) = self.large().remove(&id) {
            self.large_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.load.less_bytes(bytes);
        }
    }

    fn large(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashSet<u64>> {
        // Nothing panics under the lock; a poisoned set is a whole one.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // Requests that nobody can answer any more.
        self.load.less_requests(*self.in_flight.get_mut());
        self.load.less_bytes(*self.large_bytes.get_mut());
    }
}

/// The client takes its answers slower than they come, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client takes its answers too slowly: {unsent} bytes wait")]
pub struct Overflow {
    /// Bytes that wait for it.
    pub unsent: usize,
}

impl Replies {
    /// The way to a connection that shares `load` with the others of the node.
    pub(crate) fn within(bounds: &Bounds, load: Arc<Load>) -> Self {
        let outbox = Outbox::metered(bounds.unsent_bytes_max, load.unsent());
        let way = Way {
            outbox,
            load,
            in_flight: AtomicU32::new(0),
            large: Mutex::default(),
            large_bytes: AtomicU64::new(0),
            stream_bytes_max: bounds.stream_bytes_max,
            answer_bytes_max: bounds.request_bytes,
            streams: Mutex::default(),
            streams_open: AtomicUsize::new(0),
        };
        Self {
            way: Apart::new(Arc::new(way)),
        }
    }

    /// A way that shares its load with no other.
    pub(crate) fn alone(bounds: &Bounds) -> Self {
        Self::within(bounds, Arc::new(Load::new(bounds)))
    }

    /// A way of its own.
    #[cfg(test)]
    pub(crate) fn new(unsent_bytes_max: usize, stream_bytes_max: usize) -> Self {
        let bounds = Bounds {
            unsent_bytes_max,
            stream_bytes_max,
            ..Bounds::default()
        };
        Self::alone(&bounds)
    }

    /// The last answer to a request: exactly one per request.
    pub fn send(&self, response: Response) {
        self.way.end_stream(response.id);
        self.way.end_large(response.id);
        self.ended(1);
        self.more(response);
    }

    /// The last answer to request `id`, whose body is encoded already.
    pub(crate) fn send_encoded(&self, id: u64, body: &[u8]) {
        self.way.end_stream(id);
        self.way.end_large(id);
        self.ended(1);
        self.push_encoded(id, body);
    }

    /// Last answers to several requests of this connection, at the cost of little more than one.
    /// The outbox is locked while `responses` is iterated: what it computes must not answer
    /// anything itself.
    pub fn send_all(&self, responses: impl IntoIterator<Item = Response>) {
        if let Some(writer) = self.send_all_quietly(responses) {
            writer.wake();
        }
    }

    /// As [`Replies::send_all`], for who answers others, too. The caller wakes the connection's
    /// writer, if there is a way to do so.
    pub(crate) fn send_all_quietly(
        &self,
        responses: impl IntoIterator<Item = Response>,
    ) -> Option<Waker> {
        let mut count = 0;
        let mut responses = responses.into_iter();
        let counted = std::iter::from_fn(|| {
            let Some(response) = responses.next() else {
                // Before the client can see an answer: it may have asked for as much as it may,
                // and ask again at once.
                self.ended(std::mem::take(&mut count));
                return None;
            };
            self.way.end_stream(response.id);
            self.way.end_large(response.id);
            count += 1;
            Some(response)
        });
        self.way
            .outbox
            .push_all_quietly(counted, parts::encode, refused)
    }

    /// The same way, whose clones are counted by themselves.
    pub(crate) fn apart(&self) -> Self {
        Self {
            way: Apart::new(self.way.shared().clone()),
        }
    }

    /// A number that no other connection has while this way is there.
    pub(crate) fn way_id(&self) -> usize {
        Arc::as_ptr(self.way.shared()).addr()
    }

    /// Whether both lead to the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.way.shared(), other.way.shared())
    }

    /// One of several answers of a stream, which must not be refused: the first lines of a log.
    pub fn more(&self, response: Response) {
        self.way
            .outbox
            .push_all_as([response], parts::encode, refused);
    }

    /// One of several answers of a stream that goes on for ever.
    ///
    /// # Errors
    /// [`Overflow`] when too much waits already; the answer was not taken, and the caller ends the
    /// stream with [`Replies::send`].
    pub fn stream(&self, response: Response) -> Result<(), Overflow> {
        self.check_stream()?;
        self.more(response);
        Ok(())
    }

    /// As [`Replies::stream`], for an answer whose body is encoded already: the same goes to many.
    ///
    /// # Errors
    /// As [`Replies::stream`].
    pub(crate) fn stream_encoded(&self, id: u64, body: &[u8]) -> Result<(), Overflow> {
        self.check_stream()?;
        self.push_encoded(id, body);
        Ok(())
    }

    fn push_encoded(&self, id: u64, body: &[u8]) {
        let encode = |answer: &Streamed<'_>, out: &mut Vec<u8>| match answer {
            Streamed::Encoded(body) => parts::encode_body(id, body, out),
            Streamed::Instead(response) => parts::encode(response, out),
        };
        let refused = |_: &Streamed<'_>, error| {
            let instead = refusal(id, &error)?;
            Some(Streamed::Instead(Box::new(instead)))
        };
        self.way
            .outbox
            .push_all_as([Streamed::Encoded(body)], encode, refused);
    }

    fn check_stream(&self) -> Result<(), Overflow> {
        let unsent = self.way.outbox.unsent();
        let is_crowded = unsent > FAIR_BYTES && self.way.load.is_crowded();
        if unsent > self.way.stream_bytes_max || is_crowded || self.is_closed() {
            return Err(Overflow { unsent });
        }
        Ok(())
    }

    /// Whether [`Replies::room`] would not wait.
    pub(crate) fn has_room(&self) -> bool {
        self.way.outbox.unsent() <= AHEAD_BYTES_MAX.min(self.way.stream_bytes_max)
    }

    /// Waits until the client has taken most of what was sent, or the connection is closed: for
    /// who can wait. A stream that waits before each of its answers holds no more than a little of
    /// the node's memory, however much it has to send.
    pub async fn room(&self) {
        let ahead = AHEAD_BYTES_MAX.min(self.way.stream_bytes_max);
        self.way.outbox.room(ahead).await;
    }

    /// Whether answers lead nowhere any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.way.outbox.is_closed()
    }

    /// Whether the node owes the client nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight() == 0
    }

    /// Whether stream `id` has neither ended nor been cancelled.
    pub(crate) fn is_streaming(&self, id: u64) -> bool {
        self.way.streams().contains(&id)
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.way.in_flight.load(Ordering::Relaxed)
    }

    /// `count` requests are handed to the node.
    pub(crate) fn begun(&self, count: u32) {
        self.way.in_flight.fetch_add(count, Ordering::Relaxed);
        self.way.load.more_requests(count);
    }

    /// Whether a page may be made for this client, who must read what was sent before.
    ///
    /// # Errors
    /// `Busy`, with the bytes that wait.
    pub(crate) fn check_page(&self) -> Result<(), Failure> {
        let unsent = self.way.outbox.unsent();
        if unsent > READ_PAUSE_BYTES {
            let text = format!(
                "{unsent} bytes of answers wait to be read by this client; the limit is {READ_PAUSE_BYTES}; read them first"
            );
            return Err(Failure::new(Code::Busy, text));
        }
        self.check_answer()
    }

    /// Whether an answer may be made for this client, of whose answers some may wait for a sync.
    ///
    /// # Errors
    /// `Busy`, with the bytes that wait.
    pub(crate) fn check_answer(&self) -> Result<(), Failure> {
        let (held, limit) = (self.large_bytes(), self.way.answer_bytes_max);
        // A request that is larger than the bound was let in alone.
        if held < limit || self.in_flight() <= 1 {
            return Ok(());
        }
        let text = format!(
            "{held} bytes of requests and answers of this connection are under way; the limit is {limit} (admission.bytes_per_client_max in node.toml)"
        );
        Err(Failure::new(Code::Busy, text))
    }

    /// Request `id` of `bytes` is about to be handed to the node, or its answer of `bytes` is
    /// made. Small ones are bounded by their number.
    pub(crate) fn weighs(&self, id: u64, bytes: u64) {
        if bytes > SMALL_BYTES {
            let before = self.way.large().insert(id, bytes).unwrap_or(0);
            // The same id twice is a mistake of the client's, and must not be a way around the
            // bound.
            self.way.large_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.way.large_bytes.fetch_sub(before, Ordering::Relaxed);
            self.way.load.more_bytes(bytes);
            self.way.load.less_bytes(before);
        }
    }

    /// Bytes of the large requests under way.
    pub(crate) fn large_bytes(&self) -> u64 {
        self.way.large_bytes.load(Ordering::Relaxed)
    }

    /// Request `id` has a stream of answers from here on.
    pub(crate) fn stream_begun(&self, id: u64) {
        if self.way.streams().insert(id) {
            self.way.streams_open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The client wants no more of stream `id`. Whether there was one.
    pub(crate) fn stream_cancelled(&self, id: u64) -> bool {
        self.way.end_stream(id)
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.way.outbox
    }

    fn ended(&self, count: u32) {
        let less = |in_flight: u32| Some(in_flight.saturating_sub(count));
        // The closure always returns a value.
        let before = self
            .way
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .unwrap_or_default();
        self.way.load.less_requests(before.min(count));
    }
}

/// An answer of a stream.
enum Streamed<'a> {
    /// Its body.
    Encoded(&'a [u8]),
    /// What is sent in its place.
    Instead(Box<Response>),
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "an outbox hands the error over"
)]
fn refused(response: &Response, error: PushError) -> Option<Response> {
    refusal(response.id, &error)
}

/// What is sent instead of an answer that was not taken.
fn refusal(id: u64, error: &PushError) -> Option<Response> {
    match error {
        PushError::Frame(_) => {
            let failure = Failure::new(Code::TooLarge, format!("the answer does not fit: {error}"));
            Some(Response {
                id,
                body: Err(failure),
            })
        }
        // Of a stream that was cut, nothing is sent.
        PushError::Crowded { .. } => {
            let text = format!("the answer was too large to be kept: {error}; try again later");
            Some(Response {
                id,
                body: Err(Failure::new(Code::Busy, text)),
            })
        }
        // A full outbox has cut the stream.
        PushError::Full { .. } | PushError::Closed => None,
    }
}

#[cfg(test)]
mod tests;
