//! [`Page`]: some rows of a table, packed one after the other in key order.
//!
//! In memory the rows' ordered keys stand one after the other, and so do the rows. On disk a page
//! is the format byte, then per row its length (varint `u32`) and its bytes; keys are found again
//! by the schema. Pages trust their caller for order; what comes from disk is checked in
//! `storage.rs`.

use interstice_abi::codec::{Damaged, Input, put_length};

use super::{digest::Digest, run::Run};

/// The first byte of a page on disk.
const FORMAT: u8 = 1;

/// Rows in key order.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    keys: Run,
    rows: Run,
}

/// What a row costs at most beside its bytes.
const ENTRY_BYTES: usize = 2 * size_of::<u32>();

impl Page {
    pub(super) fn of(key: &[u8], row: &[u8]) -> Self {
        Self {
            keys: Run::of(key),
            rows: Run::of(row),
        }
    }

    /// The same, behind a page that is full: more of the kind will follow.
    pub(super) fn behind(full: &Self, key: &[u8], row: &[u8]) -> Self {
        Self {
            keys: Run::of_with_room(key, &full.keys),
            rows: Run::of_with_room(row, &full.rows),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The bytes that the rows and their keys take at most.
    pub(super) fn size(&self) -> usize {
        self.bytes() + self.len() * ENTRY_BYTES
    }

    fn bytes(&self) -> usize {
        self.keys.bytes().len() + self.rows.bytes().len()
    }

    /// The bytes of its rows.
    pub(super) fn row_bytes(&self) -> u64 {
        u64::try_from(self.rows.bytes().len()).unwrap_or(u64::MAX)
    }

    /// The bytes that it holds room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.keys.capacity() + self.rows.capacity()
    }

    /// Gives back what is not in use.
    pub(super) fn shrink(&mut self) {
        self.keys.shrink();
        self.rows.shrink();
    }

    /// What a row adds to [`Page::size`].
    pub(super) fn size_of(key: &[u8], row: &[u8]) -> usize {
        key.len() + row.len() + ENTRY_BYTES
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        self.keys.get(at)
    }

    pub(super) fn row(&self, at: usize) -> &[u8] {
        self.rows.get(at)
    }

    /// The rows from place `from` on, with their keys.
    pub(super) fn rows(&self, from: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        (from..self.len()).map(|at| (self.key(at), self.row(at)))
    }

    pub(super) fn last(&self) -> Option<(&[u8], &[u8])> {
        let at = self.len().checked_sub(1)?;
        Some((self.key(at), self.row(at)))
    }

    /// The place of `key`, or the place where it belongs.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.find(key)
    }

    /// As [`Page::find`], with one comparison where `key` belongs behind all others.
    pub(super) fn find_from_end(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.find_from_end(key)
    }

    /// The place of the first row whose key is not before `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|place| place)
    }

    pub(super) fn insert(&mut self, at: usize, key: &[u8], row: &[u8]) {
        self.keys.insert(at, key);
        self.rows.insert(at, row);
    }

    pub(super) fn replace(&mut self, at: usize, row: &[u8]) {
        self.rows.replace(at, row);
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.rows.remove(at);
    }

    /// The place that cuts the page into two halves of nearly equal bytes, both with rows. Needs
    /// two rows.
    pub(super) fn middle(&self) -> usize {
        let half = self.bytes() / 2;
        let start = |at: usize| self.keys.start(at) + self.rows.start(at);
        let behind = (1..=self.len()).take_while(|end| start(*end) <= half);
        let at = behind.count().clamp(1, self.len().saturating_sub(1).max(1));
        // The row that lies across the middle goes to the side that it leaves more even.
        let distance = |at: usize| start(at).abs_diff(half);
        if at + 1 < self.len() && distance(at + 1) < distance(at) {
            at + 1
        } else {
            at
        }
    }

    /// The rows before `at`, and the rest.
    pub(super) fn split(&self, at: usize) -> (Self, Self) {
        let (left_keys, right_keys) = self.keys.split(at);
        let (left_rows, right_rows) = self.rows.split(at);
        let page = |keys, rows| Self { keys, rows };
        (page(left_keys, left_rows), page(right_keys, right_rows))
    }

    /// Adds the rows of a page whose keys all lie behind this one's.
    pub(super) fn append(&mut self, other: &Self) {
        self.keys.append(&other.keys);
        self.rows.append(&other.rows);
    }

    pub(super) fn digest(&self, table: &str) -> Digest {
        let mut digest = Digest::default();
        for (key, row) in self.rows(0) {
            digest.add(Digest::of_row(table, key, row));
        }
        digest
    }

    /// The page as it stands on disk.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.rows.bytes().len() + self.len() * 2);
        out.push(FORMAT);
        for at in 0..self.len() {
            let row = self.row(at);
            put_length(row.len(), &mut out);
            out.extend_from_slice(row);
        }
        out
    }
}

/// The rows of a page on disk.
pub(super) fn rows_on_disk(page: &[u8]) -> Result<Vec<&[u8]>, Damaged> {
    let mut input = Input::new(page);
    if input.byte()? != FORMAT {
        return Err(input.damaged("a page is of a format that this version does not know"));
    }
    let mut rows = Vec::new();
    while input.left() > 0 {
        let length = input.length()?;
        rows.push(input.take(length)?);
    }
    Ok(rows)
}
