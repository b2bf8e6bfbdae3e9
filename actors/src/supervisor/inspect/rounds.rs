//! How modules do, gathered in rounds: each asks the modules' actors once, for all requests that
//! came before it began.
//!
//! A round runs on a thread where waiting is allowed. Rounds of one set of modules follow each
//! other with a pause of twice their length, so that they take at most a third of a core, and a
//! busy module's actor is rarely interrupted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use interstice_abi::{
    id::ModuleName,
    schema::{TableSchema, Visibility},
    wire::{ModuleStatus, ResponseBody, Standing, TableStatus, TimerCounts},
};
use interstice_host::table::Hashing;
use tokio::sync::oneshot;

use super::encoded;
use crate::{
    module::{
        Order,
        core::{Statistics, StatisticsDepth},
        home::ModuleAddress,
    },
    supervisor::catalogue::{Catalogue, Entry},
};

/// Longest pause between two rounds: a module that keeps a round waiting is not the fault of who
/// asks next.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Which modules, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    what: What,
    is_owner: bool,
    /// Only this one.
    only: Option<ModuleName>,
}

/// What is gathered of each module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Status,
    Timers,
}

/// Rounds that are under way or wanted, by what they gather.
#[derive(Default)]
pub(crate) struct Rounds {
    wanted: Mutex<HashMap<Key, Wanted>>,
}

struct Wanted {
    catalogue: Arc<Catalogue>,
    waiting: Waiting,
}

/// Who waits for a round.
type Waiting = Vec<oneshot::Sender<Arc<[u8]>>>;

impl Key {
    /// What a client of this standing may see of all modules, or of `only`.
    pub(crate) fn new(standing: Standing, only: Option<ModuleName>) -> Self {
        Self {
            what: What::Status,
            is_owner: standing == Standing::Owner,
            only,
        }
    }

    /// How many timers the modules have that a client of this standing may see.
    pub(crate) fn timers(standing: Standing) -> Self {
        Self {
            what: What::Timers,
            ..Self::new(standing, None)
        }
    }
}

impl Rounds {
    /// The encoded answer of the next round that begins. `None` when the node ends before.
    pub(super) async fn gather(
        self: &Arc<Self>,
        catalogue: Arc<Catalogue>,
        key: Key,
    ) -> Option<Arc<[u8]>> {
        let (waiter, gathered) = oneshot::channel();
        {
            let mut wanted = self.wanted();
            match wanted.get_mut(&key) {
                Some(round) => {
                    round.catalogue = catalogue;
                    round.waiting.push(waiter);
                }
                None => {
                    let waiting = vec![waiter];
                    wanted.insert(key.clone(), Wanted { catalogue, waiting });
                    actix::spawn(self.clone().run(key));
                }
            }
        }
        gathered.await.ok()
    }

    async fn run(self: Arc<Self>, key: Key) {
        while let Some((catalogue, waiting)) = self.next(&key) {
            let (began, of) = (Instant::now(), key.clone());
            let gathered = tokio::task::spawn_blocking(move || gather(&catalogue, &of)).await;
            let Ok(body) = gathered else {
                // The thread has panicked, which is reported there; those who wait are told by the
                // dropped channels.
                self.wanted().remove(&key);
                return;
            };
            for waiter in waiting {
                // A client that has gone does not want it.
                let _ = waiter.send(body.clone());
            }
            tokio::time::sleep((began.elapsed() * 2).min(PAUSE_MAX)).await;
        }
    }

    /// The requests that wait for the next round; without one, no round is made.
    fn next(&self, key: &Key) -> Option<(Arc<Catalogue>, Waiting)> {
        let mut wanted = self.wanted();
        let round = wanted.get_mut(key)?;
        let waiting = std::mem::take(&mut round.waiting);
        if waiting.is_empty() {
            wanted.remove(key);
            return None;
        }
        Some((round.catalogue.clone(), waiting))
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<Key, Wanted>> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks every module that may be seen, and waits for all of them.
fn gather(catalogue: &Catalogue, key: &Key) -> Arc<[u8]> {
    let depth = match key.what {
        What::Status if key.is_owner => StatisticsDepth::WithDigest,
        What::Status | What::Timers => StatisticsDepth::Counts,
    };
    let seen = catalogue.entries().map(|(_, entry)| entry).filter(|entry| {
        let schema = &entry.installed.schema;
        (key.is_owner || schema.visibility == Visibility::Public)
            && key.only.as_ref().is_none_or(|only| *only == schema.name)
    });
    let asked: Vec<_> = seen
        .map(|entry| {
            let (reply, answer) = oneshot::channel();
            let address = &entry.installed.address;
            address.do_send(Order::Statistics(depth, reply));
            (entry, answer)
        })
        .collect();
    let told = asked.into_iter().filter_map(|(entry, answer)| {
        // A module that goes meanwhile is no longer there to tell of.
        Some((entry, answer.blocking_recv().ok()?))
    });
    encoded(Ok(match key.what {
        What::Status => {
            let told = told.map(|(entry, mut statistics)| {
                let hashing = statistics.digest.take().filter(|_| key.is_owner);
                let digest = hashing.map(|hashing| digest(hashing, &entry.installed.address));
                status(entry, statistics, digest, key.is_owner)
            });
            ResponseBody::Modules(told.collect())
        }
        What::Timers => {
            let told = told.map(|(entry, statistics)| TimerCounts {
                module: entry.installed.schema.name.clone(),
                pending: statistics.timers_pending,
                failed: statistics.timers_failed,
            });
            ResponseBody::TimerCounts(told.collect())
        }
    }))
}

fn status(
    entry: &Entry,
    statistics: Statistics,
    digest: Option<[u64; 4]>,
    is_owner: bool,
) -> ModuleStatus {
    let installed = &entry.installed;
    let schemas = installed.schema.tables.iter();
    let schemas: HashMap<&str, &TableSchema> =
        schemas.map(|table| (table.name.as_str(), table)).collect();
    let tables = statistics.tables.into_iter().filter_map(|counted| {
        let table = schemas.get(counted.name.as_str())?;
        (is_owner || table.visibility == Visibility::Public).then_some(TableStatus {
            name: counted.name,
            visibility: table.visibility,
            persistence: table.persistence,
            rows: counted.rows,
            bytes: counted.bytes,
        })
    });
    ModuleStatus {
        name: installed.schema.name.clone(),
        version: installed.schema.version,
        state: installed.state.clone(),
        visibility: installed.schema.visibility,
        hash: installed.hash,
        tables: tables.collect(),
        counters: statistics.counters,
        queue_depth: statistics.queue_depth,
        last_fault: statistics.last_fault.filter(|_| is_owner),
        digest,
    }
}

/// Hashes pages, and lets the module remember them.
fn digest(hashing: Hashing, module: &ModuleAddress) -> [u64; 4] {
    let (digest, pages) = hashing.finish();
    module.do_send(Order::Hashed(pages));
    digest.0
}
