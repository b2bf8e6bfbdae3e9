//! [`Rows`]: a walk through a table, in batches.
//!
//! The host keeps nothing between batches. Rows that were fetched ahead are thrown away as soon as anything was
//! written, and fetched again from the place of the row that the walk stands on; so a loop sees what it changes or
//! deletes ahead of itself. The walk ends at what was the last row when it began, so a loop that inserts ends.

use std::{collections::VecDeque, marker::PhantomData, ops::Bound};

use interstice_abi::host_call::{ScanBatch, ScanCursor, ScanRequest};

use super::{TableRow, open};
use crate::{
    Error,
    host::{self, imports},
};

/// Rows of a table in the order of an index, fetched in batches. A read that is refused ends the step.
#[must_use = "rows are read when they are asked for"]
#[derive(Debug)]
pub struct Rows<R> {
    request: ScanRequest,
    /// Rows and their places that were fetched ahead.
    ahead: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Whether the host may have rows behind those.
    more: bool,
    /// What [`host::writes`] said when they were fetched.
    writes: u64,
    row: PhantomData<fn() -> R>,
}

impl<R: TableRow> Rows<R> {
    pub(super) fn new(index: u16, lower: Bound<Vec<u8>>, upper: Bound<Vec<u8>>) -> Self {
        Self {
            request: ScanRequest {
                index,
                lower,
                upper,
                cursor: None,
            },
            ahead: VecDeque::new(),
            more: true,
            writes: 0,
            row: PhantomData,
        }
    }

    fn fetch(&mut self) -> Result<(), Error> {
        let table = open::<R>()?;
        self.ahead.clear();
        self.writes = host::writes();
        let batch = scan(table, &self.request)?;
        self.more = batch.more && !batch.rows.is_empty();
        if self.request.cursor.is_none() {
            // The first row's place replaces `after` before anything can be asked with it.
            self.request.cursor = Some(ScanCursor {
                after: Vec::new(),
                until: batch.until,
            });
        }
        self.ahead.extend(batch.rows.into_iter().zip(batch.places));
        Ok(())
    }

    fn step(&mut self) -> Result<Option<R>, Error> {
        let stale = !self.ahead.is_empty() && self.writes != host::writes();
        if stale || (self.ahead.is_empty() && self.more) {
            self.fetch()?;
        }
        let Some((row, place)) = self.ahead.pop_front() else {
            self.more = false;
            return Ok(None);
        };
        if let Some(cursor) = &mut self.request.cursor {
            cursor.after = place;
        }
        R::from_bytes(&row)
            .map(Some)
            .map_err(|damaged| Error::internal(format!("a row of `{}`: {damaged}", R::TABLE)))
    }
}

impl<R: TableRow> Iterator for Rows<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        self.step().unwrap_or_else(|error| host::end_step(&error))
    }
}

impl<R: TableRow> std::iter::FusedIterator for Rows<R> {}

fn scan(table: u32, request: &ScanRequest) -> Result<ScanBatch, Error> {
    let request = postcard::to_allocvec(request).map_err(Error::internal)?;
    host::ask(
        |out| imports::table_scan(table, &request, out),
        |answer| postcard::from_bytes(answer).ok(),
    )
}
