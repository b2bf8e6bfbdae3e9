//! What can go wrong between a client and a node.

use interstice_abi::{failure::Failure, id::NodeId};

/// Why a client has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers there, or not in time.
    #[error("no node can be reached at {target}: {problem}")]
    Unreachable {
        /// Where.
        target: String,
        /// What happened.
        problem: String,
    },
    /// Another node than the pinned one answers there.
    #[error(
        "the node at {target} is {found}, not {expected}; if it was replaced on purpose, remove it and add it again"
    )]
    WrongNode {
        /// Where.
        target: String,
        /// The pinned id.
        expected: NodeId,
        /// The id that was found.
        found: NodeId,
    },
    /// The node answers that it failed or was refused.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The connection was lost after something that changes the node had been sent.
    #[error("the connection was lost ({problem}); whether the {what} happened is unknown")]
    OutcomeUnknown {
        /// What had been sent.
        what: &'static str,
        /// How it was lost.
        problem: String,
    },
    /// The connection was lost. Nothing has happened because of the request.
    #[error("the connection was lost: {problem}")]
    Lost {
        /// How it was lost.
        problem: String,
    },
    /// The answers of a watch came faster than they were taken; it has ended.
    #[error(
        "{unread} bytes of answers wait unread, which is the limit; take them faster, or resume from the last position"
    )]
    Lagging {
        /// Bytes that wait.
        unread: usize,
    },
    /// The node says what the protocol does not allow.
    #[error("the node does not keep to the protocol: {problem}")]
    Protocol {
        /// What it said.
        problem: String,
    },
}
