//! What goes into the execution of one reducer or query, and what comes out.

use std::{sync::Arc, time::Instant};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, NodeId, Seq, StepIndex},
};
use serde::{Deserialize, Serialize};

use crate::{
    table::{Change, Savepoint},
    wasm::Crash,
};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CallKind {
    /// A function that changes tables.
    Reducer,
    /// A function that only reads.
    Query,
}

impl CallKind {
    /// The word for it in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reducer => "reducer",
            Self::Query => "query",
        }
    }
}

/// The part of a turn that everything inside it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnContext {
    /// The turn; for a client's query, the last one that it sees.
    pub seq: Seq,
    /// The step inside the turn.
    pub step: StepIndex,
    /// The turn's time in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The secret from which the node's random numbers come.
    pub node_seed: [u8; 32],
    /// This node.
    pub node_id: NodeId,
    /// Whether timers that are set belong to the module's load.
    pub of_load: bool,
}

/// Who calls a reducer or query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The node or client; this node for everything that happens inside it.
    pub node: NodeId,
    /// The module, where one has called.
    pub module: Option<ModuleName>,
    /// Whether the node is an owner of this one.
    pub is_owner: bool,
}

impl Caller {
    /// What a guest is handed: an [`Invocation`], then the arguments.
    ///
    /// [`Invocation`]: interstice_abi::host_call::Invocation
    pub(super) fn input(&self, arguments: &[u8]) -> Result<Vec<u8>, Failure> {
        let module = self.module.as_ref().map_or("", ModuleName::as_str);
        let node = self.node.as_str();
        let room = node.len() + module.len() + INVOCATION_BYTES + arguments.len();
        let invocation = (node, module, self.is_owner);
        let mut input = postcard::to_extend(&invocation, Vec::with_capacity(room))
            .map_err(Failure::internal)?;
        input.extend_from_slice(arguments);
        Ok(input)
    }
}

/// What an invocation has beside its texts: two lengths and a truth value.
const INVOCATION_BYTES: usize = 16;

/// One execution.
#[derive(Clone, Debug)]
pub struct StepRequest {
    /// The reducer or query.
    pub function: Arc<str>,
    /// Who calls.
    pub caller: Caller,
    /// The arguments' encodings, one after the other.
    pub arguments: Arc<[u8]>,
    /// Whether the arguments come from outside and are checked against the schema first.
    pub check_arguments: bool,
    /// The turn.
    pub turn: TurnContext,
    /// 0 for the step itself; each call inside the step has its own: [`CallContext::call_ordinal`].
    ///
    /// [`CallContext::call_ordinal`]: super::CallContext::call_ordinal
    pub call_ordinal: u64,
    /// Microseconds of the deadline that the callers of this step have spent.
    pub running_us_used: u64,
    /// Bytes that the step holds already, which its callers have changed or handed over.
    pub bytes_held: u64,
    /// How many calls lead here; 0 for the step itself.
    pub depth: u32,
    /// When it begins, where whoever runs it has just looked at the clock.
    pub began: Option<Instant>,
    /// Whether it is asked how long it ran.
    pub is_timed: bool,
}

/// What an execution came to.
#[derive(Clone, Debug)]
pub struct StepOutcome {
    /// A query's encoded result, empty for reducers; or why it was undone.
    pub result: Result<Vec<u8>, Failure>,
    /// A deadline, memory or stack failure: every caller's step ends with it.
    pub ends_step: bool,
    /// A crash or a limit, as opposed to an `Err` that the function returned or a request that was
    /// refused before it ran.
    pub is_fault: bool,
    /// Whether an instance took part: a request that is refused before the guest runs leaves the
    /// instance as it was.
    pub has_run: bool,
    /// What was done, in order; empty on failure and for queries.
    pub effects: Vec<Effect>,
    /// Microseconds that it ran, its callees included, without waiting; 0 where nobody has asked.
    pub running_us: u64,
    /// When it ended, where it was timed.
    pub ended: Option<Instant>,
    /// Calls into other modules, those of callees included: the caller's next ordinal comes after
    /// them.
    pub calls_made: u64,
    /// Bytes that the step holds after it, [`StepRequest::bytes_held`] included.
    pub bytes_held: u64,
    /// The tables' state before it: where to roll back to when a caller fails later.
    pub savepoint: Savepoint,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// A row changed.
    Change {
        /// Whose table.
        module: ModuleName,
        /// The change.
        change: Change,
    },
    /// A reducer that others may subscribe to has returned. Added by whoever runs the step, where
    /// it is wanted.
    Called {
        /// Whose reducer.
        module: ModuleName,
        /// The reducer.
        reducer: String,
        /// Its arguments.
        arguments: Arc<[u8]>,
    },
}

impl Effect {
    /// The bytes of its rows or arguments: what a step holds of it.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        match self {
            Self::Change { change, .. } => change.row_bytes(),
            Self::Called { arguments, .. } => arguments.len() as u64,
        }
    }
}

/// How an execution ended without a result.
pub(super) enum Stopped {
    /// Refused before the guest ran.
    Refused(Failure),
    /// The function returned an error.
    Rejected(Failure),
    /// The guest crashed.
    Crashed(Box<Crash>),
}

impl Stopped {
    /// The caller's failure, whether it ends the callers' steps, and whether it is a fault.
    pub(super) fn into_parts(self) -> (Failure, bool, bool) {
        match self {
            Self::Refused(failure) | Self::Rejected(failure) => (failure, false, false),
            Self::Crashed(crash) => {
                let Crash {
                    failure, ends_step, ..
                } = *crash;
                (failure, ends_step, true)
            }
        }
    }
}

/// Most characters of an error's message that a module returns.
const REJECTION_LENGTH_MAX: usize = 4096;

/// The failure for what a function returned as its error.
pub(super) fn rejection(message: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(
        message
            .get(..message.len().min(4 * REJECTION_LENGTH_MAX))
            .unwrap_or_default(),
    );
    let message: String = text.chars().take(REJECTION_LENGTH_MAX).collect();
    Failure::new(Code::Rejected, message)
}

#[cfg(test)]
mod tests {
    use interstice_abi::host_call::Invocation;

    use super::*;

    #[test]
    fn a_guest_reads_an_invocation_and_the_arguments_behind_it() {
        let caller = Caller {
            node: NodeId::from("node"),
            module: Some(ModuleName::new("caller").expect("a name")),
            is_owner: true,
        };
        let input = caller.input(b"arguments").expect("it encodes");
        let (invocation, arguments) =
            postcard::take_from_bytes::<Invocation>(&input).expect("it reads");
        assert_eq!(arguments, b"arguments");
        assert_eq!(
            invocation,
            Invocation {
                caller_node_id: "node".into(),
                caller_module_name: "caller".into(),
                caller_is_owner: true,
            }
        );
    }
}
