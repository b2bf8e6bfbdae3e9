//! Requests about the past: who may make them, and what the node knows without its log. The rest is done by [`crate::history`].
//!
//! A module that is gone has a past, too, for owners. A table as it was takes a place in its module's queue, so that a turn which is
//! under way has ended when the log is read.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    wire::{HistoryCursor, HistoryOrder, Standing},
};

use super::{sight::owner, wanted::WantedRowsAt};
use crate::{
    history::{Around, Reader, TableAtRequest, TurnsRequest, Viewer},
    ingress::{Peer, Replies},
    module::{NewPlace, query::Pass},
    supervisor::{Supervisor, catalogue::ModuleIndex},
};

/// A module of now or of before: its index when it is installed, else what to answer when it never was.
type Named = (ModuleName, Result<ModuleIndex, Failure>);

impl Supervisor {
    /// A page of a module's turns.
    pub(super) fn turns(
        &self,
        peer: &Peer,
        module: &str,
        (from, order, limit): (Option<HistoryCursor>, HistoryOrder, u32),
        (replies, request): (&Replies, u64),
    ) -> Result<(), Failure> {
        owner(peer)?;
        let (module, found) = self.of_any_time(module)?;
        let reader = Reader::begin(&self.shared, peer)?;
        let turns = TurnsRequest {
            module,
            unknown: found.err(),
            from,
            order,
            limit,
            replies: replies.clone(),
            request,
        };
        turns.start(self.around(), reader);
        Ok(())
    }

    /// The rows of a table as they were.
    pub(super) fn rows_at(
        &mut self,
        peer: &Arc<Peer>,
        wanted: WantedRowsAt,
        (replies, request): (&Replies, u64),
    ) -> Result<(), Failure> {
        let viewer = match peer.standing {
            Standing::Owner => Viewer::Owner,
            Standing::Guest => {
                // What is private today was not meant for guests; whether it was public then is checked with the schema of then.
                self.readable(peer, (&wanted.module, &wanted.table))?;
                Viewer::Guest
            }
        };
        let (module, found) = self.of_any_time(&wanted.module)?;
        let around = self.around();
        around.check(wanted.at)?;
        let index = found.as_ref().ok().copied();
        let rows = TableAtRequest {
            module,
            unknown: found.err(),
            table: wanted.table,
            at: wanted.at,
            limit: wanted.limit,
            filter: wanted.filter,
            row_type: wanted.row_type,
            viewer,
            peer: peer.clone(),
            replies: replies.clone(),
            request,
        };
        let Some(index) = index else {
            // Nothing that is under way can reach a module that is gone.
            rows.start(around);
            return Ok(());
        };
        let guest = self.guest_of(peer);
        self.admission
            .check(&self.name_of(index), index, guest, 0)?;
        let pass = Pass {
            ticket: self.stamper.ticket(),
            module: index,
            guest,
            then: Box::new(move || rows.start(around)),
            replies: replies.clone(),
            request,
        };
        self.admission.enter(Some(index), guest, 0);
        self.outgoing.add(index, NewPlace::Pass(Box::new(pass)));
        Ok(())
    }

    fn of_any_time(&self, module: &str) -> Result<Named, Failure> {
        match self.catalogue.find(module) {
            Ok(index) => Ok((self.name_of(index), Ok(index))),
            Err(failure) if failure.code == Code::NotFound => match ModuleName::new(module) {
                Ok(name) => Ok((name, Err(failure))),
                Err(_) => Err(failure),
            },
            Err(failure) => Err(failure),
        }
    }

    /// What a request knows of the node beside its log: shared, at the same cost however much is
    /// installed.
    pub(in crate::supervisor) fn around(&self) -> Around {
        Around {
            shared: self.shared.clone(),
            installer: self.installer.clone(),
            limits: self.config.limits.clone(),
            present: self.catalogue.present().clone(),
            kept_after: self.checkpoints.history().0,
            bases: self.checkpoints.bases().clone(),
            last: self.stamper.last_seq(),
        }
    }
}
