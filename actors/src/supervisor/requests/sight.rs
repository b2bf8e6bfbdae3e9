//! What a client may see and do: owners everything; everyone else public modules, their queries,
//! their reducers without `on`, and public tables.
//!
//! Streams of rows that are open when the catalogue changes are checked again ([`may_go_on`]).
//! What a guest may not see is not there for it: a refusal is the same for a private module, table
//! or reducer as for one that does not exist, and only what the asker may see is named as near.
//! Queues and places are not here.

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, TableId},
    schema::{ModuleSchema, TableSchema, Visibility},
    wire::Standing,
};

use crate::{
    ingress::{Peer, Replies},
    module::nested::{callable, no_reducer, serving},
    supervisor::{
        Supervisor,
        catalogue::{Catalogue, Entry, ModuleIndex},
        inspect::Subject,
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
    pub(crate) fn visible(&self, peer: &Peer, module: &str) -> Result<ModuleIndex, Failure> {
        match peer.standing {
            Standing::Owner => self.catalogue.find(module),
            Standing::Guest => self.catalogue.find_public(module),
        }
    }

    /// Whether `peer` may call this reducer of a module that it may use. To guests a reducer that
    /// only reacts is not there.
    pub(super) fn may_call(
        &self,
        peer: &Peer,
        index: ModuleIndex,
        reducer: &str,
    ) -> Result<(), Failure> {
        let entry = self.entry(index)?;
        callable(entry, reducer).map_err(|failure| match peer.standing {
            Standing::Owner => failure,
            Standing::Guest => no_reducer(&entry.installed.schema, reducer),
        })
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
        let found = schema.table(table).filter(|(_, found)| may_read(found));
        let Some((id, found)) = found else {
            let kind = if is_owner { "table" } else { "public table" };
            let readable = schema.tables.iter().filter(|table| may_read(table));
            let known = readable.map(|table| table.name.as_str());
            let mut failure = Failure::not_found(kind, table, known);
            failure.message = format!("{} in module `{}`", failure.message, schema.name);
            return Err(failure);
        };
        Ok((index, id, found.name.clone()))
    }

    /// Has the schema of a module answered, as far as `peer` may see it.
    pub(super) fn schema(
        &self,
        peer: &Peer,
        module: &str,
        replies: &Replies,
        request: u64,
    ) -> Result<(), Failure> {
        let index = self.visible(peer, module)?;
        let schema = self.entry(index)?.installed.schema.clone();
        let subject = Subject::Schema(schema, peer.standing);
        self.inspector.ask(subject, replies, request);
        Ok(())
    }

    /// The entry at `index` of the catalogue that holds.
    pub(crate) fn entry(&self, index: ModuleIndex) -> Result<&Entry, Failure> {
        self.catalogue
            .entry(index)
            .ok_or_else(|| Failure::internal("a module that was found is not there"))
    }

    /// The name of the module at `index` of the catalogue that holds.
    pub(crate) fn name_of(&self, index: ModuleIndex) -> ModuleName {
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
