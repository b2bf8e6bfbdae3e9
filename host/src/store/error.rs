//! Everything that can go wrong with the store.

use std::io;
use std::path::PathBuf;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {operation} {} ({source}): check the disk, its space and the permissions", file.display())]
    Io {
        /// What was attempted: a verb.
        operation: &'static str,
        /// The file or directory.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// sled refused.
    #[error("cannot {operation} the tables in {} ({source}): check the disk and its space, or see what doctor can repair", directory.display())]
    Sled {
        /// What was attempted: a verb.
        operation: &'static str,
        /// sled's directory.
        directory: PathBuf,
        /// What sled said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// sled gave up on what it found in its files.
    #[error("cannot {operation} the tables in {}, their files are damaged ({reason}): see what doctor can repair, or restore a backup", directory.display())]
    Panicked {
        /// What was attempted: a verb.
        operation: &'static str,
        /// sled's directory.
        directory: PathBuf,
        /// What sled said.
        reason: String,
    },
    /// The marker's file is not one.
    #[error("the checkpoint marker {} is damaged ({reason}): see what doctor can repair, or restore a backup", file.display())]
    Marker {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The trees are older than the marker says: a part of sled's files is damaged or missing.
    #[error("the tables in {} are at checkpoint {found} but the marker says {expected}, so some of their files are damaged or missing: see what doctor can repair, or restore a backup", directory.display())]
    Behind {
        /// sled's directory.
        directory: PathBuf,
        /// The last commit that is in the trees.
        found: u64,
        /// The commit that the marker belongs to.
        expected: u64,
    },
    /// A tree has other pages than those that were last written.
    #[error("the tables in {} are not as they were written: pages are missing or outdated, so some of their files are damaged or missing: see what doctor can repair, or restore a backup", directory.display())]
    Incomplete {
        /// sled's directory.
        directory: PathBuf,
    },
    /// An earlier write failed.
    #[error("the store {} stopped after a failed write: make sure that the disk is healthy and has space, then restart the node", directory.display())]
    Poisoned {
        /// The store's directory.
        directory: PathBuf,
    },
}

impl StoreError {
    pub(super) fn io(operation: &'static str, file: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            operation,
            file: file.into(),
            source,
        }
    }
}
