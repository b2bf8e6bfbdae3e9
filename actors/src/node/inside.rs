//! Requests from inside the process: the way of a client, past the network and its bounds.
//!
//! For drivers that measure a node without its connections. Everything behind the front door is
//! the same.

use std::{io, sync::Arc, time::Duration};

use futures::AsyncWrite;
use interstice_abi::{
    id::NodeId,
    wire::{Request, Standing},
};

use crate::ingress::{Batch, Bounds, ConnectionId, FrontDoor, Peer, Replies, Work};

/// No stream of a client has this number: those begin with 1.
const CONNECTION: ConnectionId = ConnectionId(0);

/// Longer than whoever reads in the same process rests.
const STALL: Duration = Duration::from_secs(60);

/// A way into a node that runs in this process, with the rights of an owner.
pub struct Inside {
    door: Arc<dyn FrontDoor>,
    peer: Arc<Peer>,
    replies: Replies,
}

impl Inside {
    pub(super) fn new(door: Arc<dyn FrontDoor>, node: NodeId) -> Self {
        let peer = Peer {
            connection: CONNECTION,
            node,
            standing: Standing::Owner,
        };
        Self {
            door,
            peer: Arc::new(peer),
            replies: Replies::alone(&Bounds::default()),
        }
    }

    /// Hands the requests to the node as one batch. Each gets one answer.
    pub fn send(&self, requests: Vec<Request>) {
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return;
        }
        self.replies.begun(count);
        self.door.batch(Batch {
            peer: self.peer.clone(),
            work: requests.into_iter().map(Work::Request).collect(),
            replies: self.replies.clone(),
        });
    }

    /// Writes the answers, as frames, to `sink` for ever.
    ///
    /// # Errors
    /// What `sink` said.
    pub async fn answers<W: AsyncWrite + Unpin>(&self, sink: &mut W) -> io::Result<()> {
        self.replies.outbox().write_to(sink, STALL).await
    }
}
