//! [`Records`]: records that are queued together, as they will lie in a block.

use super::format::{first_record, push_record};

/// Records that are queued together: one push for the log and one for its caller.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    count: usize,
}

impl Records {
    /// Adds a record.
    pub fn push(&mut self, record: &[u8]) {
        push_record(&mut self.bytes, record);
        self.count += 1;
    }

    /// Makes room for so many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes they take in a block.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All of them, as they lie in a block.
    pub(super) fn framed(&self) -> &[u8] {
        &self.bytes
    }

    /// One by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (record, bytes) = first_record(rest)?;
            rest = rest.get(bytes..).unwrap_or_default();
            Some(record)
        })
    }
}

impl FromIterator<Vec<u8>> for Records {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(records: I) -> Self {
        let mut all = Self::default();
        for record in records {
            all.push(&record);
        }
        all
    }
}
