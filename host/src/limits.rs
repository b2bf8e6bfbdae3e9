//! How much a module may use: every bound that the sandbox enforces, with its default and the
//! reason for it.
//!
//! All of it can be set per node and per module. What bounds the protocol is in
//! `interstice_abi::wire`.

use serde::{Deserialize, Serialize};

use crate::table::RowLimits;

const MEBIBYTE: u64 = 1024 * 1024;

/// The bounds of one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Running time of one step in milliseconds, that of the modules it calls included, waiting
    /// excluded.
    pub deadline_ms: u64,
    /// Linear memory of one instance in bytes.
    pub memory_bytes: u64,
    /// Largest encoded row of a logged or ephemeral table in bytes.
    pub row_bytes_max: u64,
    /// Largest encoded row of a stateful table in bytes.
    pub stateful_row_bytes_max: u64,
    /// Largest argument list, and largest result of a query, in bytes.
    pub arguments_bytes_max: u64,
    /// Most bytes that one step can hold, in all modules that it calls: rows before and after each
    /// change, timers, and arguments of calls that others subscribe to. They stay in memory until
    /// the step ends and become one record of the log.
    pub step_bytes_max: u64,
    /// Most bytes of rows and arguments that a turn's waiting reactions can hold; the reactions
    /// beyond it are dropped.
    pub turn_bytes_max: u64,
    /// Deepest chain of calls between modules.
    pub call_depth_max: u32,
    /// Most steps of one turn; what would go beyond is dropped.
    pub steps_per_turn_max: u32,
    /// Largest module binary in bytes.
    pub module_bytes_max: u64,
    /// What counts towards `step_bytes_max`. Not a setting: only the logs of older nodes have
    /// another value.
    #[serde(skip)]
    pub step_bytes: StepBytes,
}

/// What counts towards [`Limits::step_bytes_max`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepBytes {
    /// Rows that one module writes during one call, as older nodes counted. Their logs are
    /// replayed with that.
    Written,
    /// Everything that the whole step holds.
    #[default]
    Held,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A person waits for a second without asking what is wrong.
            deadline_ms: 1000,
            // Room for pictures and sound; a few such modules fit into every machine.
            memory_bytes: 256 * MEBIBYTE,
            row_bytes_max: 16 * MEBIBYTE,
            stateful_row_bytes_max: 64 * MEBIBYTE,
            arguments_bytes_max: 16 * MEBIBYTE,
            // A guest cannot bring more from its own memory at once.
            step_bytes_max: 256 * MEBIBYTE,
            // Twice a step: the reactions to one of the largest, and to what those write.
            turn_bytes_max: 512 * MEBIBYTE,
            // Chains of modules are short; each level holds a stack.
            call_depth_max: 16,
            // More than any sensible cascade, few enough to end within seconds.
            steps_per_turn_max: 10_000,
            module_bytes_max: 64 * MEBIBYTE,
            step_bytes: StepBytes::Held,
        }
    }
}

impl Limits {
    /// The bounds that tables enforce themselves.
    #[must_use]
    pub fn rows(&self) -> RowLimits {
        RowLimits {
            row_bytes_max: self.row_bytes_max,
            stateful_row_bytes_max: self.stateful_row_bytes_max,
        }
    }
}
