//! Scans in batches. The host keeps nothing between two batches: a cursor says where the last one
//! ended and what was the last place when the scan began.
//!
//! A *place* is a primary key's ordered bytes, or for an index the value's followed by the key's.
//! Bounds become a half-open range of places. Cursors are bytes that a guest hands over: any bytes
//! are a place to resume behind, and an impossible range is an empty one.

use std::ops::Bound;

use interstice_abi::{
    failure::Failure,
    host_call::{ScanBatch, ScanRequest},
    id::TableId,
    key::KeyType,
    schema::IndexKind,
};

use super::{
    Tables, failures,
    one::{FieldIndex, Table},
};

/// What a row costs in a batch beside its bytes: the two lengths.
const ROW_OVERHEAD_BYTES: usize = 8;

/// The places from `from` on, up to but without `to`.
struct Range {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl Tables {
    /// The next batch of a scan: rows until `batch_bytes_max` is reached, one at least where there
    /// is one.
    ///
    /// A first batch (no cursor) fixes the last place; later ones end there, and see what was
    /// changed ahead of them.
    ///
    /// # Errors
    /// `BadArguments` for an index that is not there, bounds that are no values of its column, and
    /// ranges over hash indexes.
    pub fn scan(
        &self,
        table: TableId,
        request: &ScanRequest,
        batch_bytes_max: usize,
    ) -> Result<ScanBatch, Failure> {
        let table = self.declared(table)?;
        let source = Source::new(table, request)?;
        let mut range = source.range(request)?;
        let until = match &request.cursor {
            None if range.is_empty() => None,
            None => source.last_before(&range),
            Some(cursor) => {
                range.start_at(behind(&cursor.after));
                Some(cursor.until.clone())
            }
        };
        let Some(until) = until else {
            return Ok(ScanBatch::default());
        };
        range.end_before(behind(&until));
        let mut batch = ScanBatch {
            until,
            ..ScanBatch::default()
        };
        if range.is_empty() {
            return Ok(batch);
        }
        let mut bytes = 0;
        source.visit(&range, |place, row| {
            if bytes >= batch_bytes_max && !batch.rows.is_empty() {
                batch.more = true;
                return false;
            }
            bytes += place.len() + row.len() + ROW_OVERHEAD_BYTES;
            batch.rows.push(row.to_vec());
            batch.places.push(place.to_vec());
            true
        });
        Ok(batch)
    }
}

/// What a scan goes through.
enum Source<'a> {
    Rows(&'a Table),
    Btree(&'a Table, &'a FieldIndex),
    /// The rows that have the value, in ordered bytes.
    Hash(&'a Table, &'a FieldIndex, Vec<u8>),
}

impl<'a> Source<'a> {
    fn new(table: &'a Table, request: &ScanRequest) -> Result<Self, Failure> {
        let Some(number) = usize::from(request.index).checked_sub(1) else {
            return Ok(Self::Rows(table));
        };
        let by = table
            .indexes
            .get(number)
            .ok_or_else(|| failures::no_index(table, request.index))?;
        match (by.kind, &request.lower, &request.upper) {
            (IndexKind::Btree, ..) => Ok(Self::Btree(table, by)),
            (IndexKind::Hash, Bound::Included(lower), Bound::Included(upper)) if lower == upper => {
                Ok(Self::Hash(
                    table,
                    by,
                    ordered(table, by.field, &by.value, lower)?,
                ))
            }
            (IndexKind::Hash, ..) => Err(failures::hash_range(table, by.field)),
        }
    }

    fn range(&self, request: &ScanRequest) -> Result<Range, Failure> {
        let (table, field, ty) = match self {
            Self::Rows(table) => (table, table.key_field, &table.key),
            Self::Btree(table, by) | Self::Hash(table, by, _) => (table, by.field, &by.value),
        };
        Range::new(table, field, ty, request)
    }

    /// The last place before the range's end. The range is not empty.
    fn last_before(&self, range: &Range) -> Option<Vec<u8>> {
        match self {
            Self::Rows(table) => {
                let (key, _) = table.pages.last_before(range.to())?;
                (key >= range.from.as_slice()).then(|| key.to_vec())
            }
            Self::Btree(_, by) => {
                let last = by.rows.places(&range.from, range.to()).next_back()?;
                Some(last.to_vec())
            }
            Self::Hash(_, by, value) => {
                let key = by.rows.keys(value, &[]).next_back()?;
                Some([value.as_slice(), key].concat())
            }
        }
    }

    /// Hands over each place of the range and its row until `each` returns false.
    fn visit(&self, range: &Range, mut each: impl FnMut(&[u8], &[u8]) -> bool) {
        match self {
            Self::Rows(table) => {
                for (key, row) in table.pages.range(&range.from) {
                    if range.to().is_some_and(|to| key >= to) || !each(key, row) {
                        return;
                    }
                }
            }
            Self::Btree(table, by) => {
                for place in by.rows.places(&range.from, range.to()) {
                    let key = by.value.length(place).ok().and_then(|end| place.get(end..));
                    if let Some(row) = key.and_then(|key| table.pages.get(key))
                        && !each(place, row)
                    {
                        return;
                    }
                }
            }
            Self::Hash(table, by, value) => {
                // What does not begin with the value stands before or behind all places that do.
                let from = match range.from.strip_prefix(value.as_slice()) {
                    Some(key) => key,
                    None if range.from < *value => &[],
                    None => return,
                };
                for key in by.rows.keys(value, from) {
                    let place = [value.as_slice(), key].concat();
                    if range.to().is_some_and(|to| place.as_slice() >= to) {
                        return;
                    }
                    if let Some(row) = table.pages.get(key)
                        && !each(&place, row)
                    {
                        return;
                    }
                }
            }
        }
    }
}

impl Range {
    /// The places of the values between the request's bounds.
    fn new(
        table: &Table,
        field: usize,
        ty: &KeyType,
        request: &ScanRequest,
    ) -> Result<Self, Failure> {
        let ordered = |value: &[u8]| ordered(table, field, ty, value);
        // No value is the beginning of another, so all places of a value begin with it and end
        // before its successor.
        let mut nothing = false;
        let from = match &request.lower {
            Bound::Unbounded => Vec::new(),
            Bound::Included(value) => ordered(value)?,
            Bound::Excluded(value) => successor(ordered(value)?).unwrap_or_else(|| {
                nothing = true;
                Vec::new()
            }),
        };
        let to = match &request.upper {
            Bound::Unbounded => None,
            Bound::Included(value) => successor(ordered(value)?),
            Bound::Excluded(value) => Some(ordered(value)?),
        };
        let to = if nothing { Some(Vec::new()) } else { to };
        Ok(Self { from, to })
    }

    fn to(&self) -> Option<&[u8]> {
        self.to.as_deref()
    }

    fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    fn start_at(&mut self, from: Vec<u8>) {
        if from > self.from {
            self.from = from;
        }
    }

    fn end_before(&mut self, to: Vec<u8>) {
        if self.to.as_ref().is_none_or(|known| to < *known) {
            self.to = Some(to);
        }
    }
}

fn ordered(table: &Table, field: usize, ty: &KeyType, value: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut ordered = Vec::with_capacity(value.len() + 8);
    ty.order(value, &mut ordered)
        .map_err(|damaged| failures::damaged_key(table, field, damaged))?;
    Ok(ordered)
}

/// The first place behind `place`.
pub(super) fn behind(place: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(place.len() + 1);
    next.extend_from_slice(place);
    next.push(0);
    next
}

/// The first bytes behind everything that begins with `prefix`; `None` when there are none.
fn successor(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}
