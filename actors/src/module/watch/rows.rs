//! The rows at the beginning of a watch, as they are at its place in the queue.
//!
//! A table of one frame goes out at once. The pages of a larger one are shared with the table and
//! sent as the client takes them, a little ahead of it, so that the table may be larger than what
//! may wait unsent; changes wait with the watcher meanwhile. How many tables are sent at a time is
//! bounded ([`crate::slots`]).

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::{Position, StepIndex},
    wire::{Response, ResponseBody, WatchEvent},
};
use interstice_host::table::Snapshot;
use tokio::sync::oneshot;

use super::{
    StartWatch,
    watcher::{Begin, Watcher},
};
use crate::{
    module::core::Core,
    slots::{self, Slot},
};

/// Rows per frame, in bytes.
const FRAME_BYTES: usize = 1024 * 1024;

impl Core {
    /// Sends the rows, now or bit by bit, once what they rest on is synced.
    pub(super) fn send_rows(&self, watch: &StartWatch) -> Result<Arc<Watcher>, Failure> {
        let complete = Position {
            epoch: self.shared.epoch,
            seq: watch.seq,
            step: StepIndex(u32::MAX),
            index: u32::MAX,
        };
        let mut rest = self.module.tables().snapshot(watch.table)?;
        let first = rest.rows(FRAME_BYTES);
        if rest.is_empty() {
            let watcher = Arc::new(Watcher::new(watch, Begin::Live, None));
            let told = watcher.clone();
            self.shared.log.when_durable(Box::new(move |durable| {
                match durable {
                    // Whether the watch goes on, it knows itself.
                    Ok(_) => {
                        told.rows(first, Some(complete));
                    }
                    Err(error) => told.fail(unwritten(&error)),
                }
            }));
            return Ok(watcher);
        }
        let slot = self.shared.slots.tables.take(&watch.peer)?;
        let watcher = Arc::new(Watcher::new(watch, Begin::Behind, None));
        let (told, durable) = oneshot::channel();
        self.shared.log.when_durable(Box::new(move |outcome| {
            // Whoever waits for it ends with the arbiter only.
            let _ = told.send(outcome.map_err(|error| unwritten(&error)));
        }));
        let to = watcher.clone();
        // On the arbiter or on the slow lane, wherever this runs.
        tokio::spawn(async move {
            match durable.await {
                Ok(Ok(_)) => send_bit_by_bit(first, rest, slot, &to, complete).await,
                Ok(Err(failure)) => {
                    drop(slot);
                    to.fail(failure);
                }
                // The log has ended without a word: the node is going down.
                Err(_) => {}
            }
        });
        Ok(watcher)
    }
}

fn unwritten(error: &impl std::fmt::Display) -> Failure {
    let text = format!("the log could not be written: {error}");
    Failure::new(Code::Unavailable, text)
}

/// A client that has the last rows, or the failure, finds the slot free.
async fn send_bit_by_bit(
    first: Vec<Vec<u8>>,
    mut rest: Snapshot,
    slot: Slot,
    watcher: &Watcher,
    complete: Position,
) {
    let mut rows = first;
    loop {
        if let Err(unread) = slots::room(&watcher.replies).await {
            drop(slot);
            watcher.fail(unread);
            return;
        }
        if rest.is_empty() {
            drop(slot);
            if watcher.rows(rows, Some(complete)) {
                watcher.go_live();
            }
            return;
        }
        if !watcher.rows(rows, None) {
            return;
        }
        rows = rest.rows(FRAME_BYTES);
    }
}

impl Watcher {
    /// Hands rows on. Whether the watch goes on.
    fn rows(&self, rows: Vec<Vec<u8>>, complete: Option<Position>) -> bool {
        if self.has_ended() || self.replies.is_closed() {
            return false;
        }
        let event = WatchEvent::Rows { rows, complete };
        let taken = self.replies.stream(Response {
            id: self.request,
            body: Ok(ResponseBody::Watch(event)),
        });
        if taken.is_err() {
            let text = "the rows of the table were not read, or all clients together have too much unread; watch again";
            self.fail(Failure::new(Code::Busy, text));
        } else if let Some(position) = complete {
            self.has_rows(position);
        }
        taken.is_ok()
    }
}
