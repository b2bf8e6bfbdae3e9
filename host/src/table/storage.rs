//! To the store and back: freezing changed pages, restoring them.
//!
//! What is written, per tree: the changed pages from right to left, then what is to be removed.
//! Written in this order (each tree's writes as one batch, or cut anywhere), a crash in between
//! loses no row: a row is never written to the left of a page that it stood in and that still
//! exists (`pages.rs`), so wherever its old page was replaced, its new page is there already. Rows
//! that stand in two pages, or in an outdated one, are put right by redoing the log from the last
//! complete checkpoint.
//!
//! Trees: one per table (`tree.rs`), `~timers`, and `~counters` with an entry per counter. What a
//! store holds is checked like what a stranger sends; damage is an error that names the tree.

use std::{collections::BTreeSet, sync::Arc};

use interstice_abi::{
    codec::{Column, Damaged, Input, put_varint},
    failure::{Code, Failure},
};

use super::{
    Tables,
    key_bytes::KeyBytes,
    one::{Reading, Table},
    page::{self, Page},
    timers,
};

/// The tree of the counters.
pub(super) const COUNTERS_TREE: &str = "~counters";

/// One entry of a tree to write or to remove.
#[derive(Clone, Debug)]
pub struct PageWrite {
    /// The tree.
    pub tree: Arc<str>,
    /// The entry's key. May be empty.
    pub key: KeyBytes,
    /// What to write there; `None`: remove it.
    pub page: Option<PageBytes>,
}

/// The content of an entry: shared with the tables until they change it, encoded when it is asked
/// for.
#[derive(Clone, Debug)]
pub struct PageBytes(Content);

#[derive(Clone, Debug)]
enum Content {
    Page(Arc<Page>),
    Counter(u64),
}

impl PageBytes {
    /// The bytes to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match &self.0 {
            Content::Page(page) => page.encode(),
            Content::Counter(value) => {
                let mut out = Vec::new();
                put_varint(u128::from(*value), &mut out);
                out
            }
        }
    }
}

impl From<PageBytes> for Vec<u8> {
    fn from(page: PageBytes) -> Self {
        page.encode()
    }
}

/// The key of a counter in its tree and in the digest. By name: places change when tables are
/// added.
pub(super) fn counter_key(table: &str, column: &str) -> Vec<u8> {
    (table.to_string(), column.to_string()).to_bytes()
}

impl Tables {
    /// What changed since the last freeze (everything, the first time), to be written in this
    /// order. Pages are shared, not copied. To be called while no step is open. Ephemeral tables
    /// are left out.
    pub fn freeze(&mut self) -> Vec<PageWrite> {
        let mut writes = Vec::new();
        for table in self.tables.iter_mut() {
            if table.is_kept() {
                let tree: Arc<str> = table.tree.as_str().into();
                table.pages.freeze(|bound, page| {
                    writes.push(PageWrite {
                        tree: tree.clone(),
                        key: bound.clone(),
                        page: page.map(|page| PageBytes(Content::Page(page))),
                    });
                });
            }
        }
        for table in &mut self.tables {
            let (name, columns) = (&table.name, &table.columns);
            for counter in table.counters.iter_mut().filter(|counter| counter.dirty) {
                counter.dirty = false;
                let column = columns.get(counter.field).map_or("", String::as_str);
                writes.push(PageWrite {
                    tree: COUNTERS_TREE.into(),
                    key: counter_key(name, column).as_slice().into(),
                    page: Some(PageBytes(Content::Counter(counter.last))),
                });
            }
        }
        for (tree, keys) in std::mem::take(&mut self.foreign) {
            let tree: Arc<str> = tree.into();
            writes.extend(keys.into_iter().map(|key| PageWrite {
                tree: tree.clone(),
                key,
                page: None,
            }));
        }
        self.foreign = std::mem::take(&mut self.left);
        writes
    }

    /// Everything that there is, ephemeral tables included, to be restored with
    /// [`Tables::restore_copy`]. Pages are shared, not copied; what the next freeze brings does
    /// not change. To be called while no step is open.
    #[must_use]
    pub fn copy(&self) -> Vec<PageWrite> {
        let mut writes = Vec::new();
        for table in &self.tables {
            let tree: Arc<str> = table.tree.as_str().into();
            table.pages.each(|bound, page| {
                writes.push(PageWrite {
                    tree: tree.clone(),
                    key: bound.clone(),
                    page: Some(PageBytes(Content::Page(page))),
                });
            });
            for counter in table.counters.iter().filter(|counter| counter.last > 0) {
                writes.push(PageWrite {
                    tree: COUNTERS_TREE.into(),
                    key: counter_key(&table.name, table.column_name(counter.field))
                        .as_slice()
                        .into(),
                    page: Some(PageBytes(Content::Counter(counter.last))),
                });
            }
        }
        writes
    }

    /// The store keeps these tables in fresh trees from here on: the next freeze brings all of
    /// them, and nothing of what older trees hold is to be removed. For upgrades, whose older self
    /// must stay whole until a checkpoint no longer needs it.
    pub fn begin_new_trees(&mut self) {
        for table in &mut self.tables {
            table.pages.move_tree(BTreeSet::new());
            for counter in &mut table.counters {
                counter.dirty = counter.last > 0;
            }
        }
        self.foreign.clear();
        self.left.clear();
    }

    /// Takes back a freeze whose writes did not all reach the store: they come again with the next
    /// one.
    pub fn thaw(&mut self, writes: &[PageWrite]) {
        for write in writes {
            if &*write.tree == COUNTERS_TREE {
                self.thaw_counter(&write.key);
            } else if let Some(table) = self.tables.iter_mut().find(|t| *t.tree == *write.tree) {
                table.pages.thaw(&write.key);
            } else {
                self.foreign
                    .entry(write.tree.to_string())
                    .or_default()
                    .insert(write.key.clone());
            }
        }
    }

    fn thaw_counter(&mut self, key: &[u8]) {
        let counter = self.tables.iter_mut().find_map(|table| {
            let (name, columns) = (&table.name, &table.columns);
            table.counters.iter_mut().find(|counter| {
                let column = columns.get(counter.field).map_or("", String::as_str);
                counter_key(name, column) == key
            })
        });
        match counter {
            Some(counter) => counter.dirty = true,
            None => {
                let keys = self.foreign.entry(COUNTERS_TREE.to_string()).or_default();
                keys.insert(KeyBytes::from(key));
            }
        }
    }

    /// Takes in one entry of the store, while loading. The order does not matter. Trees of tables
    /// that are not there are remembered and removed by a later freeze: they are left over from
    /// another version of the module.
    ///
    /// # Errors
    /// `Corrupt` when the entry is not what a freeze gave.
    pub fn restore_page(&mut self, tree: &str, key: &[u8], page: &[u8]) -> Result<(), Failure> {
        self.restore(tree, key, page, Table::is_kept)
    }

    /// As [`Tables::restore_page`], for what [`Tables::copy`] gave: ephemeral tables come back too.
    ///
    /// # Errors
    /// `Corrupt` when the entry is not what a copy gave.
    pub fn restore_copy(&mut self, tree: &str, key: &[u8], page: &[u8]) -> Result<(), Failure> {
        self.restore(tree, key, page, |_| true)
    }

    fn restore(
        &mut self,
        tree: &str,
        key: &[u8],
        page: &[u8],
        belongs: impl Fn(&Table) -> bool,
    ) -> Result<(), Failure> {
        let corrupt = |damaged: Damaged| {
            Failure::new(
                Code::Corrupt,
                format!(
                    "the stored page of tree `{}` is damaged: {damaged}",
                    tree.escape_debug()
                ),
            )
        };
        if tree == COUNTERS_TREE {
            return self.restore_counter(key, page).map_err(corrupt);
        }
        let Some(table) = self
            .tables
            .iter_mut()
            .find(|table| table.tree == tree && belongs(table))
        else {
            let keys = self.foreign.entry(tree.to_string()).or_default();
            keys.insert(KeyBytes::from(key));
            return Ok(());
        };
        let mut restored = Page::default();
        let mut reading = Reading::default();
        let rows = page::rows_on_disk(page).map_err(corrupt)?;
        for row in rows {
            table
                .read(&self.layout, row, &mut reading)
                .map_err(corrupt)?;
            let wrong = match restored.last() {
                Some((before, _)) => before >= reading.key.as_slice(),
                None => reading.key.as_slice() < key,
            };
            if wrong || row.len() as u64 > super::ROW_BYTES_CEILING {
                return Err(corrupt(
                    Input::new(row).damaged("its rows are out of order"),
                ));
            }
            restored.insert(restored.len(), &reading.key, row);
        }
        table.pages.restore(key, restored);
        Ok(())
    }

    fn restore_counter(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        let (name, column): (String, String) = Column::from_bytes(key)?;
        let last = u64::from_bytes(value)?;
        let counter = self
            .tables
            .iter_mut()
            .filter(|table| table.name == name)
            .find_map(|table| {
                let field = table.columns.iter().position(|known| *known == column)?;
                table
                    .counters
                    .iter_mut()
                    .find(|counter| counter.field == field)
            });
        match counter {
            Some(counter) if last <= counter.integer.max() => {
                counter.last = last;
                counter.dirty = false;
                Ok(())
            }
            Some(_) => Err(Input::new(value).damaged("a counter is beyond its type")),
            None => {
                let keys = self.foreign.entry(COUNTERS_TREE.to_string()).or_default();
                keys.insert(KeyBytes::from(key));
                Ok(())
            }
        }
    }

    /// Ends the restoring: builds the indexes; what was restored counts as unchanged. Redoing the
    /// log comes after.
    ///
    /// # Errors
    /// `Corrupt` when a row cannot be read; none can be here that [`Tables::restore_page`] has
    /// taken.
    pub fn finish_restore(&mut self) -> Result<(), Failure> {
        let mut reading = Reading::default();
        for table in &mut self.tables {
            table
                .rebuild_indexes(&self.layout, &mut reading)
                .map_err(|damaged| super::failures::corrupt(table, damaged))?;
        }
        self.journal = super::Journal::default();
        Ok(())
    }

    /// What the store may hold of a tree that `self` leaves.
    pub(super) fn leave_tree(&mut self, tree: String, keys: BTreeSet<KeyBytes>) {
        if !keys.is_empty() && tree != timers::TREE {
            self.left.entry(tree).or_default().extend(keys);
        }
    }
}
