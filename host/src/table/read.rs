//! Reads that need no batches: get, count, edge, and pages of rows for clients.

use interstice_abi::{failure::Failure, id::TableId};

use super::{Tables, failures};

/// Rows with their ordered keys.
type KeyedRows = Vec<(Box<[u8]>, Box<[u8]>)>;

impl Tables {
    /// The row with the encoded value `key` in the primary key (`index` 0) or in unique index
    /// `index - 1`.
    ///
    /// # Errors
    /// `BadArguments` for an index that is not there or not unique, or for what is no value of its
    /// column.
    pub fn get(&self, table: TableId, index: u16, key: &[u8]) -> Result<Option<&[u8]>, Failure> {
        let table = self.declared(table)?;
        let mut ordered = Vec::with_capacity(key.len() + 16);
        let Some(number) = usize::from(index).checked_sub(1) else {
            table
                .key
                .order(key, &mut ordered)
                .map_err(|damaged| failures::damaged_key(table, table.key_field, damaged))?;
            return Ok(table.pages.get(&ordered));
        };
        let by = table
            .indexes
            .get(number)
            .ok_or_else(|| failures::no_index(table, index))?;
        if !by.unique {
            return Err(failures::not_unique(table, by.field));
        }
        by.value
            .order(key, &mut ordered)
            .map_err(|damaged| failures::damaged_key(table, by.field, damaged))?;
        Ok(by.rows.first(&ordered).and_then(|key| table.pages.get(key)))
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn count(&self, table: TableId) -> Result<u64, Failure> {
        Ok(self.declared(table)?.pages.rows())
    }

    /// The row with the smallest primary key, or the largest.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn edge(&self, table: TableId, last: bool) -> Result<Option<&[u8]>, Failure> {
        let pages = &self.declared(table)?.pages;
        let edge = match last {
            true => pages.last_before(None),
            false => pages.range(&[]).next(),
        };
        Ok(edge.map(|(_, row)| row))
    }

    /// Rows in key order with their ordered keys, those behind `after` only. Ends after `limit`
    /// rows, or when `bytes_max` bytes are reached; gives at least one row where there is one and
    /// `limit` allows it.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn rows_after(
        &self,
        table: TableId,
        after: Option<&[u8]>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<KeyedRows, Failure> {
        let table = self.declared(table)?;
        let from = after.map_or_else(Vec::new, super::scan::behind);
        let mut rows = KeyedRows::new();
        let mut bytes = 0;
        for (key, row) in table.pages.range(&from).take(limit) {
            rows.push((key.into(), row.into()));
            bytes += key.len() + row.len();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(rows)
    }
}
