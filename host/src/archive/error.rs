//! Everything that can go wrong with an archive.

use std::{io, path::PathBuf};

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", file.display())]
    Io {
        /// What was attempted: a verb.
        operation: &'static str,
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no {expected} of Interstice", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The file is of another format.
    #[error("{} is of format {found}; this program reads format {expected}: use the version of Interstice that made it", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// The format in its header.
        found: u8,
        /// The format that is read.
        expected: u8,
    },
    /// The content is not what was written.
    #[error("{} is damaged at offset {offset}: {problem}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where the block begins that is damaged, in bytes.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// There is a file already, and it is not overwritten.
    #[error("{} is there already; choose another name, or move it away", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
}
