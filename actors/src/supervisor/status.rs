//! How the node and its modules do, for whoever asks; and the order to stop.
//!
//! The supervisor gives what it counts anyhow and a share of what is published; everything that
//! grows with modules, tables or files is looked at elsewhere (`inspect.rs`).

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    failure::Failure,
    wire::{NodeStatus, Response, ResponseBody},
};
use tokio::sync::oneshot;

use super::{
    Drain, Supervisor,
    inspect::{Subject, rounds::Key},
};
use crate::{
    ingress::{Peer, Replies},
    version,
};

impl Supervisor {
    /// Answers with the node at this moment; guests see how many modules are public.
    pub(crate) fn node_status(&self, peer: &Peer, replies: Replies, request: u64) {
        let uptime = self.about.started.elapsed().as_millis();
        let status = NodeStatus {
            node: self.shared.id.clone(),
            name: self.about.name.clone(),
            version: version(),
            addresses: self.about.addresses.clone(),
            epoch: self.shared.epoch,
            seq: self.stamper.last_seq(),
            uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
            connections: u32::try_from(self.connections.len()).unwrap_or(u32::MAX),
            turns: self.turns_ended,
            committed: self.turns_committed,
            turns_in_flight: self.admission.in_flight(),
            memory_bytes: 0,
            log_bytes: 0,
            sync_us: self.shared.log.last_sync_us(),
            modules: u32::try_from(self.catalogue.seen_by(peer.standing)).unwrap_or(u32::MAX),
            poisoned: self.refuses().err().map(|failure| failure.message),
        };
        self.about.gauges.answer(status, replies, request);
    }

    /// Has every module asked that the peer may see.
    pub(crate) fn module_status(
        &self,
        peer: &Peer,
        module: Option<&str>,
        replies: &Replies,
        request: u64,
    ) -> Result<(), Failure> {
        let only = module
            .map(|name| self.visible(peer, name).map(|index| self.name_of(index)))
            .transpose()?;
        let key = Key::new(peer.standing, only);
        let subject = Subject::Modules(self.catalogue.clone(), key);
        self.inspector.ask(subject, replies, request);
        Ok(())
    }

    /// An owner stops the node: answered once nothing new is taken.
    pub(crate) fn stop_requested(
        &mut self,
        replies: Replies,
        request: u64,
        ctx: &mut Context<Self>,
    ) {
        let stop = self.stop.clone();
        let (done, drained) = oneshot::channel();
        ctx.address().do_send(Drain(done));
        replies.send(Response {
            id: request,
            body: Ok(ResponseBody::Done),
        });
        // Not in this actor's context, which ends with the drain.
        actix::spawn(async move {
            drop(drained.await);
            stop.stop();
        });
    }
}
