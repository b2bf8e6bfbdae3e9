//! [`Pages`]: a table's rows as sorted runs of pages, with what a checkpoint needs to know of each.
//!
//! Invariants. Each page stands under a *bound*: its keys are not before the bound and before the
//! next page's. The first bound may be empty. No page is empty. Small rows share pages of about
//! the given size; a row that is larger has a page to itself. Pages are shared with frozen copies
//! and copied on the first write after a freeze.
//!
//! Rows move to other pages by splits and by merges with the page to their left, so a row is never
//! in a page to the left of a bound that it once was behind, as long as that bound stands. That is
//! why writing the changed pages from right to left, then the removals, never loses a row,
//! wherever it stops (`storage.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use super::{digest::Digest, key_bytes::KeyBytes, page::Page};

/// A page is merged with a neighbour when less than this part of it is in use.
const SPARSE: usize = 4;

/// A table's rows.
#[derive(Debug, Default)]
pub(super) struct Pages {
    slots: BTreeMap<KeyBytes, Slot>,
    /// Where a page is split; 0: each row has its own page.
    page_bytes: usize,
    /// Bounds that are in the store and no longer here.
    removed: BTreeSet<KeyBytes>,
    rows: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Slot {
    page: Arc<Page>,
    digest: Option<Digest>,
    /// Whether the store has another page here, or none.
    dirty: bool,
    /// Whether the store has a page here.
    stored: bool,
}

impl Slot {
    fn fresh(page: Arc<Page>) -> Self {
        Self {
            page,
            digest: None,
            dirty: true,
            stored: false,
        }
    }

    fn write(&mut self) -> &mut Page {
        self.digest = None;
        self.dirty = true;
        Arc::make_mut(&mut self.page)
    }

    /// Gives back memory that the page holds for rows to come, unless it is shared.
    fn shrink(&mut self) {
        if let Some(page) = Arc::get_mut(&mut self.page) {
            page.shrink();
        }
    }

    fn put(&mut self, page: Page) {
        self.digest = None;
        self.dirty = true;
        self.page = Arc::new(page);
    }
}

impl Pages {
    pub(super) fn new(page_bytes: usize) -> Self {
        Self {
            page_bytes,
            ..Self::default()
        }
    }

    /// All pages, in order, shared with their readers.
    pub(super) fn shared(&self) -> Vec<Arc<Page>> {
        self.slots.values().map(|slot| slot.page.clone()).collect()
    }

    /// Where a page is split.
    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Adds a page behind all others.
    pub(super) fn add(&mut self, bound: KeyBytes, page: Arc<Page>) {
        self.rows += u64::try_from(page.len()).unwrap_or(u64::MAX);
        self.bytes += page.row_bytes();
        self.place(bound, page);
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The page that a row with this key is in or belongs in, and its place there.
    fn find(&self, key: &[u8]) -> Option<(&Slot, Result<usize, usize>)> {
        // Rows that come in order go to the end of the last page: two comparisons instead of one
        // at each level of the map and of the search in the page.
        let (bound, last) = self.slots.last_key_value()?;
        if bound.as_slice() <= key {
            return Some((last, last.page.find_from_end(key)));
        }
        let (_, slot) = match KeyBytes::short(key) {
            Some(short) => self
                .slots
                .range::<KeyBytes, _>((Unbounded, Included(&short)))
                .next_back()?,
            None => self.slots.range::<[u8], _>(up_to(key)).next_back()?,
        };
        Some((slot, slot.page.find(key)))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (slot, at) = self.find(key)?;
        Some(slot.page.row(at.ok()?))
    }

    /// The rows whose keys are not before `from`, with their keys, in order.
    pub(super) fn range<'a>(
        &'a self,
        from: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let first = self.slots.range::<[u8], _>(up_to(from)).next_back();
        let start = first.map_or(&[][..], |(bound, _)| bound.as_slice());
        self.slots
            .range::<[u8], _>((Included(start), Unbounded))
            .flat_map(move |(_, slot)| slot.page.rows(slot.page.lower_bound(from)))
    }

    /// The last row whose key is before `to`; the last of all without it.
    pub(super) fn last_before(&self, to: Option<&[u8]>) -> Option<(&[u8], &[u8])> {
        let Some(to) = to else {
            return self.slots.last_key_value()?.1.page.last();
        };
        let mut pages = self.slots.range::<[u8], _>(up_to(to));
        let (_, slot) = pages.next_back()?;
        match slot.page.lower_bound(to).checked_sub(1) {
            Some(at) => Some((slot.page.key(at), slot.page.row(at))),
            None => pages.next_back()?.1.page.last(),
        }
    }

    /// Inserts a row, or replaces the one with its key.
    pub(super) fn put(&mut self, key: &[u8], row: &[u8]) {
        loop {
            let Some((slot, at)) = find_mut(&mut self.slots, key) else {
                self.count(row);
                self.place(KeyBytes::from(&[][..]), Arc::new(Page::of(key, row)));
                return;
            };
            match at {
                Ok(at) => {
                    let old = slot.page.row(at).len();
                    let size = slot.page.size() - old + row.len();
                    self.bytes -= old as u64;
                    if slot.page.len() == 1 {
                        slot.put(Page::of(key, row));
                    } else if size <= self.page_bytes {
                        slot.write().replace(at, row);
                    } else {
                        // It has outgrown its page: it comes back as a row that belongs elsewhere.
                        slot.write().remove(at);
                        self.rows -= 1;
                        continue;
                    }
                    self.bytes += row.len() as u64;
                    return;
                }
                Err(at) => {
                    if slot.page.size() + Page::size_of(key, row) <= self.page_bytes {
                        slot.write().insert(at, key, row);
                        self.count(row);
                        return;
                    }
                    if self.overflow(key, row, at) {
                        self.count(row);
                        return;
                    }
                }
            }
        }
    }

    /// Makes room for a row that belongs at place `at` of a full page. Returns whether the row
    /// went into a page of its own, at the end or the start; otherwise the page was split and the
    /// row is still to be placed.
    fn overflow(&mut self, key: &[u8], row: &[u8], at: usize) -> bool {
        let Some((slot, _)) = find_mut(&mut self.slots, key) else {
            return false;
        };
        if at == slot.page.len() {
            // Rows that come in order fill page after page: this one is as full as it will be.
            slot.shrink();
            let page = if slot.page.len() > 1 {
                Page::behind(&slot.page, key, row)
            } else {
                Page::of(key, row)
            };
            self.place(KeyBytes::from(key), Arc::new(page));
            return true;
        }
        if at == 0 {
            let behind = Arc::clone(&slot.page);
            slot.put(Page::of(key, row));
            let bound = KeyBytes::from(behind.key(0));
            self.place(bound, behind);
            return true;
        }
        let (left, right) = slot.page.split(slot.page.middle());
        slot.put(left);
        let bound = KeyBytes::from(right.key(0));
        self.place(bound, Arc::new(right));
        false
    }

    /// Removes the row with this key. Returns whether there was one.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((bound, slot)) = self.slots.range_mut::<[u8], _>(up_to(key)).next_back() else {
            return false;
        };
        let Ok(at) = slot.page.find(key) else {
            return false;
        };
        self.rows -= 1;
        self.bytes -= slot.page.row(at).len() as u64;
        if slot.page.len() == 1 {
            let bound = bound.clone();
            self.take(&bound);
            return true;
        }
        slot.write().remove(at);
        if slot.page.size() < self.page_bytes / SPARSE {
            let bound = bound.clone();
            self.merge(&bound);
        }
        true
    }

    /// Merges the page at `bound` with its right or its left neighbour when both together are half
    /// a page at most.
    fn merge(&mut self, bound: &KeyBytes) {
        let Some(size) = self.slots.get(bound).map(|slot| slot.page.size()) else {
            return;
        };
        let room = (self.page_bytes / 2).saturating_sub(size);
        let fits =
            |(bound, slot): (&KeyBytes, &Slot)| (slot.page.size() <= room).then(|| bound.clone());
        let behind = (Excluded(bound.as_slice()), Unbounded);
        let before = (Unbounded, Excluded(bound.as_slice()));
        if let Some(right) = self.slots.range::<[u8], _>(behind).next().and_then(fits) {
            self.absorb(bound, &right);
        } else if let Some(left) = self
            .slots
            .range::<[u8], _>(before)
            .next_back()
            .and_then(fits)
        {
            self.absorb(&left, bound);
        }
    }

    fn absorb(&mut self, left: &KeyBytes, right: &KeyBytes) {
        if let Some(page) = self.take(right)
            && let Some(slot) = self.slots.get_mut(left)
        {
            slot.write().append(&page);
        }
    }

    /// Removes all rows.
    pub(super) fn clear(&mut self) {
        for (bound, slot) in std::mem::take(&mut self.slots) {
            if slot.stored {
                self.removed.insert(bound);
            }
        }
        self.rows = 0;
        self.bytes = 0;
    }

    /// The sum over the pages whose digest is known; the others are handed to `each`.
    pub(super) fn known_digest(&self, mut each: impl FnMut(&KeyBytes, &Arc<Page>)) -> Digest {
        let mut known = Digest::default();
        for (bound, slot) in &self.slots {
            match slot.digest {
                Some(digest) => known.add(digest),
                None => each(bound, &slot.page),
            }
        }
        known
    }

    /// The page at `bound` has this digest, if it is still this page. Whoever hashes it holds it,
    /// so a write has made another one.
    pub(super) fn keep_digest(&mut self, bound: &KeyBytes, page: &Arc<Page>, digest: Digest) {
        if let Some(slot) = self.slots.get_mut(bound)
            && Arc::ptr_eq(&slot.page, page)
        {
            slot.digest = Some(digest);
        }
    }

    /// The changed pages from right to left, then the bounds to remove; all count as stored from
    /// here on.
    pub(super) fn freeze(&mut self, mut each: impl FnMut(&KeyBytes, Option<Arc<Page>>)) {
        for (bound, slot) in self.slots.iter_mut().rev() {
            if slot.dirty {
                each(bound, Some(Arc::clone(&slot.page)));
                slot.dirty = false;
                slot.stored = true;
            }
        }
        for bound in std::mem::take(&mut self.removed) {
            each(&bound, None);
        }
    }

    /// All pages from left to right.
    pub(super) fn each(&self, mut each: impl FnMut(&KeyBytes, Arc<Page>)) {
        for (bound, slot) in &self.slots {
            each(bound, Arc::clone(&slot.page));
        }
    }

    /// The store may not have what was frozen at `bound`, or may still have it.
    pub(super) fn thaw(&mut self, bound: &[u8]) {
        match self.slots.get_mut(bound) {
            Some(slot) => slot.dirty = true,
            None => {
                self.removed.insert(KeyBytes::from(bound));
            }
        }
    }

    /// The bounds that the store has, or is to remove: all that its tree can hold.
    pub(super) fn stored(&self) -> BTreeSet<KeyBytes> {
        self.slots
            .iter()
            .filter(|(_, slot)| slot.stored)
            .map(|(bound, _)| bound.clone())
            .chain(self.removed.iter().cloned())
            .collect()
    }

    /// Takes the pages over into another tree: all of them are to be written, and `left_over` to
    /// be removed there.
    pub(super) fn move_tree(&mut self, left_over: BTreeSet<KeyBytes>) {
        self.removed = left_over;
        for (bound, slot) in &mut self.slots {
            slot.dirty = true;
            slot.stored = self.removed.remove(bound);
        }
    }

    /// Takes in a page as the store has it, rows in order under `bound`. Where it overlaps with
    /// pages that are here already, as after a half-written checkpoint, its rows are put one by
    /// one, into pages that differ from the store's.
    pub(super) fn restore(&mut self, bound: &[u8], page: Page) {
        let Some((last, _)) = page.last() else {
            self.removed.insert(KeyBytes::from(bound));
            return;
        };
        let clear_left = self
            .slots
            .range::<[u8], _>((Unbounded, Excluded(bound)))
            .next_back()
            .and_then(|(_, slot)| slot.page.last())
            .is_none_or(|(before, _)| before < bound);
        let clear_right = self
            .slots
            .range::<[u8], _>((Included(bound), Unbounded))
            .next()
            .is_none_or(|(next, _)| next.as_slice() > last);
        let fits = page.len() == 1 || page.size() <= self.page_bytes;
        if clear_left && clear_right && fits && bound <= page.key(0) {
            self.rows += page.len() as u64;
            self.bytes += page.rows(0).map(|(_, row)| row.len() as u64).sum::<u64>();
            let mut slot = Slot::fresh(Arc::new(page));
            slot.dirty = false;
            slot.stored = true;
            self.slots.insert(KeyBytes::from(bound), slot);
            return;
        }
        for (key, row) in page.rows(0) {
            self.put(key, row);
        }
        match self.slots.get_mut(bound) {
            Some(slot) => slot.stored = true,
            None => {
                self.removed.insert(KeyBytes::from(bound));
            }
        }
    }

    /// Roughly what the rows take in memory, in bytes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        // A map's nodes are at least half full.
        let slot = 2 * (size_of::<KeyBytes>() + size_of::<Slot>());
        self.slots
            .values()
            .map(|held| slot + size_of::<Page>() + held.page.capacity())
            .sum()
    }

    fn place(&mut self, bound: KeyBytes, page: Arc<Page>) {
        let mut slot = Slot::fresh(page);
        slot.stored = self.removed.remove(&bound);
        self.slots.insert(bound, slot);
    }

    fn take(&mut self, bound: &KeyBytes) -> Option<Arc<Page>> {
        let slot = self.slots.remove(bound)?;
        if slot.stored {
            self.removed.insert(bound.clone());
        }
        Some(slot.page)
    }

    fn count(&mut self, row: &[u8]) {
        self.rows += 1;
        self.bytes += row.len() as u64;
    }
}

/// As [`Pages::find`], to be changed.
fn find_mut<'a>(
    slots: &'a mut BTreeMap<KeyBytes, Slot>,
    key: &[u8],
) -> Option<(&'a mut Slot, Result<usize, usize>)> {
    let is_last = slots
        .last_key_value()
        .is_some_and(|(bound, _)| bound.as_slice() <= key);
    if is_last {
        let last = slots.last_entry()?.into_mut();
        let at = last.page.find_from_end(key);
        return Some((last, at));
    }
    let (_, slot) = match KeyBytes::short(key) {
        Some(short) => slots
            .range_mut::<KeyBytes, _>((Unbounded, Included(&short)))
            .next_back()?,
        None => slots.range_mut::<[u8], _>(up_to(key)).next_back()?,
    };
    let at = slot.page.find(key);
    Some((slot, at))
}

fn up_to(key: &[u8]) -> (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) {
    (Unbounded, Included(key))
}
