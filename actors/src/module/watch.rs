//! Watching a table: its rows, then every change, in order, each once, none before it is synced.
//!
//! A watch begins at a place of the module's queue. There the rows are copied (or, with a position, the log is read from
//! behind it) and the watcher is entered in [`watchers::Watchers`]; from then on the actor of each step that changes the table
//! hands the changes over before it releases the module, so nothing is missed and nothing comes twice. What has been recorded
//! travels through the log's thread, which keeps the order.

mod catch_up;

pub(crate) mod watchers;

mod watcher;

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::{Position, Seq, StepIndex, TableId},
    schema::Persistence,
    wire::{Response, ResponseBody, WatchEvent},
};
use interstice_host::log::LogPosition;

use self::watcher::Watcher;
use crate::{
    ingress::Replies,
    module::{core::Core, turn::Ticket},
    supervisor::catalogue::ModuleIndex,
};

/// Rows of a snapshot per frame, in bytes.
const SNAPSHOT_FRAME_BYTES: usize = 1024 * 1024;

/// A client wants to watch a table.
pub(crate) struct StartWatch {
    pub(crate) ticket: Ticket,
    pub(crate) module: ModuleIndex,
    pub(crate) table: TableId,
    pub(crate) table_name: String,
    pub(crate) from: Option<Position>,
    /// The first position that the log can still resume from.
    pub(crate) oldest: Position,
    /// Where the log begins.
    pub(crate) log_start: LogPosition,
    /// The last seq before the watch.
    pub(crate) seq: Seq,
    pub(crate) connection: u64,
    pub(crate) request: u64,
    pub(crate) replies: Replies,
}

impl Core {
    /// Begins a watch: every earlier turn has left this module, no later one has come.
    pub(in crate::module) fn start_watch(&mut self, watch: StartWatch) {
        let (ticket, module) = (watch.ticket, watch.module);
        if let Err(failure) = self.begin(&watch) {
            watch.replies.send(Response {
                id: watch.request,
                body: Err(failure),
            });
        }
        self.queue.release(ticket);
        self.end_place(module, 0);
    }

    fn begin(&self, watch: &StartWatch) -> Result<(), Failure> {
        let schema = self.module.tables().schema();
        let persistence = schema
            .tables
            .get(usize::from(watch.table.0))
            .map(|table| table.persistence);
        let watcher = Arc::new(Watcher::new(watch));
        match watch.from {
            None => self.send_snapshot(watch, &watcher)?,
            Some(_) if persistence == Some(Persistence::Ephemeral) => {
                return Err(Failure::new(
                    Code::BadArguments,
                    format!(
                        "table `{}` is ephemeral and has no history; watch it without --from",
                        watch.table_name
                    ),
                ));
            }
            Some(from) => self.catch_up(watch, from, &watcher)?,
        }
        self.shared
            .watchers
            .add(&self.name, &watch.table_name, watcher);
        if watch.replies.is_closed() {
            // The end of the connection came before the watch: nobody else removes it.
            self.shared
                .watchers
                .end(watch.connection, Some(watch.request));
        }
        Ok(())
    }

    fn send_snapshot(&self, watch: &StartWatch, watcher: &Arc<Watcher>) -> Result<(), Failure> {
        let mut frames = Vec::new();
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = self.module.tables().rows_after(
                watch.table,
                after.as_deref(),
                usize::MAX,
                SNAPSHOT_FRAME_BYTES,
            )?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            frames.push(
                page.into_iter()
                    .map(|(_, row)| row.into_vec())
                    .collect::<Vec<_>>(),
            );
        }
        let complete = Position {
            epoch: self.shared.epoch,
            seq: watch.seq,
            step: StepIndex(u32::MAX),
            index: u32::MAX,
        };
        if frames.is_empty() {
            frames.push(Vec::new());
        }
        let (watcher, count) = (watcher.clone(), frames.len());
        self.shared.log.when_durable(Box::new(move |durable| {
            if let Err(error) = durable {
                watcher.fail(Failure::new(
                    Code::Unavailable,
                    format!("the log could not be written: {error}"),
                ));
                return;
            }
            for (place, rows) in frames.into_iter().enumerate() {
                let event = WatchEvent::Rows {
                    rows,
                    complete: (place + 1 == count).then_some(complete),
                };
                watcher.replies.more(Response {
                    id: watcher.request,
                    body: Ok(ResponseBody::Watch(event)),
                });
            }
        }));
        Ok(())
    }
}
