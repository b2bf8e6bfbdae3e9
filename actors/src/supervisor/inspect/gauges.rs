//! What the system says of the node: its memory and the size of its log. Read on other threads and
//! at most once a second, however often the node is asked how it does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use interstice_abi::wire::{NodeStatus, Response, ResponseBody};

use crate::ingress::Replies;

/// How old a reading may be that is shown.
const READING_AGE_MAX: Duration = Duration::from_secs(1);

/// The last readings.
pub(crate) struct Gauges {
    log_directory: PathBuf,
    last: Mutex<Last>,
}

struct Last {
    at: Instant,
    reading: Reading,
    /// Whether another one is being taken.
    is_reading: bool,
}

#[derive(Clone, Copy)]
struct Reading {
    memory_bytes: u64,
    log_bytes: u64,
}

impl Gauges {
    /// Of a node whose log is in `log_directory`.
    pub(crate) fn new(log_directory: PathBuf) -> Arc<Self> {
        let last = Last {
            at: Instant::now(),
            reading: Reading::take(&log_directory),
            is_reading: false,
        };
        Arc::new(Self {
            log_directory,
            last: Mutex::new(last),
        })
    }

    /// Answers with `status` and the last readings; one that finds them old waits for the next,
    /// the others do not.
    pub(crate) fn answer(self: &Arc<Self>, status: NodeStatus, replies: Replies, request: u64) {
        let mut last = self.last();
        if last.at.elapsed() < READING_AGE_MAX || last.is_reading {
            let reading = last.reading;
            drop(last);
            reading.send(status, &replies, request);
            return;
        }
        last.is_reading = true;
        drop(last);
        let gauges = self.clone();
        // Detached: it ends when the files were looked at.
        drop(tokio::task::spawn_blocking(move || {
            let reading = Reading::take(&gauges.log_directory);
            *gauges.last() = Last {
                at: Instant::now(),
                reading,
                is_reading: false,
            };
            reading.send(status, &replies, request);
        }));
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        // Nothing panics under the lock; a poisoned reading is a whole one.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn take(log_directory: &Path) -> Self {
        Self {
            memory_bytes: resident_bytes(),
            log_bytes: directory_bytes(log_directory),
        }
    }

    fn send(self, mut status: NodeStatus, replies: &Replies, id: u64) {
        status.memory_bytes = self.memory_bytes;
        status.log_bytes = self.log_bytes;
        let body = Ok(ResponseBody::Node(status));
        replies.send(Response { id, body });
    }
}

/// Resident memory of this process, where the system tells it in `/proc`.
fn resident_bytes() -> u64 {
    let kilobytes = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find(|line| line.starts_with("VmRSS:"))?
                .to_string();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    kilobytes.unwrap_or(0) * 1024
}

/// Bytes of the files of a folder.
fn directory_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}
