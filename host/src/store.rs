//! The tables' trees on disk, and the marker that says how far they are complete. Over sled 0.34,
//! whose types do not leave this file's folder.
//!
//! In the store's directory are `tables/`, which is sled's, and `marker` (`marker` has its bytes).
//! In sled there is one tree per module and table, named by `trees`, and in sled's default tree
//! one entry, `generation`, a little-endian `u64` that counts commits.
//!
//! - The marker is what the caller makes of it (a log position and what goes with it). It moves
//!   only in [`Store::commit`], after everything written before is on the disk: sled is flushed,
//!   and then its files are synced by us, because sled's own flush on Linux does not survive a
//!   power cut. A process killed at any point leaves the old marker or the next one, and trees at
//!   least as far as the marker.
//! - Trees may be *ahead* of the marker, by whole batches (`batch`). The caller's recovery redoes
//!   whole rows from the marker on, and so must not mind.
//! - sled drops the end of its file when it finds it damaged, without a word. The generation,
//!   written last before each flush and kept in the marker too, tells: a store that is behind its
//!   marker does not open.
//! - Pages are packed ([`crate::packed`]): sled writes each of them several times.
//! - A single page that sled loses, or brings back as it was, is noticed by its tree's sum (`sum`).
//! - sled's flush timer is off: nothing happens between calls. A failed write or sync poisons the
//!   store until it is opened again, because nobody knows then what a later commit would vouch
//!   for.

mod batch;
mod database;
mod error;
mod guard;
mod held;
mod marker;
mod steps;
mod sum;
mod sync;
#[cfg(test)]
mod tests;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files;
use crate::table::KeyBytes;

pub use error::StoreError;
pub use steps::{Step, Steps, Unwatched};
pub use trees::Pages;

use database::Database;
use guard::Guard;
use marker::Marker;

/// How much sled keeps in memory by default, in bytes: tables are in memory already, so this
/// serves only the writing.
pub const CACHE_BYTES: u64 = 64 << 20;

/// sled's directory in the store's.
const SLED_DIRECTORY: &str = "tables";
/// The marker's file in the store's directory.
const MARKER_FILE: &str = "marker";
/// The key of the commit counter in sled's default tree.
const GENERATION_KEY: &str = "generation";

/// One page to write: the tree, the key in it, and the page; `None` removes the key.
pub type PageEntry<P = Vec<u8>> = (Arc<str>, KeyBytes, Option<P>);

/// An open store. One per directory; the directory's lock is the caller's business.
pub struct Store {
    directory: PathBuf,
    guard: Guard,
    database: Database,
    state: Mutex<State>,
}

enum State {
    /// As of the last commit, if there ever was one.
    Sound { marker: Option<Marker> },
    /// A write failed.
    Poisoned,
}

impl Store {
    /// Opens the store in `directory`, which is made when it is missing. `cache_bytes` bounds
    /// sled's cache ([`CACHE_BYTES`]).
    ///
    /// # Errors
    /// [`StoreError::Sled`], [`StoreError::Panicked`], [`StoreError::Marker`] or
    /// [`StoreError::Behind`] for damaged files, [`StoreError::Io`] when the operating system
    /// refuses.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        Self::open_watched(directory, cache_bytes, Arc::new(Unwatched))
    }

    /// As [`Store::open`], with somebody who is told of every step.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_watched(
        directory: &Path,
        cache_bytes: u64,
        steps: Arc<dyn Steps>,
    ) -> Result<Self, StoreError> {
        let tables = directory.join(SLED_DIRECTORY);
        files::create_private_dir(&tables)
            .map_err(|source| StoreError::io("create", &tables, source))?;
        let marker = marker::read(&directory.join(MARKER_FILE))?;
        let guard = Guard::new(tables.clone(), steps);
        let database = guard.write("open", || held::open(&tables, cache_bytes))?;
        let store = Self {
            directory: directory.to_owned(),
            guard,
            database: Database::new(database),
            state: Mutex::new(State::Poisoned),
        };
        let expected = marker.as_ref().map_or(0, |marker| marker.generation);
        let found = store.generation()?;
        if found < expected {
            return Err(StoreError::Behind {
                directory: tables,
                found,
                expected,
            });
        }
        *store.lock() = State::Sound { marker };
        Ok(store)
    }

    /// Writes pages of one module. Not durable before [`Store::commit`].
    ///
    /// Each tree's pages are written in the order given, in one batch up to a few megabytes and in
    /// several beyond. After a crash the tree has a beginning of them that ends with a batch, so
    /// the order must be one in which no beginning loses a row.
    ///
    /// `module` is any name; one that was dropped may only be used again once
    /// [`Store::drop_module`] has returned.
    ///
    /// # Errors
    /// [`StoreError::Sled`] or [`StoreError::Panicked`]; the store is then poisoned.
    pub fn write<P: Into<Vec<u8>>>(
        &self,
        module: &str,
        writes: impl IntoIterator<Item = PageEntry<P>>,
    ) -> Result<(), StoreError> {
        let mut trees: BTreeMap<Arc<str>, batch::Writes<P>> = BTreeMap::new();
        for (tree, key, page) in writes {
            trees.entry(tree).or_default().push((key, page));
        }
        self.change(|_| {
            for (tree, writes) in trees {
                let name = trees::name(module, &tree);
                let tree = self
                    .guard
                    .write("open a tree of", || self.database.open_tree(&name))?;
                batch::write(&self.guard, &tree, writes)?;
            }
            Ok(())
        })
    }

    /// Makes everything written before durable, then moves the marker. After a crash at any point
    /// [`Store::marker`] is the old one or this.
    ///
    /// # Errors
    /// [`StoreError::Sled`], [`StoreError::Panicked`] or [`StoreError::Io`]; the store is then
    /// poisoned, and the marker may have moved only if everything else had succeeded.
    pub fn commit(&self, marker: &[u8]) -> Result<(), StoreError> {
        self.change(|last| {
            let marker = Marker {
                generation: self.generation()? + 1,
                bytes: marker.to_vec(),
            };
            self.guard.write("write to", || {
                let generation = marker.generation.to_le_bytes();
                self.database.insert(GENERATION_KEY, &generation)
            })?;
            self.guard.write("flush", || self.database.flush())?;
            sync::sync_below(&self.directory.join(SLED_DIRECTORY), self.guard.steps())?;
            marker::write(
                &self.directory.join(MARKER_FILE),
                &marker,
                self.guard.steps(),
            )?;
            *last = Some(marker);
            Ok(())
        })
    }

    /// The last marker that was committed; `None` in a store without one.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    pub fn marker(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match &*self.lock() {
            State::Sound { marker } => Ok(marker.as_ref().map(|marker| marker.bytes.clone())),
            State::Poisoned => Err(self.poisoned()),
        }
    }

    /// The pages of one tree with their keys, in key order; none for a tree that does not exist.
    #[must_use]
    pub fn pages(&self, module: &str, tree: &str) -> Pages {
        Pages::new(&self.database, &self.guard, &trees::name(module, tree))
    }

    /// The modules that have trees, in order: also those whose trees a crash has kept from being
    /// dropped.
    #[must_use]
    pub fn modules(&self) -> BTreeSet<String> {
        trees::all(&self.database)
            .map(|(module, _)| module)
            .collect()
    }

    /// The trees of one module, in order.
    #[must_use]
    pub fn trees(&self, module: &str) -> Vec<String> {
        let names: BTreeSet<String> = trees::all(&self.database)
            .filter(|(owner, _)| owner == module)
            .map(|(_, tree)| tree)
            .collect();
        names.into_iter().collect()
    }

    /// Removes one tree of a module. For when it may be called see [`Store::drop_module`].
    ///
    /// # Errors
    /// [`StoreError::Sled`] or [`StoreError::Panicked`]; the store is then poisoned.
    pub fn drop_tree(&self, module: &str, tree: &str) -> Result<(), StoreError> {
        let name = trees::name(module, tree);
        self.change(|_| {
            let dropped = self
                .guard
                .write("drop a tree of", || self.database.drop_tree(&name))?;
            tracing::debug!(module, tree, dropped, "dropped a tree");
            Ok(())
        })
    }

    /// Removes a module's trees, one after the other. Call it after the commit of a marker that no
    /// longer needs them: a crash in between leaves some, which [`Store::modules`] shows.
    ///
    /// # Errors
    /// [`StoreError::Sled`] or [`StoreError::Panicked`]; the store is then poisoned.
    pub fn drop_module(&self, module: &str) -> Result<(), StoreError> {
        for tree in self.trees(module) {
            self.drop_tree(module, &tree)?;
        }
        Ok(())
    }

    /// Runs a change, which may move the marker, and poisons the store when it fails. Changes do
    /// not overlap: the lock is held.
    fn change(
        &self,
        change: impl FnOnce(&mut Option<Marker>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let State::Sound { marker } = &mut *state else {
            return Err(self.poisoned());
        };
        let result = change(marker);
        if result.is_err() {
            *state = State::Poisoned;
        }
        result
    }

    fn generation(&self) -> Result<u64, StoreError> {
        let found = self
            .guard
            .run("read", || self.database.get(GENERATION_KEY))?;
        let bytes = found.and_then(|bytes| bytes.first_chunk().copied());
        Ok(bytes.map_or(0, u64::from_le_bytes))
    }

    fn poisoned(&self) -> StoreError {
        StoreError::Poisoned {
            directory: self.directory.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if matches!(*self.lock(), State::Poisoned) {
            self.database.fail();
        }
    }
}
