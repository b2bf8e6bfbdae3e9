//! [`Page`]: some rows of a table, packed one after the other in key order.
//!
//! In memory each row stands behind its ordered key. On disk a page is the format byte, then per row its length
//! (varint `u32`) and its bytes; keys are found again by the schema. Pages trust their caller for order; what comes
//! from disk is checked in `storage.rs`.

use interstice_abi::codec::{Damaged, Input, put_length};

use super::{digest::Digest, key_bytes::compare};

/// The first byte of a page on disk.
const FORMAT: u8 = 1;

/// Rows in key order.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where a row's key and the row end in the page's bytes; the next key begins there.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key_end: u32,
    row_end: u32,
}

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// Offsets are 32 bits wide: rows have at most a GiB (`ROW_BYTES_CEILING`), their keys at most twice that, and only
/// small rows share a page.
fn offset(place: usize) -> u32 {
    u32::try_from(place).expect("a page is smaller than 4 GiB, because rows are bounded by a GiB")
}

fn place(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Page {
    pub(super) fn of(key: &[u8], row: &[u8]) -> Self {
        let mut page = Self {
            bytes: Vec::with_capacity(key.len() + row.len()),
            entries: Vec::with_capacity(1),
        };
        page.insert(0, key, row);
        page
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that the rows, their keys and their entries take.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY_BYTES
    }

    /// The bytes that it holds room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * ENTRY_BYTES
    }

    /// Gives back what is not in use.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// What a row adds to [`Page::size`].
    pub(super) fn size_of(key: &[u8], row: &[u8]) -> usize {
        key.len() + row.len() + ENTRY_BYTES
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        let end = self.entries.get(at).map_or(0, |entry| place(entry.key_end));
        self.bytes.get(self.start(at)..end).unwrap_or_default()
    }

    pub(super) fn row(&self, at: usize) -> &[u8] {
        self.entries
            .get(at)
            .and_then(|entry| self.bytes.get(place(entry.key_end)..place(entry.row_end)))
            .unwrap_or_default()
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
        let mut low = 0;
        let mut high = self.len();
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(self.key(middle), key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The place of the first row whose key is not before `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|place| place)
    }

    pub(super) fn insert(&mut self, at: usize, key: &[u8], row: &[u8]) {
        let start = self.start(at);
        let added = key.len() + row.len();
        self.open(start, added);
        let row_start = start + key.len();
        fill(&mut self.bytes, start, key);
        fill(&mut self.bytes, row_start, row);
        let entry = Entry {
            key_end: offset(row_start),
            row_end: offset(start + added),
        };
        self.entries.insert(at, entry);
        self.shift(at + 1, |end| end + added);
    }

    pub(super) fn replace(&mut self, at: usize, row: &[u8]) {
        let Some(entry) = self.entries.get(at) else {
            return;
        };
        let (start, end) = (place(entry.key_end), place(entry.row_end));
        let old = end - start;
        if row.len() > old {
            self.open(end, row.len() - old);
        } else {
            self.bytes.drain(start + row.len()..end);
        }
        fill(&mut self.bytes, start, row);
        if let Some(entry) = self.entries.get_mut(at) {
            entry.row_end = offset(start + row.len());
        }
        self.shift(at + 1, |end| end - old + row.len());
    }

    pub(super) fn remove(&mut self, at: usize) {
        let start = self.start(at);
        let Some(entry) = self.entries.get(at) else {
            return;
        };
        let end = place(entry.row_end);
        self.bytes.drain(start..end);
        self.entries.remove(at);
        self.shift(at, |place| place - (end - start));
    }

    /// The place that cuts the page into two halves of nearly equal bytes, both with rows. Needs two rows.
    pub(super) fn middle(&self) -> usize {
        let half = offset(self.bytes.len() / 2);
        let behind = self.entries.partition_point(|entry| entry.row_end <= half);
        let at = behind.clamp(1, self.len().saturating_sub(1).max(1));
        // The row that lies across the middle goes to the side that it leaves more even.
        let distance = |at: usize| self.start(at).abs_diff(self.bytes.len() / 2);
        if at + 1 < self.len() && distance(at + 1) < distance(at) {
            at + 1
        } else {
            at
        }
    }

    /// The rows before `at`, and the rest.
    pub(super) fn split(&self, at: usize) -> (Self, Self) {
        let cut = self.start(at);
        let (left, right) = self.bytes.split_at(cut.min(self.bytes.len()));
        let (before, behind) = self.entries.split_at(at.min(self.entries.len()));
        let mut right = Self {
            bytes: right.to_vec(),
            entries: behind.to_vec(),
        };
        right.shift(0, |end| end - cut);
        let left = Self {
            bytes: left.to_vec(),
            entries: before.to_vec(),
        };
        (left, right)
    }

    /// Adds the rows of a page whose keys all lie behind this one's.
    pub(super) fn append(&mut self, other: &Self) {
        let from = self.len();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.entries.extend_from_slice(&other.entries);
        self.shift(from, |end| end + start);
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
        let mut out = Vec::with_capacity(1 + self.bytes.len() + self.len() * 2);
        out.push(FORMAT);
        for (_, row) in self.rows(0) {
            put_length(row.len(), &mut out);
            out.extend_from_slice(row);
        }
        out
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1)
            .and_then(|before| self.entries.get(before))
            .map_or(0, |entry| place(entry.row_end))
    }

    /// Makes room for `added` bytes at `start`.
    fn open(&mut self, start: usize, added: usize) {
        let end = self.bytes.len();
        self.bytes.resize(end + added, 0);
        self.bytes.copy_within(start..end, start + added);
    }

    fn shift(&mut self, from: usize, moved: impl Fn(usize) -> usize) {
        for entry in self.entries.iter_mut().skip(from) {
            entry.key_end = offset(moved(place(entry.key_end)));
            entry.row_end = offset(moved(place(entry.row_end)));
        }
    }
}

fn fill(bytes: &mut [u8], start: usize, part: &[u8]) {
    if let Some(room) = bytes.get_mut(start..start + part.len()) {
        room.copy_from_slice(part);
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
