//! What a client may see and do: owners everything; everyone else public modules, their queries, their reducers without `on`,
//! and public tables.
//!
//! Where a table's name is wrong, only tables that the asker may read are named as near. Queues and places are not here.

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, TableId},
    schema::{TableSchema, Visibility},
    wire::{ResponseBody, Standing},
};

use crate::{
    ingress::Peer,
    module::nested::serving,
    supervisor::{
        Supervisor,
        catalogue::{Entry, ModuleIndex},
    },
};

impl Supervisor {
    /// A module that `peer` may use, and that serves.
    pub(super) fn usable(&self, peer: &Peer, module: &str) -> Result<ModuleIndex, Failure> {
        let index = self.visible(peer, module)?;
        serving(self.entry(index)?)?;
        Ok(index)
    }

    /// A module that `peer` may know of.
    fn visible(&self, peer: &Peer, module: &str) -> Result<ModuleIndex, Failure> {
        let index = self.catalogue.find(module)?;
        let schema = &self.entry(index)?.installed.schema;
        if schema.visibility == Visibility::Private && peer.standing != Standing::Owner {
            return Err(Failure::new(
                Code::Denied,
                format!(
                    "module `{}` is private to its node; only modules of the node and its owners may use it",
                    schema.name
                ),
            ));
        }
        Ok(index)
    }

    /// A table that `peer` may read.
    pub(super) fn readable(
        &self,
        peer: &Peer,
        (module, table): (&str, &str),
    ) -> Result<(ModuleIndex, TableId, String), Failure> {
        let index = self.visible(peer, module)?;
        let schema = &self.entry(index)?.installed.schema;
        let is_owner = peer.standing == Standing::Owner;
        let may_read = |table: &TableSchema| is_owner || table.visibility == Visibility::Public;
        let Some((id, found)) = schema.table(table) else {
            let known = schema
                .tables
                .iter()
                .filter(|table| may_read(table))
                .map(|table| table.name.as_str());
            let mut failure = Failure::not_found("table", table, known);
            failure.message = format!("{} in module `{}`", failure.message, schema.name);
            return Err(failure);
        };
        if !may_read(found) {
            return Err(Failure::new(
                Code::Denied,
                format!("table `{table}` of module `{}` is private", schema.name),
            ));
        }
        Ok((index, id, found.name.clone()))
    }

    /// The schema of a module, as far as `peer` may see it.
    pub(super) fn schema(&self, peer: &Peer, module: &str) -> Result<ResponseBody, Failure> {
        let index = self.visible(peer, module)?;
        let schema = &self.entry(index)?.installed.schema;
        Ok(ResponseBody::Schema(match peer.standing {
            Standing::Owner => schema.as_ref().clone(),
            Standing::Guest => schema.public_view(),
        }))
    }

    /// The entry at `index` of the catalogue that holds.
    pub(crate) fn entry(&self, index: ModuleIndex) -> Result<&Entry, Failure> {
        self.catalogue
            .entry(index)
            .ok_or_else(|| Failure::internal("a module that was found is not there"))
    }

    /// The name of the module at `index` of the catalogue that holds.
    pub(super) fn name_of(&self, index: ModuleIndex) -> ModuleName {
        match self.catalogue.entry(index) {
            Some(entry) => entry.installed.schema.name.clone(),
            None => unreachable!("an index comes from the same catalogue"),
        }
    }
}

/// Whether `peer` is an owner.
///
/// # Errors
/// `Denied`, with whose key would do.
pub(crate) fn owner(peer: &Peer) -> Result<(), Failure> {
    match peer.standing {
        Standing::Owner => Ok(()),
        Standing::Guest => Err(Failure::new(
            Code::Denied,
            format!(
                "only owners of the node may do this; key {} is not among the `owners` of its node.toml",
                peer.node
            ),
        )),
    }
}
