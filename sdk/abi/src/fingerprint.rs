//! Fingerprints of signatures and row types: both ends of a conversation compare them before
//! either decodes the other's bytes.
//!
//! A fingerprint covers names and types in their order. A named type counts by its structure (the
//! names and types of its fields and variants), not by its own name. It follows from the schema
//! alone, is the same in every build, and stays the same for ever: it is on the wire. The hash is
//! FNV-1a of 64 bits: it tells versions of a module apart, and is no defence against forgery,
//! because a client that forges a fingerprint only deceives itself.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    schema::{QuerySchema, ReducerSchema, TableSchema},
    types::{ColumnType, Field, Fields, TypeKind, TypeSet, Variant},
};

/// FNV-1a's offset basis of 64 bits.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a's prime of 64 bits.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of a signature, a row type or a single type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Of the arguments that a reducer takes.
    #[must_use]
    pub fn of_reducer(reducer: &ReducerSchema, types: &TypeSet) -> Self {
        let mut writer = Writer::new(b'c', types);
        writer.fields(&reducer.arguments);
        writer.finish()
    }

    /// Of the arguments that a query takes, and of its result.
    #[must_use]
    pub fn of_query(query: &QuerySchema, types: &TypeSet) -> Self {
        let mut writer = Writer::new(b'q', types);
        writer.fields(&query.arguments);
        writer.ty(&query.result);
        writer.finish()
    }

    /// Of a table's rows.
    #[must_use]
    pub fn of_row(table: &TableSchema, types: &TypeSet) -> Self {
        let mut writer = Writer::new(b'r', types);
        table.fields.iter().for_each(|field| writer.field(field));
        writer.finish()
    }

    /// Of a table's rows as they were with only the first column, with the first two, and so on;
    /// the last one is [`Fingerprint::of_row`]. A reader that knows the first columns alone can
    /// read rows that have more.
    #[must_use]
    pub fn of_row_prefixes(table: &TableSchema, types: &TypeSet) -> Vec<Self> {
        let mut writer = Writer::new(b'r', types);
        let prefix = |field| {
            writer.field(field);
            writer.finish()
        };
        table.fields.iter().map(prefix).collect()
    }

    /// Of a single type.
    #[must_use]
    pub fn of_type(ty: &ColumnType, types: &TypeSet) -> Self {
        let mut writer = Writer::new(b't', types);
        writer.ty(ty);
        writer.finish()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Feeds the hash. Works on a list instead of recursing, so no type is too deep for it, and looks
/// at each named type once.
struct Writer<'a> {
    state: u64,
    types: &'a TypeSet,
    /// Named types that were looked at, by the order in which they came.
    seen: BTreeMap<&'a str, u32>,
}

/// What is still to be written.
enum Part<'a> {
    Type(&'a ColumnType),
    Fields(&'a Fields),
    Name(&'a str),
    Variant(&'a Variant),
}

impl<'a> Writer<'a> {
    fn new(kind: u8, types: &'a TypeSet) -> Self {
        let mut writer = Self {
            state: BASIS,
            types,
            seen: BTreeMap::new(),
        };
        writer.byte(kind);
        writer
    }

    fn finish(&self) -> Fingerprint {
        Fingerprint(self.state)
    }

    fn byte(&mut self, byte: u8) {
        self.state = (self.state ^ u64::from(byte)).wrapping_mul(PRIME);
    }

    fn number(&mut self, number: u32) {
        number.to_le_bytes().into_iter().for_each(|b| self.byte(b));
    }

    fn count(&mut self, count: usize) {
        self.number(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        text.bytes().for_each(|byte| self.byte(byte));
    }

    fn fields(&mut self, fields: &'a [Field]) {
        self.count(fields.len());
        fields.iter().for_each(|field| self.field(field));
    }

    fn field(&mut self, field: &'a Field) {
        self.text(&field.name);
        self.ty(&field.ty);
    }

    fn ty(&mut self, ty: &'a ColumnType) {
        // The next part is the last one of the list.
        let mut open = vec![Part::Type(ty)];
        while let Some(part) = open.pop() {
            match part {
                Part::Name(name) => self.text(name),
                Part::Type(ty) => self.one_type(ty, &mut open),
                Part::Fields(fields) => self.shape(fields, &mut open),
                Part::Variant(variant) => {
                    self.text(&variant.name);
                    open.push(Part::Fields(&variant.fields));
                }
            }
        }
    }

    fn one_type(&mut self, ty: &'a ColumnType, open: &mut Vec<Part<'a>>) {
        // Never renumber: fingerprints of older builds would differ.
        let number = match ty {
            ColumnType::Void => 0,
            ColumnType::Bool => 1,
            ColumnType::U8 => 2,
            ColumnType::U16 => 3,
            ColumnType::U32 => 4,
            ColumnType::U64 => 5,
            ColumnType::U128 => 6,
            ColumnType::I8 => 7,
            ColumnType::I16 => 8,
            ColumnType::I32 => 9,
            ColumnType::I64 => 10,
            ColumnType::I128 => 11,
            ColumnType::F32 => 12,
            ColumnType::F64 => 13,
            ColumnType::String => 14,
            ColumnType::Vec(_) => 15,
            ColumnType::Option(_) => 16,
            ColumnType::Tuple(_) => 17,
            ColumnType::Array(..) => 18,
            ColumnType::Named(name) => return self.named(name, open),
        };
        self.byte(number);
        match ty {
            ColumnType::Vec(inner) | ColumnType::Option(inner) => open.push(Part::Type(inner)),
            ColumnType::Array(inner, length) => {
                self.number(*length);
                open.push(Part::Type(inner));
            }
            ColumnType::Tuple(items) => {
                self.count(items.len());
                open.extend(items.iter().rev().map(Part::Type));
            }
            _ => {}
        }
    }

    fn named(&mut self, name: &'a String, open: &mut Vec<Part<'a>>) {
        let next = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        if let Some(known) = self.seen.get(name.as_str()).copied() {
            self.byte(19);
            return self.number(known);
        }
        self.seen.insert(name, next);
        match self.types.types.get(name).map(|found| &found.kind) {
            Some(TypeKind::Struct(fields)) => {
                self.byte(20);
                open.push(Part::Fields(fields));
            }
            Some(TypeKind::Enum(variants)) => {
                self.byte(21);
                self.count(variants.len());
                open.extend(variants.iter().rev().map(Part::Variant));
            }
            // A schema that was checked has all its types.
            None => {
                self.byte(22);
                self.text(name);
            }
        }
    }

    fn shape(&mut self, fields: &'a Fields, open: &mut Vec<Part<'a>>) {
        match fields {
            Fields::Unit => self.byte(0),
            Fields::Tuple(types) => {
                self.byte(1);
                self.count(types.len());
                open.extend(types.iter().rev().map(Part::Type));
            }
            Fields::Named(fields) => {
                self.byte(2);
                self.count(fields.len());
                for field in fields.iter().rev() {
                    open.push(Part::Type(&field.ty));
                    open.push(Part::Name(&field.name));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
