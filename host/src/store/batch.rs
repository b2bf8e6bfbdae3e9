//! Cutting one tree's writes into batches, each of which sled recovers whole or not at all.
//!
//! sled keeps whatever a batch replaces in memory until the batch ends, ten times the batch's
//! size, so a large checkpoint needs several, in the order in which the caller gave the pages.
//! What a crash between two of them leaves is a beginning of the caller's list: the tables order
//! theirs so that no beginning loses a row, and redoing the log makes up for the rest. Each batch
//! carries the tree's sum as it is after it (`sum`).

use super::error::StoreError;
use super::guard::Guard;
use super::sum::{Adding, SUM_KEY, entry_key};
use crate::packed::pack;
use crate::table::KeyBytes;

/// A batch is ended when it has this many bytes: enough to hide its own cost, and nearly all
/// checkpoints are one batch a tree.
const BATCH_BYTES: usize = 4 << 20;

/// Keys with their pages; `None` removes the key.
pub(super) type Writes<P> = Vec<(KeyBytes, Option<P>)>;

/// Writes all of it, in order. A page becomes bytes only when its turn comes, so that they are
/// never all there at once.
pub(super) fn write<P: Into<Vec<u8>>>(
    guard: &Guard,
    tree: &sled::Tree,
    writes: Writes<P>,
) -> Result<(), StoreError> {
    let mut adding = guard.run("read", || Adding::to(tree))?;
    let mut batch = sled::Batch::default();
    let mut bytes = 0_usize;
    for (key, page) in writes {
        if bytes >= BATCH_BYTES {
            apply(guard, tree, std::mem::take(&mut batch), &mut adding)?;
            bytes = 0;
        }
        let entry = page.map(|page| pack(&page.into()));
        bytes = bytes.saturating_add(key.len() + entry.as_ref().map_or(0, Vec::len));
        guard.run("read", || adding.entry(&key, entry.as_deref()))?;
        match entry {
            Some(entry) => batch.insert(entry_key(&key), entry),
            None => batch.remove(entry_key(&key)),
        }
    }
    apply(guard, tree, batch, &mut adding)
}

fn apply(
    guard: &Guard,
    tree: &sled::Tree,
    mut batch: sled::Batch,
    adding: &mut Adding<'_>,
) -> Result<(), StoreError> {
    batch.insert(&SUM_KEY, adding.sum.encode());
    guard.write("write to", || tree.apply_batch(batch))?;
    adding.written();
    Ok(())
}
