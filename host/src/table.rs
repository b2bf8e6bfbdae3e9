//! The tables of one module, and the write set of the step that is changing them (stage 6 of a
//! call's way).
//!
//! Tables change **in place**; a *journal* holds what it takes to undo. So a step reads its own
//! writes, a rollback undoes in reverse, and a commit forgets the journal. Rows stay encoded, in
//! sorted runs of pages that checkpoints share (`table/pages.rs`); every row that comes in is
//! checked against the schema, and a refused write changes nothing.
//!
//! Timers are rows of a hidden table behind the declared ones; `auto_inc` counters are journaled
//! beside the changes. Not here: who may do what (`hostcall`), the log and the store (`log`,
//! `store`), when a checkpoint is taken.

mod change;
mod digest;
mod extend;
mod failures;
mod index;
mod journal;
mod key_bytes;
mod migrate;
mod one;
mod page;
mod pages;
mod plan;
mod prepare;
mod read;
mod run;
mod scan;
mod snapshot;
mod storage;
mod timers;
mod tree;
mod write;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use interstice_abi::{
    failure::{Code, Failure},
    id::TableId,
    schema::{ModuleSchema, Persistence, TableSchema},
    walk::Layout,
};

pub use change::{Change, Counter, Repeat, RowLimits, Savepoint, TableStatistics, Timer};
pub use digest::{Digest, Hashed, Hashing};
pub use key_bytes::KeyBytes;
pub use plan::{Fate, MovePlan, PlannedTable};
pub use prepare::{Prepared, Preparing};
pub use snapshot::Snapshot;
pub use storage::{PageBytes, PageWrite};

use journal::Journal;
use one::{Scratch, Table};

/// No row is larger than this, whatever the limits say: offsets in pages are 32 bits wide.
const ROW_BYTES_CEILING: u64 = 1 << 30;

/// All tables of one module: the declared ones in the order of the schema, then the hidden table
/// of timers.
#[derive(Debug)]
pub struct Tables {
    schema: Arc<ModuleSchema>,
    limits: RowLimits,
    layout: Layout,
    /// The timers are the last.
    tables: Vec<Table>,
    journal: Journal,
    scratch: Scratch,
    /// What the store holds of trees that belong to no table, by tree.
    foreign: BTreeMap<String, BTreeSet<KeyBytes>>,
    /// Trees that were left by a migration. They become foreign one freeze later, when no recovery
    /// needs them.
    left: BTreeMap<String, BTreeSet<KeyBytes>>,
}

impl Tables {
    /// Empty tables.
    ///
    /// # Errors
    /// `BadArguments` when the schema has types, keys or counters that cannot be; a schema that
    /// [`crate::schema::assemble`] made has none.
    pub fn new(schema: Arc<ModuleSchema>, limits: RowLimits) -> Result<Self, Failure> {
        let unfit = |what: &dyn std::fmt::Display| {
            let name = &schema.name;
            Failure::new(Code::BadArguments, format!("module `{name}`: {what}"))
        };
        let mut layout = Layout::new(&schema.types).map_err(|problem| unfit(&problem))?;
        let timers = timers::table_schema();
        let mut tables = Vec::with_capacity(schema.tables.len() + 1);
        let declared = schema.tables.iter().map(|table| {
            let tree = tree::name(table, &schema.types);
            (table, tree, row_bytes_max(table, limits))
        });
        let hidden = [(&timers, timers::TREE.to_string(), ROW_BYTES_CEILING)];
        for (table, tree, row_bytes_max) in declared.chain(hidden) {
            let nodes = layout
                .resolve_fields(&table.fields)
                .map_err(|problem| unfit(&problem))?;
            let table =
                Table::new(table, &schema.types, nodes, tree, row_bytes_max).ok_or_else(|| {
                    unfit(&format!(
                        "table `{}` has a key that cannot be one",
                        table.name
                    ))
                })?;
            tables.push(table);
        }
        if let Some(table) = tables.last_mut() {
            table.required = timers::COLUMNS_REQUIRED;
        }
        if u16::try_from(tables.len()).is_err() {
            return Err(unfit(&"it has too many tables"));
        }
        Ok(Self {
            schema,
            limits,
            layout,
            tables,
            journal: Journal::default(),
            scratch: Scratch::default(),
            foreign: BTreeMap::new(),
            left: BTreeMap::new(),
        })
    }

    /// From now on rows may be as large as `limits` say; what is there stays.
    pub fn set_row_limits(&mut self, limits: RowLimits) {
        self.limits = limits;
        for (table, schema) in self.tables.iter_mut().zip(&self.schema.tables) {
            table.row_bytes_max = row_bytes_max(schema, limits);
        }
    }

    /// The schema that rows are checked against.
    #[must_use]
    pub fn schema(&self) -> &Arc<ModuleSchema> {
        &self.schema
    }

    /// The hidden table of pending timers, as it stands in changes.
    #[must_use]
    pub fn timers_table(&self) -> TableId {
        TableId(u16::try_from(self.schema.tables.len()).unwrap_or(u16::MAX))
    }

    /// How full each declared table is.
    #[must_use]
    pub fn statistics(&self) -> Vec<TableStatistics> {
        self.declared_tables()
            .map(|table| TableStatistics {
                name: table.name.clone(),
                rows: table.pages.rows(),
                bytes: table.pages.bytes(),
            })
            .collect()
    }

    /// The bytes of a table's rows.
    pub(crate) fn row_bytes(&self, table: TableId) -> Result<u64, Failure> {
        Ok(self.declared(table)?.pages.bytes())
    }

    fn declared_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().take(self.schema.tables.len())
    }

    /// A table that the module declares, by its place.
    fn declared(&self, id: TableId) -> Result<&Table, Failure> {
        self.tables
            .get(self.declared_place(id)?)
            .ok_or_else(|| failures::no_table(id))
    }

    fn declared_place(&self, id: TableId) -> Result<usize, Failure> {
        let place = usize::from(id.0);
        if place < self.schema.tables.len() {
            Ok(place)
        } else {
            Err(failures::no_table(id))
        }
    }
}

fn row_bytes_max(table: &TableSchema, limits: RowLimits) -> u64 {
    let limit = match table.persistence {
        Persistence::Stateful => limits.stateful_row_bytes_max,
        Persistence::Logged | Persistence::Ephemeral => limits.row_bytes_max,
    };
    limit.min(ROW_BYTES_CEILING)
}
