//! What was taken back from a module while it runs: the grants that no longer hold.
//!
//! What a signature allows is in `wasm::Function`; both are asked on every host call.

use std::collections::BTreeSet;

use interstice_abi::{
    failure::{Code, Failure},
    schema::Access,
    wire::{GrantTarget, Subject},
};

use crate::wasm::{Binary, Function, Place};

/// A grant that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The whole module, or one of its functions.
    pub subject: Subject,
    /// What it may no longer do.
    pub target: GrantTarget,
}

/// All that was taken back, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    tables: Vec<(Subject, Place, Access)>,
    calls: BTreeSet<String>,
    pub(crate) time: bool,
    pub(crate) logging: bool,
}

impl Revoked {
    /// Reads `revocations` from the point of view of `binary`. Authorities and subscriptions are
    /// not a guest's calls: who serves authorities and lays routes asks for them.
    pub(super) fn new(revocations: &[Revocation], binary: &Binary) -> Self {
        let mut revoked = Self::default();
        for revocation in revocations {
            match &revocation.target {
                GrantTarget::Table { table, access } => {
                    if let Some(place) = binary.place(table) {
                        revoked
                            .tables
                            .push((revocation.subject.clone(), place, *access));
                    }
                }
                GrantTarget::Calls { module } => {
                    revoked.calls.insert(module.clone());
                }
                GrantTarget::Time => revoked.time = true,
                GrantTarget::Logging => revoked.logging = true,
                GrantTarget::Authority(_) | GrantTarget::Subscriptions { .. } => {}
            }
        }
        revoked
    }

    /// Whether `function` may do `wanted` with the table at `place`.
    ///
    /// # Errors
    /// `Denied` when its signature does not say so, `Revoked` when that was taken back.
    pub(crate) fn check_table(
        &self,
        binary: &Binary,
        function: &Function,
        place: Place,
        wanted: Access,
    ) -> Result<(), Failure> {
        if !function.access(place).contains(wanted) {
            let table = binary.table_name(place);
            let message = format!(
                "the {} `{}` has no capability to {wanted} `{table}`; add the bound to its signature",
                function.kind.word(),
                function.name,
            );
            return Err(Failure::new(Code::Denied, message).about_table(table));
        }
        let is_revoked = self.tables.iter().any(|(subject, revoked_place, access)| {
            let covers = match subject {
                Subject::Module => true,
                Subject::Function(name) => *name == function.name,
            };
            covers && *revoked_place == place && access.0 & wanted.0 != 0
        });
        if is_revoked {
            let table = binary.table_name(place);
            let message = format!(
                "the grant of the {} `{}` to {wanted} `{table}` was taken back",
                function.kind.word(),
                function.name,
            );
            return Err(Failure::new(Code::Revoked, message).about_table(table));
        }
        Ok(())
    }

    /// Whether the module may call `module`.
    ///
    /// # Errors
    /// `Revoked` when that was taken back.
    pub(crate) fn check_call(&self, module: &str) -> Result<(), Failure> {
        if self.calls.contains(module) {
            let message = format!("the grant to call the module `{module}` was taken back");
            return Err(Failure::new(Code::Revoked, message));
        }
        Ok(())
    }
}
