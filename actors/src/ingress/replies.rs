//! The way back to one client, from any thread: answers are encoded into its outbox and counted.
//!
//! Invariants: no method waits; a client that does not read is cut off at [`super::Bounds::unsent_bytes_max`]; streams of
//! answers stop well before that, so that a slow watch does not cost its client the connection.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use interstice_abi::{
    failure::{Code, Failure},
    wire::Response,
};
use interstice_client::outbox::{Outbox, PushError};

/// The way back to one connection's writer. Clones lead to the same.
#[derive(Clone, Debug)]
pub struct Replies {
    way: Arc<Way>,
}

#[derive(Debug)]
struct Way {
    outbox: Outbox,
    /// Requests that were handed to the node and have no last answer yet.
    in_flight: AtomicU32,
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

    fn streams(&self) -> MutexGuard<'_, HashSet<u64>> {
        // Nothing panics under the lock; a poisoned set is a whole one.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn new(unsent_bytes_max: usize, stream_bytes_max: usize) -> Self {
        let outbox = Outbox::new(unsent_bytes_max);
        let way = Way {
            outbox,
            in_flight: AtomicU32::new(0),
            stream_bytes_max,
            streams: Mutex::default(),
            streams_open: AtomicUsize::new(0),
        };
        Self { way: Arc::new(way) }
    }

    /// The last answer to a request: exactly one per request.
    pub fn send(&self, response: Response) {
        self.way.end_stream(response.id);
        self.ended(1);
        self.more(response);
    }

    /// Last answers to several requests of this connection, at the cost of little more than one. The outbox is locked
    /// while `responses` is iterated: what it computes must not answer anything itself.
    pub fn send_all(&self, responses: impl IntoIterator<Item = Response>) {
        let mut ended = 0_u32;
        let counted = responses.into_iter().inspect(|response| {
            self.way.end_stream(response.id);
            ended = ended.saturating_add(1);
        });
        self.way.outbox.push_all(counted, refused);
        self.ended(ended);
    }

    /// One of several answers of a stream, which must not be refused: rows of a snapshot, the first lines of a log.
    pub fn more(&self, response: Response) {
        self.way.outbox.push_all([response], refused);
    }

    /// One of several answers of a stream that goes on for ever.
    ///
    /// # Errors
    /// [`Overflow`] when too much waits already; the answer was not taken, and the caller ends the stream with
    /// [`Replies::send`].
    pub fn stream(&self, response: Response) -> Result<(), Overflow> {
        let unsent = self.way.outbox.unsent();
        if unsent > self.way.stream_bytes_max || self.is_closed() {
            return Err(Overflow { unsent });
        }
        self.more(response);
        Ok(())
    }

    /// Waits until a stream's next answer would be taken, or the connection is closed: for who can wait.
    pub async fn room(&self) {
        self.way.outbox.room(self.way.stream_bytes_max).await;
    }

    /// Whether answers lead nowhere any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.way.outbox.is_closed()
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.way.in_flight.load(Ordering::Relaxed)
    }

    /// `count` requests are handed to the node.
    pub(crate) fn begun(&self, count: u32) {
        self.way.in_flight.fetch_add(count, Ordering::Relaxed);
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
        let _ = self
            .way
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// What is sent instead of an answer that was not taken.
fn refused(response: &Response, error: PushError) -> Option<Response> {
    match error {
        PushError::Frame(_) => {
            let failure = Failure::new(Code::TooLarge, format!("the answer does not fit: {error}"));
            Some(Response {
                id: response.id,
                body: Err(failure),
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
