//! The link: one greeted stream, on which answers find the requests that wait for them.
//!
//! Invariants: each request that was entered gets exactly one outcome, also when the connection is lost: unknown for what
//! changes the node, lost for the rest. A watch whose reader is slow is ended; it never holds up the other answers and never
//! grows without bound.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{AsyncRead, AsyncReadExt as _};
use interstice_abi::{
    failure::{Code, Failure},
    wire::{DeployHow, FRAME_BYTES_MAX, Request, RequestBody, Response, ResponseBody},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error,
    answer::bounded,
    frame::{Decoder, FrameError},
    outbox::{Outbox, PushError},
    parts::Joiner,
    streams::Substream,
};

/// Bytes of requests that may wait to be sent: some of the largest ones.
const UNSENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of a watch's answers that may wait to be taken: the rows of a large table, while its reader is busy.
const UNREAD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long the node may take nothing of what is written: far beyond any pause of a node that lives.
const STALL: Duration = Duration::from_secs(60);

/// What a request ends with.
pub(crate) type Outcome = Result<ResponseBody, Error>;

/// One of a stream's answers, and the bytes of its frame.
pub(crate) type Streamed = (Outcome, usize);

/// One stream to a node.
#[derive(Debug)]
pub(crate) struct Link {
    outbox: Outbox,
    pending: Mutex<Pending>,
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    waiting: HashMap<u64, Waiting>,
    /// Why nothing more can be asked.
    lost: Option<String>,
}

#[derive(Debug)]
enum Waiting {
    One {
        /// What may have happened although the answer is lost.
        changes: Option<&'static str>,
        answer: oneshot::Sender<Outcome>,
    },
    Many {
        answers: mpsc::UnboundedSender<Streamed>,
        unread: Arc<AtomicUsize>,
    },
}

/// Where a stream of answers arrives.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) id: u64,
    pub(crate) answers: mpsc::UnboundedReceiver<Streamed>,
    pub(crate) unread: Arc<AtomicUsize>,
}

impl Link {
    /// Starts the link's task on the current runtime.
    pub(crate) fn start(stream: Substream) -> Arc<Self> {
        let link = Arc::new(Self {
            outbox: Outbox::new(UNSENT_BYTES_MAX),
            pending: Mutex::default(),
            next_id: AtomicU64::new(1),
        });
        tokio::spawn(run(link.clone(), stream));
        link
    }

    /// Sends a request at once; the future waits for its answer. Dropping the future takes nothing back.
    pub(crate) fn ask(&self, body: RequestBody) -> impl Future<Output = Outcome> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let changes = changes(&body);
        let sent = self.send(body, Waiting::One { changes, answer });
        async move {
            sent?;
            // The sender is dropped unused only when the runtime ends in the middle.
            answered.await.unwrap_or_else(|_| {
                Err(Error::Lost {
                    problem: "the program is ending".into(),
                })
            })
        }
    }

    /// Sends a request that has a stream of answers.
    pub(crate) fn subscribe(&self, body: RequestBody) -> Result<Arriving, Error> {
        let (sender, answers) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        let id = self.send(
            body,
            Waiting::Many {
                answers: sender,
                unread: unread.clone(),
            },
        )?;
        Ok(Arriving {
            id,
            answers,
            unread,
        })
    }

    /// Ends the stream of answers to `id`.
    pub(crate) fn cancel(&self, id: u64) {
        let cancel = Request {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            body: RequestBody::Cancel { id },
        };
        // On a lost connection there is nothing to end.
        let _ = self.outbox.push(&cancel);
    }

    fn send(&self, body: RequestBody, waiting: Waiting) -> Result<u64, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut pending = self.lock();
        if let Some(problem) = &pending.lost {
            return Err(Error::Lost {
                problem: problem.clone(),
            });
        }
        pending.waiting.insert(id, waiting);
        drop(pending);
        let Err(error) = self.outbox.push(&Request { id, body }) else {
            return Ok(id);
        };
        self.lock().waiting.remove(&id);
        Err(match error {
            PushError::Closed => Error::Lost {
                problem: self.problem(),
            },
            PushError::Full { .. } | PushError::Crowded { .. } => {
                Failure::new(Code::Busy, error.to_string()).into()
            }
            PushError::Frame(FrameError::LongName { .. }) => {
                let text = format!("the request cannot be sent: {error}");
                Failure::new(Code::BadArguments, text).into()
            }
            PushError::Frame(_) => Failure::new(Code::TooLarge, error.to_string()).into(),
        })
    }

    fn problem(&self) -> String {
        self.lock()
            .lost
            .clone()
            .unwrap_or_else(|| "it was closed".into())
    }

    /// Sends what waits and closes.
    pub(crate) fn close(&self) {
        self.outbox.finish();
    }

    /// Waits until the link is closed or lost.
    pub(crate) async fn closed(&self) {
        self.outbox.closed().await;
    }

    /// The connection is gone. The first reason stays.
    pub(crate) fn lose(&self, problem: &str) {
        let mut pending = self.lock();
        let problem = pending
            .lost
            .get_or_insert_with(|| problem.to_string())
            .clone();
        let waiting = std::mem::take(&mut pending.waiting);
        drop(pending);
        for (_, waiting) in waiting {
            waiting.lose(problem.clone());
        }
        self.outbox.close();
    }

    /// Hands answers to those who wait. Ends with the node's reason when it is about to close the stream.
    fn deliver(&self, responses: &mut Vec<(Response, usize)>) -> Option<Failure> {
        let mut last_words = None;
        let mut pending = self.lock();
        for (Response { id, body }, bytes) in responses.drain(..) {
            let outcome = body.map_err(|failure| Error::from(bounded(failure)));
            if id == 0 {
                last_words = match outcome {
                    Err(Error::Failed(failure)) => Some(failure),
                    _ => last_words,
                };
            } else if let Some(Waiting::Many { answers, unread }) = pending.waiting.get(&id)
                && !matches!(outcome, Err(_) | Ok(ResponseBody::Ended))
            {
                if let Some(problem) = stream(answers, unread, outcome, bytes) {
                    // A reader that is gone has cancelled; what still comes until the end is dropped.
                    let _ = answers.send((Err(problem), 0));
                    pending.waiting.remove(&id);
                    self.cancel(id);
                }
            } else if let Some(waiting) = pending.waiting.remove(&id) {
                waiting.answer(outcome);
            }
        }
        last_words
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands on one of many answers, unless too much waits already.
fn stream(
    answers: &mpsc::UnboundedSender<Streamed>,
    unread: &AtomicUsize,
    outcome: Outcome,
    bytes: usize,
) -> Option<Error> {
    if answers.is_closed() {
        return None;
    }
    let waiting = unread.fetch_add(bytes, Ordering::Relaxed);
    if waiting > UNREAD_BYTES_MAX {
        return Some(Error::Lagging { unread: waiting });
    }
    // The reader may have gone a moment ago, and then nobody wants it.
    let _ = answers.send((outcome, bytes));
    None
}

impl Waiting {
    /// Hands over the only or the last answer. Who has stopped waiting does not want it.
    fn answer(self, outcome: Outcome) {
        match self {
            Self::One { answer, .. } => drop(answer.send(outcome)),
            Self::Many { answers, .. } => drop(answers.send((outcome, 0))),
        }
    }

    fn lose(self, problem: String) {
        let error = match &self {
            Self::One {
                changes: Some(what),
                ..
            } => Error::OutcomeUnknown { what, problem },
            _ => Error::Lost { problem },
        };
        self.answer(Err(error));
    }
}

/// What `body` does to a node, when it does something.
fn changes(body: &RequestBody) -> Option<&'static str> {
    match body {
        RequestBody::Call { .. } | RequestBody::CallAs { .. } => Some("call"),
        RequestBody::Deploy { .. } => Some("deploy"),
        RequestBody::Unload { .. } | RequestBody::UnloadNeeded { .. } => Some("unload"),
        RequestBody::DeployAll {
            how: DeployHow::Install,
            ..
        } => Some("deploy"),
        RequestBody::Load { .. } => Some("load"),
        RequestBody::Remove { .. } => Some("remove"),
        RequestBody::ChangeGrant { .. } => Some("change of grants"),
        RequestBody::CancelTimer { .. } => Some("end of a timer"),
        RequestBody::DropTurn { .. } => Some("end of a turn"),
        RequestBody::Stop => Some("stop"),
        _ => None,
    }
}

async fn run(link: Arc<Link>, stream: Substream) {
    let (mut reader, mut writer) = stream.split();
    let problem = tokio::select! {
        problem = read(&link, &mut reader) => problem,
        written = link.outbox.write_to(&mut writer, STALL) => match written {
            Ok(()) => "it was closed".to_string(),
            Err(error) => error.to_string(),
        },
        () = link.outbox.closed() => "it was closed".to_string(),
    };
    link.lose(&problem);
}

/// Reads until the stream ends; why it did.
async fn read<R: AsyncRead + Unpin>(link: &Link, reader: &mut R) -> String {
    let mut decoder = Decoder::<Response>::new(FRAME_BYTES_MAX);
    let (mut joiner, mut responses) = (Joiner::default(), Vec::new());
    let mut last_words = None;
    loop {
        match decoder.read(reader).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return last_words.map_or_else(|| error.to_string(), closed_by_node),
        }
        let broken = loop {
            match decoder.message() {
                Ok(Some((response, bytes))) => match joiner.take(response, bytes) {
                    Ok(whole) => responses.extend(whole),
                    Err(error) => break Some(error),
                },
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        last_words = link.deliver(&mut responses).or(last_words);
        if let Some(error) = broken {
            return error.to_string();
        }
        // Answers may be there without end; writing must have its turn.
        tokio::task::yield_now().await;
    }
    match (last_words, decoder.finish()) {
        (Some(failure), _) => closed_by_node(failure),
        (None, Err(error)) => error.to_string(),
        (None, Ok(())) => "the node has closed it".to_string(),
    }
}

fn closed_by_node(failure: Failure) -> String {
    format!("the node has closed it: {failure}")
}
