//! Watching a table: its rows, then every change, in order, each once, none before it is synced.
//!
//! A watch begins at a place of the module's queue. There the rows are copied (or, with a position, the log is read from
//! behind it) and the watcher is entered in [`Watchers`]; from then on the actor of each step that changes the table hands
//! the changes over before it releases the module, so nothing is missed and nothing comes twice. What has been recorded
//! travels through the log's thread, which keeps the order.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use interstice_abi::{
    failure::{Code, Failure},
    id::{Epoch, ModuleName, Position, Seq, StepIndex, TableId},
    schema::Persistence,
    wire::{Response, ResponseBody, WatchEvent, WatchedChange},
};
use interstice_host::{log::Log, log::LogPosition, module::Effect, table::Change};

use super::{core::Core, step::is_ephemeral, turn::Ticket};
use crate::{
    ingress::Replies,
    record::{Record, StepRecord},
    supervisor::catalogue::{Catalogue, ModuleIndex},
};

/// Rows of a snapshot per frame, in bytes.
const SNAPSHOT_FRAME_BYTES: usize = 1024 * 1024;

/// A client wants to watch a table.
pub(crate) struct StartWatch {
    pub(crate) ticket: Ticket,
    pub(crate) module: ModuleIndex,
    pub(crate) table: TableId,
    pub(crate) table_name: String,
    pub(crate) from: Option<Position>,
    /// The first position that the log can still resume from.
    pub(crate) oldest: Position,
    /// Where the log begins.
    pub(crate) log_start: LogPosition,
    /// The last seq before the watch.
    pub(crate) seq: Seq,
    pub(crate) connection: u64,
    pub(crate) request: u64,
    pub(crate) replies: Replies,
}

/// Who watches which table of a node.
#[derive(Default)]
pub(crate) struct Watchers {
    tables: DashMap<(ModuleName, String), Vec<Arc<Watcher>>>,
    count: AtomicUsize,
}

/// One watch of one client.
pub(crate) struct Watcher {
    connection: u64,
    request: u64,
    replies: Replies,
    state: Mutex<State>,
}

enum State {
    /// The log is being read for what was before; what comes waits here.
    CatchingUp(Vec<WatchedChange>),
    Live,
    Ended,
}

/// Changes and who is to be told of them.
pub(crate) type Selected = Vec<(Arc<Watcher>, Vec<WatchedChange>)>;

impl Watchers {
    /// Whether nobody watches anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn add(&self, module: &ModuleName, table: &str, watcher: Arc<Watcher>) {
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

    /// Ends one watch of a connection, or all of them. Whether there was one.
    pub(crate) fn end(&self, connection: u64, request: Option<u64>) -> bool {
        let ended = |watcher: &Watcher| {
            watcher.connection == connection
                && request.is_none_or(|request| watcher.request == request)
        };
        self.retain(|_, watcher| {
            let ends = ended(watcher);
            if ends {
                *watcher.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Ended;
            }
            !ends
        }) > 0
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

fn watched(position: Position, change: &Change) -> WatchedChange {
    WatchedChange {
        position,
        before: change.before.as_ref().map(|row| row.to_vec()),
        after: change.after.as_ref().map(|row| row.to_vec()),
    }
}

impl Watcher {
    fn has_ended(&self) -> bool {
        matches!(
            *self.state.lock().unwrap_or_else(PoisonError::into_inner),
            State::Ended
        )
    }

    fn changes(&self, changes: Vec<WatchedChange>) {
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
    fn fail(&self, why: Failure) {
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
    fn go_live(&self) {
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

impl Core {
    /// Begins a watch: every earlier turn has left this module, no later one has come.
    pub(super) fn start_watch(&mut self, watch: StartWatch) {
        let (ticket, module) = (watch.ticket, watch.module);
        if let Err(failure) = self.begin(&watch) {
            watch.replies.send(Response {
                id: watch.request,
                body: Err(failure),
            });
        }
        self.queue.release(ticket);
        self.end_place(module, 0);
    }

    fn begin(&self, watch: &StartWatch) -> Result<(), Failure> {
        let schema = self.module.tables().schema();
        let persistence = schema
            .tables
            .get(usize::from(watch.table.0))
            .map(|table| table.persistence);
        let state = if watch.from.is_some() {
            State::CatchingUp(Vec::new())
        } else {
            State::Live
        };
        let watcher = Arc::new(Watcher {
            connection: watch.connection,
            request: watch.request,
            replies: watch.replies.clone(),
            state: Mutex::new(state),
        });
        match watch.from {
            None => self.send_snapshot(watch, &watcher)?,
            Some(_) if persistence == Some(Persistence::Ephemeral) => {
                return Err(Failure::new(
                    Code::BadArguments,
                    format!(
                        "table `{}` is ephemeral and has no history; watch it without --from",
                        watch.table_name
                    ),
                ));
            }
            Some(from) => self.catch_up(watch, from, &watcher)?,
        }
        self.shared
            .watchers
            .add(&self.name, &watch.table_name, watcher);
        if watch.replies.is_closed() {
            // The end of the connection came before the watch: nobody else removes it.
            self.shared
                .watchers
                .end(watch.connection, Some(watch.request));
        }
        Ok(())
    }

    fn send_snapshot(&self, watch: &StartWatch, watcher: &Arc<Watcher>) -> Result<(), Failure> {
        let mut frames = Vec::new();
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = self.module.tables().rows_after(
                watch.table,
                after.as_deref(),
                usize::MAX,
                SNAPSHOT_FRAME_BYTES,
            )?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            frames.push(
                page.into_iter()
                    .map(|(_, row)| row.into_vec())
                    .collect::<Vec<_>>(),
            );
        }
        let complete = Position {
            epoch: self.shared.epoch,
            seq: watch.seq,
            step: StepIndex(u32::MAX),
            index: u32::MAX,
        };
        if frames.is_empty() {
            frames.push(Vec::new());
        }
        let (watcher, count) = (watcher.clone(), frames.len());
        self.shared.log.when_durable(Box::new(move |durable| {
            if let Err(error) = durable {
                watcher.fail(Failure::new(
                    Code::Unavailable,
                    format!("the log could not be written: {error}"),
                ));
                return;
            }
            for (place, rows) in frames.into_iter().enumerate() {
                let event = WatchEvent::Rows {
                    rows,
                    complete: (place + 1 == count).then_some(complete),
                };
                watcher.replies.more(Response {
                    id: watcher.request,
                    body: Ok(ResponseBody::Watch(event)),
                });
            }
        }));
        Ok(())
    }

    /// Reads the log on a thread of its own, from behind `from` up to what this module has done so far.
    fn catch_up(
        &self,
        watch: &StartWatch,
        from: Position,
        watcher: &Arc<Watcher>,
    ) -> Result<(), Failure> {
        if from < watch.oldest {
            return Err(Failure::new(
                Code::NotFound,
                format!(
                    "the log no longer resumes from {from}, only from {}; watch without --from",
                    watch.oldest
                ),
            ));
        }
        let slot = CatchUp::begin()?;
        let log = self.shared.log.clone();
        let search = Search {
            module: self.name.clone(),
            table: watch.table,
            from,
            until: watch.seq,
            start: watch.log_start,
        };
        let watcher = watcher.clone();
        self.shared.log.when_durable(Box::new(move |durable| {
            if let Err(error) = durable {
                watcher.fail(Failure::new(
                    Code::Unavailable,
                    format!("the log could not be written: {error}"),
                ));
                return;
            }
            // Detached: it ends by itself when the log has been read or the client has gone.
            std::thread::spawn(move || {
                let _slot = slot;
                match search.run(&log, &watcher) {
                    Ok(()) => watcher.go_live(),
                    Err(failure) => watcher.fail(failure),
                }
            });
        }));
        Ok(())
    }
}

/// Watches that read the log at the same time; each is a thread and reads all that is kept.
const CATCH_UPS_MAX: usize = 16;

static CATCH_UPS: AtomicUsize = AtomicUsize::new(0);

/// One of the [`CATCH_UPS_MAX`] places.
struct CatchUp;

impl CatchUp {
    fn begin() -> Result<Self, Failure> {
        if CATCH_UPS.fetch_add(1, Ordering::AcqRel) >= CATCH_UPS_MAX {
            CATCH_UPS.fetch_sub(1, Ordering::AcqRel);
            return Err(Failure::new(
                Code::Busy,
                "too many watches resume at this moment; try again in a moment",
            ));
        }
        Ok(Self)
    }
}

impl Drop for CatchUp {
    fn drop(&mut self) {
        CATCH_UPS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a watch looks for in the log.
struct Search {
    module: ModuleName,
    table: TableId,
    from: Position,
    until: Seq,
    start: LogPosition,
}

impl Search {
    fn run(&self, log: &Log, watcher: &Watcher) -> Result<(), Failure> {
        for entry in log.read(self.start.max(log.start())) {
            let (_, bytes) =
                entry.map_err(|error| Failure::new(Code::Corrupt, error.to_string()))?;
            let record =
                Record::decode(&bytes).map_err(|problem| Failure::new(Code::Corrupt, problem))?;
            let Record::Step(step) = record else { continue };
            if step.seq < self.from.seq || step.seq > self.until {
                continue;
            }
            let found = self.changes(&step);
            if found.is_empty() {
                continue;
            }
            futures::executor::block_on(watcher.replies.room());
            if watcher.has_ended() || watcher.replies.is_closed() {
                return Ok(());
            }
            let body = Ok(ResponseBody::Watch(WatchEvent::Changes(found)));
            watcher.replies.more(Response {
                id: watcher.request,
                body,
            });
        }
        Ok(())
    }

    fn changes(&self, step: &StepRecord) -> Vec<WatchedChange> {
        (0..)
            .zip(&step.effects)
            .filter_map(|(index, effect)| {
                let position = Position {
                    epoch: self.from.epoch,
                    seq: step.seq,
                    step: step.step,
                    index,
                };
                match effect {
                    Effect::Change { module, change }
                        if *module == self.module
                            && change.table == self.table
                            && position > self.from =>
                    {
                        Some(watched(position, change))
                    }
                    _ => None,
                }
            })
            .collect()
    }
}
