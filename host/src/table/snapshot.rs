//! [`Snapshot`]: a table's rows as they were, for readers that take their time.
//!
//! Its pages are shared with the table, which copies a page before it changes one that a snapshot
//! holds. Nothing of the journal is in it: it is taken between steps.

use std::sync::Arc;

use interstice_abi::{failure::Failure, id::TableId};

use super::{Tables, page::Page};

/// A table's rows at one moment, in key order, to be taken in pieces.
#[derive(Debug)]
pub struct Snapshot {
    /// Those that are left, the next one last.
    pages: Vec<Arc<Page>>,
    /// Rows of the next page that have been taken.
    taken: usize,
}

impl Tables {
    /// The rows of `table` as they are.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn snapshot(&self, table: TableId) -> Result<Snapshot, Failure> {
        let mut pages = self.declared(table)?.pages.shared();
        pages.reverse();
        Ok(Snapshot { pages, taken: 0 })
    }
}

impl Snapshot {
    /// The next rows, of `bytes_max` bytes or a little more; empty at the end.
    pub fn rows(&mut self, bytes_max: usize) -> Vec<Vec<u8>> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(page) = self.pages.last() {
            while self.taken < page.len() && bytes < bytes_max {
                let row = page.row(self.taken);
                bytes += row.len();
                rows.push(row.to_vec());
                self.taken += 1;
            }
            if self.taken < page.len() {
                break;
            }
            self.pages.pop();
            self.taken = 0;
        }
        rows
    }

    /// Hands the next rows over, one by one, until `take` wants no more. Memory is given back
    /// page by page.
    pub fn take_rows(&mut self, mut take: impl FnMut(&[u8]) -> bool) {
        let mut wants = true;
        while wants && let Some(page) = self.pages.last() {
            while wants && self.taken < page.len() {
                wants = take(page.row(self.taken));
                self.taken += 1;
            }
            if self.taken == page.len() {
                self.pages.pop();
                self.taken = 0;
            }
        }
    }

    /// The bytes of the pages that are left: what this holds at most when the table changes all
    /// of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let size = |page: &Arc<Page>| u64::try_from(page.size()).unwrap_or(u64::MAX);
        self.pages.iter().map(size).sum()
    }

    /// Whether all rows have been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}
