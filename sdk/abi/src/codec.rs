//! How a value of a column type becomes bytes and back: the postcard wire format, written out by
//! hand so that a guest's types need no serde.
//!
//! Format (postcard 1): `bool`, `u8`, `i8` one byte; other unsigned integers LEB128 varints,
//! signed ones zigzag first; floats little-endian; `String` and `Vec` a varint length, then the
//! items; `Option` 0 or 1, then the value; arrays, tuples and structs their items, one after the
//! other; enums a varint `u32`, then the variant's fields. Decoding refuses what is not canonical
//! (an overlong varint, a bool of 2), so equal values have equal bytes.

mod compound;
mod primitive;

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::types::{ColumnType, TypeSet};

/// A type that a column, an argument or a result can have. Derived by `#[interstice_type]` and
/// `#[table]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a column, an argument or a result",
    label = "not a column type",
    note = "column types are bool, integers, floats, String, and Vec, Option, arrays and tuples of column types; put `#[interstice_type]` on a struct or enum of your own"
)]
pub trait Column: Sized {
    /// The type as the schema says it; named types add their definition to `types`.
    fn column_type(types: &mut TypeSet) -> ColumnType;

    /// Appends the value's bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one value.
    ///
    /// # Errors
    /// [`Damaged`] when the bytes end early or are not the canonical form of a value.
    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged>;

    /// Appends all `items` without their count. `u8` does it in one copy.
    fn encode_all(items: &[Self], out: &mut Vec<u8>) {
        for item in items {
            item.encode(out);
        }
    }

    /// Reads `count` values. Memory grows with what was read, never with what `count` claims.
    ///
    /// # Errors
    /// As [`Column::decode`].
    fn decode_all(count: usize, input: &mut Input<'_>) -> Result<Vec<Self>, Damaged> {
        let mut items = Vec::with_capacity(count.min(input.left()));
        for _ in 0..count {
            items.push(Self::decode(input)?);
        }
        Ok(items)
    }

    /// The value's bytes in a vector of their own.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads a value that must fill `bytes`.
    ///
    /// # Errors
    /// [`Damaged`], also when bytes are left over.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = Input::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

/// Bytes that are not the canonical encoding of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// What was wrong, for people.
    pub what: &'static str,
    /// How many bytes were left to read when it was noticed.
    pub left: usize,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "damaged value: {}, {} bytes before its end",
            self.what, self.left
        )
    }
}

impl core::error::Error for Damaged {}

impl From<Damaged> for String {
    fn from(damaged: Damaged) -> Self {
        alloc::format!("{damaged}")
    }
}

/// A cursor over encoded bytes.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The error for what is wrong at this place.
    #[must_use]
    pub fn damaged(&self, what: &'static str) -> Damaged {
        Damaged {
            what,
            left: self.rest.len(),
        }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Damaged`] when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.damaged("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Damaged`] when none is left.
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (&byte, rest) = self
            .rest
            .split_first()
            .ok_or_else(|| self.damaged("ends too early"))?;
        self.rest = rest;
        Ok(byte)
    }

    /// A varint of at most `bits` bits, in its shortest form.
    ///
    /// # Errors
    /// [`Damaged`] when it is cut off, too large, or longer than it need be.
    #[inline]
    pub fn varint(&mut self, bits: u32) -> Result<u128, Damaged> {
        match self.rest {
            &[byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u128::from(byte))
            }
            _ => self.longer_varint(bits),
        }
    }

    fn longer_varint(&mut self, bits: u32) -> Result<u128, Damaged> {
        let rest = self.rest;
        let bytes = self.varint_bytes(bits)?;
        // Sandboxes, and not only they, are slow with 128 bits, and with many steps.
        Ok(match (rest.first_chunk::<8>(), bytes) {
            (Some(eight), [_, _, _, _, _, _, _, _, others @ ..]) => {
                let low = septets(u64::from_le_bytes(*eight));
                match others {
                    [] => u128::from(low),
                    [ninth] => u128::from(low | u64::from(ninth & 0x7f) << 56),
                    _ => u128::from(low) | joined(others) << 56,
                }
            }
            (Some(eight), few) => {
                let unused = 64 - 8 * few.len();
                u128::from(septets(u64::from_le_bytes(*eight) << unused >> unused))
            }
            (None, bytes) => joined(bytes),
        })
    }

    /// Moves behind what [`Input::varint`] would read.
    ///
    /// # Errors
    /// As [`Input::varint`].
    #[inline]
    pub(crate) fn skip_varint(&mut self, bits: u32) -> Result<(), Damaged> {
        self.varint_bytes(bits).map(|_| ())
    }

    /// The bytes of a varint, which are checked.
    #[inline]
    fn varint_bytes(&mut self, bits: u32) -> Result<&'a [u8], Damaged> {
        let bits = bits as usize;
        let length_max = bits.div_ceil(7);
        let what = match varint_end(self.rest.get(..length_max).unwrap_or(self.rest)) {
            Some((0, _)) => return self.take(1),
            Some((last, byte)) => {
                let room = bits - 7 * last;
                if byte == 0 {
                    "a number is longer than it need be"
                } else if room >= 7 || byte >> room == 0 {
                    return self.take(last + 1);
                } else {
                    "a number is too large for its type"
                }
            }
            None if self.rest.len() < length_max => "ends too early",
            None => "a number is too large for its type",
        };
        Err(self.damaged(what))
    }

    /// A length or count.
    ///
    /// # Errors
    /// As [`Input::varint`]; lengths have at most 32 bits.
    pub fn length(&mut self) -> Result<usize, Damaged> {
        let length = self.varint(32)?;
        usize::try_from(length).map_err(|_| self.damaged("a length is too large"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Damaged`] when bytes are left over.
    pub fn finish(self) -> Result<(), Damaged> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.damaged("is followed by bytes that do not belong to it"))
        }
    }
}

/// The place of the first byte that ends a varint, and that byte.
#[inline]
fn varint_end(bytes: &[u8]) -> Option<(usize, u8)> {
    /// The bit by which every byte says that another one follows, in eight of them.
    const MORE: u64 = 0x8080_8080_8080_8080;

    let mut from = 0;
    if let Some((eight, _)) = bytes.split_first_chunk::<8>() {
        let ends = !u64::from_le_bytes(*eight) & MORE;
        if ends != 0 {
            let place = ends.trailing_zeros() as usize / 8;
            return Some((place, *eight.get(place)?));
        }
        from = eight.len();
    }
    let mut others = bytes.iter().enumerate().skip(from);
    others.find_map(|(place, byte)| (*byte < 0x80).then_some((place, *byte)))
}

/// The lower seven bits of each of eight bytes, put together.
const fn septets(eight: u64) -> u64 {
    let pairs = eight & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (pairs & 0x7f00_7f00_7f00_7f00) >> 1 | pairs & 0x007f_007f_007f_007f;
    let fours = (pairs & 0x3fff_0000_3fff_0000) >> 2 | pairs & 0x0000_3fff_0000_3fff;
    (fours & 0x0fff_ffff_0000_0000) >> 4 | fours & 0x0000_0000_0fff_ffff
}

/// The same of any bytes, one after the other.
fn joined(bytes: &[u8]) -> u128 {
    let parts = bytes.iter().rev().map(|byte| u128::from(byte & 0x7f));
    parts.fold(0, |value, part| value << 7 | part)
}

/// Appends a varint.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low seven bits are what is wanted"
)]
#[inline]
pub fn put_varint(mut value: u128, out: &mut Vec<u8>) {
    while value > u128::from(u64::MAX) {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    // Sandboxes, and not only they, are slow with 128 bits.
    let mut value = value as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length or count.
pub fn put_length(length: usize, out: &mut Vec<u8>) {
    put_varint(length as u128, out);
}

#[cfg(test)]
mod tests;
