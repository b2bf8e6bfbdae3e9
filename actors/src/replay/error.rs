//! Why a log cannot be replayed to its end. A replay that comes out differently is no error: see
//! [`super::Difference`].

use interstice_abi::{
    failure::Failure,
    id::{Seq, StepIndex},
};
use interstice_host::log::LogPosition;
use thiserror::Error;

use crate::node::NodeError;

/// Why a log cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The directory, its configuration, its key, its log or its tables.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The log's first segments are not there.
    #[error(
        "the log begins at {start}, and no base in `bases` is kept from which it goes on: segment files or bases are missing; restore a backup"
    )]
    Beginning {
        /// Where the log begins.
        start: LogPosition,
    },
    /// A record does not read.
    #[error("record {position} is damaged: {problem}")]
    Record {
        /// Where it stands.
        position: LogPosition,
        /// What is wrong.
        problem: String,
    },
    /// What a record needs is not there.
    #[error("record {position} cannot be replayed: {problem}")]
    At {
        /// Where it stands.
        position: LogPosition,
        /// What is wrong.
        problem: Box<ReplayError>,
    },
    /// A turn's earlier step is not in the log, or is there twice.
    #[error("step {step} of turn {seq} does not follow: {problem}")]
    Order {
        /// The turn.
        seq: Seq,
        /// The step.
        step: StepIndex,
        /// What should be there.
        problem: String,
    },
    /// A binary that is missing or is not what it was, an install that does not fit, an engine
    /// that does not start.
    #[error("{0}")]
    Failed(#[source] Failure),
    /// Files of the system.
    #[error("the node's tables cannot be read: {problem}")]
    Files {
        /// What the system says.
        problem: String,
    },
}

impl From<Failure> for ReplayError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
