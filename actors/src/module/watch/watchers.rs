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
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{Epoch, ModuleName, Position, TableId},
    wire::{ResponseBody, Standing, WatchEvent, WatchedChange},
};
use interstice_host::{log::Log, module::Effect, table::Change};

use super::watcher::{Watcher, body_of, frames};
use crate::{module::step::is_ephemeral, record::StepRecord, supervisor::catalogue::Catalogue};

/// Who watches which table of a node.
#[derive(Default)]
pub(crate) struct Watchers {
    /// The lists are shared with the changes on their way to them.
    tables: DashMap<(ModuleName, String), Arc<Vec<Arc<Watcher>>>>,
    count: AtomicUsize,
}

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
        self.tables
            .entry((module.clone(), table.to_string()))
            .and_modify(|watchers| Arc::make_mut(watchers).push(watcher.clone()))
            .or_insert_with(|| Arc::new(vec![watcher.clone()]));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn retain(&self, keep: impl Fn(&(ModuleName, String), &Arc<Watcher>) -> bool) -> usize {
        let mut removed = 0;
        self.tables.retain(|key, watchers| {
            let before = watchers.len();
            // Each is asked once: what it is asked may end it.
            let verdicts: Vec<bool> = watchers.iter().map(|watcher| keep(key, watcher)).collect();
            if verdicts.contains(&false) {
                let mut verdicts = verdicts.into_iter();
                Arc::make_mut(watchers).retain(|_| verdicts.next().unwrap_or(true));
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
        // What is in memory encodes: a mistake of ours, and nobody may miss a change without being told.
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
mod tests {
    use std::time::Duration;

    use interstice_abi::{
        id::{Seq, StepIndex},
        wire::{FRAME_BYTES_MAX, Response},
    };
    use interstice_client::frame::Decoder;

    use super::*;
    use crate::ingress::Replies;

    const CHANGES: u32 = 70;

    fn at(index: u32) -> Position {
        Position {
            seq: Seq(9),
            step: StepIndex(1),
            index,
            ..Position::default()
        }
    }

    /// Changes of one step that no frame holds, of a mebibyte each.
    fn published(replies: &Replies) {
        let change = |index| WatchedChange {
            position: at(index),
            before: None,
            after: Some(vec![7; 1024 * 1024]),
        };
        let watched = Watched {
            module: ModuleName::new("any").expect("a name"),
            table: TableId(0),
            watchers: Arc::new(vec![Arc::new(Watcher::live(replies.clone()))]),
            changes: (0..CHANGES).map(change).collect(),
        };
        watched.publish();
        replies.outbox().finish();
    }

    /// The positions of the changes that a client gets, and why its watch has ended.
    async fn received(replies: &Replies) -> (Vec<Position>, Option<Failure>) {
        let mut written = Vec::new();
        let stall = Duration::from_secs(30);
        replies
            .outbox()
            .write_to(&mut written, stall)
            .await
            .expect("is written");
        let mut decoder = Decoder::<Response>::new(FRAME_BYTES_MAX);
        let (mut positions, mut failure) = (Vec::new(), None);
        for part in written.chunks(1 << 20) {
            decoder.extend(part);
            while let Some((response, _)) = decoder.message().expect("is a frame") {
                match response.body {
                    Ok(ResponseBody::Watch(WatchEvent::Changes(changes))) => {
                        positions.extend(changes.iter().map(|change| change.position));
                    }
                    Ok(other) => unreachable!("{other:?}"),
                    Err(why) => failure = Some(why),
                }
            }
        }
        (positions, failure)
    }

    #[tokio::test]
    async fn a_step_that_changes_more_than_a_frame_holds_is_published_in_frames() {
        let replies = Replies::new(1 << 30, 1 << 30);
        published(&replies);
        let (positions, failure) = received(&replies).await;
        assert_eq!(failure, None);
        assert_eq!(positions, (0..CHANGES).map(at).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_watch_that_cannot_keep_up_with_a_step_is_shown_where_in_it_to_resume() {
        let replies = Replies::new(1 << 30, 5 << 20);
        published(&replies);
        let (positions, failure) = received(&replies).await;
        let last = positions.last().expect("it got some").to_string();
        assert!(positions.len() < 20, "{positions:?}");
        let failure = failure.expect("the watch has ended");
        assert!(
            failure.message.ends_with(&format!("--from {last}")),
            "{failure}"
        );
    }
}
