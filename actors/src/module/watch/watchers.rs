//! Who watches which table of a node, and which changes of a step are theirs.
//!
//! Module actors on all threads use it at once: a step selects before it is recorded and publishes behind its record. What one
//! watch does with its changes is in `watcher.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use interstice_abi::{
    failure::Failure,
    id::{Epoch, ModuleName, Position, TableId},
    wire::{ResponseBody, WatchEvent, WatchedChange},
};
use interstice_host::{log::Log, module::Effect, table::Change};

use super::watcher::{Watcher, body_of};
use crate::{module::step::is_ephemeral, record::StepRecord, supervisor::catalogue::Catalogue};

/// Who watches which table of a node.
#[derive(Default)]
pub(crate) struct Watchers {
    /// The lists are shared with the changes on their way to them.
    tables: DashMap<(ModuleName, String), Arc<Vec<Arc<Watcher>>>>,
    count: AtomicUsize,
}

/// Changes of tables, and who is to be told of them.
pub(crate) type Selected = Vec<Watched>;

/// Changes of one table that is watched.
pub(crate) struct Watched {
    module: ModuleName,
    table: TableId,
    watchers: Arc<Vec<Arc<Watcher>>>,
    changes: Vec<WatchedChange>,
}

impl Watchers {
    /// Whether nobody watches anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Enters a watch that has begun.
    pub(super) fn add(&self, module: &ModuleName, table: &str, watcher: Arc<Watcher>) {
        self.tables
            .entry((module.clone(), table.to_string()))
            .and_modify(|watchers| Arc::make_mut(watchers).push(watcher.clone()))
            .or_insert_with(|| Arc::new(vec![watcher.clone()]));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn retain(&self, keep: impl Fn(&(ModuleName, String), &Watcher) -> bool) -> usize {
        let mut removed = 0;
        self.tables.retain(|key, watchers| {
            let before = watchers.len();
            if !watchers.iter().all(|watcher| keep(key, watcher)) {
                Arc::make_mut(watchers).retain(|watcher| keep(key, watcher));
            }
            removed += before - watchers.len();
            !watchers.is_empty()
        });
        self.count.fetch_sub(removed, Ordering::AcqRel);
        removed
    }

    /// Ends one watch of a connection, or all of them. Whether there was one that had not ended by itself.
    pub(crate) fn end(&self, connection: u64, request: Option<u64>) -> bool {
        let ended = std::cell::Cell::new(false);
        self.retain(|_, watcher| {
            let ends = watcher.connection == connection
                && request.is_none_or(|request| watcher.request == request);
            if ends && watcher.end() {
                ended.set(true);
            }
            !ends
        });
        ended.get()
    }

    /// Ends the watches of a module's tables that `ends` names, with a failure that says why.
    pub(crate) fn end_tables(
        &self,
        module: &ModuleName,
        why: &Failure,
        ends: impl Fn(&str) -> bool,
    ) {
        self.retain(|(watched, table), watcher| {
            let ended = watched == module && ends(table);
            if ended {
                watcher.fail(why.clone());
            }
            !ended
        });
    }

    /// The changes of a step that somebody watches, with their positions. Watches that have ended by themselves go.
    pub(crate) fn select(
        &self,
        catalogue: &Catalogue,
        epoch: Epoch,
        record: &StepRecord,
    ) -> Selected {
        let mut selected: Selected = Vec::new();
        let mut any_ended = false;
        let mut index = 0;
        for effect in &record.effects {
            let position = Position {
                epoch,
                seq: record.seq,
                step: record.step,
                index,
            };
            index += u32::from(!is_ephemeral(catalogue, effect));
            let Effect::Change { module, change } = effect else {
                continue;
            };
            let known = selected
                .iter()
                .position(|known| known.table == change.table && known.module == *module);
            let place = known.unwrap_or_else(|| {
                let watchers = self.of_table(catalogue, module, change.table);
                any_ended |= watchers.iter().any(|watcher| watcher.has_ended());
                selected.push(Watched {
                    module: module.clone(),
                    table: change.table,
                    watchers,
                    changes: Vec::new(),
                });
                selected.len() - 1
            });
            if let Some(found) = selected.get_mut(place)
                && !found.watchers.is_empty()
            {
                found.changes.push(watched(position, change));
            }
        }
        selected.retain(|watched| !watched.changes.is_empty());
        if any_ended {
            self.retain(|_, watcher| !watcher.has_ended());
        }
        selected
    }

    fn of_table(
        &self,
        catalogue: &Catalogue,
        module: &ModuleName,
        table: TableId,
    ) -> Arc<Vec<Arc<Watcher>>> {
        let watchers = table_name(catalogue, module, table)
            .and_then(|table| Some(self.tables.get(&(module.clone(), table))?.clone()));
        watchers.unwrap_or_default()
    }

    /// Hands changes over once everything recorded so far is synced.
    pub(crate) fn publish_when_durable(&self, log: &Log, selected: Selected) {
        if !selected.is_empty() {
            log.when_durable(Box::new(move |durable| {
                if durable.is_ok() {
                    selected.into_iter().for_each(Watched::publish);
                }
            }));
        }
    }
}

impl Watched {
    fn publish(self) {
        let body = body_of(self.changes);
        let encoded = postcard::to_allocvec(&body);
        let Ok(ResponseBody::Watch(WatchEvent::Changes(changes))) = body else {
            return;
        };
        match encoded {
            Ok(encoded) => {
                for watcher in self.watchers.iter() {
                    watcher.changes(&changes, &encoded);
                }
            }
            // What is in memory encodes: a mistake of ours, and nobody may miss a change without being told.
            Err(error) => {
                for watcher in self.watchers.iter() {
                    watcher.fail(Failure::internal(&error));
                }
            }
        }
    }
}

fn table_name(catalogue: &Catalogue, module: &ModuleName, table: TableId) -> Option<String> {
    let entry = catalogue.entry(catalogue.index_of(module)?)?;
    entry
        .installed
        .schema
        .tables
        .get(usize::from(table.0))
        .map(|table| table.name.clone())
}

/// A change as its watchers get it.
pub(super) fn watched(position: Position, change: &Change) -> WatchedChange {
    WatchedChange {
        position,
        before: change.before.as_ref().map(|row| row.to_vec()),
        after: change.after.as_ref().map(|row| row.to_vec()),
    }
}
