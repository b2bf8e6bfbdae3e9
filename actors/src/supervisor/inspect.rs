//! Large answers about the node: schemas and the status of modules. The supervisor only notes who
//! asks; what is answered is made on other threads, and for one client at a time.
//!
//! Invariants: an answer is made when its client has taken what was sent before, and is counted
//! among its unsent bytes at once, so thousands of unread requests hold thousands of ids and no
//! answers; the status of one set of modules is gathered once for everybody who waits for it
//! ([`rounds`]). What the node itself does is in `status.rs`, its sizes are in [`gauges`].

pub(crate) mod gauges;

pub(crate) mod rounds;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use interstice_abi::{
    failure::Failure,
    schema::ModuleSchema,
    wire::{Response, ResponseBody, Standing},
};

use self::rounds::{Key, Rounds};
use super::catalogue::Catalogue;
use crate::ingress::Replies;

/// Most requests that one answer is made for.
const BATCH_MAX: usize = 64;

/// Who waits for which answer.
#[derive(Clone, Default)]
pub(crate) struct Inspector {
    waiting: Arc<Mutex<Waiting>>,
    rounds: Arc<Rounds>,
}

/// Requests in the order in which they came, by the connection that the answers lead to.
type Waiting = HashMap<usize, VecDeque<(u64, Subject)>>;

/// What a client wants to see.
#[derive(Clone)]
pub(crate) enum Subject {
    /// A module's schema, as far as a client of this standing may see it.
    Schema(Arc<ModuleSchema>, Standing),
    /// How modules do.
    Modules(Arc<Catalogue>, Key),
}

impl Subject {
    /// Whether one answer serves both.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Schema(schema, standing), Self::Schema(other, other_standing)) => {
                Arc::ptr_eq(schema, other) && standing == other_standing
            }
            (Self::Modules(catalogue, key), Self::Modules(other, other_key)) => {
                Arc::ptr_eq(catalogue, other) && key == other_key
            }
            _ => false,
        }
    }
}

impl Inspector {
    /// Notes a request; it is answered in its connection's turn.
    pub(crate) fn ask(&self, subject: Subject, replies: &Replies, request: u64) {
        let mut waiting = self.waiting();
        match waiting.get_mut(&replies.way_id()) {
            Some(requests) => requests.push_back((request, subject)),
            None => {
                waiting.insert(replies.way_id(), VecDeque::from([(request, subject)]));
                drop(waiting);
                actix::spawn(self.clone().answer(replies.clone()));
            }
        }
    }

    /// Answers what one connection asks, until nothing of it waits.
    async fn answer(self, replies: Replies) {
        loop {
            replies.room().await;
            let Some((subject, requests)) = self.next(&replies) else {
                return;
            };
            let body = match subject.clone() {
                Subject::Schema(schema, standing) => {
                    tokio::task::spawn_blocking(move || encoded_schema(&schema, standing))
                        .await
                        .ok()
                }
                Subject::Modules(catalogue, key) => self.rounds.gather(catalogue, key).await,
            };
            self.send(&replies, body.as_deref(), subject, requests);
        }
    }

    /// The next requests of a connection that have one answer; when there are none, or nobody
    /// reads them, it is forgotten.
    fn next(&self, replies: &Replies) -> Option<(Subject, VecDeque<u64>)> {
        let mut waiting = self.waiting();
        let requests = waiting.get_mut(&replies.way_id())?;
        let Some((first, subject)) = requests.pop_front().filter(|_| !replies.is_closed()) else {
            waiting.remove(&replies.way_id());
            return None;
        };
        let mut same = VecDeque::from([first]);
        while same.len() < BATCH_MAX
            && let Some((request, _)) = requests.pop_front_if(|(_, next)| next.is(&subject))
        {
            same.push_back(request);
        }
        Some((subject, same))
    }

    /// Sends as many answers as the client has room for, the first in any case. The others wait
    /// for an answer of their own.
    fn send(
        &self,
        replies: &Replies,
        body: Option<&[u8]>,
        subject: Subject,
        mut requests: VecDeque<u64>,
    ) {
        let mut is_first = true;
        while let Some(id) = requests.pop_front_if(|_| is_first || replies.has_room()) {
            is_first = false;
            match body {
                Some(body) => replies.send_encoded(id, body),
                None => replies.send(Response {
                    id,
                    body: Err(Failure::internal("an answer could not be made")),
                }),
            }
        }
        if let Some(waiting) = self.waiting().get_mut(&replies.way_id()) {
            for id in requests.into_iter().rev() {
                waiting.push_front((id, subject.clone()));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encoded_schema(schema: &ModuleSchema, standing: Standing) -> Arc<[u8]> {
    let schema = match standing {
        Standing::Owner => schema.clone(),
        Standing::Guest => schema.public_view(),
    };
    encoded(ResponseBody::Schema(schema))
}

/// A response's body as it travels.
fn encoded(body: ResponseBody) -> Arc<[u8]> {
    let body: Result<_, Failure> = Ok(body);
    let bytes = postcard::to_allocvec(&body).unwrap_or_else(|error| {
        let failure = Failure::internal(format!("an answer could not be encoded: {error}"));
        // A failure has only texts in it, which are always written.
        postcard::to_allocvec(&Err::<ResponseBody, _>(failure)).unwrap_or_default()
    });
    bytes.into()
}

#[cfg(test)]
mod tests;
