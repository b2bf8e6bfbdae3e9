//! What a module says of itself: its tables, reducers, queries, types and dependencies.
//!
//! A guest hands the schema over in pieces, one [`Description`] per `describe` export;
//! [`ModuleSchema`] is the whole. Nothing in it is believed: the host checks it
//! (`interstice-host`, `schema`), and enforces it on every call.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    event::{Event, TableRef},
    id::ModuleName,
    text,
    types::{ColumnType, Field, TypeSet},
};

/// A semantic version, of three numbers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// Changes when users must change.
    pub major: u32,
    /// Grows with what is added.
    pub minor: u32,
    /// Grows with what is mended.
    pub patch: u32,
}

impl Version {
    /// Whether a module of version `self` can stand where `wanted` was bound: semver's caret rule.
    #[must_use]
    pub fn satisfies(self, wanted: Self) -> bool {
        let same_line = if wanted.major > 0 {
            self.major == wanted.major
        } else if wanted.minor > 0 {
            self.major == 0 && self.minor == wanted.minor
        } else {
            self.major == 0 && self.minor == 0 && self.patch == wanted.patch
        };
        same_line && self >= wanted
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Who may use a module, a table or a reducer that runs by itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Visibility {
    /// A module: only modules of its node. A table: only its module (and the node's owners). A
    /// reducer: only its module.
    #[default]
    Private,
    /// Everyone who reaches the node.
    Public,
}

/// A privilege beyond tables and calls; each is held by at most one module of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Authority {
    /// Windows and drawing.
    Gpu,
    /// Sound in and out.
    Audio,
    /// Keyboard, mouse, gamepads.
    Input,
    /// Files of the node's `files/` folder.
    File,
    /// Sockets.
    Network,
    /// Loading and removing modules.
    Module,
}

/// How a table is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Persistence {
    /// Every change in the log, rows in memory.
    #[default]
    Logged,
    /// For large rows: keys in memory, rows on disk, no history beyond what a base needs.
    Stateful,
    /// In memory only; empty whenever the module starts.
    Ephemeral,
}

/// How an index finds rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IndexKind {
    /// By equal value.
    Hash,
    /// By value and by range.
    #[serde(rename = "BTree")]
    Btree,
}

/// An index over one field of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSchema {
    /// The field's place in [`TableSchema::fields`].
    pub field: u16,
    /// How it finds rows.
    pub kind: IndexKind,
    /// Whether two rows may share a value.
    pub unique: bool,
    /// Whether 0 is replaced by the next number on insert.
    pub auto_inc: bool,
}

/// A table of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The struct's name in lower case.
    #[serde(deserialize_with = "text::deserialize")]
    pub name: String,
    /// The struct's name; its type definition has the same fields.
    #[serde(deserialize_with = "text::deserialize")]
    pub type_name: String,
    /// All columns in order, the primary key among them.
    pub fields: Vec<Field>,
    /// The primary key's place in `fields`.
    pub primary_key: u16,
    /// Whether a key of 0 is replaced by the next number on insert.
    pub primary_key_auto_inc: bool,
    /// Secondary indexes, in the order of their fields.
    pub indexes: Vec<IndexSchema>,
    /// Whether other modules and nodes may read it.
    pub visibility: Visibility,
    /// How it is kept.
    pub persistence: Persistence,
}

/// What a reducer or query may do with a table: a set of bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Access(pub u8);

impl Access {
    /// Read rows.
    pub const READ: Self = Self(1);
    /// Insert rows.
    pub const INSERT: Self = Self(2);
    /// Replace rows.
    pub const UPDATE: Self = Self(4);
    /// Delete rows, clear the table.
    pub const DELETE: Self = Self(8);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Access {
    /// `read, insert`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (bit, name) in [
            (Self::READ, "read"),
            (Self::INSERT, "insert"),
            (Self::UPDATE, "update"),
            (Self::DELETE, "delete"),
        ] {
            if self.contains(bit) {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// A capability that a signature declares: a table and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableAccess {
    /// The table.
    pub table: TableRef,
    /// What may be done.
    pub access: Access,
}

/// A reducer of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReducerSchema {
    /// The function's name.
    #[serde(deserialize_with = "text::deserialize")]
    pub name: String,
    /// What it takes beyond the context.
    pub arguments: Vec<Field>,
    /// What runs it beside calls: see [`ReducerSchema::is_callable`].
    pub events: Vec<Event>,
    /// What it may touch: at most one entry per table.
    pub capabilities: Vec<TableAccess>,
}

impl ReducerSchema {
    /// Whether clients and other modules may call it: it handles no event and is not private.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.events.iter().all(Event::allows_calls)
    }

    /// The period with which it runs by itself, in milliseconds.
    #[must_use]
    pub fn period_ms(&self) -> Option<u64> {
        self.events.iter().find_map(|event| match event {
            Event::Every { period_ms, .. } => Some(*period_ms),
            _ => None,
        })
    }

    /// Why it cannot be called, for the end of a sentence about a reducer that is not
    /// [callable](Self::is_callable).
    #[must_use]
    pub fn why_not_callable(&self) -> String {
        let handled = self
            .events
            .iter()
            .filter(|event| !matches!(event, Event::Private | Event::Every { .. }))
            .map(|event| format!("`{event}`"))
            .collect::<Vec<_>>();
        if handled.is_empty() {
            "is private: only its own module, its timers and events run it".to_string()
        } else {
            format!("handles {} and cannot be called", handled.join(" and "))
        }
    }
}

/// A query of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuerySchema {
    /// The function's name.
    #[serde(deserialize_with = "text::deserialize")]
    pub name: String,
    /// What it takes beyond the context.
    pub arguments: Vec<Field>,
    /// What it returns; of a `Result<T, E>`, the `T`.
    pub result: ColumnType,
    /// What it may read: at most one entry per table, [`Access::READ`] only.
    pub capabilities: Vec<TableAccess>,
}

/// A module that this one was compiled against, as its binding file said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The node's name in the bindings; `None` on the same node.
    pub node: Option<String>,
    /// The node's address in the bindings; `None` on the same node.
    pub address: Option<String>,
    /// The module's name.
    #[serde(deserialize_with = "text::deserialize")]
    pub module: String,
    /// The version the binding was made from.
    pub version: Version,
    /// What the binding relies on: the public tables, callable reducers and queries that it has.
    pub tables: Vec<TableSchema>,
    /// See `tables`.
    pub reducers: Vec<ReducerSchema>,
    /// See `tables`.
    pub queries: Vec<QuerySchema>,
    /// The types that those use.
    pub types: TypeSet,
}

/// What `interstice_module!` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleHeader {
    /// [`crate::ABI_VERSION`] of the SDK that built the module.
    pub abi_version: u32,
    /// The package name as written. Checked by the host: a guest can say anything.
    #[serde(deserialize_with = "text::deserialize")]
    pub name: String,
    /// The package version.
    pub version: Version,
    /// Who may use it.
    pub visibility: Visibility,
    /// The privileges it asks for.
    pub authorities: Vec<Authority>,
    /// Tables of other nodes that are kept here as replicas.
    pub replicated_tables: Vec<TableRef>,
    /// The modules it was compiled against.
    pub dependencies: Vec<Dependency>,
}

/// One piece of a schema: what a `describe` export returns, in postcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Description {
    /// From `__interstice_describe__module`; exactly one.
    Module(ModuleHeader),
    /// From `__interstice_describe__table__<name>`.
    Table {
        /// The table.
        table: TableSchema,
        /// The types its columns use, its own row type among them.
        types: TypeSet,
    },
    /// From `__interstice_describe__reducer__<name>`.
    Reducer {
        /// The reducer.
        reducer: ReducerSchema,
        /// The types its arguments use.
        types: TypeSet,
    },
    /// From `__interstice_describe__query__<name>`.
    Query {
        /// The query.
        query: QuerySchema,
        /// The types its arguments and result use.
        types: TypeSet,
    },
}

/// A whole module. Lists are sorted by name, dependencies by (node, module), so equal modules have
/// equal schemas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSchema {
    /// See [`ModuleHeader::abi_version`].
    pub abi_version: u32,
    /// The module's name.
    pub name: ModuleName,
    /// Its version.
    pub version: Version,
    /// Who may use it.
    pub visibility: Visibility,
    /// The privileges it asks for.
    pub authorities: Vec<Authority>,
    /// Tables of other nodes that are kept here as replicas.
    pub replicated_tables: Vec<TableRef>,
    /// The modules it was compiled against.
    pub dependencies: Vec<Dependency>,
    /// By [`crate::id::TableId`].
    pub tables: Vec<TableSchema>,
    /// Reducers.
    pub reducers: Vec<ReducerSchema>,
    /// Queries.
    pub queries: Vec<QuerySchema>,
    /// All named types.
    pub types: TypeSet,
}

impl ModuleSchema {
    /// The reducer called `name`.
    #[must_use]
    pub fn reducer(&self, name: &str) -> Option<&ReducerSchema> {
        self.reducers.iter().find(|reducer| reducer.name == name)
    }

    /// The query called `name`.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&QuerySchema> {
        self.queries.iter().find(|query| query.name == name)
    }

    /// The table called `name`, and its place.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<(crate::id::TableId, &TableSchema)> {
        let place = self.tables.iter().position(|table| table.name == name)?;
        Some((
            crate::id::TableId(u16::try_from(place).ok()?),
            self.tables.get(place)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn a_version_satisfies_by_the_caret_rule() {
        let v = |major, minor, patch| Version {
            major,
            minor,
            patch,
        };
        for (have, want, ok) in [
            (v(1, 4, 0), v(1, 2, 3), true),
            (v(1, 2, 2), v(1, 2, 3), false),
            (v(2, 0, 0), v(1, 2, 3), false),
            (v(0, 1, 9), v(0, 1, 2), true),
            (v(0, 2, 0), v(0, 1, 2), false),
            (v(0, 0, 3), v(0, 0, 3), true),
            (v(0, 0, 4), v(0, 0, 3), false),
        ] {
            assert_eq!(have.satisfies(want), ok, "{have} for {want}");
        }
    }
}
