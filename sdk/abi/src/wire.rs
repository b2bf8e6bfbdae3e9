//! The messages of the protocol `/interstice/1`, spoken between clients and nodes on one long-lived libp2p stream.
//!
//! A frame is a length (`u32`, little-endian, at most [`FRAME_BYTES_MAX`]) and that many bytes of
//! postcard: a [`Request`] towards the node, a [`Response`] back. Requests are pipelined: answers
//! carry the request's id and come in any order. The first request on a stream is
//! [`RequestBody::Hello`]. Who asks is known from the connection's key, not from the messages. A
//! stream of answers ([`RequestBody::has_stream`]) goes on until it fails, ends, or is ended by
//! [`RequestBody::Cancel`]; every other request has exactly one answer.
//!
//! Requests that carry encoded values, or are answered with rows, exist twice: those called `…As`
//! name the signature or row type that the client means, and are refused where the module has
//! another one.
//!
//! Names in messages have at most [`text::NAME_BYTES_MAX`] bytes; a frame with a longer one is no
//! message.

mod admin;
pub mod bytes;
mod history;
mod kind;
mod status;
mod timers;
mod turns;

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

pub use admin::{
    DeployHow, DeployOptions, DeployPlan, DeployReport, GrantEntry, GrantTarget, LogLevel, LogLine,
    ModulePlan, OnConflict, Subject, TableFate, TablePlan,
};
pub use history::{
    HistoryBytes, HistoryCursor, HistoryEffect, HistoryInput, HistoryOrder, HistoryPage,
    HistoryReducer, HistoryStep, SHOWN_BYTES_MAX, TURNS_PER_PAGE_MAX, TableAt, TimerChange,
};
pub use status::{CallCounters, ModuleState, ModuleStatus, NodeStatus, TableStatus};
pub use timers::{
    PendingTimer, TIMER_ARGUMENTS_SHOWN_MAX, TIMERS_PER_PAGE_MAX, TimerCounts, TimerLife,
    TimersPage,
};
pub use turns::{
    TURN_HOLDS_SHOWN_MAX, TURNS_SHOWN_MAX, TurnBegan, TurnDrop, TurnUnderWay, TurnsUnderWay,
};

use crate::{
    failure::Failure,
    fingerprint::Fingerprint,
    id::{NodeId, Position, Seq, TimerId},
    schema::{ModuleSchema, Version},
    text,
};

/// The name of the stream protocol.
pub const PROTOCOL: &str = "/interstice/1";

/// Largest frame in bytes: the largest row (64 MiB) or module binary's chunk, and room for what is around it.
pub const FRAME_BYTES_MAX: u32 = 65 * 1024 * 1024;

/// Largest answer in bytes: a change with two of the largest rows that can be allowed, a frame
/// each, and room for what is around it. What no frame holds comes as [`ResponseBody::Part`]s.
pub const ANSWER_BYTES_MAX: u32 = 2 * FRAME_BYTES_MAX + 1024 * 1024;

/// Largest piece of an upload in bytes: small enough for a smooth progress bar, large enough to cost nothing.
pub const UPLOAD_CHUNK_BYTES: usize = 256 * 1024;

/// Largest piece of a backup in bytes.
pub const BACKUP_PIECE_BYTES: usize = 1024 * 1024;

/// Most rows in one page of [`RequestBody::Rows`].
pub const ROWS_PER_PAGE_MAX: u32 = 10_000;

/// How long an acknowledgement waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ack {
    /// Until every record of the turn is synced to disk: never taken back by a crash.
    #[default]
    Durable,
    /// Until the turn has ended: visible, may be gone after a crash. Its sync begins within 5 ms, or with that of a turn for which somebody waits.
    Applied,
}

/// A question or an order of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client; not that of a request of this stream that is still unanswered.
    pub id: u64,
    /// What is asked.
    pub body: RequestBody,
}

/// What a client can ask for. Owners only: marked so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestBody {
    /// The first request. Answer: [`ResponseBody::Welcome`].
    Hello {
        /// The client's program and version, for the node's log.
        #[serde(with = "text")]
        agent: String,
    },
    /// Nothing; measures the way. Answer: [`ResponseBody::Done`].
    Ping,
    /// Ends the stream of answers to request `id`. No answer of its own; the stream ends with [`ResponseBody::Ended`].
    Cancel {
        /// The request that is to end.
        id: u64,
    },
    /// Runs a reducer as a turn. Answer: [`ResponseBody::Called`].
    Call {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The reducer.
        #[serde(with = "text")]
        reducer: String,
        /// The arguments' encodings, one after the other.
        #[serde(with = "bytes")]
        arguments: Vec<u8>,
        /// When to answer.
        ack: Ack,
    },
    /// Runs a query. Answer: [`ResponseBody::Value`].
    Query {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The query.
        #[serde(with = "text")]
        query: String,
        /// The arguments' encodings, one after the other.
        #[serde(with = "bytes")]
        arguments: Vec<u8>,
        /// Whether to wait until what was read is synced.
        ack: Ack,
    },
    /// A page of a table's rows. Answer: [`ResponseBody::Rows`].
    Rows {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The table.
        #[serde(with = "text")]
        table: String,
        /// The [`RowsPage::next`] of the page before; `None` for the first.
        #[serde(with = "bytes::optional")]
        after: Option<Vec<u8>>,
        /// Most rows wanted; [`ROWS_PER_PAGE_MAX`] bounds it.
        limit: u32,
        /// Only rows that have this value in a column.
        filter: Option<RowFilter>,
    },
    /// The rows of a table, then its changes. Answers: [`ResponseBody::Watch`], many.
    Watch {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The table.
        #[serde(with = "text")]
        table: String,
        /// Skip the rows and start behind this change; the log must still have it.
        from: Option<Position>,
    },
    /// The lines of the node and of its modules. Owners only. Answers: [`ResponseBody::Log`], many.
    Logs {
        /// Only this module's lines.
        #[serde(with = "text::optional")]
        module: Option<String>,
        /// How many kept lines to begin with.
        tail: u32,
        /// Instead: all kept lines behind the one of this number.
        after: Option<u64>,
        /// Whether to go on with what comes.
        follow: LogsMode,
    },
    /// A module's schema: the public view, or all of it for owners. Answer: [`ResponseBody::Schema`].
    Schema {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
    },
    /// What the node is and how it does. Answer: [`ResponseBody::Node`].
    NodeStatus,
    /// The modules that the asker may see. Answer: [`ResponseBody::Modules`].
    ModuleStatus {
        /// Only this one.
        #[serde(with = "text::optional")]
        module: Option<String>,
    },
    /// Begins an upload on this stream; one at a time. Owners only. Answer: [`ResponseBody::Done`].
    UploadBegin {
        /// Length of the module's binary in bytes.
        bytes: u64,
        /// BLAKE3 of the binary.
        hash: [u8; 32],
    },
    /// The next piece, at most [`UPLOAD_CHUNK_BYTES`]. Answer: [`ResponseBody::Done`].
    UploadChunk {
        /// The piece.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// Installs or upgrades the module that was uploaded. Owners only. Answer: [`ResponseBody::Deployed`].
    Deploy {
        /// What to do where it does not fit.
        options: DeployOptions,
    },
    /// Stops a module, keeps its data; refused while running modules need it. Owners only. Answer: [`ResponseBody::Done`].
    Unload {
        /// The module.
        #[serde(with = "text")]
        module: String,
    },
    /// Starts a stopped or quarantined module. Owners only. Answer: [`ResponseBody::Done`].
    Load {
        /// The module.
        #[serde(with = "text")]
        module: String,
    },
    /// Stops a module and deletes its data. Owners only. Answer: [`ResponseBody::Done`].
    Remove {
        /// The module.
        #[serde(with = "text")]
        module: String,
    },
    /// What a module may do. Owners only. Answer: [`ResponseBody::Grants`].
    Grants {
        /// The module.
        #[serde(with = "text")]
        module: String,
    },
    /// Gives or takes back a grant. Owners only. Answer: [`ResponseBody::Called`] with the seq from which it holds.
    ChangeGrant {
        /// The module that holds it.
        #[serde(with = "text")]
        module: String,
        /// What it is about.
        target: GrantTarget,
        /// Give or take.
        change: GrantChange,
    },
    /// Drains and stops the node. Owners only. Answer: [`ResponseBody::Done`] once nothing new is taken.
    Stop,
    /// Writes a backup of the node at this moment, to be fetched in pieces. Owners only. Answer: [`ResponseBody::Backup`].
    Backup,
    /// A piece of a backup of this connection. Owners only. Answer: [`ResponseBody::Piece`].
    BackupPiece {
        /// The backup's number.
        number: u64,
        /// Where the piece begins, in bytes.
        offset: u64,
    },
    /// A backup was fetched, or is not wanted. Owners only. Answer: [`ResponseBody::Done`].
    BackupEnd {
        /// The backup's number.
        number: u64,
    },
    /// Turns that have touched a module, whether it is still there or not. Owners only. Answer: [`ResponseBody::History`].
    History {
        /// The module.
        #[serde(with = "text")]
        module: String,
        /// Where to begin: a turn, or the [`HistoryPage::next`] of the page before. Without it: the oldest kept turn, or, in
        /// reverse, the last one.
        from: Option<HistoryCursor>,
        /// Which way.
        order: HistoryOrder,
        /// Most turns wanted; [`TURNS_PER_PAGE_MAX`] bounds it.
        limit: u32,
    },
    /// The rows of a logged table as they were at the end of a turn. Answers: [`ResponseBody::TableAt`], many.
    RowsAt {
        /// The module.
        #[serde(with = "text")]
        module: String,
        /// The table.
        #[serde(with = "text")]
        table: String,
        /// The turn.
        at: Seq,
        /// Most rows wanted; 0 asks for the schema alone.
        limit: u64,
        /// Only rows that have this value in a column, by the schema of that turn.
        filter: Option<RowFilter>,
    },
    /// As [`RequestBody::Call`], unless the reducer takes other arguments than those that were
    /// encoded: then nothing runs, and the answer is `SchemaConflict`.
    CallAs {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The reducer.
        #[serde(with = "text")]
        reducer: String,
        /// The arguments' encodings, one after the other.
        #[serde(with = "bytes")]
        arguments: Vec<u8>,
        /// When to answer.
        ack: Ack,
        /// The [`Fingerprint::of_reducer`] by which they were encoded.
        signature: Fingerprint,
    },
    /// As [`RequestBody::Query`], unless the query takes other arguments or gives another result:
    /// then nothing runs, and the answer is `SchemaConflict`.
    QueryAs {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The query.
        #[serde(with = "text")]
        query: String,
        /// The arguments' encodings, one after the other.
        #[serde(with = "bytes")]
        arguments: Vec<u8>,
        /// Whether to wait until what was read is synced.
        ack: Ack,
        /// The [`Fingerprint::of_query`] by which the arguments were encoded and the result is
        /// decoded.
        signature: Fingerprint,
    },
    /// As [`RequestBody::Watch`], for a client that decodes rows by a type that it names. Where
    /// the table has other rows, or gets them, the answer is `SchemaConflict`; columns that are
    /// appended to those that the client knows are sent after them.
    WatchAs {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The table.
        #[serde(with = "text")]
        table: String,
        /// Skip the rows and start after this change; the log must still have it.
        from: Option<Position>,
        /// The [`Fingerprint::of_row`] by which rows are decoded.
        row_type: Fingerprint,
    },
    /// As [`RequestBody::RowsAt`], for a filter whose value was encoded by a row type that is
    /// named. Where the rows of that turn are of another type, the answer is `SchemaConflict`.
    RowsAtAs {
        /// The module.
        #[serde(with = "text")]
        module: String,
        /// The table.
        #[serde(with = "text")]
        table: String,
        /// The turn.
        at: Seq,
        /// Most rows wanted.
        limit: u64,
        /// Only rows that have this value in a column.
        filter: Option<RowFilter>,
        /// The [`Fingerprint::of_row`] by which the value was encoded and rows are decoded.
        row_type: Fingerprint,
    },
    /// As [`RequestBody::Rows`], but all pages of one reading show the table at one turn, that of
    /// the first page. The node keeps the rest of the reading for the connection, for a limited
    /// time. Answer: [`ResponseBody::Rows`].
    RowsAs {
        /// `name` or `name@major`.
        #[serde(with = "text")]
        module: String,
        /// The table.
        #[serde(with = "text")]
        table: String,
        /// The [`RowsPage::next`] of the page before, whose reading goes on; `None` begins one.
        #[serde(with = "bytes::optional")]
        after: Option<Vec<u8>>,
        /// Most rows wanted; [`ROWS_PER_PAGE_MAX`] bounds it.
        limit: u32,
        /// Only rows that have this value in a column; of the first page, for all.
        filter: Option<RowFilter>,
        /// The [`Fingerprint::of_row`] by which the value was encoded and rows are decoded, if
        /// the client names one; of the first page, for all.
        row_type: Option<Fingerprint>,
    },
    /// Ends the upload and keeps it on this stream for [`RequestBody::DeployAll`]; another one may begin. Owners only. Answer:
    /// [`ResponseBody::Done`].
    UploadEnd,
    /// Installs or upgrades all modules that were uploaded and kept, together, or says what that would do. Owners only. Answer:
    /// [`ResponseBody::DeployedAll`] or [`ResponseBody::Planned`].
    DeployAll {
        /// What to do where one does not fit.
        options: DeployOptions,
        /// Whether it is done.
        how: DeployHow,
    },
    /// Stops a module although others need it, whose calls and reads then fail until it is back. Owners only. Answer:
    /// [`ResponseBody::Done`].
    UnloadNeeded {
        /// The module.
        module: String,
    },
    /// How many timers the modules have that the asker may see. Answer:
    /// [`ResponseBody::TimerCounts`].
    TimerCounts,
    /// A page of a module's pending timers. Owners only. Answer: [`ResponseBody::Timers`].
    Timers {
        /// The module.
        module: String,
        /// The [`TimersPage::next`] of the page before; `None` for the first.
        after: Option<TimerId>,
        /// Most timers wanted; [`TIMERS_PER_PAGE_MAX`] bounds it.
        limit: u32,
    },
    /// Ends a pending timer, as a turn of its own. Owners only. Answer: [`ResponseBody::Called`].
    CancelTimer {
        /// The module.
        module: String,
        /// The timer.
        timer: TimerId,
    },
    /// The turns that run or wait, oldest first. Owners only; answered whatever the node is busy
    /// with. Answer: [`ResponseBody::Turns`].
    Turns,
    /// Ends a turn: the step that runs is ended, those that wait are dropped, and what its steps
    /// have committed stays. Owners only; answered as [`RequestBody::Turns`]. Answer:
    /// [`ResponseBody::TurnDrop`].
    DropTurn {
        /// The turn.
        seq: Seq,
    },
}

/// Whether a log request ends with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogsMode {
    /// What is kept, then the end.
    Kept,
    /// What is kept, then what comes.
    Follow,
}

/// The direction of a change of grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantChange {
    /// From this turn on, allowed.
    Grant,
    /// From this turn on, refused.
    Revoke,
}

/// One column's wanted value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFilter {
    /// The column's name.
    #[serde(with = "text")]
    pub column: String,
    /// The value's encoding.
    #[serde(with = "bytes")]
    pub value: Vec<u8>,
}

/// An answer of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request that it answers.
    pub id: u64,
    /// The answer, or why there is none. A failure ends a stream of answers.
    pub body: Result<ResponseBody, Failure>,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseBody {
    /// The node's side of the greeting.
    Welcome(Welcome),
    /// It was done, and there is nothing to tell.
    Done,
    /// A stream of answers has ended as asked.
    Ended,
    /// A reducer has run.
    Called(Called),
    /// A query's result.
    Value {
        /// Its encoding.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
        /// The last turn that it saw.
        seq: Seq,
    },
    /// Rows of a table.
    Rows(RowsPage),
    /// What a watch has seen.
    Watch(WatchEvent),
    /// Lines of a log.
    Log(Vec<LogLine>),
    /// A schema.
    Schema(ModuleSchema),
    /// The node.
    Node(NodeStatus),
    /// Modules, by name.
    Modules(Vec<ModuleStatus>),
    /// A deploy's outcome.
    Deployed(DeployReport),
    /// A module's grants.
    Grants(Vec<GrantEntry>),
    /// A backup can be fetched.
    Backup {
        /// Its number on this connection.
        number: u64,
        /// Its size in bytes.
        bytes: u64,
        /// The last turn that it holds.
        seq: Seq,
    },
    /// A piece of a backup; empty behind its end.
    Piece {
        /// At most [`BACKUP_PIECE_BYTES`].
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// Turns of a module.
    History(HistoryPage),
    /// A table as it was.
    TableAt(TableAt),
    /// The outcome of a deploy of several modules, those first that others need.
    DeployedAll(Vec<DeployReport>),
    /// What a deploy would do.
    Planned(DeployPlan),
    /// Timers in numbers, by module.
    TimerCounts(Vec<TimerCounts>),
    /// Pending timers of a module.
    Timers(TimersPage),
    /// A part of an answer that no frame holds. The parts of an answer come one after the other,
    /// with nothing between them; together they are the encoding of its [`Response::body`].
    Part {
        /// The bytes of this part.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
        /// Bytes that are still to come: 0 in the last part. All together are at most
        /// [`ANSWER_BYTES_MAX`].
        left: u64,
    },
    /// Turns that have not ended.
    Turns(TurnsUnderWay),
    /// What became of an order to drop a turn.
    TurnDrop(TurnDrop),
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The node's id.
    pub node: NodeId,
    /// Its name in its own configuration.
    #[serde(with = "text")]
    pub name: String,
    /// The version of Interstice that it runs.
    pub version: Version,
    /// Whether the asker is one of its owners.
    pub standing: Standing,
}

/// What an asker is to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Listed in the node's `owners`.
    Owner,
    /// Anybody else.
    Guest,
}

/// How a turn ended whose first step committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The turn's number.
    pub seq: Seq,
    /// How many reactions failed; each is in the log.
    pub failed: u32,
    /// How many steps were dropped because the turn had too many.
    pub dropped: u32,
}

/// Some rows of a table, in key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsPage {
    /// Encoded rows.
    #[serde(with = "bytes::list")]
    pub rows: Vec<Vec<u8>>,
    /// What the next page is asked for with; `None` after the last row. A page may have fewer
    /// rows than asked for, even none, and a next one all the same.
    pub next: Option<Vec<u8>>,
    /// The last turn that the page saw.
    pub seq: Seq,
}

/// What a watch hands over, in this order: `Rows` until `complete`, then changes for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchEvent {
    /// Rows that are there, in key order.
    Rows {
        /// Encoded rows.
        #[serde(with = "bytes::list")]
        rows: Vec<Vec<u8>>,
        /// The position at which all `Rows` of this watch are valid; `Some` on the last of them.
        complete: Option<Position>,
    },
    /// Changes, in order.
    Changes(Vec<WatchedChange>),
}

/// One change of a watched table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedChange {
    /// Where it stands; resume behind it with `from`.
    pub position: Position,
    /// The row before: updates and deletes.
    #[serde(with = "bytes::optional")]
    pub before: Option<Vec<u8>>,
    /// The row after: inserts and updates.
    #[serde(with = "bytes::optional")]
    pub after: Option<Vec<u8>>,
}
