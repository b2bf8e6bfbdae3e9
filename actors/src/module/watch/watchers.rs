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
    wire::WatchedChange,
};
use interstice_host::{log::Log, module::Effect, table::Change};

use super::watcher::Watcher;
use crate::{module::step::is_ephemeral, record::StepRecord, supervisor::catalogue::Catalogue};

/// Who watches which table of a node.
#[derive(Default)]
pub(crate) struct Watchers {
    tables: DashMap<(ModuleName, String), Vec<Arc<Watcher>>>,
    count: AtomicUsize,
}

/// Changes and who is to be told of them.
pub(crate) type Selected = Vec<(Arc<Watcher>, Vec<WatchedChange>)>;

impl Watchers {
    /// Whether nobody watches anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Enters a watch that has begun.
    pub(super) fn add(&self, module: &ModuleName, table: &str, watcher: Arc<Watcher>) {
        self.tables
            .entry((module.clone(), table.to_string()))
            .or_default()
            .push(watcher);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn retain(&self, keep: impl Fn(&(ModuleName, String), &Watcher) -> bool) -> usize {
        let mut removed = 0;
        self.tables.retain(|key, watchers| {
            let before = watchers.len();
            watchers.retain(|watcher| keep(key, watcher));
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
            let Some(table) = table_name(catalogue, module, change.table) else {
                continue;
            };
            let Some(watchers) = self.tables.get(&(module.clone(), table)) else {
                continue;
            };
            for watcher in watchers.iter() {
                any_ended |= watcher.has_ended();
                let changed = watched(position, change);
                match selected
                    .iter_mut()
                    .find(|(known, _)| Arc::ptr_eq(known, watcher))
                {
                    Some((_, changes)) => changes.push(changed),
                    None => selected.push((watcher.clone(), vec![changed])),
                }
            }
        }
        if any_ended {
            self.retain(|_, watcher| !watcher.has_ended());
        }
        selected
    }

    /// Hands changes over once everything recorded so far is synced.
    pub(crate) fn publish_when_durable(&self, log: &Log, selected: Selected) {
        if !selected.is_empty() {
            log.when_durable(Box::new(move |durable| {
                if durable.is_ok() {
                    selected
                        .into_iter()
                        .for_each(|(watcher, changes)| watcher.changes(changes));
                }
            }));
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
