//! [`Rows`]: a walk through a table, in batches.
//!
//! The host keeps nothing between batches. A loop sees what it changes or deletes ahead of itself:
//! once rows of the table were replaced or deleted, each row that was fetched ahead is looked up
//! again; once rows came, the rest of the batch is thrown away and fetched again from the place of
//! the row that the walk stands on. Writes to other tables cost nothing. The walk ends at what was
//! the last row when it began, so a loop that inserts ends.

use std::{collections::VecDeque, marker::PhantomData, ops::Bound};

use interstice_abi::host_call::{ScanBatch, ScanCursor, ScanRequest};

use super::{TableRow, get, open};
use crate::{
    Error,
    host::{self, imports},
};

/// Rows of a table in the order of an index, fetched in batches. A read that is refused ends the
/// step.
#[must_use = "rows are read when they are asked for"]
#[derive(Debug)]
pub struct Rows<R> {
    request: ScanRequest,
    /// Rows and their places that were fetched ahead.
    ahead: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Whether the host may have rows behind those.
    more: bool,
    /// What had happened when they were fetched.
    version: Version,
    row: PhantomData<fn() -> R>,
}

/// What tells whether rows that were fetched ahead are still right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Version {
    /// As long as this is the same, no row came.
    inserts: (u32, u32, u32),
    /// As long as this is the same too, no row was replaced or went.
    changes: u32,
}

impl Version {
    fn of<R: TableRow>() -> Self {
        // Nobody else writes to the tables of this module; those of others change by calls.
        let calls = R::MODULE.map_or(0, |_| host::calls());
        Self {
            inserts: (R::slot().inserts(), calls, host::resets()),
            changes: R::slot().changes(),
        }
    }
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
            version: Version::default(),
            row: PhantomData,
        }
    }

    fn fetch(&mut self) -> Result<(), Error> {
        let table = open::<R>()?;
        self.ahead.clear();
        self.version = Version::of::<R>();
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
        loop {
            let now = Version::of::<R>();
            let stale = !self.ahead.is_empty() && self.version.inserts != now.inserts;
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
            let row = R::from_bytes(&row).map_err(|damaged| {
                Error::internal(format!("a row of `{}`: {damaged}", R::TABLE))
            })?;
            if self.version.changes == now.changes {
                return Ok(Some(row));
            }
            if let Some(row) = get(0, &R::key(&row)) {
                return Ok(Some(row));
            }
        }
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
