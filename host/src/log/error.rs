//! Everything that can go wrong with the log. Clonable, because one failure answers everybody who
//! waits.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::LogPosition;

/// Why the log could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused while opening, reading or truncating; the log itself is as it
    /// was.
    #[error("cannot {operation} {} ({source}): check the disk, its space and the permissions", file.display())]
    Io {
        /// What was attempted: a verb and perhaps an adverb.
        operation: &'static str,
        /// The file or directory.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The log has damage that no crash leaves behind: nothing is read past it, and nothing was
    /// changed.
    #[error("the log file {} is damaged at byte {offset}: {reason}; restore a backup, or see what doctor can repair", file.display())]
    Damaged {
        /// The segment file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A segment was written by another version of this program.
    #[error("the log file {} has format {found} but this program reads format {supported}: use the program that wrote it", file.display())]
    Version {
        /// The segment file.
        file: PathBuf,
        /// The format number in the file.
        found: u32,
        /// The format number that is understood.
        supported: u32,
    },
    /// A write or a sync failed: what waited for it may or may not be on the disk, and nothing
    /// later is taken.
    #[error("the log stopped because it could not {operation} {} ({source}): make sure that the disk is healthy and has space, then restart the node", file.display())]
    Poisoned {
        /// What was attempted when it failed.
        operation: &'static str,
        /// The file or directory.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The records asked for have been dropped.
    #[error("log position {wanted} is gone: the log starts at {start}; start from a newer base")]
    Truncated {
        /// The position asked for.
        wanted: LogPosition,
        /// The first position that is there.
        start: LogPosition,
    },
    /// The log has been closed.
    #[error("the log is closed: restart the node")]
    Closed,
}

impl LogError {
    pub(super) fn io(operation: &'static str, file: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            operation,
            file: file.into(),
            source: Arc::new(source),
        }
    }

    /// The same failure, but for good: of the log's own writing.
    pub(super) fn poisoning(self) -> Self {
        match self {
            Self::Io {
                operation,
                file,
                source,
            } => Self::Poisoned {
                operation,
                file,
                source,
            },
            other => other,
        }
    }
}
