//! From the types of a schema to a [`Layout`]: names become numbers, and every type is measured.
//!
//! Types may contain themselves through `Vec` and `Option` only: anything else would be a value
//! without end. Nothing here trusts the types: chains that are too long, names that lead nowhere
//! and cycles are errors.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use super::{DEPTH_MAX, Entry, Layout, Node, Shape};
use crate::{
    text::quoted,
    types::{ColumnType, Field, Fields, TypeKind, TypeSet},
};

/// Types that cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// A name that no definition has.
    UnknownType {
        /// The name.
        name: String,
    },
    /// A type that contains itself without a `Vec` or `Option` between.
    ContainsItself {
        /// One of the names on the way round, if there is one.
        name: String,
    },
    /// More than [`DEPTH_MAX`] levels.
    TooDeep,
    /// More types than a number can name.
    TooMany,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType { name } => {
                write!(f, "the type `{}` is used but not defined", quoted(name))
            }
            Self::ContainsItself { name } => write!(
                f,
                "the type `{}` contains itself; put a Vec or an Option between",
                quoted(name)
            ),
            Self::TooDeep => write!(f, "types are nested more than {DEPTH_MAX} levels deep"),
            Self::TooMany => f.write_str("there are too many types"),
        }
    }
}

impl core::error::Error for Unresolved {}

/// How far a type has been measured.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Fresh,
    Open,
    Done,
}

impl Layout {
    /// Lays out all types of `types`.
    ///
    /// # Errors
    /// [`Unresolved`] for the first type that cannot be.
    pub fn new(types: &TypeSet) -> Result<Self, Unresolved> {
        let mut layout = Self::default();
        for name in types.types.keys() {
            let node = layout.push(Shape::Sequence(Box::default()))?;
            layout.known.insert(ColumnType::Named(name.clone()), node);
        }
        for (name, definition) in &types.types {
            let shape = match &definition.kind {
                TypeKind::Struct(fields) => Shape::Sequence(layout.fields(fields)?),
                TypeKind::Enum(variants) => Shape::Enum(
                    variants
                        .iter()
                        .map(|variant| layout.fields(&variant.fields))
                        .collect::<Result<_, _>>()?,
                ),
            };
            let node = layout
                .known
                .get(&ColumnType::Named(name.clone()))
                .copied()
                .ok_or(Unresolved::TooMany)?;
            if let Some(entry) = layout.entry_mut(node) {
                entry.shape = shape;
            }
        }
        layout.measure_from(0)?;
        Ok(layout)
    }

    /// The node of `ty`, which may name the types that the layout was made from.
    ///
    /// # Errors
    /// [`Unresolved`] when it names others or is too deep.
    pub fn resolve(&mut self, ty: &ColumnType) -> Result<Node, Unresolved> {
        let first = self.entries.len();
        check_depth(ty, DEPTH_MAX)?;
        let node = self.intern(ty)?;
        self.measure_from(first)?;
        Ok(node)
    }

    /// The nodes of the types of `fields`: a row's columns or a function's arguments.
    ///
    /// # Errors
    /// As [`Layout::resolve`].
    pub fn resolve_fields(&mut self, fields: &[Field]) -> Result<Vec<Node>, Unresolved> {
        fields.iter().map(|field| self.resolve(&field.ty)).collect()
    }

    fn fields(&mut self, fields: &Fields) -> Result<Box<[Node]>, Unresolved> {
        fields
            .types()
            .map(|ty| {
                check_depth(ty, DEPTH_MAX)?;
                self.intern(ty)
            })
            .collect()
    }

    /// The node of `ty`, made when it is not there. Recurses as deep as `ty`, which has been
    /// checked.
    fn intern(&mut self, ty: &ColumnType) -> Result<Node, Unresolved> {
        if let Some(node) = self.known.get(ty) {
            return Ok(*node);
        }
        let shape = match ty {
            ColumnType::Void => Shape::Sequence(Box::default()),
            ColumnType::Bool => Shape::Bool,
            ColumnType::U8 | ColumnType::I8 => Shape::Fixed(1),
            ColumnType::F32 => Shape::Fixed(4),
            ColumnType::F64 => Shape::Fixed(8),
            ColumnType::U16 | ColumnType::I16 => Shape::Varint(16),
            ColumnType::U32 | ColumnType::I32 => Shape::Varint(32),
            ColumnType::U64 | ColumnType::I64 => Shape::Varint(64),
            ColumnType::U128 | ColumnType::I128 => Shape::Varint(128),
            ColumnType::String => Shape::String,
            ColumnType::Vec(item) => Shape::Vec(self.intern(item)?),
            ColumnType::Option(inner) => Shape::Option(self.intern(inner)?),
            ColumnType::Array(item, count) => {
                let count = usize::try_from(*count).map_err(|_| Unresolved::TooMany)?;
                Shape::Array(self.intern(item)?, count)
            }
            ColumnType::Tuple(items) => Shape::Sequence(
                items
                    .iter()
                    .map(|item| self.intern(item))
                    .collect::<Result<_, _>>()?,
            ),
            ColumnType::Named(name) => {
                return Err(Unresolved::UnknownType { name: name.clone() });
            }
        };
        let node = self.push(shape)?;
        self.known.insert(ty.clone(), node);
        Ok(node)
    }

    fn push(&mut self, shape: Shape) -> Result<Node, Unresolved> {
        let number = u32::try_from(self.entries.len()).map_err(|_| Unresolved::TooMany)?;
        self.entries.push(Entry {
            shape,
            bytes_min: 0,
            height: 0,
        });
        Ok(Node(number))
    }

    fn entry_mut(&mut self, node: Node) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(node.0).ok()?)
    }

    /// Measures the entries from number `first` on; those before it have been.
    fn measure_from(&mut self, first: usize) -> Result<(), Unresolved> {
        let mut marks: Vec<Mark> = (0..self.entries.len())
            .map(|number| {
                if number < first {
                    Mark::Done
                } else {
                    Mark::Fresh
                }
            })
            .collect();
        for number in first..self.entries.len() {
            let number = u32::try_from(number).map_err(|_| Unresolved::TooMany)?;
            self.measure(Node(number), &mut marks, DEPTH_MAX)?;
        }
        Ok(())
    }

    /// The least bytes and the height of `node`. Recurses at most `depth` levels.
    fn measure(
        &mut self,
        node: Node,
        marks: &mut [Mark],
        depth: usize,
    ) -> Result<(u64, usize), Unresolved> {
        let place = usize::try_from(node.0).map_err(|_| Unresolved::TooMany)?;
        let entry = self.entries.get(place).ok_or(Unresolved::TooMany)?;
        match marks.get(place) {
            Some(Mark::Done) => return Ok((entry.bytes_min, entry.height)),
            Some(Mark::Fresh) => {}
            Some(Mark::Open) | None => {
                return Err(Unresolved::ContainsItself {
                    name: self.name_of(node),
                });
            }
        }
        let depth = depth.checked_sub(1).ok_or(Unresolved::TooDeep)?;
        set(marks, place, Mark::Open);
        let shape = entry.shape.clone();
        let (bytes_min, below) = match &shape {
            Shape::Bool | Shape::Varint(_) | Shape::String => (1, 0),
            Shape::Vec(_) | Shape::Option(_) => (1, 0),
            Shape::Fixed(size) => (*size as u64, 0),
            Shape::Array(item, count) => {
                let (bytes, height) = self.measure(*item, marks, depth)?;
                (bytes.saturating_mul(*count as u64), height)
            }
            Shape::Sequence(fields) => self.measure_all(fields, marks, depth)?,
            Shape::Enum(variants) => {
                let mut least = u64::MAX;
                let mut highest = 0;
                for fields in variants {
                    let (bytes, height) = self.measure_all(fields, marks, depth)?;
                    least = least.min(bytes);
                    highest = highest.max(height);
                }
                (least.saturating_add(1), highest)
            }
        };
        let height = below + 1;
        if height > DEPTH_MAX {
            return Err(Unresolved::TooDeep);
        }
        if let Some(entry) = self.entry_mut(node) {
            entry.bytes_min = bytes_min;
            entry.height = height;
        }
        set(marks, place, Mark::Done);
        Ok((bytes_min, height))
    }

    fn measure_all(
        &mut self,
        fields: &[Node],
        marks: &mut [Mark],
        depth: usize,
    ) -> Result<(u64, usize), Unresolved> {
        let mut sum = 0_u64;
        let mut highest = 0;
        for field in fields {
            let (bytes, height) = self.measure(*field, marks, depth)?;
            sum = sum.saturating_add(bytes);
            highest = highest.max(height);
        }
        Ok((sum, highest))
    }

    fn name_of(&self, node: Node) -> String {
        self.known
            .iter()
            .find(|(_, known)| **known == node)
            .map_or_else(String::new, |(ty, _)| ty.to_string())
    }
}

fn set(marks: &mut [Mark], place: usize, mark: Mark) {
    if let Some(slot) = marks.get_mut(place) {
        *slot = mark;
    }
}

fn check_depth(ty: &ColumnType, depth: usize) -> Result<(), Unresolved> {
    let depth = depth.checked_sub(1).ok_or(Unresolved::TooDeep)?;
    match ty {
        ColumnType::Vec(inner) | ColumnType::Option(inner) | ColumnType::Array(inner, _) => {
            check_depth(inner, depth)
        }
        ColumnType::Tuple(items) => items.iter().try_for_each(|item| check_depth(item, depth)),
        _ => Ok(()),
    }
}
