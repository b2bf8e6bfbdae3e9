//! Grants that an owner gives and takes back, and what the host is told of them.
//!
//! What a grant is, and how its entries are kept, is in `grants.rs`.

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq},
    wire::{Called, GrantChange, GrantTarget},
};
use interstice_host::module::Revocation;

use super::ChangeContext;
use crate::{
    module::Order,
    record::Input,
    supervisor::{catalogue::Catalogue, grants::Grants},
};

impl ChangeContext {
    /// Gives or takes back a grant, for the turns from the next one on.
    pub(super) fn grant(
        &mut self,
        module: &ModuleName,
        target: GrantTarget,
        change: GrantChange,
    ) -> Result<Called, Failure> {
        let mut installed = self.catalogue.installed();
        let Some(found) = installed.get_mut(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        let next = Seq(self.stamper.last_seq().0 + 1);
        found.grants.change(&target, change, next)?;
        found
            .address
            .do_send(Order::Revoke(revocations(&found.grants)));
        let seq = self.record(Input::Grant {
            module: module.clone(),
            target,
            change,
        })?;
        self.adopt(Catalogue::new(installed));
        Ok(Called {
            seq,
            failed: 0,
            dropped: 0,
        })
    }
}

/// What the host has to refuse.
pub(crate) fn revocations(grants: &Grants) -> Vec<Revocation> {
    let revoked = grants
        .entries()
        .iter()
        .filter(|entry| entry.revoked.is_some());
    revoked
        .map(|entry| Revocation {
            subject: entry.subject.clone(),
            target: entry.target.clone(),
        })
        .collect()
}
