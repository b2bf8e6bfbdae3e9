//! [`Table`]: one table's rows, indexes and counters, and how its rows are read.
//!
//! [`Table::replace`] is the only way in which rows change, so rows and indexes cannot disagree.
//! Nothing here checks constraints or writes the journal: that is `write.rs`.

use interstice_abi::{
    codec::{Damaged, Input, put_varint},
    key::KeyType,
    schema::{IndexKind, Persistence, TableSchema},
    types::{ColumnType, TypeSet},
    walk::{Layout, Node},
};

use super::{index::Index, pages::Pages};

/// Where pages of logged and ephemeral tables are split: a few hundred small rows, so that a write
/// moves little, the directory stays small and a checkpoint writes little more than what changed.
const PAGE_BYTES: usize = 4096;

/// The ordered bytes of `None`.
const NONE: &[u8] = &[0];

/// One table of a module.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) persistence: Persistence,
    /// The names of the columns, for messages.
    pub(super) columns: Vec<String>,
    nodes: Vec<Node>,
    /// How many columns every row has; the others may be missing at its end. All of them but in
    /// the hidden table.
    pub(super) required: usize,
    pub(super) key: KeyType,
    /// The primary key's place in `columns`.
    pub(super) key_field: usize,
    pub(super) indexes: Vec<FieldIndex>,
    pub(super) counters: Vec<FieldCounter>,
    pub(super) pages: Pages,
    pub(super) row_bytes_max: u64,
    /// Its tree in the store: the name, and what its rows look like.
    pub(super) tree: String,
}

/// An index over one field.
#[derive(Debug)]
pub(super) struct FieldIndex {
    pub(super) field: usize,
    pub(super) kind: IndexKind,
    pub(super) unique: bool,
    /// The ordered bytes of `None`, of which even a unique index may have several rows.
    pub(super) none: Option<&'static [u8]>,
    pub(super) value: KeyType,
    pub(super) rows: Index,
}

/// The counter of an `auto_inc` field.
#[derive(Debug)]
pub(super) struct FieldCounter {
    pub(super) field: usize,
    pub(super) integer: Integer,
    /// The last value that was given out or given by a caller.
    pub(super) last: u64,
    /// Whether the store has another value.
    pub(super) dirty: bool,
}

/// The integer types that can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integer {
    U8,
    U16,
    U32,
    U64,
    I32,
    I64,
}

impl Integer {
    pub(super) fn of(ty: &ColumnType) -> Option<Self> {
        Some(match ty {
            ColumnType::U8 => Self::U8,
            ColumnType::U16 => Self::U16,
            ColumnType::U32 => Self::U32,
            ColumnType::U64 => Self::U64,
            ColumnType::I32 => Self::I32,
            ColumnType::I64 => Self::I64,
            _ => return None,
        })
    }

    pub(super) fn max(self) -> u64 {
        match self {
            Self::U8 => u64::from(u8::MAX),
            Self::U16 => u64::from(u16::MAX),
            Self::U32 => u64::from(u32::MAX),
            Self::U64 => u64::MAX,
            Self::I32 => u64::from(i32::MAX.unsigned_abs()),
            Self::I64 => i64::MAX.unsigned_abs(),
        }
    }

    /// The encoded value as a count; negative ones are `None`.
    pub(super) fn read(self, value: &[u8]) -> Option<u64> {
        let mut input = Input::new(value);
        let number = match self {
            Self::U8 => return input.byte().ok().map(u64::from),
            Self::U16 | Self::U32 | Self::U64 => input.varint(64).ok()?,
            Self::I32 | Self::I64 => {
                let zigzag = input.varint(64).ok()?;
                if zigzag & 1 == 1 {
                    return None;
                }
                zigzag >> 1
            }
        };
        u64::try_from(number).ok()
    }

    /// Appends the encoding of a count that is not beyond [`Integer::max`].
    pub(super) fn write(self, count: u64, out: &mut Vec<u8>) {
        match self {
            Self::U8 => out.push(u8::try_from(count).unwrap_or(u8::MAX)),
            Self::U16 | Self::U32 | Self::U64 => put_varint(u128::from(count), out),
            Self::I32 | Self::I64 => put_varint(u128::from(count) << 1, out),
        }
    }
}

/// Where the parts of a row lie, and its place in each index. Kept and filled again from row to
/// row, so that a write allocates nothing for it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Where each column ends.
    ends: Vec<usize>,
    /// The ordered primary key.
    pub(super) key: Vec<u8>,
    places: Vec<u8>,
    cuts: Vec<Cut>,
}

/// A place in an index, inside [`Reading::places`].
#[derive(Clone, Copy, Debug)]
struct Cut {
    start: usize,
    value_end: usize,
    end: usize,
}

impl Reading {
    /// Where the column at `place` of the row that was read begins.
    pub(super) fn start(&self, place: usize) -> usize {
        match place.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        }
    }

    /// The bytes of the column at `place` of the row that was read.
    pub(super) fn column<'a>(&self, row: &'a [u8], place: usize) -> &'a [u8] {
        let start = self.start(place);
        let end = self.ends.get(place).copied().unwrap_or(start);
        row.get(start..end).unwrap_or_default()
    }

    /// The column at `place` has got so many bytes more.
    pub(super) fn grow(&mut self, place: usize, by: usize) {
        for end in self.ends.iter_mut().skip(place) {
            *end += by;
        }
    }

    /// The ordered value of index `number`.
    pub(super) fn value(&self, number: usize) -> &[u8] {
        self.cuts
            .get(number)
            .and_then(|cut| self.places.get(cut.start..cut.value_end))
            .unwrap_or_default()
    }

    /// The place in index `number`, and how long the value is in it.
    pub(super) fn place(&self, number: usize) -> (&[u8], usize) {
        self.cuts.get(number).map_or((&[], 0), |cut| {
            let place = self.places.get(cut.start..cut.end).unwrap_or_default();
            (place, cut.value_end - cut.start)
        })
    }
}

impl Table {
    /// An empty table; `None` when a key or counter has a type that cannot be one.
    pub(super) fn new(
        schema: &TableSchema,
        types: &TypeSet,
        nodes: Vec<Node>,
        tree: String,
        row_bytes_max: u64,
    ) -> Option<Self> {
        let key_field = usize::from(schema.primary_key);
        let key_type = |field: usize| KeyType::new(&schema.fields.get(field)?.ty, types);
        let counter = |field: usize| {
            Some(FieldCounter {
                field,
                integer: Integer::of(&schema.fields.get(field)?.ty)?,
                last: 0,
                dirty: false,
            })
        };
        let mut counters = Vec::new();
        if schema.primary_key_auto_inc {
            counters.push(counter(key_field)?);
        }
        let mut indexes = Vec::new();
        for index in &schema.indexes {
            let field = usize::from(index.field);
            if index.auto_inc && !counters.iter().any(|known| known.field == field) {
                counters.push(counter(field)?);
            }
            indexes.push(FieldIndex {
                field,
                kind: index.kind,
                unique: index.unique,
                none: match schema.fields.get(field)?.ty {
                    ColumnType::Option(_) => Some(NONE),
                    _ => None,
                },
                value: key_type(field)?,
                rows: Index::new(index.kind),
            });
        }
        counters.sort_by_key(|counter| counter.field);
        let stateful = schema.persistence == Persistence::Stateful;
        Some(Self {
            name: schema.name.clone(),
            persistence: schema.persistence,
            columns: schema.fields.iter().map(|f| f.name.clone()).collect(),
            required: nodes.len(),
            nodes,
            key: key_type(key_field)?,
            key_field,
            indexes,
            counters,
            pages: Pages::new(if stateful { 0 } else { PAGE_BYTES }),
            row_bytes_max,
            tree,
        })
    }

    /// Checks a row and reads its key and its places in the indexes, in one pass.
    pub(super) fn read(
        &self,
        layout: &Layout,
        row: &[u8],
        reading: &mut Reading,
    ) -> Result<(), Damaged> {
        self.find_columns(layout, row, reading)?;
        self.find_places(row, reading)
    }

    /// The first half of [`Table::read`]: checks a row and finds its columns.
    pub(super) fn find_columns(
        &self,
        layout: &Layout,
        row: &[u8],
        reading: &mut Reading,
    ) -> Result<(), Damaged> {
        let ends = &mut reading.ends;
        let mut walk = |nodes: &[Node]| {
            ends.clear();
            let mut end = 0;
            layout.walk(nodes, row, |_, column| {
                end += column.len();
                ends.push(end);
            })
        };
        match walk(&self.nodes) {
            Err(_) if self.required < self.nodes.len() => {
                walk(self.nodes.get(..self.required).unwrap_or_default())
            }
            walked => walked,
        }
    }

    /// The second half of [`Table::read`].
    pub(super) fn find_places(&self, row: &[u8], reading: &mut Reading) -> Result<(), Damaged> {
        let mut key = std::mem::take(&mut reading.key);
        let mut places = std::mem::take(&mut reading.places);
        key.clear();
        places.clear();
        reading.cuts.clear();
        let mut result = self
            .key
            .order(reading.column(row, self.key_field), &mut key);
        for index in &self.indexes {
            let start = places.len();
            let value = reading.column(row, index.field);
            result = result.and_then(|()| index.value.order(value, &mut places));
            let value_end = places.len();
            places.extend_from_slice(&key);
            reading.cuts.push(Cut {
                start,
                value_end,
                end: places.len(),
            });
        }
        reading.key = key;
        reading.places = places;
        result
    }

    /// Replaces `old` by `new`, in the rows and in every index. Both have the same key where both
    /// are there.
    pub(super) fn replace(&mut self, old: Option<&Reading>, new: Option<(&Reading, &[u8])>) {
        for (number, index) in self.indexes.iter_mut().enumerate() {
            let before = old.map(|reading| reading.place(number));
            let after = new.map(|(reading, _)| reading.place(number));
            if before == after {
                continue;
            }
            if let Some((place, value)) = before {
                index.rows.remove(place, value);
            }
            if let Some((place, value)) = after {
                index.rows.insert(place, value);
            }
        }
        match (old, new) {
            (_, Some((reading, row))) => self.pages.put(&reading.key, row),
            (Some(reading), None) => {
                self.pages.remove(&reading.key);
            }
            (None, None) => {}
        }
    }

    /// Puts `row` in the place of whatever has its key, or removes that when there is no row. Rows
    /// come from the journal or from the log.
    pub(super) fn set(
        &mut self,
        layout: &Layout,
        key: &[u8],
        row: Option<&[u8]>,
        scratch: &mut Scratch,
    ) -> Result<(), Damaged> {
        let Scratch { old, new, .. } = scratch;
        if let Some(row) = row {
            self.read(layout, row, new)?;
            if new.key != key {
                return Err(Input::new(row).damaged("a row has another key than its change says"));
            }
        }
        let known = match self.pages.get(key) {
            Some(before) if !self.indexes.is_empty() => {
                self.read(layout, before, old)?;
                true
            }
            Some(_) => {
                old.key.clear();
                old.key.extend_from_slice(key);
                true
            }
            None => false,
        };
        self.replace(known.then_some(&*old), row.map(|row| (&*new, row)));
        Ok(())
    }

    /// Removes all rows.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        for index in &mut self.indexes {
            index.rows.clear();
        }
    }

    /// Fills the indexes from the rows.
    pub(super) fn rebuild_indexes(
        &mut self,
        layout: &Layout,
        reading: &mut Reading,
    ) -> Result<(), Damaged> {
        let all: Vec<usize> = (0..self.indexes.len()).collect();
        self.build_indexes(layout, &all, reading)
    }

    /// Fills the indexes of these numbers from the rows.
    pub(super) fn build_indexes(
        &mut self,
        layout: &Layout,
        numbers: &[usize],
        reading: &mut Reading,
    ) -> Result<(), Damaged> {
        let wanted = numbers
            .iter()
            .filter_map(|number| self.indexes.get(*number));
        let mut filled: Vec<Index> = wanted.map(|index| Index::new(index.kind)).collect();
        if filled.is_empty() {
            return Ok(());
        }
        for (_, row) in self.pages.range(&[]) {
            self.read(layout, row, reading)?;
            for (number, index) in numbers.iter().zip(&mut filled) {
                let (place, value) = reading.place(*number);
                index.insert(place, value);
            }
        }
        for (number, rows) in numbers.iter().zip(filled) {
            if let Some(index) = self.indexes.get_mut(*number) {
                index.rows = rows;
            }
        }
        Ok(())
    }

    /// The column's name, for messages.
    pub(super) fn column_name(&self, field: usize) -> &str {
        self.columns.get(field).map_or("", String::as_str)
    }

    /// Whether its rows are in the log, in the store and in the digest.
    pub(super) fn is_kept(&self) -> bool {
        self.persistence != Persistence::Ephemeral
    }
}

/// Buffers that are used again from write to write.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The row that is there.
    pub(super) old: Reading,
    /// The row that comes.
    pub(super) new: Reading,
    /// The row as it will be stored, where generated values change it.
    pub(super) row: Vec<u8>,
    /// The key of a lookup.
    pub(super) key: Vec<u8>,
    /// The columns that were filled, and by how many bytes that is more than was given.
    pub(super) filled: Vec<(usize, usize)>,
    /// The counters that the write moves: place in the table, value.
    pub(super) moves: Vec<(usize, u64)>,
}
