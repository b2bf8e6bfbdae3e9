//! Readings: tables that clients read page by page, each as it was at the turn of its first page.
//!
//! The pages of the table are shared with it and given back as they are read, so a reading costs
//! memory only as far as the table changes meanwhile. Bounds: [`PER_CONNECTION`] readings of a
//! connection, [`BYTES_MAX`] of tables for all guests and as much for all owners, [`REST`]
//! between two pages, and a least pace. A reading ends with its connection, and a guest's when it
//! may no longer read the table.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    wire::{ROWS_PER_PAGE_MAX, Response, ResponseBody, RowsPage, Standing},
};
use interstice_host::table::Snapshot;
use tokio::sync::Semaphore;

use super::query::{Filter, PAGE_BYTES_MAX, SCAN_BYTES_MAX};
use crate::{ingress::Replies, shared::Shared};

/// Readings that a connection has open; one more ends the one that has rested the longest. A
/// program that reads several tables side by side has enough with it.
const PER_CONNECTION: usize = 8;

/// Bytes of the tables that guests have left to read, and owners: what all of them hold at most
/// when everything changes. One that is alone may have a larger table.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How long a reading may rest between two pages: a program asks for the next one at once.
const REST: Duration = Duration::from_secs(60);

/// The least pace of a whole reading, in bytes per second, once [`REST`] has passed.
const BYTES_PER_SECOND: u64 = 256 * 1024;

/// Pages that are read at a time: each takes a thread for a moment.
const PAGES_AT_A_TIME: usize = 4;

/// The readings of a node.
pub(crate) struct Readings {
    open: Mutex<Open>,
    pages: Arc<Semaphore>,
}

#[derive(Default)]
struct Open {
    readings: BTreeMap<Key, Slot>,
    last: u64,
}

/// A connection, and the reading's number.
type Key = (u64, u64);

struct Slot {
    about: About,
    state: State,
    /// When its last page was asked for.
    used: Instant,
    /// When it must have ended, however often pages are asked for.
    deadline: Instant,
    /// The next page.
    page: u32,
    /// Bytes that are left to read.
    bytes: u64,
}

enum State {
    /// Waits for its next page.
    Rests(Box<Reading>),
    /// A page is being read.
    Busy,
    /// It goes no further, for this reason.
    Denied(Failure),
}

/// Whose reading it is, and of what.
pub(crate) struct About {
    pub(crate) connection: u64,
    pub(crate) standing: Standing,
    pub(crate) module: ModuleName,
    pub(crate) table: String,
}

/// The rest of a table.
pub(crate) struct Reading {
    snapshot: Snapshot,
    filter: Option<Filter>,
    seq: Seq,
    /// Bytes that are left, with what pages hold beside their rows.
    bytes: u64,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            pages: Arc::new(Semaphore::new(PAGES_AT_A_TIME)),
        }
    }
}

impl Reading {
    /// Of a table as it is after turn `seq`.
    pub(crate) fn new(snapshot: Snapshot, filter: Option<Filter>, seq: Seq) -> Self {
        let bytes = snapshot.bytes();
        Self {
            snapshot,
            filter,
            seq,
            bytes,
        }
    }

    /// The next page; its cursor is not filled in.
    pub(crate) fn page(&mut self, limit: u32) -> RowsPage {
        let limit = usize::try_from(limit.clamp(1, ROWS_PER_PAGE_MAX)).unwrap_or(1);
        let (mut rows, mut bytes, mut scanned) = (Vec::new(), 0, 0);
        let filter = self.filter.as_ref();
        self.snapshot.take_rows(|row| {
            scanned += row.len();
            if filter.is_none_or(|filter| filter.matches(row)) {
                bytes += row.len();
                rows.push(row.to_vec());
            }
            // A filter may pass over much: the page ends all the same.
            rows.len() < limit && bytes < PAGE_BYTES_MAX && scanned < SCAN_BYTES_MAX
        });
        let taken = u64::try_from(scanned).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_sub(taken);
        RowsPage {
            rows,
            next: None,
            seq: self.seq,
        }
    }

    /// Whether all rows were read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.snapshot.is_empty()
    }
}

impl Readings {
    /// Keeps the rest of a reading whose first page was read. What the next page is asked for
    /// with.
    ///
    /// # Errors
    /// `Busy` when others read too much.
    pub(crate) fn keep(
        &self,
        shared: &Arc<Shared>,
        about: About,
        reading: Reading,
        now: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let mut open = self.open();
        open.expire(now);
        open.make_room(about.connection);
        let held = open.bytes(about.standing);
        if held > 0 && held.saturating_add(reading.bytes) > BYTES_MAX {
            let text = format!(
                "tables of {held} bytes are being read page by page, and the limit is {BYTES_MAX} for all clients of this standing; try again in a moment, or ask for fewer rows"
            );
            return Err(Failure::new(Code::Busy, text));
        }
        open.last += 1;
        let (number, seconds) = (open.last, reading.bytes / BYTES_PER_SECOND);
        let slot = Slot {
            deadline: now + REST + Duration::from_secs(seconds),
            used: now,
            page: 1,
            bytes: reading.bytes,
            state: State::Rests(Box::new(reading)),
            about,
        };
        let is_first = open.readings.is_empty();
        open.readings.insert((slot.about.connection, number), slot);
        if is_first {
            // As long as there are readings; it must not keep the node from ending.
            let shared = Arc::downgrade(shared);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(REST / 4).await;
                    let Some(shared) = shared.upgrade() else {
                        return;
                    };
                    let mut open = shared.readings.open();
                    open.expire(Instant::now());
                    if open.readings.is_empty() {
                        return;
                    }
                }
            });
        }
        Ok(cursor(number, 1))
    }

    /// Reads the next page on a thread that may wait, and answers.
    pub(crate) fn answer_next(
        shared: &Arc<Shared>,
        connection: u64,
        (after, limit): (&[u8], u32),
        (replies, request): (Replies, u64),
    ) -> Result<(), Failure> {
        let (number, page) = postcard::from_bytes(after).map_err(|_| {
            let text = "this is not what the page before has named as its next one";
            Failure::new(Code::BadArguments, text)
        })?;
        let key = (connection, number);
        let mut reading = shared.readings.take(key, page, Instant::now())?;
        let (shared, pages) = (shared.clone(), shared.readings.pages.clone());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _place = pages.acquire_owned().await;
            let (to, of) = (replies.clone(), shared.clone());
            let answered = tokio::task::spawn_blocking(move || {
                let page = reading.page(limit);
                let page = of.readings.put_back(key, page, reading);
                to.send(Response {
                    id: request,
                    body: page.map(ResponseBody::Rows),
                });
            });
            if let Err(panic) = answered.await {
                shared.readings.open().readings.remove(&key);
                let body = Err(Failure::internal(panic));
                replies.send(Response { id: request, body });
            }
        });
        Ok(())
    }

    fn take(&self, key: Key, page: u32, now: Instant) -> Result<Box<Reading>, Failure> {
        let mut open = self.open();
        // Others that have rested for too long go with the next sweep.
        if open
            .readings
            .get(&key)
            .is_some_and(|slot| !slot.goes_on(now))
        {
            open.readings.remove(&key);
        }
        let slot = open.readings.get_mut(&key).ok_or_else(ended)?;
        if let State::Denied(why) = &slot.state {
            return Err(why.clone());
        }
        if slot.page != page {
            let text = format!(
                "page {page} of this reading is not the next one, which is page {}; each page is read once",
                slot.page
            );
            return Err(Failure::new(Code::BadArguments, text));
        }
        match std::mem::replace(&mut slot.state, State::Busy) {
            State::Rests(reading) => {
                slot.used = now;
                Ok(reading)
            }
            other => {
                slot.state = other;
                let text = "the page before is being read; ask for the next one when it has come";
                Err(Failure::new(Code::Busy, text))
            }
        }
    }

    /// Takes a reading back after a page, unless it has ended, and names the next page.
    fn put_back(
        &self,
        key: Key,
        mut page: RowsPage,
        reading: Box<Reading>,
    ) -> Result<RowsPage, Failure> {
        let mut open = self.open();
        let slot = open.readings.get_mut(&key).ok_or_else(ended)?;
        if let State::Denied(why) = &slot.state {
            return Err(why.clone());
        }
        if reading.is_at_end() {
            open.readings.remove(&key);
            return Ok(page);
        }
        slot.page += 1;
        slot.bytes = reading.bytes;
        slot.used = Instant::now();
        slot.state = State::Rests(reading);
        page.next = Some(cursor(key.1, slot.page));
        Ok(page)
    }

    /// Ends the readings of a connection that has ended.
    pub(crate) fn end(&self, connection: u64) {
        self.open().end(connection);
    }

    /// Ends the readings of guests who may not go on, with the reason.
    pub(crate) fn end_unreadable(
        &self,
        may_go_on: impl Fn(&ModuleName, &str) -> Result<(), Failure>,
    ) {
        let mut open = self.open();
        let slots = open.readings.values_mut();
        for slot in slots.filter(|slot| slot.about.standing == Standing::Guest) {
            if let Err(denied) = may_go_on(&slot.about.module, &slot.about.table) {
                slot.state = State::Denied(denied);
                slot.bytes = 0;
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics under the lock; a poisoned list is a whole one.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether it has neither rested nor taken for too long.
    fn goes_on(&self, now: Instant) -> bool {
        now < self.used + REST && now < self.deadline
    }
}

impl Open {
    fn expire(&mut self, now: Instant) {
        self.readings.retain(|_, slot| slot.goes_on(now));
    }

    /// Ends those of a connection, at a cost that does not grow with the others.
    fn end(&mut self, connection: u64) {
        let own = (connection, 0)..=(connection, u64::MAX);
        while let Some((key, _)) = self.readings.range(own.clone()).next() {
            let key = *key;
            self.readings.remove(&key);
        }
    }

    /// Ends the oldest readings of a connection that has as many as it may.
    fn make_room(&mut self, connection: u64) {
        loop {
            let own = self
                .readings
                .range((connection, 0)..=(connection, u64::MAX));
            let own: Vec<(Instant, Key)> = own.map(|(key, slot)| (slot.used, *key)).collect();
            if own.len() < PER_CONNECTION {
                return;
            }
            if let Some((_, oldest)) = own.into_iter().min() {
                self.readings.remove(&oldest);
            }
        }
    }

    /// Bytes of the tables that clients of this standing have left to read.
    fn bytes(&self, standing: Standing) -> u64 {
        let of_standing = |slot: &&Slot| slot.about.standing == standing;
        let slots = self.readings.values().filter(of_standing);
        slots.map(|slot| slot.bytes).sum()
    }
}

fn cursor(number: u64, page: u32) -> Vec<u8> {
    postcard::to_allocvec(&(number, page)).unwrap_or_default()
}

fn ended() -> Failure {
    let text = format!(
        "this reading has ended: it rested for more than {} s, was too slow, gave way to others of its connection, or is of another one; begin again",
        REST.as_secs()
    );
    Failure::new(Code::NotFound, text)
}

#[cfg(test)]
mod tests;
