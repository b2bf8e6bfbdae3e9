//! A module's binary, checked, compiled and described: what its instances are made from.
//!
//! Invariants: every reducer and query of the schema has its export and no others are there; `own`
//! and `foreign` of a [`Function`] have an entry for every table that a handle can stand for, so a
//! capability is one lookup; queries only read.
//!
//! The schema is enough for everything but running a guest. Where the stored binary is missing or
//! damaged there is no [`Compiled`] code, and its tables are kept until there is.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use interstice_abi::{
    event::TableRef,
    failure::{Code, Failure},
    host_call::{QUERY_PREFIX, REDUCER_PREFIX},
    id::TableId,
    schema::{Access, ModuleSchema, TableAccess},
    text::quoted,
    types::{ColumnType, Field},
    walk::{Layout, Node, Unresolved},
};
use wasmtime::{InstancePre, ModuleExport};

use super::outline::{Outline, Role};
use crate::{hostcall::Guest, module::CallKind};

/// A loaded binary. Shared by all instances made from it.
pub struct Binary {
    /// What the module says of itself, checked.
    pub schema: Arc<ModuleSchema>,
    /// BLAKE3 of the file.
    pub hash: [u8; 32],
    code: OnceLock<Compiled>,
    pub(crate) layout: Layout,
    pub(crate) functions: Vec<Function>,
    /// The columns of each table, by [`TableId`].
    rows: Vec<Vec<Node>>,
    /// Tables of other modules that the bindings name.
    pub(crate) foreign: Vec<TableRef>,
    reducers: BTreeMap<String, FunctionIndex>,
    queries: BTreeMap<String, FunctionIndex>,
    /// Whether the module's log has a line on a public reducer that schedules itself.
    pub(crate) warned_of_public_timer: AtomicBool,
}

/// What was compiled.
pub(crate) struct Compiled {
    pub(crate) pre: InstancePre<Guest>,
    /// By [`FunctionIndex`].
    pub(crate) exports: Vec<ModuleExport>,
}

/// A function's place in [`Binary::functions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FunctionIndex(pub(crate) usize);

/// A reducer or query.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) kind: CallKind,
    pub(crate) arguments: Vec<Node>,
    /// The type of a query's result.
    pub(crate) result: Option<Node>,
    /// By [`TableId`].
    own: Box<[Access]>,
    /// By the table's place in [`Binary::foreign`].
    foreign: Box<[Access]>,
}

/// A table that a module can open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its own.
    Own(TableId),
    /// Another module's, by its place in [`Binary::foreign`].
    Foreign(usize),
}

impl std::fmt::Debug for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binary")
            .field("name", &self.schema.name)
            .field("version", &self.schema.version)
            .finish_non_exhaustive()
    }
}

impl Binary {
    /// What is known of a binary from its schema alone: it runs nothing until it gets its code.
    ///
    /// # Errors
    /// `SchemaConflict` when the schema contradicts itself.
    pub fn without_code(schema: Arc<ModuleSchema>, hash: [u8; 32]) -> Result<Self, Failure> {
        let layout = Layout::new(&schema.types).map_err(|error| unresolved(&error))?;
        let foreign = foreign_tables(&schema);
        let mut binary = Self {
            schema,
            hash,
            code: OnceLock::new(),
            layout,
            functions: Vec::new(),
            rows: Vec::new(),
            foreign,
            reducers: BTreeMap::new(),
            queries: BTreeMap::new(),
            warned_of_public_timer: AtomicBool::new(false),
        };
        let schema = binary.schema.clone();
        for table in &schema.tables {
            let columns = binary.layout.resolve_fields(&table.fields);
            binary
                .rows
                .push(columns.map_err(|error| unresolved(&error))?);
        }
        for reducer in &schema.reducers {
            binary.add(
                CallKind::Reducer,
                &reducer.name,
                &reducer.arguments,
                None,
                &reducer.capabilities,
            )?;
        }
        for query in &schema.queries {
            binary.add(
                CallKind::Query,
                &query.name,
                &query.arguments,
                Some(&query.result),
                &query.capabilities,
            )?;
        }
        Ok(binary)
    }

    /// Adds what was compiled.
    ///
    /// # Errors
    /// `SchemaConflict` when schema and exports do not agree.
    pub(super) fn add_code(
        &self,
        pre: InstancePre<Guest>,
        outline: &Outline,
    ) -> Result<(), Failure> {
        let functions = self.functions.iter();
        let exports = functions.map(|function| {
            let name = function.export_name();
            let export = pre.module().get_export_index(&name);
            export.ok_or_else(|| {
                conflict(format!(
                    "the schema has a {} `{}`, but the module has no export `{name}`",
                    function.kind.word(),
                    function.name,
                ))
            })
        });
        let exports = exports.collect::<Result<_, _>>()?;
        self.check_exports(outline)?;
        // Another thread that was first has compiled the same.
        let _ = self.code.set(Compiled { pre, exports });
        Ok(())
    }

    /// Whether it can run.
    #[must_use]
    pub fn has_code(&self) -> bool {
        self.code.get().is_some()
    }

    /// What was compiled.
    ///
    /// # Errors
    /// `Unavailable` where nothing was.
    pub(crate) fn code(&self) -> Result<&Compiled, Failure> {
        self.code.get().ok_or_else(|| {
            Failure::new(
                Code::Unavailable,
                format!(
                    "module `{}` cannot run: its binary is missing or damaged; deploy it again",
                    self.schema.name
                ),
            )
        })
    }

    /// The function's place and what is known of it.
    ///
    /// # Errors
    /// `NotFound` with the nearest name.
    pub(crate) fn function(
        &self,
        kind: CallKind,
        name: &str,
    ) -> Result<(FunctionIndex, &Function), Failure> {
        let found = match kind {
            CallKind::Reducer => self.reducers.get(name),
            CallKind::Query => self.queries.get(name),
        };
        found
            .and_then(|index| Some((*index, self.functions.get(index.0)?)))
            .ok_or_else(|| {
                let known = self
                    .functions
                    .iter()
                    .filter(|function| function.kind == kind);
                let mut failure = Failure::not_found(
                    kind.word(),
                    name,
                    known.map(|function| function.name.as_str()),
                );
                failure.message = format!("{} in module `{}`", failure.message, self.schema.name);
                failure
            })
    }

    /// The name of a table, for people.
    pub(crate) fn table_name(&self, place: Place) -> String {
        match place {
            Place::Own(table) => self
                .schema
                .tables
                .get(usize::from(table.0))
                .map(|table| table.name.clone())
                .unwrap_or_default(),
            Place::Foreign(place) => self
                .foreign
                .get(place)
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }

    /// The encoded primary key of a row of `table`.
    ///
    /// # Errors
    /// `Corrupt` for what is no row of the table.
    pub(crate) fn key_of<'a>(&self, table: TableId, row: &'a [u8]) -> Result<&'a [u8], Failure> {
        let place = usize::from(table.0);
        let columns = self.rows.get(place).map(Vec::as_slice).unwrap_or_default();
        let key = self
            .schema
            .tables
            .get(place)
            .map(|table| usize::from(table.primary_key));
        let mut found = None;
        let walked = self.layout.walk(columns, row, |place, bytes| {
            if Some(place) == key {
                found = Some(bytes);
            }
        });
        let found = walked.ok().and(found);
        found.ok_or_else(|| Failure::new(Code::Corrupt, "a stored row is not of its table's type"))
    }

    /// The table that `table` names from this module's point of view, if the bindings know it.
    pub(crate) fn place(&self, table: &TableRef) -> Option<Place> {
        let own = match &table.module {
            None => true,
            Some(module) => table.node.is_none() && *module == self.schema.name.as_str(),
        };
        if own {
            return self
                .schema
                .table(&table.table)
                .map(|(id, _)| Place::Own(id));
        }
        let place = self.foreign.iter().position(|known| known == table)?;
        Some(Place::Foreign(place))
    }

    fn add(
        &mut self,
        kind: CallKind,
        name: &str,
        arguments: &[Field],
        result: Option<&ColumnType>,
        capabilities: &[TableAccess],
    ) -> Result<(), Failure> {
        let mut own = vec![Access::default(); self.schema.tables.len()];
        let mut foreign = vec![Access::default(); self.foreign.len()];
        for capability in capabilities {
            let slot = match self.place(&capability.table) {
                Some(Place::Own(table)) => own.get_mut(usize::from(table.0)),
                Some(Place::Foreign(place)) => foreign.get_mut(place),
                None => None,
            };
            let slot = slot.ok_or_else(|| {
                conflict(format!(
                    "the {} `{name}` declares a capability on the table `{}`, which neither the module nor its bindings have",
                    kind.word(),
                    capability.table.to_string().escape_debug(),
                ))
            })?;
            if kind == CallKind::Query && capability.access != Access::READ {
                return Err(conflict(format!(
                    "the query `{name}` declares more than reading `{}`",
                    capability.table.to_string().escape_debug(),
                )));
            }
            *slot = slot.with(capability.access);
        }
        let arguments = self
            .layout
            .resolve_fields(arguments)
            .map_err(|error| unresolved(&error))?;
        let result = result
            .map(|ty| self.layout.resolve(ty))
            .transpose()
            .map_err(|error| unresolved(&error))?;
        let index = FunctionIndex(self.functions.len());
        match kind {
            CallKind::Reducer => self.reducers.insert(name.to_string(), index),
            CallKind::Query => self.queries.insert(name.to_string(), index),
        };
        self.functions.push(Function {
            name: name.to_string(),
            kind,
            arguments,
            result,
            own: own.into(),
            foreign: foreign.into(),
        });
        Ok(())
    }

    /// An export that the schema does not know would be code that nobody can call and nobody has
    /// described.
    fn check_exports(&self, outline: &Outline) -> Result<(), Failure> {
        for (role, name) in outline.items.keys() {
            let (kind, known) = match role {
                Role::Describe => continue,
                Role::Reducer => (CallKind::Reducer, self.schema.reducer(name).is_some()),
                Role::Query => (CallKind::Query, self.schema.query(name).is_some()),
            };
            if !known {
                return Err(conflict(format!(
                    "the module exports a {} `{}` that its schema does not describe",
                    kind.word(),
                    quoted(name),
                )));
            }
        }
        Ok(())
    }
}

impl Function {
    fn export_name(&self) -> String {
        match self.kind {
            CallKind::Reducer => format!("{REDUCER_PREFIX}{}", self.name),
            CallKind::Query => format!("{QUERY_PREFIX}{}", self.name),
        }
    }

    /// What the function's signature allows with a table.
    pub(crate) fn access(&self, place: Place) -> Access {
        let access = match place {
            Place::Own(table) => self.own.get(usize::from(table.0)),
            Place::Foreign(place) => self.foreign.get(place),
        };
        access.copied().unwrap_or_default()
    }
}

fn foreign_tables(schema: &ModuleSchema) -> Vec<TableRef> {
    let tables = schema.dependencies.iter().flat_map(|dependency| {
        dependency.tables.iter().map(|table| TableRef {
            node: dependency.node.clone(),
            module: Some(dependency.module.clone()),
            table: table.name.clone(),
        })
    });
    tables.collect()
}

fn unresolved(error: &Unresolved) -> Failure {
    conflict(error.to_string())
}

fn conflict(message: String) -> Failure {
    Failure::new(Code::SchemaConflict, message)
}
