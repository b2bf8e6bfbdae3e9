//! The way back to one client, from any thread: answers are encoded into its outbox and counted.
//!
//! Invariants: no method waits; a client that does not read is cut off at [`super::Bounds::unsent_bytes_max`]; streams of
//! answers stop well before that, so that a slow watch does not cost its client the connection. What is under way and unsent is
//! counted for the client and in the node's [`Load`].

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
    frame,
    outbox::{FAIR_BYTES, Outbox, PushError},
};

use super::{Bounds, load::Load};
use crate::apart::Apart;

/// Bytes that a stream which can wait keeps unsent before it goes on: what each client may have however many there are.
const AHEAD_BYTES_MAX: usize = FAIR_BYTES;

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

    /// Last answers to several requests of this connection, at the cost of little more than one. The outbox is locked
    /// while `responses` is iterated: what it computes must not answer anything itself.
    pub fn send_all(&self, responses: impl IntoIterator<Item = Response>) {
        if let Some(writer) = self.send_all_quietly(responses) {
            writer.wake();
        }
    }

    /// As [`Replies::send_all`], for who answers others, too. The caller wakes the connection's writer, if there is a way to do so.
    pub(crate) fn send_all_quietly(
        &self,
        responses: impl IntoIterator<Item = Response>,
    ) -> Option<Waker> {
        let mut count = 0;
        let mut responses = responses.into_iter();
        let counted = std::iter::from_fn(|| {
            let Some(response) = responses.next() else {
                // Before the client can see an answer: it may have asked for as much as it may, and ask again at once.
                self.ended(std::mem::take(&mut count));
                return None;
            };
            self.way.end_stream(response.id);
            self.way.end_large(response.id);
            count += 1;
            Some(response)
        });
        self.way.outbox.push_all_quietly(counted, refused)
    }

    /// The same way, whose clones are counted by themselves.
    pub(crate) fn apart(&self) -> Self {
        Self {
            way: Apart::new(self.way.shared().clone()),
        }
    }

    /// Whether both lead to the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.way.shared(), other.way.shared())
    }

    /// One of several answers of a stream, which must not be refused: the first lines of a log.
    pub fn more(&self, response: Response) {
        self.way.outbox.push_all([response], refused);
    }

    /// One of several answers of a stream that goes on for ever.
    ///
    /// # Errors
    /// [`Overflow`] when too much waits already; the answer was not taken, and the caller ends the stream with
    /// [`Replies::send`].
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
        let encode = |answer: &Streamed<'_>, out: &mut Vec<u8>| match answer {
            // The order of `Response`'s fields.
            Streamed::Encoded(body) => frame::encode_before(&id, body, out),
            Streamed::Instead(response) => frame::encode(response.as_ref(), out),
        };
        let refused = |_: &Streamed<'_>, error| {
            let instead = refusal(id, &error)?;
            Some(Streamed::Instead(Box::new(instead)))
        };
        self.way
            .outbox
            .push_all_as([Streamed::Encoded(body)], encode, refused);
        Ok(())
    }

    fn check_stream(&self) -> Result<(), Overflow> {
        let unsent = self.way.outbox.unsent();
        let is_crowded = unsent > FAIR_BYTES && self.way.load.is_crowded();
        if unsent > self.way.stream_bytes_max || is_crowded || self.is_closed() {
            return Err(Overflow { unsent });
        }
        Ok(())
    }

    /// Waits until the client has taken most of what was sent, or the connection is closed: for who can wait. A stream that
    /// waits before each of its answers holds no more than a little of the node's memory, however much it has to send.
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

    /// Request `id` of `bytes` is about to be handed to the node. Small ones are bounded by their number.
    pub(crate) fn weighs(&self, id: u64, bytes: u64) {
        if bytes > SMALL_BYTES {
            let before = self.way.large().insert(id, bytes).unwrap_or(0);
            // The same id twice is a mistake of the client's, and must not be a way around the bound.
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
mod tests {
    use interstice_abi::wire::{FRAME_BYTES_MAX, ResponseBody};
    use interstice_client::frame::Decoder;

    use super::*;

    fn value(id: u64, bytes: usize) -> Response {
        let body = ResponseBody::Value {
            bytes: vec![7; bytes],
            seq: Default::default(),
        };
        Response { id, body: Ok(body) }
    }

    #[test]
    fn each_last_answer_ends_one_request() {
        let replies = Replies::new(1000, 100);
        replies.begun(3);
        replies.more(value(1, 1));
        assert_eq!(replies.in_flight(), 3);
        replies.send(value(1, 1));
        replies.send_all([value(2, 1), value(3, 1)]);
        assert_eq!(replies.in_flight(), 0);
    }

    #[tokio::test]
    async fn an_encoded_answer_is_the_same_to_its_client() {
        let sent = |send: &dyn Fn(&Replies)| {
            let replies = Replies::new(1000, 100);
            send(&replies);
            replies.outbox().finish();
            replies
        };
        let response = value(300, 20);
        let body = postcard::to_allocvec(&response.body).unwrap();
        let whole = sent(&|replies| replies.stream(response.clone()).unwrap());
        let encoded = sent(&|replies| replies.stream_encoded(300, &body).unwrap());
        let mut written = [Vec::new(), Vec::new()];
        for (replies, written) in [whole, encoded].iter().zip(&mut written) {
            let stall = std::time::Duration::from_secs(5);
            replies.outbox().write_to(written, stall).await.unwrap();
        }
        assert!(!written[0].is_empty());
        assert_eq!(written[0], written[1]);
    }

    #[test]
    fn a_stream_is_refused_before_the_connection_is_cut() {
        let replies = Replies::new(1000, 100);
        assert_eq!(replies.stream(value(1, 200)), Ok(()));
        assert!(matches!(replies.stream(value(1, 1)), Err(Overflow { unsent }) if unsent > 200));
        replies.send(value(2, 900));
        assert!(!replies.is_closed());
        replies.send(value(3, 1));
        assert!(replies.is_closed());
    }

    #[tokio::test]
    async fn an_answer_larger_than_a_frame_becomes_a_failure() {
        let replies = Replies::new(1000, 100);
        replies.send(value(9, usize::try_from(FRAME_BYTES_MAX).unwrap() + 1));
        replies.outbox().finish();
        let mut written = Vec::new();
        replies
            .outbox()
            .write_to(&mut written, std::time::Duration::from_secs(5))
            .await
            .unwrap();
        let mut decoder = Decoder::<Response>::new(FRAME_BYTES_MAX);
        decoder.extend(&written);
        let (response, _) = decoder.message().unwrap().unwrap();
        assert_eq!(
            (response.id, response.body.unwrap_err().code),
            (9, Code::TooLarge)
        );
    }
}
