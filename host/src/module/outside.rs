//! The one trait through which a running step reaches everything that is not its module.
//!
//! The actors crate implements it; this crate knows nothing of actors, messages and queues.

use std::time::Instant;

use futures::future::BoxFuture;
use interstice_abi::{
    failure::Failure,
    host_call::{CallRequest, ScanRequest},
    id::{ModuleName, Seq},
};

use super::step::{CallKind, Effect, StepOutcome, TurnContext};

/// What a running step reaches outside its module.
pub trait Outside: Send {
    /// Calls a reducer or query of another module, of this node or of `request.node`. Resolves
    /// when the callee is done.
    fn call(
        &mut self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> BoxFuture<'_, OutsideReply>;

    /// Reads a public table of another module of this node: the reply's bytes, as
    /// [`Module::read`](super::Module::read) makes them.
    fn read(&mut self, request: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>>;

    /// Asked at each tick of the clock while the guest runs: whether anybody still waits for what
    /// it does.
    ///
    /// # Errors
    /// Why nobody does: the step ends with this failure, and its callers' steps too.
    fn is_wanted(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes one entry of a module's log, which may have several lines.
    fn log(&mut self, module: &ModuleName, seq: Seq, line: &str);
}

/// What a callee inherits from its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// The turn.
    pub turn: TurnContext,
    /// The call's number inside the step, from 1, in the order in which calls begin.
    pub call_ordinal: u64,
    /// Microseconds of the deadline that were spent before the call.
    pub running_us_used: u64,
    /// Bytes that the step holds before the call: see
    /// [`StepRequest::bytes_held`](super::StepRequest::bytes_held).
    pub bytes_held: u64,
    /// How many calls lead to the callee, this one included.
    pub depth: u32,
    /// When the caller began to wait: the callee begins then, where it does so at once.
    pub waits_since: Option<Instant>,
}

/// How a call into another module has ended.
#[derive(Clone, Debug)]
pub struct OutsideReply {
    /// A query's result, empty for reducers; or the callee's failure, after which nothing of the
    /// call remains.
    pub result: Result<Vec<u8>, Failure>,
    /// Whether the caller's step ends with the failure.
    pub ends_step: bool,
    /// What the callee did, in order.
    pub effects: Vec<Effect>,
    /// Microseconds that the callee ran.
    pub running_us: u64,
    /// The callee's [`StepOutcome::calls_made`](super::StepOutcome::calls_made).
    pub calls_made: u64,
    /// The callee's [`StepOutcome::bytes_held`](super::StepOutcome::bytes_held); 0 where nothing
    /// of this node was called.
    pub bytes_held: u64,
    /// When the callee ended, where the caller goes on at once.
    pub ended: Option<Instant>,
}

impl OutsideReply {
    /// The reply to a call that nobody has run.
    #[must_use]
    pub const fn refused(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            ends_step: false,
            effects: Vec::new(),
            running_us: 0,
            calls_made: 0,
            bytes_held: 0,
            ended: None,
        }
    }

    /// The reply to a call that another node has answered: nothing was done here.
    #[must_use]
    pub const fn of_other_node(result: Result<Vec<u8>, Failure>) -> Self {
        Self {
            result,
            ends_step: false,
            effects: Vec::new(),
            running_us: 0,
            calls_made: 0,
            bytes_held: 0,
            ended: None,
        }
    }
}

impl From<StepOutcome> for OutsideReply {
    fn from(outcome: StepOutcome) -> Self {
        Self {
            result: outcome.result,
            ends_step: outcome.ends_step,
            effects: outcome.effects,
            running_us: outcome.running_us,
            calls_made: outcome.calls_made,
            bytes_held: outcome.bytes_held,
            ended: outcome.ended,
        }
    }
}

/// A read of another module's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRead {
    /// The module.
    pub module: String,
    /// The table.
    pub table: String,
    /// What of it.
    pub read: ReadRequest,
}

/// What is read of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// The row with a key. Answer: 0, or 1 and the row.
    Get {
        /// 0 for the primary key, `i + 1` for the unique index `i`.
        index: u16,
        /// The encoded value.
        key: Vec<u8>,
    },
    /// How many rows there are. Answer: a `u64`.
    Count,
    /// The row with the smallest or largest key. Answer: 0, or 1 and the row.
    Edge {
        /// The largest instead of the smallest.
        last: bool,
    },
    /// Rows in order. Answer: a [`ScanBatch`](interstice_abi::host_call::ScanBatch).
    Scan(ScanRequest),
}
