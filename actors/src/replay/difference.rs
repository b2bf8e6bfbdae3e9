//! What came out differently, as far as it can be said without a module's types.

use std::{fmt, sync::Arc};

use interstice_abi::{
    id::{ModuleName, Seq, StepIndex, TableId},
    schema::{ModuleSchema, TableSchema},
};
use interstice_host::table::Change;

/// The first difference between the log and its replay.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The turn.
    pub seq: Seq,
    /// The step inside the turn.
    pub step: StepIndex,
    /// The module that ran, as the log has it; `None` for steps of the node's own.
    pub module: Option<ModuleName>,
    /// The reducer that ran.
    pub reducer: Option<String>,
    /// What differs.
    pub what: What,
}

/// What differs.
#[derive(Clone, Debug)]
pub enum What {
    /// A change of a row.
    Row(Box<RowDifference>),
    /// Something else of the record.
    Other {
        /// What it is, with its article.
        name: &'static str,
        /// As the log has it.
        recorded: String,
        /// As it came out.
        replayed: String,
    },
}

/// A row that differs.
#[derive(Clone, Debug)]
pub struct RowDifference {
    /// The schema of the row's module.
    pub schema: Arc<ModuleSchema>,
    /// The table; the one behind those of the schema has the module's timers.
    pub table: TableId,
    /// What the log, or the node, has; `None` when there is nothing at this place.
    pub recorded: Option<Change>,
    /// What came out; `None` when there is nothing at this place.
    pub replayed: Option<Change>,
}

impl RowDifference {
    /// The table's schema; `None` for the hidden table of timers.
    #[must_use]
    pub fn table_schema(&self) -> Option<&TableSchema> {
        self.schema.tables.get(usize::from(self.table.0))
    }

    /// The table's name.
    #[must_use]
    pub fn table_name(&self) -> &str {
        self.table_schema()
            .map_or("~timers", |table| table.name.as_str())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {}, step {}", self.seq, self.step)?;
        if let (Some(module), Some(reducer)) = (&self.module, &self.reducer) {
            write!(f, ", reducer `{reducer}` of module `{module}`")?;
        }
        match &self.what {
            What::Row(row) => write!(
                f,
                ": a row of table `{}.{}` differs",
                row.schema.name,
                row.table_name()
            ),
            What::Other {
                name,
                recorded,
                replayed,
            } => write!(
                f,
                ": {name} is recorded as {recorded}, and came out as {replayed}"
            ),
        }
    }
}
