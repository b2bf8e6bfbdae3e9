//! Watching a table: its rows, then every change, in order, each once, none before it is synced.
//!
//! A watch begins at a place of the module's queue. There the table's pages are shared (or, with a
//! position, the log is read from behind it) and the watcher is entered in [`watchers::Watchers`];
//! from then on the actor of each step that changes the table hands the changes over before it
//! releases the module, so nothing is missed and nothing comes twice. What has been recorded
//! travels through the log's thread, which keeps the order.

mod catch_up;

mod index;

mod rows;

pub(crate) mod watchers;

mod watcher;

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{Position, Seq, TableId},
    schema::Persistence,
    wire::{Response, ResponseBody},
};
use interstice_host::log::LogPosition;

use crate::{
    history::Around,
    ingress::{Peer, Replies},
    module::{core::Core, turn::Ticket},
    supervisor::{admission::shares::GuestIndex, catalogue::ModuleIndex},
};

/// A client wants to watch a table.
pub(crate) struct StartWatch {
    pub(crate) ticket: Ticket,
    pub(crate) module: ModuleIndex,
    /// Whose share of the module's queue it takes; `None` for owners and for the node itself.
    pub(crate) guest: Option<GuestIndex>,
    pub(crate) table: TableId,
    pub(crate) table_name: String,
    /// The type by which the client decodes rows, if it names one: what the table has, or its
    /// first columns.
    pub(crate) row_type: Option<Fingerprint>,
    /// Instead of the rows: what came after a position.
    pub(crate) resume: Option<Box<Resume>>,
    /// The last seq before the watch.
    pub(crate) seq: Seq,
    /// Who asks: guests may watch public tables only.
    pub(crate) peer: Arc<Peer>,
    pub(crate) request: u64,
    pub(crate) replies: Replies,
}

/// A watch goes on where another one has ended.
pub(crate) struct Resume {
    pub(crate) from: Position,
    /// The first position that the log can still resume from.
    pub(crate) oldest: Position,
    /// Where the log begins.
    pub(crate) log_start: LogPosition,
    /// What is known of the module's earlier versions.
    pub(crate) around: Around,
}

impl Core {
    /// Begins a watch: every earlier turn has left this module, no later one has come.
    pub(in crate::module) fn start_watch(&mut self, mut watch: StartWatch) {
        let (ticket, module, guest) = (watch.ticket, watch.module, watch.guest);
        let resume = watch.resume.take();
        if let Err(failure) = self.begin(&watch, resume) {
            watch.replies.send(Response {
                id: watch.request,
                body: Err(failure),
            });
        }
        self.queue.release(ticket);
        self.end_place(module, guest, 0);
    }

    fn begin(&self, watch: &StartWatch, resume: Option<Box<Resume>>) -> Result<(), Failure> {
        let schema = self.module.tables().schema();
        let persistence = schema
            .tables
            .get(usize::from(watch.table.0))
            .map(|table| table.persistence);
        let watcher = match resume {
            None => self.send_rows(watch)?,
            Some(_) if persistence == Some(Persistence::Ephemeral) => {
                return Err(Failure::new(
                    Code::BadArguments,
                    format!(
                        "table `{}` is ephemeral and has no history; watch it without --from",
                        watch.table_name
                    ),
                ));
            }
            Some(resume) => self.catch_up(watch, *resume)?,
        };
        self.shared
            .watchers
            .add(&self.name, &watch.table_name, watcher);
        // The end of the connection, or a cancel, may have come before the watch: nobody else
        // removes it then.
        let is_unwanted = watch.replies.is_closed() || !watch.replies.is_streaming(watch.request);
        if is_unwanted
            && self
                .shared
                .watchers
                .end(watch.peer.connection.0, Some(watch.request))
        {
            watch.replies.send(Response {
                id: watch.request,
                body: Ok(ResponseBody::Ended),
            });
        }
        Ok(())
    }
}
