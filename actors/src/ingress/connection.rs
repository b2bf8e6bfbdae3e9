//! One stream of one client: reads, lets the session decide, hands over in batches, and writes
//! what comes back.
//!
//! A task per stream and nothing per request. Invariants: who greets gets exactly one `connected`
//! and one `disconnected`; a client that sends half a frame and rests or dawdles, does not greet,
//! or does not read, is cut off; a client that does not read is not read from either.

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
    Batch, Bounds, ConnectionId, Entrance, Entrant, FrontDoor, Peer, Replies, Work,
    load::Load,
    receiving::Receiving,
    replies::READ_PAUSE_BYTES,
    session::{Around, Session},
};

/// How long a client may take to greet.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);

/// Slowest that a frame may come, in bytes per second, once [`Bounds::rest_of_frame`] has passed.
const FRAME_BYTES_PER_SECOND: usize = 64 * 1024;

/// How long a client may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(30);

/// How long a stream that ends may take to send its last answers.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);

/// What all streams of a node share.
pub(crate) struct Serving {
    pub(crate) door: Arc<dyn FrontDoor>,
    pub(crate) bounds: Bounds,
    pub(crate) entrance: Arc<Entrance>,
    load: Arc<Load>,
    next_connection: AtomicU64,
    receiving: Receiving,
}

/// A stream that a client has opened, and the connection that it is on.
pub(crate) struct Way {
    pub(crate) node: NodeId,
    pub(crate) stream: Substream,
    /// The connection's place; one that this node has dialled has none.
    pub(crate) entrant: Option<Arc<Entrant>>,
}

impl Serving {
    pub(crate) fn new(door: Arc<dyn FrontDoor>, bounds: Bounds, entrance: Arc<Entrance>) -> Self {
        Self {
            door,
            bounds,
            entrance,
            load: Arc::new(Load::new(&bounds)),
            next_connection: AtomicU64::new(1),
            receiving: Receiving::default(),
        }
    }

    fn session(&self, node: NodeId, entrant: Option<Arc<Entrant>>, replies: &Replies) -> Session {
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
        let around = Around {
            door: self.door.clone(),
            entrance: self.entrance.clone(),
            entrant,
            load: self.load.clone(),
            bounds: self.bounds,
        };
        Session::new(peer, around, replies.clone())
    }
}

/// Serves one stream until it ends, or until `stopping` changes: then what waits is still written.
pub(crate) async fn serve(serving: Arc<Serving>, way: Way, mut stopping: watch::Receiver<()>) {
    let replies = Replies::within(&serving.bounds, serving.load.clone());
    let mut session = serving.session(way.node, way.entrant, &replies);
    let (mut reader, mut writer) = way.stream.split();
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
    let mut frame_since = Instant::now();
    loop {
        let before = decoder.unfinished();
        let rest = serving.bounds.rest_of_frame;
        let read = match deadline(session, &decoder, greeting_deadline, (frame_since, rest)) {
            None => decoder.read(reader).await,
            Some(at) => match timeout_at(at.into(), decoder.read(reader)).await {
                Ok(read) => read,
                Err(_) => {
                    too_late(session, &decoder, rest)?;
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
        let now = Instant::now();
        take_all(session, &mut decoder, replies, serving.door.as_ref(), now)?;
        if before == 0 || decoder.unfinished() <= before {
            frame_since = now;
        }
        unfinished.set(decoder.unfinished())?;
        if replies.outbox().unsent() > READ_PAUSE_BYTES {
            replies.outbox().room(READ_PAUSE_BYTES / 2).await;
            frame_since = Instant::now();
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
    now: Instant,
) -> Result<(), Failure> {
    session.heard(now);
    let mut work = Vec::new();
    let taken = loop {
        match decoder.message() {
            Ok(Some((request, bytes))) => {
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                if let Err(failure) = session.take(request, bytes, now, &mut work) {
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

/// Until when the next bytes must come, if there is a limit. `frame_since`: since when the frame
/// comes that is not whole; `rest`: how long it may rest.
fn deadline(
    session: &Session,
    decoder: &Decoder<Request>,
    greeting: Instant,
    (frame_since, rest): (Instant, Duration),
) -> Option<Instant> {
    if !session.has_greeted() {
        Some(greeting)
    } else if decoder.is_inside_frame() {
        let seconds = decoder.unfinished() / FRAME_BYTES_PER_SECOND;
        let slowest = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
        let latest = frame_since + rest + slowest;
        Some(latest.min(Instant::now() + rest))
    } else {
        session.upload_deadline()
    }
}

/// Nothing has come in time.
fn too_late(
    session: &mut Session,
    decoder: &Decoder<Request>,
    rest: Duration,
) -> Result<(), Failure> {
    if !session.has_greeted() {
        let text = format!("no greeting came within {} s", GREETING_DEADLINE.as_secs());
        return Err(Failure::new(Code::Deadline, text));
    }
    if decoder.is_inside_frame() {
        let text = format!(
            "the rest of a frame did not come within {} s, or came slower than {FRAME_BYTES_PER_SECOND} bytes per second",
            rest.as_secs()
        );
        return Err(Failure::new(Code::Deadline, text));
    }
    session.drop_upload();
    Ok(())
}

fn malformed(error: interstice_client::frame::FrameError) -> Failure {
    Failure::new(Code::Corrupt, error.to_string())
}
