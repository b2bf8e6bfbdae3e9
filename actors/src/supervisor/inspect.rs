//! Large answers about the node: schemas, the status of modules, their timers and grants, and lines
//! of logs. The supervisor only notes who asks; what is answered is made and sent on other threads,
//! and for one client at a time.
//!
//! Invariants: an answer is made when its client has taken what was sent before, and is counted
//! among its unsent bytes at once, so thousands of unread requests hold thousands of ids and no
//! answers; the status of one set of modules is gathered once for everybody who waits for it
//! ([`rounds`]). What the node itself does is in `status.rs`, its sizes are in [`gauges`].

pub(crate) mod gauges;

pub(crate) mod logs;

pub(crate) mod rounds;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use interstice_abi::{
    failure::Failure,
    id::ModuleName,
    schema::ModuleSchema,
    wire::{Response, ResponseBody, Standing},
};
use tokio::sync::{Semaphore, oneshot};

use self::{
    logs::LogsRequest,
    rounds::{Key, Rounds},
};
use super::catalogue::{Catalogue, ModuleIndex};
use crate::{
    ingress::Replies,
    module::{Order, gone, home::ModuleAddress, timers::TimersWanted},
};

/// Most requests that one answer is made for.
const BATCH_MAX: usize = 64;

/// Answers that are made or sent at a time: each takes a thread for a moment, and memory until it
/// is sent.
const ANSWERS_AT_A_TIME: usize = 4;

/// Who waits for which answer.
#[derive(Clone)]
pub(crate) struct Inspector {
    waiting: Arc<Mutex<Waiting>>,
    rounds: Arc<Rounds>,
    threads: Arc<Semaphore>,
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
    /// What a module may do.
    Grants(Arc<Catalogue>, ModuleIndex),
    /// A page of the timers of the module of this name.
    Timers(ModuleAddress, ModuleName, TimersWanted),
    /// Lines of logs.
    Logs(Arc<LogsRequest>),
}

impl Default for Inspector {
    fn default() -> Self {
        Self {
            waiting: Arc::default(),
            rounds: Arc::default(),
            threads: Arc::new(Semaphore::new(ANSWERS_AT_A_TIME)),
        }
    }
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
            (Self::Grants(catalogue, module), Self::Grants(other, other_module)) => {
                Arc::ptr_eq(catalogue, other) && module == other_module
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
            let body = self.body(subject.clone()).await;
            let (inspector, to) = (self.clone(), replies.clone());
            let sent = self.on_thread(move || match subject {
                Subject::Logs(wanted) => requests.iter().for_each(|id| wanted.answer(&to, *id)),
                subject => inspector.send(&to, body.as_deref(), subject, requests),
            });
            sent.await;
        }
    }

    /// The answer as it travels; `None` when none could be made, or it is no single one.
    async fn body(&self, subject: Subject) -> Option<Arc<[u8]>> {
        match subject {
            Subject::Schema(schema, standing) => {
                self.on_thread(move || encoded_schema(&schema, standing))
                    .await
            }
            Subject::Modules(catalogue, key) => self.rounds.gather(catalogue, key).await,
            Subject::Grants(catalogue, module) => {
                self.on_thread(move || encoded_grants(&catalogue, module))
                    .await
            }
            Subject::Timers(address, name, wanted) => {
                let (reply, answer) = oneshot::channel();
                address.do_send(Order::Timers(wanted, reply));
                let page = answer.await.map_err(|_| gone(&name));
                self.on_thread(move || encoded(page.map(ResponseBody::Timers)))
                    .await
            }
            Subject::Logs(_) => None,
        }
    }

    /// Does something that takes a moment where nothing waits for it. `None` when it panics.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // The semaphore is never closed.
        let place = self.threads.clone().acquire_owned().await;
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        work.await.ok()
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
    encoded(Ok(ResponseBody::Schema(schema)))
}

fn encoded_grants(catalogue: &Catalogue, module: ModuleIndex) -> Arc<[u8]> {
    let entry = catalogue.entry(module);
    let entries = entry.map(|entry| entry.installed.grants.entries().to_vec());
    encoded(Ok(ResponseBody::Grants(entries.unwrap_or_default())))
}

/// A response's body as it travels.
fn encoded(body: Result<ResponseBody, Failure>) -> Arc<[u8]> {
    let bytes = postcard::to_allocvec(&body).unwrap_or_else(|error| {
        let failure = Failure::internal(format!("an answer could not be encoded: {error}"));
        // A failure has only texts in it, which are always written.
        postcard::to_allocvec(&Err::<ResponseBody, _>(failure)).unwrap_or_default()
    });
    bytes.into()
}

#[cfg(test)]
mod tests;
