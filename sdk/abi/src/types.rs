//! Column types, and the definitions of the named ones.
//!
//! [`ColumnType`] reads and writes, through serde, the `field_type` notation of binding files
//! (`"U64"`, `{ Vec = "U8" }`, `{ Named = "Color" }`).

mod nesting;

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text;

/// The type of a column, an argument or a result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(
    missing_docs,
    reason = "the variants are the types of Rust that they are called after"
)]
pub enum ColumnType {
    /// `()`: no bytes. Results only, and unit variants in binding files.
    Void,
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    String,
    /// `Vec<T>`; `Vec<u8>` is bytes.
    Vec(Box<ColumnType>),
    Option(Box<ColumnType>),
    Tuple(Vec<ColumnType>),
    /// A struct or enum of the module, by its identifier.
    Named(String),
    /// `[T; N]`.
    Array(Box<ColumnType>, u32),
}

impl fmt::Display for ColumnType {
    /// The type as one would write it in Rust.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Void => f.write_str("()"),
            Self::Bool => f.write_str("bool"),
            Self::U8 => f.write_str("u8"),
            Self::U16 => f.write_str("u16"),
            Self::U32 => f.write_str("u32"),
            Self::U64 => f.write_str("u64"),
            Self::U128 => f.write_str("u128"),
            Self::I8 => f.write_str("i8"),
            Self::I16 => f.write_str("i16"),
            Self::I32 => f.write_str("i32"),
            Self::I64 => f.write_str("i64"),
            Self::I128 => f.write_str("i128"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::String => f.write_str("String"),
            Self::Vec(inner) => write!(f, "Vec<{inner}>"),
            Self::Option(inner) => write!(f, "Option<{inner}>"),
            Self::Array(inner, length) => write!(f, "[{inner}; {length}]"),
            Self::Named(name) => f.write_str(name),
            Self::Tuple(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
        }
    }
}

/// A named value: a struct's field, a function's argument, a table's column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The identifier, without `r#`. Tuple structs use `0`, `1`, ….
    #[serde(deserialize_with = "text::deserialize")]
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// The encoded value of `#[default(…)]`, which deploy fills into rows that are older than the
    /// column.
    pub default: Option<Vec<u8>>,
}

impl Field {
    /// A field without a default.
    #[must_use]
    pub fn new(name: impl Into<String>, ty: ColumnType) -> Self {
        Self {
            name: name.into(),
            ty,
            default: None,
        }
    }
}

/// How the fields of a struct or of an enum's variant are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fields {
    /// No fields: `struct A;`, `Variant`.
    Unit,
    /// Fields by place: `struct A(u8)`, `Variant(u8)`.
    Tuple(Vec<ColumnType>),
    /// Fields by name.
    Named(Vec<Field>),
}

impl Fields {
    /// The types of the fields in order.
    pub fn types(&self) -> impl Iterator<Item = &ColumnType> {
        let (tuple, named): (&[ColumnType], &[Field]) = match self {
            Self::Unit => (&[], &[]),
            Self::Tuple(types) => (types, &[]),
            Self::Named(fields) => (&[], fields),
        };
        tuple.iter().chain(named.iter().map(|field| &field.ty))
    }
}

/// One variant of an enum; its number on the wire is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The identifier.
    #[serde(deserialize_with = "text::deserialize")]
    pub name: String,
    /// What it carries.
    pub fields: Fields,
}

/// What a named type is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TypeKind {
    /// A struct: its fields, one after the other.
    Struct(Fields),
    /// An enum: the variant's number (varint u32), then its fields.
    Enum(Vec<Variant>),
}

/// A named type of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDefinition {
    /// Where the type is defined (`crate::module::Name`): tells two types of one name apart.
    pub path: String,
    /// Its shape.
    pub kind: TypeKind,
}

/// The named types that a schema, or one of its items, uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeSet {
    /// By identifier.
    pub types: BTreeMap<String, TypeDefinition>,
    /// Sentences about two different types that claim one name; a schema with any is refused.
    pub conflicts: Vec<String>,
}

impl TypeSet {
    /// Adds the type `name`, defined at `path`, unless it is there. `kind` is asked only once per
    /// name, after the name is taken, so types may contain themselves.
    pub fn define(&mut self, name: &str, path: &str, kind: impl FnOnce(&mut Self) -> TypeKind) {
        if let Some(known) = self.types.get(name) {
            if known.path != path {
                self.conflict(name, path);
            }
            return;
        }
        let placeholder = TypeDefinition {
            path: path.into(),
            kind: TypeKind::Struct(Fields::Unit),
        };
        self.types.insert(name.into(), placeholder);
        let kind = kind(self);
        if let Some(definition) = self.types.get_mut(name) {
            definition.kind = kind;
        }
    }

    /// Adds all types of `other`.
    pub fn merge(&mut self, other: Self) {
        self.conflicts.extend(other.conflicts);
        for (name, definition) in other.types {
            match self.types.get(&name) {
                Some(known) if known.path != definition.path => {
                    self.conflict(&name, &definition.path)
                }
                Some(_) => {}
                None => {
                    self.types.insert(name, definition);
                }
            }
        }
    }

    fn conflict(&mut self, name: &str, path: &str) {
        let known = self
            .types
            .get(name)
            .map_or("", |definition| definition.path.as_str());
        let sentence = format!(
            "two different types are called `{name}`: `{known}` and `{path}`; rename one of them"
        );
        if !self.conflicts.contains(&sentence) {
            self.conflicts.push(sentence);
        }
    }
}
