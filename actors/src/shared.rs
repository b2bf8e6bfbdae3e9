//! What all actors of one node share: who the node is, its log, its lines, its watchers, and the way to the supervisor.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use actix::Addr;
use interstice_abi::id::{Epoch, ModuleName, NodeId};
use interstice_host::log::{Log, LogError, LogPosition, Records, Staged, Wakes};

use crate::{
    clock::NodeClock,
    history::History,
    lines::Lines,
    module::{lane::Lane, readings::Readings, watch::watchers::Watchers},
    remote::Remote,
    shedding::Shedding,
    slots::Slots,
    supervisor::{Broken, Endings, Supervisor},
    turns::Turns,
};

/// Bytes of records that may wait for the disk before modules wait for it, too: one of the largest steps. A smaller bound would stop
/// every module for each large step.
const UNSYNCED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Who a node is.
pub(crate) struct Who {
    /// Its id.
    pub(crate) id: NodeId,
    /// Keys the random streams of steps.
    pub(crate) seed: [u8; 32],
    /// Its epoch.
    pub(crate) epoch: Epoch,
}

/// Shared by all actors of a node.
pub(crate) struct Shared {
    /// The node's id.
    pub(crate) id: NodeId,
    /// Keys the random streams of steps.
    pub(crate) seed: [u8; 32],
    /// The node's epoch.
    pub(crate) epoch: Epoch,
    /// The record of steps.
    pub(crate) log: Log,
    /// What modules and the node say.
    pub(crate) lines: Arc<Lines>,
    /// Who watches which table.
    pub(crate) watchers: Watchers,
    /// Tables that clients read page by page.
    pub(crate) readings: Readings,
    /// Bytes of records since the last checkpoint: when the next one is due.
    pub(crate) recorded_bytes: AtomicU64,
    /// Who answers calls to modules of other nodes.
    pub(crate) remote: Arc<dyn Remote>,
    /// Where long work goes on.
    pub(crate) lane: Lane,
    /// What module actors do not begin, or do not go on with.
    pub(crate) shedding: Shedding,
    /// Turns that are under way, for owners.
    pub(crate) turns: Turns,
    /// What is remembered of the log for those who ask for history.
    pub(crate) history: History,
    /// Why a checkpoint could not be written, if so.
    pub(crate) unwritten: OnceLock<String>,
    clock: NodeClock,
    /// Slots for work that goes on for as long as its client reads.
    pub(crate) slots: Slots,
    supervisor: OnceLock<Addr<Supervisor>>,
}

impl Shared {
    /// Before any actor runs.
    pub(crate) fn new(
        who: Who,
        log: Log,
        lines: Arc<Lines>,
        remote: Arc<dyn Remote>,
        lane: Lane,
        clock: NodeClock,
    ) -> Self {
        Self {
            id: who.id,
            seed: who.seed,
            epoch: who.epoch,
            log,
            lines,
            watchers: Watchers::default(),
            readings: Readings::default(),
            recorded_bytes: AtomicU64::new(0),
            remote,
            lane,
            shedding: Shedding::default(),
            turns: Turns::default(),
            history: History::default(),
            unwritten: OnceLock::new(),
            clock,
            slots: Slots::default(),
            supervisor: OnceLock::new(),
        }
    }

    /// The node's time, in milliseconds since 1970. A jump of the system's clock is a warning in
    /// the node's log.
    pub(crate) fn now_ms(&self) -> u64 {
        let (now_ms, jump) = self.clock.now();
        if let Some(jump) = jump {
            self.lines.warn(None, None, &jump.text());
        }
        now_ms
    }

    /// Makes the supervisor known, once.
    pub(crate) fn set_supervisor(&self, supervisor: Addr<Supervisor>) {
        // A second call would be a second supervisor, which `Node` never makes.
        let _ = self.supervisor.set(supervisor);
    }

    /// Appends a record.
    pub(crate) fn append(&self, bytes: Vec<u8>) {
        self.recorded_bytes
            .fetch_add(u64::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
        self.log.append(bytes);
    }

    /// Appends a record that is on the disk.
    pub(crate) fn append_staged(&self, staged: Staged) {
        self.recorded_bytes
            .fetch_add(staged.bytes(), Ordering::Relaxed);
        self.log.append_staged(staged);
    }

    /// Appends records.
    pub(crate) fn append_all(&self, records: Records) {
        self.count(&records);
        self.log.append_all(records);
    }

    /// Appends records and runs `then` once they and everything before them are synced, on the log's thread, which wakes the tasks that
    /// it names when it has told all others.
    pub(crate) fn append_all_then(
        &self,
        records: Records,
        then: impl FnOnce(Result<LogPosition, LogError>, &mut Wakes) + Send + 'static,
    ) {
        self.count(&records);
        self.log.append_all_then(records, Box::new(then));
    }

    fn count(&self, records: &Records) {
        let bytes = u64::try_from(records.bytes()).unwrap_or(0);
        self.recorded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits until everything that was appended is synced.
    pub(crate) async fn synced(&self) -> Result<(), String> {
        let (synced, wait) = tokio::sync::oneshot::channel();
        self.log.when_durable(Box::new(move |durable| {
            // Whoever waits may have gone with the node.
            let _ = synced.send(durable.map(|_| ()).map_err(|error| error.to_string()));
        }));
        wait.await.map_err(|_| "the log has ended".to_string())?
    }

    /// Waits while too much waits for the disk: modules that write faster than the disk would fill the memory with records. Decides
    /// when turns run, never what they do.
    pub(crate) async fn room_in_log(&self) {
        if self.log.queued_bytes() > UNSYNCED_BYTES_MAX {
            // A log that has failed has no more to wait for, and stops the node.
            drop(self.synced().await);
        }
    }

    /// From now on a log that can no longer be written stops the node, which says so.
    pub(crate) fn hear_of_poison(self: &Arc<Self>) {
        // Weak: the log, which keeps this, is in `self`.
        let shared = Arc::downgrade(self);
        self.log.when_poisoned(Box::new(move |error| {
            if let Some(shared) = shared.upgrade() {
                shared.stop_because(&error.to_string());
            }
        }));
    }

    /// Tells the supervisor what has ended.
    pub(crate) fn tell_supervisor(&self, endings: Endings) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.do_send(endings);
        }
    }

    /// A module's actor has panicked: a mistake of ours. The node stops taking turns; a restart recovers from the log.
    pub(crate) fn broken(&self, module: &ModuleName) {
        let text = "the actor of the module has panicked; this is a bug of Interstice, please report it with this log";
        self.lines.error(Some(module), None, text);
        self.stop_because(&format!("the actor of module `{module}` has panicked"));
    }

    /// Stops the node because it cannot keep its promises.
    pub(crate) fn stop_because(&self, reason: &str) {
        self.lines.error(
            None,
            None,
            &format!("the node stops taking turns: {reason}"),
        );
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.do_send(Broken(reason.to_string()));
        }
    }
}
