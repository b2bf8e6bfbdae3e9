//! Writing what a marker has gathered: trees, marker, base; then what they replace goes.
//!
//! Every step waits for the one before to be on disk. A base that cannot be written is said and
//! tried again with a later checkpoint: the older one and its log are still there.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use interstice_abi::{id::ModuleName, id::Seq};
use interstice_host::{log::LogPosition, store::Store, table::PageWrite};

use super::marker::{Marker, drop_orphans};
use crate::{
    base::{self, Base, Head, history::History},
    directory::Directory,
    module::{checkpoint::Frozen, lane::make_way},
    record::Record,
    shared::Shared,
};

/// What a checkpoint's writer needs.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<Store>,
    pub(super) directory: Arc<Directory>,
    pub(super) history: History,
    /// Those on disk, oldest first.
    pub(super) bases: Vec<Base>,
    /// A backup is under way, so nothing of the history goes.
    pub(super) holds: bool,
    pub(super) marker: Marker,
    /// What a base is to say, when one is due.
    pub(super) base: Option<Head>,
    /// Whether it makes way for nobody: the node waits for it, or the log grows faster than
    /// checkpoints are written.
    pub(super) hurries: bool,
}

impl Writer {
    /// Writes everything, on a thread of its own; the bases that there are then.
    pub(super) async fn write(
        mut self,
        frozen: Vec<Frozen>,
        position: LogPosition,
    ) -> Result<Vec<Base>, String> {
        self.marker.position = position;
        self.shared.synced().await?;
        let write = move || {
            if !self.hurries {
                make_way();
            }
            self.write_all(frozen, position)
        };
        // A thread that has made way once does so for ever, and those of the pool serve others
        // too. But the pool's waits for it, and so does the end of the node, which lets go of its
        // folder only then.
        let writing = tokio::task::spawn_blocking(move || {
            let thread = std::thread::Builder::new().name("checkpoint".to_string());
            let thread = thread
                .spawn(write)
                .map_err(|error| format!("a thread for it cannot be started: {error}"))?;
            thread
                .join()
                .map_err(|_| "its thread has panicked".to_string())?
        });
        writing.await.map_err(|panic| panic.to_string())?
    }

    fn write_all(
        mut self,
        frozen: Vec<Frozen>,
        position: LogPosition,
    ) -> Result<Vec<Base>, String> {
        let copies = self.trees(frozen)?;
        if let Some(head) = self.base.take() {
            self.take_base(&head, position, &copies);
        }
        self.forget()?;
        Ok(self.bases)
    }

    /// The pages, then the marker. Hands back the copies for a base.
    fn trees(&self, frozen: Vec<Frozen>) -> Result<BTreeMap<ModuleName, Vec<PageWrite>>, String> {
        let mut copies = BTreeMap::new();
        for frozen in frozen {
            let modules = &self.marker.modules;
            let Some(module) = modules.iter().find(|module| module.name == frozen.module) else {
                continue;
            };
            let writes = frozen.pages.into_iter();
            let writes = writes.map(|write| (write.tree, write.key, write.page));
            self.store
                .write(&module.stored_as(), writes)
                .map_err(|error| error.to_string())?;
            copies.insert(frozen.module, frozen.copy);
        }
        self.store
            .commit(&self.marker.encode()?)
            .map_err(|error| error.to_string())?;
        drop_orphans(&self.store, &self.marker)?;
        Ok(copies)
    }

    fn take_base(
        &mut self,
        head: &Head,
        position: LogPosition,
        copies: &BTreeMap<ModuleName, Vec<PageWrite>>,
    ) {
        let written = base::prepare(self.directory.root())
            .map_err(|error| error.to_string())
            .and_then(|()| {
                base::write(self.directory.root(), head, position, copies)
                    .map_err(|error| error.to_string())
            });
        match written {
            Ok(base) => self.bases.push(base),
            Err(problem) => {
                let text = format!(
                    "a base could not be written, so the log keeps growing until one can: {problem}"
                );
                self.shared.lines.warn(None, None, &text);
            }
        }
    }

    /// Drops history that is not to be kept: bases first, then the log before the oldest that is
    /// left, then binaries that nothing names.
    fn forget(&mut self) -> Result<(), String> {
        if self.holds {
            return Ok(());
        }
        let taken_ms = |base: &Base| {
            let head = base.head().ok().flatten();
            // The empty one is as old as the node.
            head.map_or(0, |head| head.timestamp_ms)
        };
        // By the node's time, as bases are stamped: one that was taken while the system's clock
        // was ahead grows old like the others.
        let now_ms = self.shared.now_ms().max(self.marker.timestamp_ms);
        let kept = self
            .history
            .oldest_kept(&self.bases, self.marker.seq, now_ms, taken_ms);
        if kept == 0 {
            return Ok(());
        }
        for base in self.bases.drain(..kept) {
            if let Some(path) = &base.path {
                std::fs::remove_file(path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        let Some(oldest) = self.bases.first() else {
            return Ok(());
        };
        self.shared
            .log
            .truncate_before(oldest.position.min(self.marker.position))
            .map_err(|error| error.to_string())?;
        self.drop_binaries()
    }

    /// Removes module binaries that no base, no kept record and no marker names.
    fn drop_binaries(&self) -> Result<(), String> {
        let mut named: HashSet<[u8; 32]> = HashSet::new();
        let marked = |modules: &[super::marker::MarkedModule], named: &mut HashSet<[u8; 32]>| {
            named.extend(modules.iter().map(|module| module.hash));
        };
        marked(&self.marker.modules, &mut named);
        for base in &self.bases {
            let head = base.head().map_err(|error| error.to_string())?;
            marked(
                &head.map(|head| head.modules).unwrap_or_default(),
                &mut named,
            );
        }
        let settled = self.directory.settled_modules();
        let mut unnamed = settled.map_err(|error| error.to_string())?;
        unnamed.retain(|hash| !named.contains(hash));
        if unnamed.is_empty() {
            // Nearly always: reading the whole log would cost as much as the checkpoint.
            return Ok(());
        }
        // A binary is reserved until a record names it, and that record must be among those that
        // are read.
        let (tell, told) = std::sync::mpsc::channel();
        self.shared.log.when_durable(Box::new(move |durable| {
            // Whoever asks waits below.
            let _ = tell.send(durable);
        }));
        match told.recv() {
            Ok(durable) => durable.map_err(|error| error.to_string())?,
            Err(_) => return Err("the log has ended".to_string()),
        };
        for entry in self.shared.log.read(self.shared.log.start()) {
            let (_, bytes) = entry.map_err(|error| error.to_string())?;
            if let Ok(Record::Step(step)) = Record::decode(&bytes)
                && let Some(input) = step.input
            {
                let installs = |hash| input.installs().any(|(_, installed)| installed == hash);
                unnamed.retain(|unnamed| !installs(*unnamed));
            }
        }
        let mut dropped = 0_usize;
        for hash in &unnamed {
            let gone = self.directory.drop_module(hash);
            dropped += usize::from(gone.map_err(|error| error.to_string())?);
        }
        if dropped > 0 {
            tracing::debug!(dropped, "dropped binaries that nothing names");
        }
        Ok(())
    }
}

/// A turn up to which everything is in a base, for messages.
impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.path, self.seq) {
            (Some(path), _) => path.display().fmt(f),
            (None, Seq(_)) => f.write_str("the node's creation"),
        }
    }
}
