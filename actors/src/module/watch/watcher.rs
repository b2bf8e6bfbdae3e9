//! One watch of one client: it is behind, is live, and ends, in this order and each at most once.
//!
//! A client that reads too slowly loses its watch, with the position to resume from; no change is
//! ever left out of a watch that goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::Position,
    wire::{Response, ResponseBody, Standing, WatchEvent, WatchedChange},
};

use super::StartWatch;
use crate::ingress::Replies;

/// Bytes of changes that wait while rows are sent or the log is read: what comes beyond is read
/// from the log later on.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of changes in one frame, unless a single one has more: a step may change more than fits a
/// frame, and a watch that resumes goes on after the last change that it has seen, also inside a
/// step.
const FRAME_BYTES: usize = 1024 * 1024;

/// One watch of one client.
pub(crate) struct Watcher {
    pub(super) connection: u64,
    pub(super) standing: Standing,
    pub(super) request: u64,
    pub(super) replies: Replies,
    /// The type by which the client decodes rows, if it names one.
    pub(super) row_type: Option<Fingerprint>,
    inner: Mutex<Inner>,
}

/// How a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Changes may be handed on at once.
    Live,
    /// Something is to be sent before.
    Behind,
}

struct Inner {
    state: State,
    /// The last position that was sent: a watch from there misses nothing. `None` until all rows
    /// have been sent.
    last: Option<Position>,
}

enum State {
    /// The rows are being sent, or the log is being read; what comes waits here.
    Behind(Waiting),
    Live,
    Ended,
}

#[derive(Default)]
struct Waiting {
    changes: Vec<WatchedChange>,
    bytes: usize,
    /// Whether there were more than may wait.
    overflowed: bool,
}

impl Waiting {
    fn add(&mut self, changes: Vec<WatchedChange>) {
        let more: usize = changes.iter().map(size).sum();
        if self.overflowed || self.bytes.saturating_add(more) > WAITING_BYTES_MAX {
            self.overflowed = true;
            return;
        }
        self.bytes += more;
        self.changes.extend(changes);
    }
}

impl Watcher {
    /// A watch that is live, of a client that takes these answers.
    #[cfg(test)]
    pub(super) fn live(replies: Replies) -> Self {
        let inner = Inner {
            state: State::Live,
            last: Some(Position::default()),
        };
        Self {
            connection: 1,
            standing: Standing::Guest,
            request: 1,
            replies,
            row_type: None,
            inner: Mutex::new(inner),
        }
    }

    /// The watcher of a watch that begins after `last`, or with the table's rows.
    pub(super) fn new(watch: &StartWatch, begin: Begin, last: Option<Position>) -> Self {
        let state = match begin {
            Begin::Live => State::Live,
            Begin::Behind => State::Behind(Waiting::default()),
        };
        Self {
            connection: watch.peer.connection.0,
            standing: watch.peer.standing,
            request: watch.request,
            replies: watch.replies.clone(),
            row_type: watch.row_type,
            inner: Mutex::new(Inner { state, last }),
        }
    }

    /// Ends the watch without an answer. Whether it went on until then.
    pub(super) fn end(&self) -> bool {
        let mut inner = self.inner();
        !matches!(
            std::mem::replace(&mut inner.state, State::Ended),
            State::Ended
        )
    }

    /// Whether nothing more is sent.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.inner().state, State::Ended)
    }

    /// Hands on what has changed; while the watch is behind, it waits. `body` is [`body_of`] the
    /// changes: it is the same for everybody who watches the table.
    pub(super) fn changes(&self, changes: &[WatchedChange], body: &[u8]) {
        let Some(last) = changes.last().map(|change| change.position) else {
            return;
        };
        let mut inner = self.inner();
        match &mut inner.state {
            State::Behind(waiting) => waiting.add(changes.to_vec()),
            State::Live => match self.replies.stream_encoded(self.request, body) {
                Ok(()) => inner.last = Some(last),
                Err(_) => self.too_slow(&mut inner),
            },
            State::Ended => {}
        }
    }

    /// Hands on what has changed before the watch began. Whether the watch goes on.
    pub(super) fn earlier_changes(&self, changes: Vec<WatchedChange>) -> bool {
        let mut inner = self.inner();
        if !matches!(inner.state, State::Ended) {
            self.send(&mut inner, changes);
        }
        !matches!(inner.state, State::Ended)
    }

    /// Sends, or ends the watch of a client that does not take it.
    fn send(&self, inner: &mut Inner, changes: Vec<WatchedChange>) {
        let Some(last) = changes.last().map(|change| change.position) else {
            return;
        };
        let taken = self.replies.stream(Response {
            id: self.request,
            body: body_of(changes),
        });
        match taken {
            Ok(()) => inner.last = Some(last),
            Err(_) => self.too_slow(inner),
        }
    }

    fn too_slow(&self, inner: &mut Inner) {
        self.end_resumable(inner, Code::Busy, "changes came faster than they were read");
    }

    /// All rows have been sent; they are valid at `position`.
    pub(super) fn has_rows(&self, position: Position) {
        self.inner().last = Some(position);
    }

    /// The table has rows of another type from here on.
    pub(super) fn other_rows(&self, why: &str) {
        let mut inner = self.inner();
        if !matches!(inner.state, State::Ended) {
            self.end_resumable(&mut inner, Code::SchemaConflict, why);
        }
    }

    /// Ends the watch and says from where it can go on.
    fn end_resumable(&self, inner: &mut Inner, code: Code, why: &str) {
        inner.state = State::Ended;
        let text = match inner.last {
            Some(last) => format!("{why}; resume with --from {last}"),
            None => format!("{why}; watch again"),
        };
        self.replies.send(Response {
            id: self.request,
            body: Err(Failure::new(code, text)),
        });
    }

    /// Ends the watch with its one last answer.
    pub(super) fn fail(&self, why: Failure) {
        if self.end() {
            self.replies.send(Response {
                id: self.request,
                body: Err(why),
            });
        }
    }

    /// What was before is sent; from here on changes go straight out.
    pub(super) fn go_live(&self) {
        let mut inner = self.inner();
        if let State::Behind(waiting) = &mut inner.state {
            let waiting = std::mem::take(waiting);
            inner.state = State::Live;
            for frame in frames(waiting.changes) {
                if matches!(inner.state, State::Live) {
                    self.send(&mut inner, frame);
                }
            }
            if waiting.overflowed && matches!(inner.state, State::Live) {
                self.too_slow(&mut inner);
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under the lock; a poisoned watch is a whole one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes in groups of at most [`FRAME_BYTES`], in their order.
pub(super) fn frames(
    changes: impl IntoIterator<Item = WatchedChange>,
) -> impl Iterator<Item = Vec<WatchedChange>> {
    let mut changes = changes.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = changes.next()?;
        let mut bytes = size(&first);
        let mut frame = vec![first];
        while let Some(change) = changes.next_if(|next| bytes + size(next) <= FRAME_BYTES) {
            bytes += size(&change);
            frame.push(change);
        }
        Some(frame)
    })
}

/// The body of the answer that brings these changes.
pub(super) fn body_of(changes: Vec<WatchedChange>) -> Result<ResponseBody, Failure> {
    Ok(ResponseBody::Watch(WatchEvent::Changes(changes)))
}

fn size(change: &WatchedChange) -> usize {
    let row = |row: &Option<Vec<u8>>| row.as_ref().map_or(0, Vec::len);
    size_of::<WatchedChange>() + row(&change.before) + row(&change.after)
}
