//! Ingress, stage 1 of a call's way: frames become requests, and what is malformed, too much or
//! not allowed is refused here.
//!
//! One task per stream reads, `session` decides, [`FrontDoor`] takes what is for the node. Only
//! ingress refuses: it bounds which connections there are (`entrance`), what each and all of them
//! may have under way (`load`, with the table of all bounds), and what is unsent. Behind it sends
//! never block. Answers go back through [`Replies`], from any thread. How connections come about
//! is in [`crate::network`].

mod connection;
mod entrance;
mod load;
mod receiving;
mod replies;
mod session;
mod upload;

use std::sync::Arc;

use interstice_abi::{
    id::NodeId,
    wire::{DeployHow, DeployOptions, Request, Standing, Welcome},
};

pub(crate) use connection::{Serving, Way, serve};
pub(crate) use entrance::{Entrance, EntranceBounds, Entrant, Place, Stage};
pub use load::Bounds;
pub use replies::{Overflow, Replies};

/// A client's stream. Never reused while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Who is at the other end; known from the connection's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The stream.
    pub connection: ConnectionId,
    /// The id that belongs to its key.
    pub node: NodeId,
    /// What it is to this node.
    pub standing: Standing,
}

impl Peer {
    /// The same, with an id whose clones are counted by themselves.
    pub(crate) fn apart(&self) -> Self {
        Self {
            node: self.node.apart(),
            ..*self
        }
    }
}

/// All that one read has brought for the node, in order.
#[derive(Debug)]
pub struct Batch {
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What is asked. Never empty.
    pub work: Vec<Work>,
    /// Where the answers go.
    pub replies: Replies,
}

/// Something that a client wants of the node.
#[derive(Debug)]
pub enum Work {
    /// A request. Greetings, pings and uploads have been answered already and do not come here.
    Request(Request),
    /// A deploy whose binary is complete and has the hash that was announced.
    Deploy {
        /// The request's id.
        id: u64,
        /// The binary.
        wasm: Vec<u8>,
        /// What to do where it does not fit.
        options: DeployOptions,
    },
    /// A deploy of several modules, whose binaries are complete and have the hashes that were
    /// announced.
    DeployAll {
        /// The request's id.
        id: u64,
        /// The binaries.
        modules: Vec<Vec<u8>>,
        /// What to do where one does not fit.
        options: DeployOptions,
        /// Whether it is made or only planned.
        how: DeployHow,
    },
}

/// What the network hands to the node. Its methods are called on the threads of connections and
/// never block.
pub trait FrontDoor: Send + Sync + 'static {
    /// A client has greeted.
    fn connected(&self, peer: Arc<Peer>, replies: Replies);

    /// A greeted client asks. Each request but a cancel gets exactly one [`Replies::send`].
    fn batch(&self, batch: Batch);

    /// A client that had greeted is gone; nothing comes from it any more.
    fn disconnected(&self, peer: &Arc<Peer>);

    /// Whether `node` is one of the node's owners.
    fn is_owner(&self, node: &NodeId) -> bool;

    /// Whether `node` may use this node at all.
    fn admits(&self, node: &NodeId) -> bool;

    /// What a client is told when it greets.
    fn welcome(&self, peer: &Peer) -> Welcome;
}
