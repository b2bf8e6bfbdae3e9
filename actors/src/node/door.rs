//! The front door of a node: what its connections bring goes to the supervisor as messages, in the
//! order it came.
//!
//! It decides nothing but who is an owner and who may come in, and it never waits for the
//! supervisor.

use std::sync::Arc;

use actix::Addr;
use interstice_abi::{id::NodeId, wire::Welcome};

use crate::{
    ingress::{Batch, FrontDoor, Peer, Replies},
    supervisor::{Connected, Disconnected, FromClient, Supervisor},
    turns::TurnRequests,
};

/// What the network hands to the supervisor.
pub(super) struct Door {
    pub(super) supervisor: Addr<Supervisor>,
    /// What is not the supervisor's to answer.
    pub(super) turns: TurnRequests,
    pub(super) welcome: Welcome,
    pub(super) owners: Vec<NodeId>,
    /// Who else may use the node; empty: everyone.
    pub(super) allowed: Vec<NodeId>,
}

impl FrontDoor for Door {
    fn connected(&self, peer: Arc<Peer>, _: Replies) {
        self.supervisor.do_send(Connected(peer));
    }

    fn batch(&self, batch: Batch) {
        if let Some(batch) = self.turns.take(batch) {
            self.supervisor.do_send(FromClient(batch));
        }
    }

    fn disconnected(&self, peer: &Arc<Peer>) {
        self.supervisor.do_send(Disconnected(peer.clone()));
    }

    fn is_owner(&self, node: &NodeId) -> bool {
        self.owners.contains(node)
    }

    fn admits(&self, node: &NodeId) -> bool {
        self.allowed.is_empty() || self.allowed.contains(node) || self.is_owner(node)
    }

    fn welcome(&self, peer: &Peer) -> Welcome {
        Welcome {
            standing: peer.standing,
            ..self.welcome.clone()
        }
    }
}
