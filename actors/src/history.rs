//! Reading a node's past: turns of a module ([`turns`]), tables as they were ([`table_at`]), and
//! what a watch ([`changes`]) or a module that was stopped ([`missed`]) has missed.
//!
//! Everything here runs on threads of its own, as many as there are [`crate::slots`] for it, and
//! reads what is durable in the log; no actor waits for it. [`index`] remembers where in the log
//! which turns and modules are, [`versions`] which schema held when, and [`page`] puts records
//! into the shapes of the protocol. Who may ask, and what is known without the log, is in
//! `supervisor/requests/past.rs`.

mod changes;

mod index;

mod missed;

mod page;

mod table_at;

mod turns;

mod versions;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    schema::ModuleSchema,
    wire::{Response, ResponseBody},
};
use interstice_host::{
    limits::Limits,
    log::{LogError, LogPosition},
};

use self::index::Index;
pub(crate) use self::{
    changes::MissedChanges,
    missed::{Found, Gap, Heard, HeardBy, MissedItem, MissedRequest, Place, is_subscribed},
    table_at::{TableAtRequest, Viewer},
    turns::TurnsRequest,
};
use crate::{
    base::Base,
    ingress::{Peer, Replies},
    shared::Shared,
    slots::Slot,
    supervisor::{catalogue::present::PresentModules, install::installer::Installer},
};

/// Schemas of older binaries that are kept in memory.
const SCHEMAS_MAX: usize = 64;

/// What a node remembers of its log between requests.
#[derive(Default)]
pub(crate) struct History {
    index: Mutex<Index>,
    /// Schemas of binaries that no longer run, by hash.
    schemas: Mutex<HashMap<[u8; 32], Arc<ModuleSchema>>>,
    /// What stands in the oldest base, beside its file.
    marked: Mutex<Option<Marked>>,
    /// Tables that guests are reading as they were.
    guests: Mutex<Vec<Arc<GuestRead>>>,
}

/// A table that a guest is reading as it was.
pub(crate) struct GuestRead {
    module: ModuleName,
    table: String,
    replies: Replies,
    request: u64,
    /// Why it may not go on; it ends with that.
    denied: OnceLock<Failure>,
}

/// Counts as being read until it is dropped.
struct Reading {
    shared: Arc<Shared>,
    read: Arc<GuestRead>,
}

impl Reading {
    fn begin(shared: &Arc<Shared>, read: GuestRead) -> Self {
        let read = Arc::new(read);
        shared.history.guests().push(read.clone());
        Self {
            shared: shared.clone(),
            read,
        }
    }

    /// Nothing more is read. Why it was ended, if it was.
    fn end(self) -> Option<Failure> {
        self.read.denied.get().cloned()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut guests = self.shared.history.guests();
        guests.retain(|read| !Arc::ptr_eq(read, &self.read));
    }
}

/// A base's file, and the binaries of its modules.
type Marked = (PathBuf, HashMap<ModuleName, [u8; 32]>);

/// A request that may read the log. Its slot is given back when this is dropped.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    _slot: Slot,
}

/// What a request knows of the node beside its log.
pub(crate) struct Around {
    pub(crate) shared: Arc<Shared>,
    pub(crate) installer: Installer,
    pub(crate) limits: Limits,
    /// What was installed when it came.
    pub(crate) present: Arc<PresentModules>,
    /// Every turn behind this one, the oldest base's, is in the kept log; 0: all there ever were.
    pub(crate) kept_after: Seq,
    /// The bases on disk, oldest first.
    pub(crate) bases: Arc<[Base]>,
    /// The last turn that was stamped.
    pub(crate) last: Seq,
}

impl History {
    fn index(&self) -> MutexGuard<'_, Index> {
        // What a panic leaves is an index of a part of the log, which the next request continues.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schemas(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<ModuleSchema>>> {
        // Each change of the map is one call.
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guests(&self) -> MutexGuard<'_, Vec<Arc<GuestRead>>> {
        // Each change of the list is one call.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the reads of guests who may not go on, with the reason.
    pub(crate) fn end_unreadable(
        &self,
        may_go_on: impl Fn(&ModuleName, &str) -> Result<(), Failure>,
    ) {
        for read in self.guests().iter() {
            if let Err(denied) = may_go_on(&read.module, &read.table) {
                // The first reason stays. The reader sees that its stream has ended, and answers
                // with it.
                let _ = read.denied.set(denied);
                read.replies.stream_cancelled(read.request);
            }
        }
    }

    fn marked(&self) -> MutexGuard<'_, Option<Marked>> {
        // It is replaced as a whole.
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// A slot for a client.
    ///
    /// # Errors
    /// `Busy` when all are taken, or all that this client may have.
    pub(crate) fn begin(shared: &Arc<Shared>, peer: &Peer) -> Result<Self, Failure> {
        Ok(Self {
            shared: shared.clone(),
            _slot: shared.slots.readers.take(peer)?,
        })
    }

    /// Runs `read` on a thread of its own, once everything that is in the log so far is durable,
    /// and answers the request with its result. A client that has the answer finds the slot free.
    pub(crate) fn answer_when_durable(
        self,
        (replies, request): (Replies, u64),
        read: impl FnOnce(Result<(), Failure>) -> Result<ResponseBody, Failure> + Send + 'static,
    ) {
        let log = self.shared.log.clone();
        log.when_durable(Box::new(move |durable| {
            let durable = durable.map(drop).map_err(|error| {
                Failure::new(
                    Code::Unavailable,
                    format!("the log could not be written: {error}"),
                )
            });
            // Detached: it ends by itself when the log has been read or the client has gone.
            std::thread::spawn(move || {
                let body = read(durable);
                drop(self);
                replies.send(Response { id: request, body });
            });
        }));
    }
}

impl Around {
    /// The newest base that does not reach beyond turn `at`.
    fn base(&self, at: Seq) -> Option<&Base> {
        self.bases.iter().rev().find(|base| base.seq <= at)
    }

    /// The binary with which a module stands in the oldest base: its version before the log says
    /// of another.
    fn marked(&self, module: &ModuleName) -> Option<[u8; 32]> {
        let oldest = self.bases.first()?;
        let path = oldest.path.as_ref()?;
        let mut marked = self.shared.history.marked();
        if marked.as_ref().is_none_or(|(of, _)| of != path) {
            let head = oldest.head().ok()??;
            let modules = head.modules.into_iter();
            let hashes = modules.map(|module| (module.name, module.hash)).collect();
            *marked = Some((path.clone(), hashes));
        }
        marked.as_ref()?.1.get(module).copied()
    }

    /// Where the kept log begins.
    fn log_start(&self) -> LogPosition {
        self.bases
            .first()
            .map_or(LogPosition(0), |base| base.position)
    }

    /// The oldest turn that is kept.
    fn kept_from(&self) -> Seq {
        Seq(self.kept_after.0 + 1)
    }

    /// Whether a table can be read as of turn `at`.
    ///
    /// # Errors
    /// When the turn has not been, or is no longer kept.
    pub(crate) fn check(&self, at: Seq) -> Result<(), Failure> {
        if at > self.last {
            return Err(self.too_young(at));
        }
        // The end of a base's own turn is what it holds.
        match self.base(at) {
            Some(_) => Ok(()),
            None => Err(self.too_old(at)),
        }
    }

    /// The failure of whoever asks for a turn before the kept ones.
    fn too_old(&self, seq: Seq) -> Failure {
        Failure::new(
            Code::NotFound,
            format!(
                "turn {seq} is no longer in the log: history is kept from turn {} on",
                self.kept_from()
            ),
        )
    }

    /// The failure of whoever asks for a turn that has not been.
    fn too_young(&self, seq: Seq) -> Failure {
        Failure::new(
            Code::BadArguments,
            format!(
                "turn {seq} has not been yet: the last turn of the node is {}",
                self.last
            ),
        )
    }
}

/// What a failure to read the log means for whoever asks for history.
fn unreadable(error: &LogError) -> Failure {
    match error {
        LogError::Truncated { .. } => Failure::new(
            Code::NotFound,
            "that part of the history was dropped while it was being read; ask again",
        ),
        other => Failure::new(Code::Corrupt, other.to_string()),
    }
}
