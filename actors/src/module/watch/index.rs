//! The watches of a node by connection and request, so that the end of one costs no look at the
//! others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{watcher::Watcher, watchers::TableKey};

/// The watches of a node.
#[derive(Default)]
pub(super) struct Index {
    watches: Mutex<BTreeMap<Key, (Arc<Watcher>, TableKey)>>,
}

/// The connection, the request, and the watcher's address: a client may use a request's id twice.
type Key = (u64, u64, usize);

impl Index {
    /// Enters a watch of a table.
    pub(super) fn add(&self, watcher: Arc<Watcher>, table: TableKey) {
        self.watches().insert(key(&watcher), (watcher, table));
    }

    /// Removes a watch.
    pub(super) fn remove(&self, watcher: &Arc<Watcher>) {
        self.watches().remove(&key(watcher));
    }

    /// Takes out one watch of a connection, or all of them.
    pub(super) fn take(
        &self,
        connection: u64,
        request: Option<u64>,
    ) -> Vec<(Arc<Watcher>, TableKey)> {
        let (first, last) = request.map_or((0, u64::MAX), |request| (request, request));
        let wanted = (connection, first, 0)..=(connection, last, usize::MAX);
        let mut watches = self.watches();
        let keys: Vec<Key> = watches.range(wanted).map(|(key, _)| *key).collect();
        let taken = keys.iter().filter_map(|key| watches.remove(key));
        taken.collect()
    }

    fn watches(&self) -> MutexGuard<'_, BTreeMap<Key, (Arc<Watcher>, TableKey)>> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(watcher: &Arc<Watcher>) -> Key {
    let address = Arc::as_ptr(watcher).addr();
    (watcher.connection, watcher.request, address)
}
