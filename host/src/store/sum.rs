//! The sum of a tree: what shows that sled has lost or brought back a single page.
//!
//! sled may open with an older version of a page when the newer one is damaged, and says nothing.
//! So every batch also writes, in the same tree and hence whole or not at all with it, the
//! wrapping sum of the BLAKE3 hashes of all entries. Reading a tree adds up what is there and
//! compares.
//!
//! In sled, an entry's key is the byte 1 and the caller's key; the sum is under the byte 0.

use std::collections::BTreeMap;

/// Where a tree's sum is.
pub(super) const SUM_KEY: [u8; 1] = [0];
/// What every other key begins with.
const ENTRY_PREFIX: u8 = 1;

/// The wrapping sum of the hashes of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    /// That of one entry: the caller's key, and the page as it lies in sled.
    pub(super) fn of(key: &[u8], entry: &[u8]) -> Self {
        // In one piece: BLAKE3 then works on several of its chunks at once.
        let bytes = [&(key.len() as u64).to_le_bytes(), key, entry].concat();
        Self::decode(blake3::hash(&bytes).as_bytes()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, other: Self) {
        for (left, right) in self.0.iter_mut().zip(other.0) {
            *left = left.wrapping_add(right);
        }
    }

    fn subtract(&mut self, other: Self) {
        for (left, right) in self.0.iter_mut().zip(other.0) {
            *left = left.wrapping_sub(right);
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        self.0.iter().flat_map(|part| part.to_le_bytes()).collect()
    }

    /// `None` for bytes that are no sum.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let (parts, _) = bytes.as_chunks::<8>();
        let mut sum = Self::default();
        for (place, part) in sum.0.iter_mut().zip(parts) {
            *place = u64::from_le_bytes(*part);
        }
        Some(sum)
    }
}

/// A caller's key in sled.
pub(super) fn entry_key(key: &[u8]) -> Vec<u8> {
    [&[ENTRY_PREFIX], key].concat()
}

/// The caller's key that a key in sled stands for; `None` for the sum's.
pub(super) fn caller_key(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[ENTRY_PREFIX])
}

/// The sum of a tree while it is written: what is replaced goes out, what is written comes in.
pub(super) struct Adding<'a> {
    tree: &'a sled::Tree,
    pub(super) sum: Sum,
    /// The sums of entries that are in the batch and not yet in the tree.
    pending: BTreeMap<Vec<u8>, Option<Sum>>,
}

impl<'a> Adding<'a> {
    /// Goes on from the tree's sum.
    pub(super) fn to(tree: &'a sled::Tree) -> sled::Result<Self> {
        let found = tree.get(SUM_KEY)?;
        Ok(Self {
            tree,
            sum: found.and_then(|sum| Sum::decode(&sum)).unwrap_or_default(),
            pending: BTreeMap::new(),
        })
    }

    /// An entry is written, or removed.
    pub(super) fn entry(&mut self, key: &[u8], entry: Option<&[u8]>) -> sled::Result<()> {
        let old = match self.pending.get(key) {
            Some(pending) => *pending,
            None => {
                let found = self.tree.get(entry_key(key))?;
                found.map(|entry| Sum::of(key, &entry))
            }
        };
        if let Some(old) = old {
            self.sum.subtract(old);
        }
        let new = entry.map(|entry| Sum::of(key, entry));
        if let Some(new) = new {
            self.sum.add(new);
        }
        self.pending.insert(key.to_vec(), new);
        Ok(())
    }

    /// The batch is in the tree.
    pub(super) fn written(&mut self) {
        self.pending.clear();
    }
}
