//! Scans: batches of rows in the order of a key or an index.
//!
//! A row's place is its ordered key, or its ordered indexed value followed by its key. No key is
//! the beginning of another of its type, so comparing beginnings finds equal values.

use std::ops::Bound;

use interstice_abi::{
    failure::Failure,
    host_call::{ScanBatch, ScanRequest},
};

use super::Table;

/// Rows per batch: few, so that tests see what happens between batches.
const BATCH_ROWS: usize = 8;

impl Table {
    /// The next rows of a scan.
    pub(in crate::testing) fn scan(&self, request: &ScanRequest) -> Result<ScanBatch, Failure> {
        let index = usize::from(request.index);
        let order = |bound: &Bound<Vec<u8>>| {
            Ok::<_, Failure>(match bound {
                Bound::Included(value) => Bound::Included(self.order(index, value)?),
                Bound::Excluded(value) => Bound::Excluded(self.order(index, value)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let (lower, upper) = (order(&request.lower)?, order(&request.upper)?);
        let places = self.places(index, &lower, &upper);
        let (after, until) = match &request.cursor {
            Some(cursor) => (Some(&cursor.after), cursor.until.clone()),
            None => (None, places.last().cloned().unwrap_or_default()),
        };
        let mut batch = ScanBatch {
            until,
            ..ScanBatch::default()
        };
        for place in places {
            if place > batch.until || after.is_some_and(|after| place <= *after) {
                continue;
            }
            if batch.rows.len() == BATCH_ROWS {
                batch.more = true;
                break;
            }
            batch.rows.extend(self.row_at(index, &place));
            batch.places.push(place);
        }
        Ok(batch)
    }

    fn places(&self, index: usize, lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> Vec<Vec<u8>> {
        let map = match index.checked_sub(1) {
            None => &self.rows,
            Some(place) => match self.indexes.get(place) {
                Some(index) => index,
                None => return Vec::new(),
            },
        };
        let in_bounds = |place: &Vec<u8>| {
            let above = match lower {
                Bound::Included(value) => place >= value,
                Bound::Excluded(value) => place > value && !place.starts_with(value),
                Bound::Unbounded => true,
            };
            let below = match upper {
                Bound::Included(value) => place < value || place.starts_with(value),
                Bound::Excluded(value) => place < value,
                Bound::Unbounded => true,
            };
            above && below
        };
        map.keys()
            .filter(|place| in_bounds(place))
            .cloned()
            .collect()
    }

    fn row_at(&self, index: usize, place: &[u8]) -> Option<Vec<u8>> {
        let key = match index.checked_sub(1) {
            None => place,
            Some(index) => self.indexes.get(index)?.get(place)?,
        };
        self.rows.get(key).cloned()
    }
}
