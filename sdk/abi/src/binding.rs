//! Binding files: a module's public schema as the modules that use it keep it in
//! `src/bindings/*.toml`.
//!
//! This is the shape of such a file as serde sees it; the TOML itself is read by the macro crate
//! and written by the command line. A file with the key `address` is a [`NodeBinding`], any other
//! a [`ModuleBinding`]; file names do not matter. Reading is tolerant: keys that a module can do
//! without may be absent, unknown keys are skipped. Nothing read is believed before
//! [`ModuleBinding::to_schema`] has checked it.

mod read;
mod render;
mod view;

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny};

use crate::{
    schema::{Dependency, IndexKind, Persistence, Version, Visibility},
    types::ColumnType,
};

/// The version of this form that [`ModuleBinding::of`] writes. A reader refuses files of a later
/// one, which may say things that it would miss; files without a version are older than the key.
pub const BINDINGS_VERSION: u32 = 1;

/// `node_<name>.toml`: the modules of another node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeBinding {
    /// The node's name, as event strings and `replicated_tables` spell it.
    pub name: String,
    /// Where the node was reached: `host:port` or a multiaddr.
    pub address: String,
    /// The node's id, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Another name for `ctx.<name>()` and `crate::bindings::<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Its modules.
    #[serde(default)]
    pub modules: Vec<ModuleBinding>,
}

/// `<module>.toml`, or one of a node's modules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleBinding {
    /// The abi version of the module when the file was written. Says nothing about whether it can
    /// be bound.
    pub abi_version: u32,
    /// See [`BINDINGS_VERSION`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bindings_version: Option<u32>,
    /// The module's name as written.
    pub name: String,
    /// Another name for `ctx.<name>()` and `crate::bindings::<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Who may use it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Of no use to a binding; kept for the form.
    #[serde(default)]
    pub authorities: Unused,
    /// Reducers that files of older tools list although events run them; they cannot be called.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// Of no use to a binding; kept for the form.
    #[serde(default)]
    pub module_dependencies: Unused,
    /// Of no use to a binding; kept for the form.
    #[serde(default)]
    pub node_dependencies: Unused,
    /// Of no use to a binding; kept for the form.
    #[serde(default)]
    pub replicated_tables: Unused,
    /// The version the binding was made from.
    pub version: Version,
    /// The callable reducers.
    #[serde(default)]
    pub reducers: Vec<ReducerBinding>,
    /// The queries.
    #[serde(default)]
    pub queries: Vec<QueryBinding>,
    /// The public tables.
    #[serde(default)]
    pub tables: Vec<TableBinding>,
    /// The named types that those use, rows among them.
    #[serde(default)]
    pub type_definitions: BTreeMap<String, TypeBinding>,
}

/// An array whose contents do not matter: skipped when read, empty when written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unused;

impl<'de> Deserialize<'de> for Unused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Unused {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(core::iter::empty::<()>())
    }
}

/// A reducer that an event runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// The reducer's name.
    pub reducer_name: String,
}

/// A name and a type: an argument or a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldBinding {
    /// The identifier; fields of tuple structs are called `0`, `1`, ….
    pub name: String,
    /// Its type.
    pub field_type: ColumnType,
}

/// A callable reducer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReducerBinding {
    /// The function's name.
    pub name: String,
    /// What it takes beyond the context.
    #[serde(default)]
    pub arguments: Vec<FieldBinding>,
    /// Tables it reads.
    #[serde(default)]
    pub reads: Vec<TableSelection>,
    /// Tables it inserts into.
    #[serde(default)]
    pub inserts: Vec<TableSelection>,
    /// Tables it updates.
    #[serde(default)]
    pub updates: Vec<TableSelection>,
    /// Tables it deletes from.
    #[serde(default)]
    pub deletes: Vec<TableSelection>,
}

/// A query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryBinding {
    /// The function's name.
    pub name: String,
    /// What it takes beyond the context.
    #[serde(default)]
    pub arguments: Vec<FieldBinding>,
    /// What it returns.
    pub return_type: ColumnType,
    /// Tables it reads.
    #[serde(default)]
    pub reads: Vec<TableSelection>,
}

/// A table in a list of capabilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TableSelection {
    /// `"table"`, `"module.table"` or `"node.module.table"`.
    Name(String),
    /// The same in parts.
    Parts {
        /// The node.
        node_selection: Selection,
        /// The module.
        module_selection: Selection,
        /// The table.
        table_name: String,
    },
}

/// A node or module in a [`TableSelection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Selection {
    /// `"Current"`: the one that the list belongs to.
    Current(String),
    /// `{ Other = "name" }`: another one. The key may be any word.
    Other(BTreeMap<String, String>),
}

/// A public table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableBinding {
    /// The table's name, in lower case.
    pub name: String,
    /// The row's type.
    pub type_name: String,
    /// Who may read it. A file of others' tables means public ones.
    #[serde(default = "public")]
    pub visibility: Visibility,
    /// Whether a key of 0 is replaced by the next number.
    #[serde(default)]
    pub primary_key_auto_inc: bool,
    /// How it is kept.
    #[serde(default)]
    pub persistence: Persistence,
    /// The columns without the key. The key's place among them is that of the row's type, or else
    /// the first.
    #[serde(default)]
    pub fields: Vec<FieldBinding>,
    /// The key.
    pub primary_key: FieldBinding,
    /// Secondary indexes.
    #[serde(default)]
    pub indexes: Vec<IndexBinding>,
}

/// An index of a public table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexBinding {
    /// The field's name.
    pub field_name: String,
    /// How it finds rows.
    pub index_type: IndexKind,
    /// Whether two rows may share a value.
    #[serde(default)]
    pub unique: bool,
    /// Whether 0 is replaced by the next number.
    #[serde(default)]
    pub auto_inc: bool,
}

/// A named type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TypeBinding {
    /// A struct. Without fields it is a unit struct, with fields called `0`, `1`, … a tuple struct.
    Struct {
        /// The identifier, once more.
        name: String,
        /// Its fields in order.
        #[serde(default)]
        fields: Vec<FieldBinding>,
    },
    /// An enum.
    Enum {
        /// The identifier, once more.
        name: String,
        /// Its variants in order.
        #[serde(default)]
        variants: Vec<VariantBinding>,
    },
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantBinding {
    /// The identifier.
    pub name: String,
    /// `"Void"` for a unit variant, a tuple for several fields, any other type for one. One field
    /// that is itself a tuple is written as a tuple of that tuple.
    #[serde(default = "void")]
    pub field_type: ColumnType,
    /// The fields of a struct variant; `field_type` is `"Void"` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<FieldBinding>>,
}

/// Packs what generated code carries of its bindings.
///
/// # Panics
/// Never: every dependency can be written into a vector.
#[must_use]
pub fn pack_dependencies(dependencies: &[Dependency]) -> Vec<u8> {
    postcard::to_allocvec(dependencies).expect("a vector takes everything that serde can write")
}

/// Unpacks what [`pack_dependencies`] of the same version packed into generated code.
///
/// # Panics
/// When `bytes` come from elsewhere: not for bytes that anyone else has touched.
#[must_use]
pub fn unpack_dependencies(bytes: &[u8]) -> Vec<Dependency> {
    postcard::from_bytes(bytes).expect("the macros of this version packed it")
}

fn public() -> Visibility {
    Visibility::Public
}

fn void() -> ColumnType {
    ColumnType::Void
}

#[cfg(test)]
mod tests;
