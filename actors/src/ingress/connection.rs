//! One stream of one client: reads, lets the session decide, hands over in batches, and writes what comes back.
//!
//! A task per stream and nothing per request. Invariants: who greets gets exactly one `connected` and one `disconnected`; a
//! client that sends half a frame and rests, does not greet, or does not read, is cut off; a client that does not read is
//! not read from either.

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    time::{Duration, Instant},
};

use futures::{AsyncRead, AsyncReadExt as _};
use interstice_abi::{
    failure::{Code, Failure},
    id::NodeId,
    wire::{Request, RequestBody, Response, Standing},
};
use interstice_client::{frame::Decoder, streams::Substream};
use tokio::{
    sync::watch,
    time::{timeout, timeout_at},
};

use super::{
    Batch, ConnectionId, FrontDoor, Peer, Replies, Work, receiving::Receiving, session::Session,
};

/// How long a client may take to greet.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);

/// How long the rest of a frame may be awaited without anything coming.
const REST_OF_FRAME_MAX: Duration = Duration::from_secs(30);

/// How long a client may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);

/// How long a stream that ends may take to send its last answers.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);

/// Unsent bytes from which a client is not read from until it reads: a few large answers.
const READ_PAUSE_BYTES: usize = 16 * 1024 * 1024;

/// What a connection may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most requests without an answer.
    pub(crate) requests_in_flight: u32,
    /// Largest module in bytes.
    pub(crate) module_bytes_max: u64,
    /// Unsent bytes from which the client is cut off.
    pub(crate) unsent_bytes_max: usize,
    /// Unsent bytes from which its streams of answers end.
    pub(crate) stream_bytes_max: usize,
}

/// What all streams of a node share.
pub(crate) struct Serving {
    pub(crate) door: Arc<dyn FrontDoor>,
    pub(crate) bounds: Bounds,
    next_connection: AtomicU64,
    receiving: Receiving,
}

impl Serving {
    pub(crate) fn new(door: Arc<dyn FrontDoor>, bounds: Bounds) -> Self {
        Self {
            door,
            bounds,
            next_connection: AtomicU64::new(1),
            receiving: Receiving::default(),
        }
    }

    fn session(&self, node: NodeId, replies: &Replies) -> Session {
        let standing = if self.door.is_owner(&node) {
            Standing::Owner
        } else {
            Standing::Guest
        };
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let peer = Peer {
            connection,
            node,
            standing,
        };
        let Bounds {
            requests_in_flight,
            module_bytes_max,
            ..
        } = self.bounds;
        Session::new(
            peer,
            self.door.clone(),
            replies.clone(),
            requests_in_flight,
            module_bytes_max,
        )
    }
}

/// Serves one stream until it ends, or until `stopping` changes: then what waits is still written.
pub(crate) async fn serve(
    serving: Arc<Serving>,
    node: NodeId,
    stream: Substream,
    mut stopping: watch::Receiver<()>,
) {
    let Bounds {
        unsent_bytes_max,
        stream_bytes_max,
        ..
    } = serving.bounds;
    let replies = Replies::new(unsent_bytes_max, stream_bytes_max);
    let mut session = serving.session(node, &replies);
    let (mut reader, mut writer) = stream.split();
    let outbox = replies.outbox();
    {
        let mut writing = std::pin::pin!(outbox.write_to(&mut writer, STALL));
        let reading = read(&mut session, &mut reader, &replies, &serving);
        let last_words = tokio::select! {
            biased;
            () = outbox.closed() => None,
            read = reading => Some(read.err()),
            written = &mut writing => {
                if let Err(error) = written {
                    tracing::debug!(%error, "a client could not be written to");
                }
                None
            }
            // The sender lives as long as the network; its end is a stop, too.
            _ = stopping.changed() => Some(None),
        };
        if let Some(failure) = last_words {
            if let Some(failure) = failure {
                replies.more(Response {
                    id: 0,
                    body: Err(failure),
                });
            }
            outbox.finish();
            tokio::select! {
                // Whether the last answers arrive is the client's affair.
                _ = timeout(LAST_ANSWERS_MAX, writing) => {}
                () = outbox.closed() => {}
            }
        }
    }
    outbox.close();
    if session.has_greeted() {
        serving.door.disconnected(session.peer());
    }
}

/// Reads until the client ends the stream.
///
/// # Errors
/// Why the client is not heard any longer.
async fn read<R: AsyncRead + Unpin>(
    session: &mut Session,
    reader: &mut R,
    replies: &Replies,
    serving: &Serving,
) -> Result<(), Failure> {
    let mut unfinished = serving.receiving.part();
    let mut decoder = Decoder::<Request>::new(session.frame_bytes_max());
    let greeting_deadline = Instant::now() + GREETING_DEADLINE;
    loop {
        let read = match deadline(session, &decoder, greeting_deadline) {
            None => decoder.read(reader).await,
            Some(at) => match timeout_at(at.into(), decoder.read(reader)).await {
                Ok(read) => read,
                Err(_) => {
                    too_late(session, &decoder)?;
                    continue;
                }
            },
        };
        match read {
            Ok(0) => return decoder.finish().map_err(malformed),
            Ok(_) => {}
            // The connection is gone, and nobody hears why.
            Err(_) => return Ok(()),
        }
        take_all(session, &mut decoder, replies, serving.door.as_ref())?;
        unfinished.set(decoder.unfinished())?;
        if replies.outbox().unsent() > READ_PAUSE_BYTES {
            replies.outbox().room(READ_PAUSE_BYTES / 2).await;
        }
        // Requests may be there without end; writing must have its turn.
        tokio::task::yield_now().await;
    }
}

/// Everything that has arrived, as one batch; what came before a mistake counts.
fn take_all(
    session: &mut Session,
    decoder: &mut Decoder<Request>,
    replies: &Replies,
    door: &dyn FrontDoor,
) -> Result<(), Failure> {
    let now = Instant::now();
    let mut work = Vec::new();
    let taken = loop {
        match decoder.message() {
            Ok(Some((request, _))) => {
                if let Err(failure) = session.take(request, now, &mut work) {
                    break Err(failure);
                }
                decoder.set_limit(session.frame_bytes_max());
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(malformed(error)),
        }
    };
    if !work.is_empty() {
        let answered = work.iter().filter(|work| !is_cancel(work)).count();
        replies.begun(u32::try_from(answered).unwrap_or(u32::MAX));
        door.batch(Batch {
            peer: session.peer().clone(),
            work,
            replies: replies.clone(),
        });
    }
    taken
}

fn is_cancel(work: &Work) -> bool {
    matches!(
        work,
        Work::Request(Request {
            body: RequestBody::Cancel { .. },
            ..
        })
    )
}

/// Until when the next bytes must come, if there is a limit.
fn deadline(session: &Session, decoder: &Decoder<Request>, greeting: Instant) -> Option<Instant> {
    if !session.has_greeted() {
        Some(greeting)
    } else if decoder.is_inside_frame() {
        Some(Instant::now() + REST_OF_FRAME_MAX)
    } else {
        session.upload_deadline()
    }
}

/// Nothing has come in time.
fn too_late(session: &mut Session, decoder: &Decoder<Request>) -> Result<(), Failure> {
    if !session.has_greeted() {
        let text = format!("no greeting came within {} s", GREETING_DEADLINE.as_secs());
        return Err(Failure::new(Code::Deadline, text));
    }
    if decoder.is_inside_frame() {
        let text = format!(
            "the rest of a frame did not come within {} s",
            REST_OF_FRAME_MAX.as_secs()
        );
        return Err(Failure::new(Code::Deadline, text));
    }
    session.drop_upload();
    Ok(())
}

fn malformed(error: interstice_client::frame::FrameError) -> Failure {
    Failure::new(Code::Corrupt, error.to_string())
}
