//! Counts the bytes that a step holds, and refuses what would go beyond [`Limits::step_bytes_max`].
//!
//! A step holds rows before and after each change, for its record and to undo it; timers;
//! arguments of calls that others subscribe to; and answers of other nodes. The count goes along
//! with calls, so the limit is one for all modules of a step. What an undone call held is let go.
//! Only lengths are counted, never memory, so a replay ends a step where the node did.

use interstice_abi::{
    failure::{Code, Failure},
    id::TableId,
};

use super::Step;
use crate::{
    limits::{Limits, StepBytes},
    table::Savepoint,
};

/// Counts `bytes` that the step is about to hold.
///
/// # Errors
/// `TooLarge` beyond the limit, and then nothing was counted.
pub(super) fn count_bytes(step: &mut Step, limits: &Limits, bytes: u64) -> Result<(), Failure> {
    let total = step.bytes_held.saturating_add(bytes);
    if total > limits.step_bytes_max {
        return Err(Failure::new(
            Code::TooLarge,
            format!(
                "the step would hold {total} bytes of rows; the limit is {} (step_bytes_max in node.toml)",
                limits.step_bytes_max
            ),
        ));
    }
    step.bytes_held = total;
    Ok(())
}

/// Counts the row that the one change since `before` has replaced or deleted. Beyond the limit the
/// change is undone.
///
/// # Errors
/// `TooLarge` beyond the limit.
pub(super) fn count_replaced(
    step: &mut Step,
    limits: &Limits,
    before: Savepoint,
) -> Result<(), Failure> {
    if limits.step_bytes == StepBytes::Written {
        return Ok(());
    }
    let counted = count_bytes(step, limits, step.tables.replaced_bytes(before));
    if counted.is_err() {
        step.tables.rollback(before);
    }
    counted
}

/// Counts the rows of a table that is about to be emptied.
///
/// # Errors
/// `TooLarge` beyond the limit; the message says how to empty the table all the same.
pub(super) fn count_cleared(
    step: &mut Step,
    limits: &Limits,
    table: TableId,
) -> Result<(), Failure> {
    if limits.step_bytes == StepBytes::Written {
        return Ok(());
    }
    let bytes = step.tables.row_bytes(table)?;
    count_bytes(step, limits, bytes).map_err(|failure| {
        let schema = step.tables.schema();
        let name = schema.tables.get(usize::from(table.0));
        let name = name.map_or("", |table| table.name.as_str());
        let text = format!(
            "table `{name}` has {bytes} bytes of rows, and a step that clears it holds all of them: {}; delete the rows in pieces, in several calls or timers",
            failure.message
        );
        Failure::new(failure.code, text)
    })
}

/// Whether the step may make a call: what that adds may take the step beyond the limit once.
///
/// # Errors
/// `TooLarge` when the step is beyond the limit.
pub(super) fn check_room(step: &mut Step, limits: &Limits) -> Result<(), Failure> {
    match limits.step_bytes {
        StepBytes::Written => Ok(()),
        StepBytes::Held => count_bytes(step, limits, 0),
    }
}

/// What a callee begins with.
pub(super) fn held_by_callee(step: &Step, limits: &Limits) -> u64 {
    match limits.step_bytes {
        StepBytes::Written => 0,
        StepBytes::Held => step.bytes_held,
    }
}
