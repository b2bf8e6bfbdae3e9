//! The one table of calls from a guest into its host, and of exports from a guest to its host.
//!
//! All imports live in the WASM namespace [`NAMESPACE`]; a module that imports anything else is
//! refused.
//!
//! Shapes. A pointer and a length are `u32`s; the host treats them as claims. A call that returns
//! something takes, as its last two parameters, a buffer (`out`, `cap`) and returns a [`Reply`]: a
//! status and the length of an answer. The answer is in `out` when it fits into `cap`; when it
//! does not, it waits in the host until the guest fetches it whole with `reply_read(ptr)` (the
//! next call drops it). A status that is not 0 is a [`crate::failure::Code`], and the answer is a
//! [`crate::failure::Failure`] in postcard: a refusal, which the guest reads and lives with.
//!
//! Exports. `__interstice_reducer__<name>(input_length: u32) -> u32` and
//! `__interstice_query__<name>(…)` run a function: the guest makes room for `input_length` bytes,
//! fetches them with `input_read`, decodes an [`Invocation`], then the arguments one after the
//! other, and returns 0 (a query's result was handed over with `output_write`) or 1 (a text was:
//! the error's message). `__interstice_describe__module()`,
//! `__interstice_describe__table__<name>()`, `…__reducer__<name>()`, `…__query__<name>()` hand
//! over a [`crate::schema::Description`] with `output_write`.

use alloc::{string::String, vec::Vec};
use core::ops::Bound;

use serde::{Deserialize, Serialize};

/// The WASM namespace of all imports.
pub const NAMESPACE: &str = "interstice";
/// Prefix of the exports that run a reducer.
pub const REDUCER_PREFIX: &str = "__interstice_reducer__";
/// Prefix of the exports that run a query.
pub const QUERY_PREFIX: &str = "__interstice_query__";
/// Prefix of the exports that describe something.
pub const DESCRIBE_PREFIX: &str = "__interstice_describe__";
/// Prefix of exports that say in their names which timers reducers set: `public:<reducer>:<reducer
/// that runs>`, or `private:…` where others may not call the first one. They do nothing, and a
/// module need not have them.
pub const SCHEDULES_PREFIX: &str = "__interstice_schedules__";
/// An export that says that the module is public. It does nothing, and a module need not have it.
pub const PUBLIC_EXPORT: &str = "__interstice_is_public";

/// A WASM value type of a host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// The signature of one host call.
#[derive(Clone, Copy, Debug)]
pub struct HostCall {
    /// The import's name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Word],
    /// Its result.
    pub result: Option<Word>,
}

macro_rules! host_calls {
    ($($(#[$doc:meta])* $constant:ident = $name:literal ($($parameter:ident),*) $(-> $result:ident)?;)*) => {
        $($(#[$doc])* pub const $constant: HostCall = HostCall {
            name: $name,
            parameters: &[$(Word::$parameter),*],
            result: host_calls!(@result $($result)?),
        };)*

        /// Every host call there is.
        pub const ALL: &[HostCall] = &[$($constant),*];
    };
    (@result) => { None };
    (@result $result:ident) => { Some(Word::$result) };
}

host_calls! {
    /// `input_read(ptr)`: copies the input of the running export, whose length was its argument,
    /// to `ptr`.
    INPUT_READ = "input_read" (I32);
    /// `output_write(ptr, len)`: sets the output of the running export; a second call replaces it.
    OUTPUT_WRITE = "output_write" (I32, I32);
    /// `reply_read(ptr)`: copies the answer of the last call that did not fit to `ptr`.
    REPLY_READ = "reply_read" (I32);
    /// `panic(ptr, len)`: leaves the message of the panic that is about to trap.
    PANIC = "panic" (I32, I32);
    /// `log(ptr, len)`: one line into the module's log.
    LOG = "log" (I32, I32);
    /// `time_now(out, cap) -> Reply`: milliseconds since 1970, a `u64` in postcard.
    TIME_NOW = "time_now" (I32, I32) -> I64;
    /// `random(out, cap) -> Reply`: the next number of the step's stream, a `u64` in postcard.
    RANDOM = "random" (I32, I32) -> I64;
    /// `node_id(out, cap) -> Reply`: this node's id, a `String` in postcard.
    NODE_ID = "node_id" (I32, I32) -> I64;
    /// `seq() -> u64`: the turn's number; in a client's query, the last one that it sees.
    SEQ = "seq" () -> I64;
    /// `schedule(name_ptr, name_len, delay_ms, out, cap) -> Reply`: a timer for a reducer; its
    /// `TimerId` in postcard.
    SCHEDULE = "schedule" (I32, I32, I64, I32, I32) -> I64;
    /// `cancel(timer, out, cap) -> Reply`: ends a pending timer; nothing in return.
    CANCEL = "cancel" (I64, I32, I32) -> I64;
    /// `table_open(name_ptr, name_len, out, cap) -> Reply`: the handle (`u32` in postcard) of the
    /// table with this [`crate::event::TableRef`] in its text form. Handles hold as long as the
    /// instance does.
    TABLE_OPEN = "table_open" (I32, I32, I32, I32) -> I64;
    /// `table_insert(table, row_ptr, row_len, out, cap) -> Reply`: the row as stored.
    TABLE_INSERT = "table_insert" (I32, I32, I32, I32, I32) -> I64;
    /// `table_update(table, row_ptr, row_len, out, cap) -> Reply`: nothing.
    TABLE_UPDATE = "table_update" (I32, I32, I32, I32, I32) -> I64;
    /// `table_upsert(table, row_ptr, row_len, out, cap) -> Reply`: the row as stored.
    TABLE_UPSERT = "table_upsert" (I32, I32, I32, I32, I32) -> I64;
    /// `table_delete(table, key_ptr, key_len, out, cap) -> Reply`: nothing. The key is the field's
    /// encoding.
    TABLE_DELETE = "table_delete" (I32, I32, I32, I32, I32) -> I64;
    /// `table_clear(table, out, cap) -> Reply`: nothing.
    TABLE_CLEAR = "table_clear" (I32, I32, I32) -> I64;
    /// `table_get(table, index, key_ptr, key_len, out, cap) -> Reply`: 0, or 1 and the row. Index
    /// 0 is the primary key, `i + 1` the (unique) index `i` of the schema.
    TABLE_GET = "table_get" (I32, I32, I32, I32, I32, I32) -> I64;
    /// `table_count(table, out, cap) -> Reply`: how many rows there are, a `u64` in postcard.
    TABLE_COUNT = "table_count" (I32, I32, I32) -> I64;
    /// `table_edge(table, last, out, cap) -> Reply`: 0, or 1 and the row with the smallest (`last`
    /// = 0) or largest key.
    TABLE_EDGE = "table_edge" (I32, I32, I32, I32) -> I64;
    /// `table_scan(table, request_ptr, request_len, out, cap) -> Reply`: a [`ScanBatch`] for a
    /// [`ScanRequest`].
    TABLE_SCAN = "table_scan" (I32, I32, I32, I32, I32) -> I64;
    /// `call_reducer(request_ptr, request_len, out, cap) -> Reply`: runs a [`CallRequest`];
    /// nothing.
    CALL_REDUCER = "call_reducer" (I32, I32, I32, I32) -> I64;
    /// `call_query(request_ptr, request_len, out, cap) -> Reply`: runs a [`CallRequest`]; the
    /// result's bytes.
    CALL_QUERY = "call_query" (I32, I32, I32, I32) -> I64;
    /// `timer_set(request_ptr, request_len, out, cap) -> Reply`: a timer for a [`TimerRequest`];
    /// its `TimerId` in postcard.
    TIMER_SET = "timer_set" (I32, I32, I32, I32) -> I64;
}

/// What a call that returns something returns: the status in the upper 32 bits, the answer's
/// length in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0, or the number of a [`crate::failure::Code`].
    pub status: u16,
    /// The length of the answer in bytes.
    pub length: u32,
}

impl Reply {
    /// As one word.
    #[must_use]
    pub const fn pack(self) -> u64 {
        ((self.status as u64) << 32) | self.length as u64
    }

    /// From one word.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half is what is wanted"
    )]
    pub const fn unpack(word: u64) -> Self {
        Self {
            status: (word >> 32) as u16,
            length: word as u32,
        }
    }
}

/// Who calls a reducer or query: the first part of its input, before the arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The id of the node or client that calls; this node's own for everything that happens inside
    /// it.
    pub caller_node_id: String,
    /// The calling module of this node, or empty.
    pub caller_module_name: String,
    /// Whether one of the node's owners asks, from outside.
    pub caller_is_owner: bool,
}

/// A timer that is to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerRequest {
    /// The reducer that it runs, of the same module.
    pub reducer: String,
    /// When it is due first.
    pub due: TimerDue,
    /// The time between two runs, in milliseconds; `None`: it runs once.
    pub period_ms: Option<u64>,
    /// The encoded arguments, one after the other.
    pub arguments: Vec<u8>,
}

/// When a timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimerDue {
    /// This many milliseconds after the turn's timestamp.
    After(u64),
    /// At this time, in milliseconds since 1970. A time that has passed: at once.
    At(u64),
}

/// A call into another module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRequest {
    /// The other node's name in the bindings; `None` for this node.
    pub node: Option<String>,
    /// The module.
    pub module: String,
    /// The reducer or query.
    pub function: String,
    /// The encoded arguments, one after the other.
    pub arguments: Vec<u8>,
}

/// What a scan wants next. Stateless: the host keeps nothing between batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// 0 for the primary key, `i + 1` for index `i` of the schema.
    pub index: u16,
    /// The encoded value from which to start.
    pub lower: Bound<Vec<u8>>,
    /// The encoded value at which to stop.
    pub upper: Bound<Vec<u8>>,
    /// Where the batch before ended; `None` for the first.
    pub cursor: Option<ScanCursor>,
}

/// Where a scan stands: opaque to the guest, checked by the host like everything else it is handed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCursor {
    /// The place of the last row that was returned.
    pub after: Vec<u8>,
    /// The place of what was the last row when the scan began: a loop that inserts ends.
    pub until: Vec<u8>,
}

/// Rows of a scan.
///
/// A guest that writes to a table while it walks through a batch resumes from
/// [`ScanBatch::places`] of the row it stands on, so that it sees what it changed ahead of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanBatch {
    /// Encoded rows in order.
    pub rows: Vec<Vec<u8>>,
    /// For each row, its place: [`ScanCursor::after`] to resume behind it.
    pub places: Vec<Vec<u8>>,
    /// [`ScanCursor::until`]; empty when there is nothing to scan.
    pub until: Vec<u8>,
    /// Whether rows may follow.
    pub more: bool,
}
