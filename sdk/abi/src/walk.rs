//! Reading encoded values by their schema without building values: is a row, a key or an argument
//! list whole and canonical, and where do its fields lie?
//!
//! A [`Layout`] holds the types of a schema with names resolved to numbers, so that a walk looks
//! nothing up. Invariants: a walk takes time in proportion to the bytes that it is given, whatever
//! they claim; it recurses at most [`DEPTH_MAX`] levels; it never panics. How names are resolved
//! is in `walk/resolve.rs`; values as trees are in [`crate::value`].

mod resolve;

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use crate::{
    codec::{Damaged, Input},
    types::ColumnType,
};

pub use resolve::Unresolved;

/// How many levels of vectors, options, structs, enums, tuples and arrays a value may have. Deeper
/// than what people write, shallow enough for every stack that a walker runs on.
pub const DEPTH_MAX: usize = 64;

/// How many items a vector of items without bytes (`Vec<Unit>`) may claim. Such a claim costs its
/// sender five bytes and its reader a loop.
pub const ZERO_SIZED_ITEMS_MAX: usize = 65_536;

/// A type of a [`Layout`], by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u32);

/// The types of a schema, ready to be walked.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    entries: Vec<Entry>,
    known: BTreeMap<ColumnType, Node>,
}

#[derive(Clone, Debug)]
struct Entry {
    shape: Shape,
    /// The fewest bytes that a value has. 0 exactly for types whose values never have any.
    bytes_min: u64,
    /// Levels down to where values start to have varying depth (vectors and options), counted for
    /// [`DEPTH_MAX`].
    height: usize,
}

#[derive(Clone, Debug)]
enum Shape {
    Bool,
    /// So many bytes, all of which are values.
    Fixed(usize),
    /// A varint of so many bits.
    Varint(u32),
    String,
    Vec(Node),
    Option(Node),
    /// Tuples, structs, `()`.
    Sequence(Box<[Node]>),
    Array(Node, usize),
    /// The fields of each variant.
    Enum(Box<[Box<[Node]>]>),
}

impl Layout {
    /// Moves `input` behind one value of type `node`.
    ///
    /// # Errors
    /// [`Damaged`] when the bytes end early or are not the canonical form of a value.
    pub fn skip(&self, node: Node, input: &mut Input<'_>) -> Result<(), Damaged> {
        self.descend(node, input, DEPTH_MAX)
    }

    /// Walks over the values of `fields`, which must fill `bytes`, and hands each one's place and
    /// bytes to `each`. Rows and argument lists are both such sequences.
    ///
    /// # Errors
    /// As [`Layout::skip`]; also when bytes are left over.
    pub fn walk<'a>(
        &self,
        fields: &[Node],
        bytes: &'a [u8],
        mut each: impl FnMut(usize, &'a [u8]),
    ) -> Result<(), Damaged> {
        let mut input = Input::new(bytes);
        for (place, node) in fields.iter().enumerate() {
            let rest = input.rest();
            match self.entry(*node).map(|entry| &entry.shape) {
                // Most columns, without a call.
                Some(Shape::Varint(bits)) => input.skip_varint(*bits)?,
                _ => self.skip(*node, &mut input)?,
            }
            let taken = rest.len() - input.left();
            each(place, rest.get(..taken).unwrap_or_default());
        }
        input.finish()
    }

    /// Checks that `bytes` are exactly the values of `fields`: a row or an argument list.
    ///
    /// # Errors
    /// As [`Layout::walk`].
    pub fn check(&self, fields: &[Node], bytes: &[u8]) -> Result<(), Damaged> {
        self.walk(fields, bytes, |_, _| {})
    }

    /// Every node that is visited below the first has at least one byte of its own or of its
    /// children, so the time is bounded by the bytes times [`DEPTH_MAX`].
    fn descend(&self, node: Node, input: &mut Input<'_>, depth: usize) -> Result<(), Damaged> {
        let entry = self
            .entry(node)
            .ok_or_else(|| input.damaged("is of a type of another schema"))?;
        if entry.bytes_min == 0 {
            return Ok(());
        }
        match &entry.shape {
            Shape::Fixed(size) => return input.take(*size).map(|_| ()),
            Shape::Varint(bits) => return input.skip_varint(*bits),
            Shape::Bool => return tag(input, "a bool is neither 0 nor 1").map(|_| ()),
            Shape::String => return string(input),
            _ => {}
        }
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| input.damaged("is nested too deeply"))?;
        match &entry.shape {
            Shape::Vec(item) => {
                let count = input.length()?;
                self.items(*item, count, input, depth)
            }
            Shape::Option(inner) => {
                if tag(input, "an option's tag is neither 0 nor 1")? {
                    self.descend(*inner, input, depth)?;
                }
                Ok(())
            }
            Shape::Array(item, count) => self.items(*item, *count, input, depth),
            Shape::Sequence(fields) => self.sequence(fields, input, depth),
            Shape::Enum(variants) => {
                let number = input.length()?;
                let fields = variants
                    .get(number)
                    .ok_or_else(|| input.damaged("an enum has no variant of this number"))?;
                self.sequence(fields, input, depth)
            }
            Shape::Bool | Shape::Fixed(_) | Shape::Varint(_) | Shape::String => Ok(()),
        }
    }

    fn sequence(
        &self,
        fields: &[Node],
        input: &mut Input<'_>,
        depth: usize,
    ) -> Result<(), Damaged> {
        for field in fields {
            self.descend(*field, input, depth)?;
        }
        Ok(())
    }

    fn items(
        &self,
        item: Node,
        count: usize,
        input: &mut Input<'_>,
        depth: usize,
    ) -> Result<(), Damaged> {
        let entry = self
            .entry(item)
            .ok_or_else(|| input.damaged("is of a type of another schema"))?;
        if entry.bytes_min == 0 {
            return if count > ZERO_SIZED_ITEMS_MAX {
                Err(input.damaged("claims too many items without bytes"))
            } else {
                Ok(())
            };
        }
        let least = entry.bytes_min.saturating_mul(count as u64);
        if least > input.left() as u64 {
            return Err(input.damaged("ends too early"));
        }
        if let Shape::Fixed(size) = entry.shape {
            return input.take(size.saturating_mul(count)).map(|_| ());
        }
        for _ in 0..count {
            self.descend(item, input, depth)?;
        }
        Ok(())
    }

    fn entry(&self, node: Node) -> Option<&Entry> {
        self.entries.get(usize::try_from(node.0).ok()?)
    }
}

fn tag(input: &mut Input<'_>, what: &'static str) -> Result<bool, Damaged> {
    match input.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(input.damaged(what)),
    }
}

fn string(input: &mut Input<'_>) -> Result<(), Damaged> {
    let length = input.length()?;
    let bytes = input.take(length)?;
    match core::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(input.damaged("a string is not UTF-8")),
    }
}

#[cfg(test)]
mod tests;
