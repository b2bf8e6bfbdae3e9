//! [`Digest`]: a hash of a set of rows that does not depend on their order or on how they lie in pages.
//!
//! Each page remembers its own until it changes. [`Hashing`] takes the others out, shared, so that
//! whoever owns the tables need not wait while they are hashed; [`Tables::keep_digests`] brings
//! the results back to those pages that have not changed meanwhile.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Tables, key_bytes::KeyBytes, page::Page, storage};

/// The wrapping sum, in four words, of one BLAKE3 hash per row. Sums of parts add up to the sum of
/// the whole.
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

/// The digest of tables at one moment, as far as it is known, and the pages that are left to be
/// hashed.
#[derive(Debug)]
pub struct Hashing {
    known: Digest,
    left: Vec<Unhashed>,
}

/// A page whose digest is not known.
#[derive(Debug)]
struct Unhashed {
    table: Arc<str>,
    bound: KeyBytes,
    page: Arc<Page>,
}

/// Digests of pages, for the tables that the pages are from.
#[derive(Debug)]
pub struct Hashed(Vec<(Unhashed, Digest)>);

impl Hashing {
    /// How many pages are left to be hashed.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.left.len()
    }

    /// Hashes what is left. Costs a hash per row.
    #[must_use]
    pub fn finish(self) -> (Digest, Hashed) {
        let mut digest = self.known;
        let pages = self.left.into_iter().map(|unhashed| {
            let of_page = unhashed.page.digest(&unhashed.table);
            digest.add(of_page);
            (unhashed, of_page)
        });
        let pages = pages.collect();
        (digest, Hashed(pages))
    }
}

impl Tables {
    /// The digest of logged and stateful tables, counters and timers. Costs a hash per row of the
    /// pages that changed since it was asked for the last time.
    pub fn digest(&mut self) -> Digest {
        let (digest, hashed) = self.begin_digest().finish();
        self.keep_digests(hashed);
        digest
    }

    /// The digest of this moment, for another thread to finish. Costs a look at each page; pages
    /// that change before the work is dropped are copied first.
    #[must_use]
    pub fn begin_digest(&self) -> Hashing {
        let mut known = Digest::default();
        let mut left = Vec::new();
        for table in &self.tables {
            if table.is_kept() {
                let name: Arc<str> = table.name.as_str().into();
                known.add(table.pages.known_digest(|bound, page| {
                    left.push(Unhashed {
                        table: name.clone(),
                        bound: bound.clone(),
                        page: page.clone(),
                    });
                }));
            }
            for counter in table.counters.iter().filter(|counter| counter.last > 0) {
                let key = storage::counter_key(&table.name, table.column_name(counter.field));
                let value = counter.last.to_le_bytes();
                known.add(Digest::of_row(storage::COUNTERS_TREE, &key, &value));
            }
        }
        Hashing { known, left }
    }

    /// Remembers what a [`Hashing`] of these tables came to, for pages that are still the same.
    pub fn keep_digests(&mut self, hashed: Hashed) {
        for (unhashed, digest) in hashed.0 {
            let named = |table: &&mut super::one::Table| table.name.as_str() == &*unhashed.table;
            if let Some(table) = self.tables.iter_mut().find(named) {
                table
                    .pages
                    .keep_digest(&unhashed.bound, &unhashed.page, digest);
            }
        }
    }
}
