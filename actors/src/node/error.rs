//! Why a node cannot be made or started: one variant for each thing of the data directory, and for
//! what the node stands on.
//!
//! Every message names the file or address and what is wrong with it. Failures of requests are not
//! here; those are [`Failure`]s and go to whoever asked.

use std::path::PathBuf;

use interstice_abi::failure::Failure;
use thiserror::Error;

/// Why a node cannot be made or started.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The directory is not that of a node.
    #[error("{} is not a node's directory: it has no node.toml", path.display())]
    NotANode {
        /// Which directory.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error("the node's directory {} cannot be used: {problem}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// `node.toml` is wrong.
    #[error("{} is not valid: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Line, field and rule.
        problem: String,
    },
    /// The node's key is missing or damaged.
    #[error("the node's key {} cannot be used: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The log cannot be opened or read.
    #[error("the node's log cannot be used: {problem}")]
    Log {
        /// File, offset, what is wrong.
        problem: String,
    },
    /// The stored tables cannot be opened or read.
    #[error("the node's tables cannot be used: {problem}")]
    Store {
        /// What is wrong.
        problem: String,
    },
    /// The node has stopped without its last checkpoint.
    #[error(
        "the node has stopped, but its tables are not on disk as they were at the end: {problem}; nothing that was acknowledged is lost: it is in the log, and the next start redoes it, once the disk has room and is healthy"
    )]
    Unwritten {
        /// What could not be written, and why.
        problem: String,
    },
    /// A module cannot be brought back.
    #[error("the node cannot be recovered: {0}")]
    Recovery(#[source] Failure),
    /// The network cannot be used.
    #[error("{problem}")]
    Network {
        /// Which address and why.
        problem: String,
    },
    /// A mistake of ours.
    #[error("the node has failed: {problem}; this is a bug of Interstice, please report it")]
    Broken {
        /// What happened.
        problem: String,
    },
}
