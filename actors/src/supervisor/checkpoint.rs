//! Checkpoints: the tables' trees on disk, complete up to a marker.
//!
//! The order is the promise. A marker takes a place in every module's queue; where it passes, the module freezes its changed
//! pages. When all have passed and the log is synced, the pages go into the store, the store is synced, and only then the
//! marker moves. A crash anywhere leaves the marker before, whose log is still there.

use std::sync::Arc;

use actix::prelude::{AsyncContext, Context, Message};
use interstice_abi::{
    id::{Epoch, ModuleName, NodeId, Seq},
    wire::ModuleState,
};
use interstice_host::{log::LogPosition, store::Store};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Supervisor, catalogue::Catalogue, grants::Grants, stamp::Stamper};
use crate::{
    lines::now_ms,
    module::{NewPlace, checkpoint::Frozen},
    shared::Shared,
};

/// A turn, and a place in the log behind which every later turn is.
pub(crate) type Mark = (Seq, LogPosition);

/// The format of markers.
const MARKER_FORMAT: u8 = 1;

/// How much log is kept behind a checkpoint for watchers that resume: the two segments of the design.
const HISTORY_BYTES: u64 = 128 * 1024 * 1024;

/// What a checkpoint holds besides pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The node's epoch.
    pub(crate) epoch: Epoch,
    /// The last turn that the pages hold.
    pub(crate) seq: Seq,
    /// The time of that turn, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// Where recovery starts to read the log.
    pub(crate) position: LogPosition,
    /// The first seq of which every later one is in the kept log, and where the kept log begins.
    pub(crate) history: Mark,
    /// What is installed.
    pub(crate) modules: Vec<MarkedModule>,
    /// Whose connections were open.
    pub(crate) connected: Vec<NodeId>,
    /// Whether the node was stopped in order: then no seq behind `seq` was given out.
    pub(crate) clean: Clean,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Clean {
    /// It was stopped, and everything is in the checkpoint.
    Stopped,
    /// It went on.
    Running,
}

/// A module of a marker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MarkedModule {
    /// Its name.
    pub(crate) name: ModuleName,
    /// BLAKE3 of its binary.
    pub(crate) hash: [u8; 32],
    /// Whether it serves.
    pub(crate) state: ModuleState,
    /// What it may do.
    pub(crate) grants: Grants,
    /// The turn that installed it.
    pub(crate) since: Seq,
}

impl Marker {
    /// The marker's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        postcard::to_extend(self, vec![MARKER_FORMAT]).map_err(|error| error.to_string())
    }

    /// Reads a marker.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&MARKER_FORMAT, rest)) => {
                postcard::from_bytes(rest).map_err(|error| error.to_string())
            }
            _ => Err("the checkpoint's marker is of another format".to_string()),
        }
    }
}

impl MarkedModule {
    /// What the store calls its trees: an upgrade or a new install begins trees of its own, so that the older ones stay whole
    /// until a marker no longer needs them.
    pub(crate) fn stored_as(&self) -> String {
        format!("{}#{}", self.name, self.since)
    }
}

/// Drops the trees of modules, and of older selves of modules, that the marker does not name. The marker is on disk.
pub(crate) fn drop_orphans(store: &Store, marker: &Marker) -> Result<(), String> {
    for stored in store.modules() {
        if !marker
            .modules
            .iter()
            .any(|module| module.stored_as() == stored)
        {
            store
                .drop_module(&stored)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// What the supervisor knows of checkpoints.
pub(crate) struct Checkpoints {
    /// Where the kept log begins, and from which seq on it is complete.
    history: Mark,
    /// Markers of this run, oldest first: where the log may be cut.
    marks: Vec<Mark>,
    phase: Phase,
    /// The last seq that the last checkpoint holds.
    last: Option<Seq>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Markers are in the queues.
    Freezing,
    /// Pages go to disk.
    Writing,
}

/// The end of a checkpoint, or of its first phase.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum CheckpointDone {
    /// All modules have frozen their pages.
    Frozen,
    /// The marker is on disk.
    Written {
        /// Up to which turn.
        seq: Seq,
        /// Where the log may be cut later.
        marks: Vec<Mark>,
        /// Where it may be cut now.
        history: Mark,
    },
    /// It could not be written.
    Failed(String),
}

impl Checkpoints {
    /// Behind what recovery has read.
    pub(crate) fn after(history: Mark, marks: Vec<Mark>) -> Self {
        Self {
            history,
            marks,
            phase: Phase::Idle,
            last: None,
        }
    }

    /// From which seq on the kept log is complete.
    pub(crate) fn history_start(&self) -> Seq {
        self.history.0
    }

    /// Where the kept log begins.
    pub(crate) fn log_start(&self) -> LogPosition {
        self.history.1
    }

    /// Whether markers are in the queues.
    pub(crate) fn is_freezing(&self) -> bool {
        self.phase == Phase::Freezing
    }

    /// Whether one is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Waits for none any more.
    pub(crate) fn abandon(&mut self) {
        self.phase = Phase::Idle;
    }

    /// Whether a last one has something to write.
    pub(crate) fn needs_last(&self, stamper: &Stamper) -> bool {
        self.last != Some(stamper.last_seq())
    }
}

/// Where the log may be cut once a checkpoint at `mark` is on disk: at the oldest mark that leaves enough history. Older
/// marks are dropped.
fn history_after(marks: &mut Vec<Mark>, mut history: Mark, mark: Mark) -> Mark {
    marks.push(mark);
    let wanted = mark.1.0.saturating_sub(HISTORY_BYTES);
    while let Some(next) = marks.get(1).copied() {
        if next.1.0 > wanted {
            break;
        }
        history = next;
        marks.remove(0);
    }
    history
}

impl Supervisor {
    /// Begins a checkpoint when enough was recorded since the last one.
    pub(crate) fn maybe_checkpoint(&mut self, ctx: &mut Context<Self>) {
        let due = self
            .shared
            .recorded_bytes
            .load(std::sync::atomic::Ordering::Relaxed)
            >= self.config.checkpoint_bytes;
        if due
            && !self.checkpoints.is_running()
            && !self.barrier.is_running()
            && self.refuses().is_ok()
        {
            self.start_checkpoint(ctx);
        }
    }

    /// Sends markers to all modules and writes what they freeze.
    pub(crate) fn start_checkpoint(&mut self, ctx: &mut Context<Self>) {
        self.checkpoints.phase = Phase::Freezing;
        self.shared
            .recorded_bytes
            .store(0, std::sync::atomic::Ordering::Relaxed);
        let seq = self.stamper.last_seq();
        let (marked, position) = oneshot::channel();
        self.shared.log.mark(Box::new(move |position| {
            // The writer waits for it as long as the node runs.
            let _ = marked.send(position);
        }));
        let ticket = self.stamper.ticket();
        let mut frozen = Vec::new();
        let modules: Vec<_> = self.catalogue.entries().map(|(index, _)| index).collect();
        for index in modules {
            let (reply, answer) = oneshot::channel();
            self.outgoing.add(index, NewPlace::Marker(ticket, reply));
            frozen.push(answer);
        }
        self.send_out();
        let marker = Marker {
            epoch: self.shared.epoch,
            seq,
            timestamp_ms: self.stamper.last_ms().max(now_ms()),
            position: LogPosition(0),
            history: self.checkpoints.history,
            modules: marked_modules(&self.catalogue),
            connected: self.connected.clone(),
            clean: match self.stopping {
                super::Stopping::No => Clean::Running,
                super::Stopping::Draining(_) => Clean::Stopped,
            },
        };
        let writer = Writer {
            shared: self.shared.clone(),
            store: self.store.clone(),
            marker,
        };
        let supervisor = ctx.address();
        let mut marks = self.checkpoints.marks.clone();
        let history = self.checkpoints.history;
        let work = async move {
            let Ok(Ok(position)) = position.await else {
                supervisor.do_send(CheckpointDone::Failed("the log has ended".to_string()));
                return;
            };
            let mut pages = Vec::new();
            for answer in frozen {
                match answer.await {
                    Ok(frozen) => pages.push(frozen),
                    Err(_) => {
                        supervisor.do_send(CheckpointDone::Failed(
                            "a module's actor has ended".to_string(),
                        ));
                        return;
                    }
                }
            }
            supervisor.do_send(CheckpointDone::Frozen);
            let history = history_after(&mut marks, history, (seq, position));
            let done = writer.write(pages, position, history).await;
            supervisor.do_send(match done {
                Ok(()) => CheckpointDone::Written {
                    seq,
                    marks,
                    history,
                },
                Err(problem) => CheckpointDone::Failed(problem),
            });
        };
        actix::spawn(work);
    }

    /// Takes in the end of a checkpoint.
    pub(crate) fn finish_checkpoint(&mut self, done: CheckpointDone) {
        match done {
            CheckpointDone::Frozen => self.checkpoints.phase = Phase::Writing,
            CheckpointDone::Written {
                seq,
                marks,
                history,
            } => {
                self.checkpoints.phase = Phase::Idle;
                self.checkpoints.last = Some(seq);
                self.checkpoints.marks = marks;
                self.checkpoints.history = history;
            }
            CheckpointDone::Failed(problem) => {
                self.checkpoints.phase = Phase::Idle;
                self.checkpoints.last = Some(self.stamper.last_seq());
                // Frozen pages are no longer marked as changed in memory, so a later checkpoint would miss them.
                self.shared
                    .stop_because(&format!("a checkpoint could not be written: {problem}"));
                self.broken
                    .get_or_insert_with(|| format!("a checkpoint could not be written: {problem}"));
            }
        }
    }
}

fn marked_modules(catalogue: &Catalogue) -> Vec<MarkedModule> {
    catalogue
        .entries()
        .map(|(_, entry)| MarkedModule {
            name: entry.installed.schema.name.clone(),
            hash: entry.installed.hash,
            state: entry.installed.state.clone(),
            grants: entry.installed.grants.clone(),
            since: entry.installed.since,
        })
        .collect()
}

/// What a checkpoint's writer needs.
struct Writer {
    shared: Arc<Shared>,
    store: Arc<Store>,
    marker: Marker,
}

impl Writer {
    async fn write(
        mut self,
        pages: Vec<Frozen>,
        position: LogPosition,
        history: Mark,
    ) -> Result<(), String> {
        self.marker.position = position;
        self.marker.history = history;
        let (synced, wait) = oneshot::channel();
        self.shared.log.when_durable(Box::new(move |durable| {
            let _ = synced.send(durable.map(|_| ()).map_err(|error| error.to_string()));
        }));
        wait.await.map_err(|_| "the log has ended".to_string())??;
        let writing = tokio::task::spawn_blocking(move || {
            for frozen in pages {
                let Some(module) = self
                    .marker
                    .modules
                    .iter()
                    .find(|module| module.name == frozen.module)
                else {
                    continue;
                };
                let writes = frozen
                    .pages
                    .into_iter()
                    .map(|write| (write.tree, write.key, write.page.map(|page| page.encode())))
                    .collect();
                self.store
                    .write(&module.stored_as(), writes)
                    .map_err(|error| error.to_string())?;
            }
            self.store
                .commit(&self.marker.encode()?)
                .map_err(|error| error.to_string())?;
            drop_orphans(&self.store, &self.marker)?;
            self.shared
                .log
                .truncate_before(history.1)
                .map_err(|error| error.to_string())
        });
        writing.await.map_err(|panic| panic.to_string())?
    }
}
