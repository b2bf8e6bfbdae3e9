//! Who watches which table of a node, and which changes of a step are theirs.
//!
//! Module actors on all threads use it at once: a step selects before it is recorded and publishes
//! behind its record. What one watch does with its changes is in `watcher.rs`.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;
use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{Epoch, ModuleName, Position, TableId},
    wire::{ResponseBody, Standing, WatchEvent, WatchedChange},
};
use interstice_host::{log::Log, module::Effect, table::Change};

use super::{
    index::Index,
    watcher::{Watcher, body_of, frames},
};
use crate::{module::step::is_ephemeral, record::StepRecord, supervisor::catalogue::Catalogue};

/// Who watches which table of a node.
#[derive(Default)]
pub(crate) struct Watchers {
    /// The lists are shared with the changes on their way to them.
    tables: DashMap<TableKey, Arc<Vec<Arc<Watcher>>>>,
    count: AtomicUsize,
    /// The same watches, by connection and request.
    index: Index,
}

/// A module and the name of one of its tables.
pub(super) type TableKey = (ModuleName, String);

/// What an upgrade means to a client that watches a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgraded {
    /// It can go on.
    Same,
    /// It cannot read the rows that are there from here on.
    OtherRows,
    /// Rows have gone, which no change tells.
    Empty,
    /// There is no such table.
    Gone,
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
        let key = (module.clone(), table.to_string());
        self.tables
            .entry(key.clone())
            .and_modify(|watchers| Arc::make_mut(watchers).push(watcher.clone()))
            .or_insert_with(|| Arc::new(vec![watcher.clone()]));
        self.count.fetch_add(1, Ordering::AcqRel);
        self.index.add(watcher, key);
    }

    /// Removes the watches of all tables that `keep` does not keep.
    fn retain(&self, keep: impl Fn(&TableKey, &Arc<Watcher>) -> bool) {
        let mut removed = 0;
        self.tables.retain(|key, watchers| {
            removed += self.retain_of(watchers, |watcher| keep(key, watcher));
            !watchers.is_empty()
        });
        self.count.fetch_sub(removed, Ordering::AcqRel);
    }

    /// Removes the watches of one table that have ended.
    fn remove_ended(&self, key: &TableKey) {
        let mut removed = 0;
        self.tables.remove_if_mut(key, |_, watchers| {
            removed = self.retain_of(watchers, |watcher| !watcher.has_ended());
            watchers.is_empty()
        });
        self.count.fetch_sub(removed, Ordering::AcqRel);
    }

    /// How many of a table's watches were removed.
    fn retain_of(
        &self,
        watchers: &mut Arc<Vec<Arc<Watcher>>>,
        keep: impl Fn(&Arc<Watcher>) -> bool,
    ) -> usize {
        // Each is asked once: what it is asked may end it.
        let verdicts: Vec<bool> = watchers.iter().map(keep).collect();
        if !verdicts.contains(&false) {
            return 0;
        }
        let before = watchers.len();
        let mut verdicts = verdicts.into_iter();
        Arc::make_mut(watchers).retain(|watcher| {
            let is_kept = verdicts.next().unwrap_or(true);
            if !is_kept {
                self.index.remove(watcher);
            }
            is_kept
        });
        before - watchers.len()
    }

    /// Ends one watch of a connection, or all of them. Whether there was one that had not ended by
    /// itself. Only the tables of these watches are looked at.
    pub(crate) fn end(&self, connection: u64, request: Option<u64>) -> bool {
        let mut ended = false;
        let found = self.index.take(connection, request);
        for (watcher, _) in &found {
            ended |= watcher.end();
        }
        let tables: BTreeSet<TableKey> = found.into_iter().map(|(_, table)| table).collect();
        tables.iter().for_each(|table| self.remove_ended(table));
        ended
    }

    /// Ends the watches of a module's tables, with a failure that says why.
    pub(crate) fn end_module(&self, module: &ModuleName, why: &Failure) {
        self.retain(|(watched, _), watcher| {
            let ended = watched == module;
            if ended {
                watcher.fail(why.clone());
            }
            !ended
        });
    }

    /// Ends the watches of a module's tables that an upgrade has changed for their clients, as
    /// `upgraded` says. They get what was recorded before, then the reason and, where they can
    /// resume, the last position.
    pub(crate) fn end_changed(
        &self,
        log: &Log,
        module: &ModuleName,
        upgraded: impl Fn(&str, Option<Fingerprint>) -> Upgraded,
    ) {
        let ended = std::cell::RefCell::new(Vec::new());
        self.retain(|(watched, table), watcher| {
            let change = if watched == module {
                upgraded(table, watcher.row_type)
            } else {
                Upgraded::Same
            };
            let why = match change {
                Upgraded::Same => return true,
                Upgraded::OtherRows => "its rows are of another type: read the schema again",
                Upgraded::Empty => "it has begun empty: watch again",
                Upgraded::Gone => "it is gone",
            };
            let why = format!("module `{module}` was upgraded; table `{table}`: {why}");
            ended.borrow_mut().push((watcher.clone(), change, why));
            false
        });
        let ended = ended.into_inner();
        if !ended.is_empty() {
            log.when_durable(Box::new(move |_| {
                for (watcher, change, why) in ended {
                    match change {
                        Upgraded::OtherRows => watcher.other_rows(&why),
                        _ => watcher.fail(Failure::new(Code::SchemaConflict, why)),
                    }
                }
            }));
        }
    }

    /// Ends the watches of guests who may not go on, with the reason.
    pub(crate) fn end_unreadable(
        &self,
        may_go_on: impl Fn(&ModuleName, &str) -> Result<(), Failure>,
    ) {
        self.retain(|(module, table), watcher| {
            if watcher.standing == Standing::Owner {
                return true;
            }
            let allowed = may_go_on(module, table);
            let goes_on = allowed.is_ok();
            allowed.unwrap_or_else(|denied| watcher.fail(denied));
            goes_on
        });
    }

    /// The changes of a step that somebody watches, with their positions. Watches that have ended
    /// by themselves go.
    pub(crate) fn select(
        &self,
        catalogue: &Catalogue,
        epoch: Epoch,
        record: &StepRecord,
    ) -> Selected {
        let mut selected: Selected = Vec::new();
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
        selected
    }

    fn of_table(
        &self,
        catalogue: &Catalogue,
        module: &ModuleName,
        table: TableId,
    ) -> Arc<Vec<Arc<Watcher>>> {
        let Some(table) = table_name(catalogue, module, table) else {
            return Arc::default();
        };
        let key = (module.clone(), table);
        let of_key = || self.tables.get(&key).map(|watchers| watchers.clone());
        let watchers = of_key().unwrap_or_default();
        if watchers.iter().any(|watcher| watcher.has_ended()) {
            self.remove_ended(&key);
        }
        watchers
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
    /// Frame by frame: a step may change more than one holds.
    fn publish(self) {
        let watchers = self.watchers;
        for frame in frames(self.changes) {
            if watchers.iter().all(|watcher| watcher.has_ended()) {
                return;
            }
            publish(&watchers, frame);
        }
    }
}

fn publish(watchers: &[Arc<Watcher>], frame: Vec<WatchedChange>) {
    let body = body_of(frame);
    let encoded = postcard::to_allocvec(&body);
    let Ok(ResponseBody::Watch(WatchEvent::Changes(changes))) = body else {
        return;
    };
    match encoded {
        Ok(encoded) => {
            for watcher in watchers {
                watcher.changes(&changes, &encoded);
            }
        }
        // What is in memory encodes: a mistake of ours, and nobody may miss a change without being
        // told.
        Err(error) => {
            for watcher in watchers {
                watcher.fail(Failure::internal(&error));
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
fn watched(position: Position, change: &Change) -> WatchedChange {
    WatchedChange {
        position,
        before: change.before.as_ref().map(|row| row.to_vec()),
        after: change.after.as_ref().map(|row| row.to_vec()),
    }
}

#[cfg(test)]
mod tests;
