//! A value of any column type as a tree, for programs that know schemas only at run time.
//!
//! [`decode`] and [`encode`] follow the wire format of [`crate::codec`] by a schema instead of by
//! a Rust type. Neither trusts what it is given: bytes, types and trees may be hostile, so depth
//! and the number of values are limited, and memory grows with what was read, never with what a
//! length claims. JSON is not here but in the command line.

mod decode;
mod encode;

use alloc::{boxed::Box, string::String, vec::Vec};

pub use self::{decode::decode, encode::encode};

/// How deeply values may nest. Each level costs stack here and in whoever walks or drops the tree;
/// JSON readers commonly refuse more than this too, so a deeper value could be printed but not
/// typed.
pub const DEPTH_MAX: usize = 128;

/// How many values one tree may hold. Types without bytes (`()`, unit structs) let a short input
/// claim billions of values; at this limit a tree costs a few hundred megabytes at worst. Byte
/// vectors count as one.
pub const VALUES_MAX: usize = 1 << 22;

/// A value together with what is needed to print it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `()`.
    Void,
    /// A bool.
    Bool(bool),
    /// Any unsigned integer.
    Unsigned(u128),
    /// Any signed integer.
    Signed(i128),
    /// An `f32`.
    F32(f32),
    /// An `f64`.
    F64(f64),
    /// A string.
    String(String),
    /// `Vec<u8>` or `[u8; N]`.
    Bytes(Vec<u8>),
    /// Any other vector or array.
    List(Vec<Value>),
    /// An option.
    Option(Option<Box<Value>>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A struct's fields.
    Struct(FieldValues),
    /// An enum's variant, by its name, and what it carries.
    Enum(String, FieldValues),
}

/// The fields of a struct or variant, written as its definition writes them.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValues {
    /// No fields.
    Unit,
    /// Fields by place.
    Tuple(Vec<Value>),
    /// Fields by name, in the order of the definition.
    Named(Vec<(String, Value)>),
}

#[cfg(test)]
mod tests;
