//! How much is under way in a node, over all its connections, and the bounds of one connection and
//! of all.
//!
//! Every queue of a node that something from outside fills has its bound here, in `admission` of
//! the supervisor (per module) or beside the queue:
//!
//! | queue | of one client | of all clients |
//! | --- | --- | --- |
//! | connections that have not greeted | oldest of the crowded address goes | `waiting_connections_max` per stage, 10 s |
//! | connections that have greeted | 4 streams each | `connections_max`; an idle guest goes, or `Busy`; owners beyond it |
//! | streams | 32, 4 of them not accepted, 8 that name their protocol, 10 s each | |
//! | bytes that have come and were not read | 3 MiB, the frames counted, then cut | 256 MiB, then the connection with the most is cut |
//! | unfinished frames | one, [`FRAME_BYTES_MAX`](interstice_abi::wire::FRAME_BYTES_MAX), 30 s and 64 KiB/s at least | 512 MiB, then `Busy` |
//! | requests without an answer | `requests_per_connection_max`, then `Busy` | `admission.requests_max`, then `Busy` |
//! | bytes of requests without an answer | `admission.bytes_per_client_max`, then `Busy` | `admission.bytes_max`, then `Busy` |
//! | turns and queries of a module | a guest's key: as many as are free for guests, then `Busy` | `admission.turns_per_module_max`, `bytes_per_module_max`, then `Busy`; an eighth is for owners |
//! | requests that wait for a change of modules | a guest's key: as many as are free for guests, then `Busy` | 32768 and 256 MiB, then `Busy`; an eighth is for owners |
//! | uploads | one, `limits.module_bytes_max`, 60 s of rest | four of the largest, then `Busy`; owners only |
//! | schemas, status, timers, grants, kept lines | one at a time, when there is room for it | 4 are made at a time; status once for all who wait |
//! | pages and results of queries | none from 16 MiB unsent on; those that wait for a sync count as bytes of requests | |
//! | answers that are not sent | 256 MiB, then cut; from 16 MiB on nothing is read | `admission.unsent_bytes_max`, and a quarter of a MiB each beyond it |
//! | changes for a watch | 4 MiB unsent, then cut with the position | half of `admission.unsent_bytes_max` |
//! | rows at the beginning of a watch | 256 KiB ahead of the reader; 8 tables of a guest, 30 s without reading | 64 tables at a time, 48 of guests, then `Busy` |
//! | tables that are read page by page | 8 readings, then the oldest ends; 60 s of rest, 256 KiB/s at least | 1 GiB for guests and for owners each, one larger table alone, then `Busy` |
//! | watches that resume | 4 of a guest, 30 s without reading | 16, 12 of guests, then `Busy` |
//! | requests for the past | 1 of a guest, 30 s without reading | 4, 2 of guests, then `Busy` |
//! | changes while those are sent or the log is read | 4 MiB, then cut with the position | |
//! | rows that a step holds | `limits.step_bytes_max`, then `TooLarge` | |
//! | rows that the waiting reactions of a turn hold | `limits.turn_bytes_max`, then dropped | |
//! | records that are not synced | | 256 MiB, then modules wait for the disk |
//! | records of more than 8 MiB on their way to the disk | one of a module, which waits for it | |
//! | lines of a log | 4 MiB unsent, then cut with the line's number | 8 MiB are kept |
//!
//! An owner's requests are counted, and not refused for what others have under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use interstice_abi::{
    failure::{Code, Failure},
    wire::Standing,
};
use interstice_client::outbox::Meter;

/// Largest module that is taken, in bytes.
const MODULE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Requests of a connection that may be unanswered: more than hides the way to the other side of
/// the world and back.
const REQUESTS_IN_FLIGHT_MAX: u32 = 16_384;

/// Bytes of a connection's large requests: four of the largest.
const REQUEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Unsent bytes of a connection from which it is cut: four of the largest answers.
const UNSENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Unsent bytes of a connection from which its watches end: far from the cut, and tens of
/// thousands of small changes. A larger row still passes when little waits.
const STREAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Requests of all connections: a few hundred bytes each.
const ALL_REQUESTS_MAX: u64 = 262_144;

/// Bytes of all large requests: eight clients at their bound.
const ALL_REQUEST_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Unsent bytes of all connections: two clients at their bound.
const ALL_UNSENT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Bytes that all connections have sent and that were not read: the first windows of a thousand.
const ALL_HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long a frame may rest: longer than any network that still works does.
const REST_OF_FRAME_MAX: Duration = Duration::from_secs(30);

/// What connections may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most requests of one connection without an answer.
    pub requests_in_flight: u32,
    /// Most bytes of the large ones among them.
    pub request_bytes: u64,
    /// Largest module in bytes.
    pub module_bytes_max: u64,
    /// Unsent bytes from which a client is cut off.
    pub unsent_bytes_max: usize,
    /// Unsent bytes from which a client's streams of answers end.
    pub stream_bytes_max: usize,
    /// Most requests of all connections without an answer.
    pub all_requests: u64,
    /// Most bytes of the large ones among them.
    pub all_request_bytes: u64,
    /// Unsent bytes of all connections.
    pub all_unsent_bytes: usize,
    /// Bytes that all connections may have sent without that they were read.
    pub all_held_bytes: usize,
    /// How long the rest of a frame may be awaited without anything coming.
    pub rest_of_frame: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests_in_flight: REQUESTS_IN_FLIGHT_MAX,
            request_bytes: REQUEST_BYTES_MAX,
            module_bytes_max: MODULE_BYTES_MAX,
            unsent_bytes_max: UNSENT_BYTES_MAX,
            stream_bytes_max: STREAM_BYTES_MAX,
            all_requests: ALL_REQUESTS_MAX,
            all_request_bytes: ALL_REQUEST_BYTES_MAX,
            all_unsent_bytes: ALL_UNSENT_BYTES_MAX,
            all_held_bytes: ALL_HELD_BYTES_MAX,
            rest_of_frame: REST_OF_FRAME_MAX,
        }
    }
}

/// Uploads that all owners together may have under way, in largest modules.
const UPLOADS_MAX: u64 = 4;

/// The counts of a node.
#[derive(Debug)]
pub(crate) struct Load {
    requests: AtomicU64,
    requests_max: u64,
    bytes: AtomicU64,
    bytes_max: u64,
    uploads: AtomicU64,
    uploads_max: u64,
    unsent: Arc<Meter>,
}

/// The part of an upload in the count; given back when dropped.
#[derive(Debug)]
pub(crate) struct UploadPart {
    load: Arc<Load>,
    bytes: u64,
}

impl Load {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self {
            requests: AtomicU64::new(0),
            requests_max: bounds.all_requests,
            bytes: AtomicU64::new(0),
            bytes_max: bounds.all_request_bytes,
            uploads: AtomicU64::new(0),
            uploads_max: bounds.module_bytes_max.saturating_mul(UPLOADS_MAX),
            unsent: Arc::new(Meter::new(bounds.all_unsent_bytes)),
        }
    }

    /// Whether `requests` more, one of them of `bytes`, fit beside what others have under way.
    ///
    /// # Errors
    /// `Busy`, with the bound.
    pub(crate) fn check(
        &self,
        standing: Standing,
        requests: u64,
        bytes: u64,
    ) -> Result<(), Failure> {
        if standing == Standing::Owner {
            return Ok(());
        }
        let under_way = self.requests.load(Ordering::Relaxed);
        if under_way.saturating_add(requests) > self.requests_max {
            return Err(busy(
                "requests",
                under_way,
                self.requests_max,
                "requests_max",
            ));
        }
        let held = self.bytes.load(Ordering::Relaxed);
        if bytes > 0 && held.saturating_add(bytes) > self.bytes_max {
            return Err(busy("bytes of requests", held, self.bytes_max, "bytes_max"));
        }
        Ok(())
    }

    /// Room for an upload of `bytes`.
    ///
    /// # Errors
    /// `Busy`, with the bound.
    pub(crate) fn upload(self: &Arc<Self>, bytes: u64) -> Result<UploadPart, Failure> {
        let before = self.uploads.fetch_add(bytes, Ordering::Relaxed);
        let part = UploadPart {
            load: self.clone(),
            bytes,
        };
        if before.saturating_add(bytes) <= self.uploads_max {
            return Ok(part);
        }
        let text = format!(
            "uploads of {before} bytes are under way; the limit is {}; try again when they have ended",
            self.uploads_max
        );
        Err(Failure::new(Code::Busy, text))
    }

    /// Whether streams of answers of clients that read slowly should end.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unsent.unsent() > self.unsent.bytes_max() / 2
    }

    pub(crate) fn unsent(&self) -> Arc<Meter> {
        self.unsent.clone()
    }

    pub(crate) fn more_requests(&self, count: u32) {
        self.requests.fetch_add(count.into(), Ordering::Relaxed);
    }

    pub(crate) fn less_requests(&self, count: u32) {
        self.requests.fetch_sub(count.into(), Ordering::Relaxed);
    }

    pub(crate) fn more_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn less_bytes(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for UploadPart {
    fn drop(&mut self) {
        self.load.uploads.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn busy(what: &str, held: u64, limit: u64, field: &str) -> Failure {
    let text = format!(
        "{held} {what} of all clients are under way; the limit is {limit} (admission.{field} in node.toml); try again later"
    );
    Failure::new(Code::Busy, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Arc<Load> {
        Arc::new(Load::new(&Bounds {
            all_requests: 3,
            all_request_bytes: 100,
            module_bytes_max: 10,
            ..Bounds::default()
        }))
    }

    #[test]
    fn what_others_have_under_way_makes_guests_wait_and_owners_not() {
        let load = load();
        load.more_requests(3);
        load.more_bytes(90);
        let check = |standing, requests, bytes| {
            load.check(standing, requests, bytes)
                .map_err(|failure| failure.code)
        };
        assert_eq!(check(Standing::Guest, 1, 0), Err(Code::Busy));
        assert_eq!(check(Standing::Owner, 1, 1000), Ok(()));
        load.less_requests(2);
        assert_eq!(check(Standing::Guest, 2, 10), Ok(()));
        assert_eq!(check(Standing::Guest, 1, 11), Err(Code::Busy));
    }

    #[test]
    fn uploads_are_bounded_together() {
        let load = load();
        let parts: Vec<_> = (0..4).map(|_| load.upload(10).unwrap()).collect();
        assert_eq!(load.upload(1).unwrap_err().code, Code::Busy);
        drop(parts);
        load.upload(10).unwrap();
    }
}
