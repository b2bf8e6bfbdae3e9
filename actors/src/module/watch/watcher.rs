//! One watch of one client: it catches up, is live, and ends, in this order and each at most once.
//!
//! A client that reads too slowly loses its watch, with the position to resume from; no change is ever left out of a watch
//! that goes on.

use std::sync::{Mutex, PoisonError};

use interstice_abi::{
    failure::{Code, Failure},
    wire::{Response, ResponseBody, WatchEvent, WatchedChange},
};

use super::StartWatch;
use crate::ingress::Replies;

/// One watch of one client.
pub(crate) struct Watcher {
    pub(super) connection: u64,
    pub(super) request: u64,
    pub(super) replies: Replies,
    state: Mutex<State>,
}

enum State {
    /// The log is being read for what was before; what comes waits here.
    CatchingUp(Vec<WatchedChange>),
    Live,
    Ended,
}

impl Watcher {
    /// The watcher of a watch that begins. One that resumes waits until the log has been read.
    pub(super) fn new(watch: &StartWatch) -> Self {
        let state = if watch.from.is_some() {
            State::CatchingUp(Vec::new())
        } else {
            State::Live
        };
        Self {
            connection: watch.connection,
            request: watch.request,
            replies: watch.replies.clone(),
            state: Mutex::new(state),
        }
    }

    /// Ends the watch without an answer.
    pub(super) fn end(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Ended;
    }

    /// Whether nothing more is sent.
    pub(super) fn has_ended(&self) -> bool {
        matches!(
            *self.state.lock().unwrap_or_else(PoisonError::into_inner),
            State::Ended
        )
    }

    /// Hands on what has changed; while the log is being read, it waits.
    pub(super) fn changes(&self, changes: Vec<WatchedChange>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::CatchingUp(waiting) => waiting.extend(changes),
            State::Live => {
                if !self.send(changes) {
                    *state = State::Ended;
                }
            }
            State::Ended => {}
        }
    }

    /// Whether the client takes them.
    fn send(&self, changes: Vec<WatchedChange>) -> bool {
        let Some(first) = changes.first().map(|change| change.position) else {
            return true;
        };
        let body = Ok(ResponseBody::Watch(WatchEvent::Changes(changes)));
        if self
            .replies
            .stream(Response {
                id: self.request,
                body,
            })
            .is_ok()
        {
            return true;
        }
        let text = format!(
            "changes came faster than they were read; those from {first} on were not sent, resume with --from the last one seen"
        );
        self.replies.send(Response {
            id: self.request,
            body: Err(Failure::new(Code::Busy, text)),
        });
        false
    }

    /// Ends the watch with its one last answer.
    pub(super) fn fail(&self, why: Failure) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Ended) {
            return;
        }
        *state = State::Ended;
        drop(state);
        self.replies.send(Response {
            id: self.request,
            body: Err(why),
        });
    }

    /// What the log had is sent; from here on changes go straight out.
    pub(super) fn go_live(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::CatchingUp(waiting) = &mut *state {
            let waiting = std::mem::take(waiting);
            *state = if self.send(waiting) {
                State::Live
            } else {
                State::Ended
            };
        }
    }
}
