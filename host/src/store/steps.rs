//! The seam around the store: each call into sled, and each write, sync and rename of ours, is
//! announced before it is done.
//!
//! The node has nobody who listens ([`Unwatched`]). Tests stop the store between any two steps, or
//! look at what a crash there leaves.

use std::io;
use std::path::Path;

use crate::files::FileStep;

/// One thing that is about to be done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call into sled that writes, by what it does.
    Sled(&'static str),
    /// A file of ours is written.
    Write,
    /// A file is synced, ours or sled's.
    Sync,
    /// A file of ours takes its name.
    Rename,
    /// The names in a directory are synced.
    SyncNames,
}

/// Whoever is told of the steps, on the thread that does them.
pub trait Steps: Send + Sync {
    /// `step` is about to be done to `file` (for sled: its directory). Everything announced before
    /// has been done.
    ///
    /// # Errors
    /// Instead of the step: it is then not done, and the store stops as after any failed write.
    fn before(&self, step: Step, file: &Path) -> io::Result<()>;
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Steps for Unwatched {
    fn before(&self, _step: Step, _file: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl From<FileStep> for Step {
    fn from(step: FileStep) -> Self {
        match step {
            FileStep::Write => Self::Write,
            FileStep::Sync => Self::Sync,
            FileStep::Rename => Self::Rename,
            FileStep::SyncNames => Self::SyncNames,
        }
    }
}
