//! Keys as bytes whose order is the order of the keys.
//!
//! Format, by type: integers big-endian at their full width, signed ones with the sign bit
//! flipped; `bool` one byte; `String` and `Vec<u8>` their bytes with `00` written as `00 FF`,
//! ended by `00 00`; `Option` `00`, or `01` and the value; tuples their items; unit enums the
//! variant's number as a `u32`. No key is the beginning of another of its type, so a value
//! followed by a primary key sorts by value, then by key. No key is empty. Floats and everything
//! else are not keys. The way back is in `key/back.rs`.

mod back;

use alloc::{boxed::Box, string::String, vec::Vec};

use crate::{
    codec::{Damaged, Input},
    types::{ColumnType, Fields, TypeKind, TypeSet},
};

/// How many levels of tuples and options a key may have: more than people write, few enough for
/// every stack.
const DEPTH_MAX: usize = 16;

/// A type whose values can be keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyType(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    /// So many bytes.
    Unsigned(usize),
    /// So many bytes.
    Signed(usize),
    String,
    Bytes,
    Option(Box<Kind>),
    Tuple(Vec<Kind>),
    /// The variants' names.
    Enum(Vec<String>),
}

/// Whether values of `ty` can be keys.
#[must_use]
pub fn is_key_type(ty: &ColumnType, types: &TypeSet) -> bool {
    kind(ty, types, DEPTH_MAX).is_some()
}

impl KeyType {
    /// The key type of `ty`; `None` when its values cannot be keys.
    #[must_use]
    pub fn new(ty: &ColumnType, types: &TypeSet) -> Option<Self> {
        kind(ty, types, DEPTH_MAX).map(Self)
    }

    /// Appends the ordered bytes of the encoded value that fills `value`.
    ///
    /// # Errors
    /// [`Damaged`] when `value` is not the canonical encoding of one.
    pub fn order(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
        let mut input = Input::new(value);
        order(&self.0, &mut input, out)?;
        input.finish()
    }
}

fn kind(ty: &ColumnType, types: &TypeSet, depth: usize) -> Option<Kind> {
    let depth = depth.checked_sub(1)?;
    Some(match ty {
        ColumnType::Bool => Kind::Bool,
        ColumnType::U8 => Kind::Unsigned(1),
        ColumnType::U16 => Kind::Unsigned(2),
        ColumnType::U32 => Kind::Unsigned(4),
        ColumnType::U64 => Kind::Unsigned(8),
        ColumnType::U128 => Kind::Unsigned(16),
        ColumnType::I8 => Kind::Signed(1),
        ColumnType::I16 => Kind::Signed(2),
        ColumnType::I32 => Kind::Signed(4),
        ColumnType::I64 => Kind::Signed(8),
        ColumnType::I128 => Kind::Signed(16),
        ColumnType::String => Kind::String,
        ColumnType::Vec(item) if **item == ColumnType::U8 => Kind::Bytes,
        ColumnType::Option(inner) => Kind::Option(Box::new(kind(inner, types, depth)?)),
        ColumnType::Tuple(items) if !items.is_empty() => Kind::Tuple(
            items
                .iter()
                .map(|item| kind(item, types, depth))
                .collect::<Option<_>>()?,
        ),
        ColumnType::Named(name) => match &types.types.get(name)?.kind {
            TypeKind::Enum(variants)
                if !variants.is_empty()
                    && variants
                        .iter()
                        .all(|variant| variant.fields == Fields::Unit) =>
            {
                Kind::Enum(
                    variants
                        .iter()
                        .map(|variant| variant.name.clone())
                        .collect(),
                )
            }
            _ => return None,
        },
        ColumnType::Void
        | ColumnType::F32
        | ColumnType::F64
        | ColumnType::Vec(_)
        | ColumnType::Tuple(_)
        | ColumnType::Array(..) => return None,
    })
}

fn order(kind: &Kind, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    match kind {
        Kind::Bool => {
            let byte = input.byte()?;
            if byte > 1 {
                return Err(input.damaged("a bool is neither 0 nor 1"));
            }
            out.push(byte);
        }
        Kind::Unsigned(1) => out.push(input.byte()?),
        Kind::Signed(1) => out.push(input.byte()? ^ 0x80),
        Kind::Unsigned(size) => put_big_endian(varint(*size, input)?, *size, out),
        Kind::Signed(size) => {
            let zigzag = varint(*size, input)?;
            let value = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
            put_big_endian(value ^ sign_bit(*size), *size, out);
        }
        Kind::String => {
            let bytes = counted(input)?;
            if core::str::from_utf8(bytes).is_err() {
                return Err(input.damaged("a string is not UTF-8"));
            }
            put_escaped(bytes, out);
        }
        Kind::Bytes => {
            let bytes = counted(input)?;
            put_escaped(bytes, out);
        }
        Kind::Option(inner) => match input.byte()? {
            0 => out.push(0),
            1 => {
                out.push(1);
                order(inner, input, out)?;
            }
            _ => return Err(input.damaged("an option's tag is neither 0 nor 1")),
        },
        Kind::Tuple(items) => {
            for item in items {
                order(item, input, out)?;
            }
        }
        Kind::Enum(variants) => {
            let number = input.length()?;
            if number >= variants.len() {
                return Err(input.damaged("an enum has no variant of this number"));
            }
            put_big_endian(number as u128, 4, out);
        }
    }
    Ok(())
}

fn varint(size: usize, input: &mut Input<'_>) -> Result<u128, Damaged> {
    input.varint(bits(size))
}

/// The bits of an integer of `size` bytes, at most 16.
fn bits(size: usize) -> u32 {
    u32::try_from(size * 8).unwrap_or(128)
}

/// The sign bit of an integer of `size` bytes.
fn sign_bit(size: usize) -> u128 {
    1 << (bits(size) - 1)
}

fn counted<'a>(input: &mut Input<'a>) -> Result<&'a [u8], Damaged> {
    let length = input.length()?;
    input.take(length)
}

/// Appends the low `size` bytes of `value`.
fn put_big_endian(value: u128, size: usize, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    out.extend_from_slice(bytes.get(bytes.len() - size..).unwrap_or_default());
}

fn put_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for (place, part) in bytes.split(|byte| *byte == 0).enumerate() {
        if place > 0 {
            out.extend_from_slice(&[0x00, 0xff]);
        }
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[0x00, 0x00]);
}

#[cfg(test)]
mod tests;
