//! [`Digest`]: a hash of a set of rows that does not depend on their order or on how they lie in pages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The wrapping sum, in four words, of one BLAKE3 hash per row. Sums of parts add up to the sum of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u64; 4]);

impl Digest {
    /// The digest of one row of `table`.
    #[must_use]
    pub fn of_row(table: &str, key: &[u8], row: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [table.as_bytes(), key] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(row);
        let hash = hasher.finalize();
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            *word = u64::from_le_bytes(eight);
        }
        Self(words)
    }

    /// Adds another set of rows.
    pub fn add(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_add(more);
        }
    }
}

impl fmt::Display for Digest {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}
