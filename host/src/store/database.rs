//! sled's handle, and letting go of it.
//!
//! sled 0.34 writes once more when its last handle is dropped, and after a failed write it tries
//! for ever. So that is done by a thread of its own. What the store had promised is on the disk
//! before; sled's file is free once the thread has ended, at the latest with the process.

use std::ops::Deref;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long a sound store is waited for: after a commit there is hardly anything left to write.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// sled's handle.
pub(super) struct Database {
    /// There until it is dropped.
    sled: Option<sled::Db>,
    /// Whether a write has failed.
    has_failed: bool,
}

impl Database {
    pub(super) fn new(sled: sled::Db) -> Self {
        Self {
            sled: Some(sled),
            has_failed: false,
        }
    }

    /// A write has failed: nobody waits for its end.
    pub(super) fn fail(&mut self) {
        self.has_failed = true;
    }
}

impl Deref for Database {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        self.sled
            .as_ref()
            .expect("it is taken away by the drop only")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sled = self.sled.take();
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("store-close".to_owned());
        let closing = thread.spawn(move || {
            drop(sled);
            // Who waited may have gone.
            let _ = tell.send(());
        });
        if closing.is_err() || self.has_failed {
            return;
        }
        if told.recv_timeout(CLOSE_TIME_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::error!(
                "the tables' files could not be closed within {} s: check the disk and its space; everything up to the last checkpoint is on it",
                CLOSE_TIME_MAX.as_secs()
            );
        }
    }
}
