//! The free functions of the SDK, for helpers that have no context at hand.

use interstice_abi::id::TimerId;

use crate::{
    Error,
    host::{self, imports},
};

/// Writes one line into the module's log. It stays when the step is undone.
pub fn log(line: &str) {
    imports::log(line);
}

/// The turn's timestamp in milliseconds since 1970: the same throughout a turn, never going back.
///
/// # Errors
/// When the module's grant for time was taken back.
pub fn time_now_ms() -> Result<u64, Error> {
    host::ask(imports::time_now, host::value)
}

/// The next number of the step's random stream: the same again when the step is replayed.
///
/// # Errors
/// When the host refuses it.
pub fn deterministic_random_u64() -> Result<u64, Error> {
    host::ask(imports::random, host::value)
}

/// This node's id, spelled as in `caller_node_id`.
#[must_use]
pub fn current_node_id() -> String {
    host::ask(imports::node_id, host::value).unwrap_or_else(|error| host::end_step(&error))
}

pub(crate) fn schedule(reducer: &str, delay_ms: u64) -> Result<TimerId, Error> {
    host::ask(
        |out| imports::schedule(reducer.as_bytes(), delay_ms, out),
        |answer| host::value(answer).map(TimerId),
    )
}

pub(crate) fn cancel(timer: TimerId) -> Result<(), Error> {
    host::ask(|out| imports::cancel(timer.0, out), host::nothing)
}
