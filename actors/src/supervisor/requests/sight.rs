//! What a client may see and do: owners everything; everyone else public modules, their queries, their reducers without `on`,
//! and public tables.
//!
//! Streams of rows that are open when the catalogue changes are checked again ([`may_go_on`]).
//! Where a table's name is wrong, only tables that the asker may read are named as near. Queues
//! and places are not here.

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, TableId},
    schema::{ModuleSchema, TableSchema, Visibility},
    wire::{ResponseBody, Standing},
};

use crate::{
    ingress::Peer,
    module::nested::serving,
    supervisor::{
        Supervisor,
        catalogue::{Catalogue, Entry, ModuleIndex},
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
        module_for(peer.standing, &self.entry(index)?.installed.schema)?;
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
        let (id, found) = table_for(peer.standing, schema, table)?;
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

/// Whether a client of this standing may know of a module.
///
/// # Errors
/// `Denied` for a private module.
fn module_for(standing: Standing, schema: &ModuleSchema) -> Result<(), Failure> {
    if schema.visibility == Visibility::Private && standing != Standing::Owner {
        return Err(Failure::new(
            Code::Denied,
            format!(
                "module `{}` is private to its node; only modules of the node and its owners may use it",
                schema.name
            ),
        ));
    }
    Ok(())
}

/// The table of this name, if a client of this standing may read it.
fn table_for<'a>(
    standing: Standing,
    schema: &'a ModuleSchema,
    table: &str,
) -> Result<(TableId, &'a TableSchema), Failure> {
    let is_owner = standing == Standing::Owner;
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
    Ok((id, found))
}

/// Whether a guest that reads `table` of `module` may go on under `catalogue`.
///
/// # Errors
/// `Denied`, with what has changed.
pub(crate) fn may_go_on(
    catalogue: &Catalogue,
    module: &ModuleName,
    table: &str,
) -> Result<(), Failure> {
    let entry = catalogue
        .index_of(module)
        .and_then(|index| catalogue.entry(index));
    let allowed = match entry {
        Some(entry) => {
            let schema = &entry.installed.schema;
            module_for(Standing::Guest, schema)
                .and_then(|()| table_for(Standing::Guest, schema, table).map(drop))
        }
        None => Err(Failure::new(
            Code::Denied,
            format!("module `{module}` was removed"),
        )),
    };
    allowed.map_err(|failure| {
        let text =
            format!("reading table `{table}` of module `{module}` is no longer allowed: {failure}");
        Failure::new(Code::Denied, text)
    })
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
