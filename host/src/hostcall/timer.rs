//! Host calls for timers: rows of a hidden table, so they are part of the step like everything else.

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::{CANCEL, NAMESPACE, Reply, SCHEDULE},
    id::{NAME_LENGTH_MAX, TimerId},
};
use wasmtime::{Caller, Linker};

use super::{
    Claim, Guest, Halt, Slot, answer,
    bytes::{count_bytes, count_replaced},
};
use crate::{module::CallKind, wasm::Binary};

/// What a timer's row takes, for the limit of what one step writes.
const TIMER_BYTES: u64 = 64;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        SCHEDULE.name,
        |mut caller: Caller<'_, Guest>, ptr: u32, len: u32, delay_ms: u64, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), |memory, guest, slot| {
                schedule(memory, guest, Claim::new(ptr, len), delay_ms, slot)
            })
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        CANCEL.name,
        |mut caller: Caller<'_, Guest>, timer: u64, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), |memory, guest, slot| {
                cancel(memory, guest, TimerId(timer), slot)
            })
        },
    )?;
    Ok(())
}

fn schedule(
    memory: &mut [u8],
    guest: &mut Guest,
    name: Claim,
    delay_ms: u64,
    slot: Slot,
) -> Result<Reply, Halt> {
    let bytes = name.read(memory)?;
    let name = std::str::from_utf8(bytes)
        .ok()
        .filter(|name| name.len() <= NAME_LENGTH_MAX)
        .ok_or_else(|| Failure::new(Code::NotFound, "a reducer's name is not one"))?;
    let Guest {
        binary,
        step,
        waiting,
        limits,
        ..
    } = guest;
    let step = step.as_mut().ok_or_else(super::guest::no_step)?;
    only_in_reducers(step.function(binary)?.kind, "set a timer")?;
    check_target(binary, name)?;
    count_bytes(step, limits, TIMER_BYTES)?;
    let due_ms = step.turn.timestamp_ms.saturating_add(delay_ms);
    let timer = step.tables.schedule(name, due_ms, step.turn.of_load)?;
    let timer = timer.0.to_bytes();
    Ok(slot.put(memory, waiting, 0, &[&timer])?)
}

fn cancel(memory: &mut [u8], guest: &mut Guest, timer: TimerId, slot: Slot) -> Result<Reply, Halt> {
    let Guest {
        binary,
        step,
        waiting,
        limits,
        ..
    } = guest;
    let step = step.as_mut().ok_or_else(super::guest::no_step)?;
    only_in_reducers(step.function(binary)?.kind, "cancel a timer")?;
    let before = step.tables.savepoint();
    step.tables.cancel(timer)?;
    count_replaced(step, limits, before)?;
    Ok(slot.put(memory, waiting, 0, &[])?)
}

/// A timer hands its reducer nothing, so the reducer must not want anything.
fn check_target(binary: &Binary, name: &str) -> Result<(), Failure> {
    let (_, function) = binary.function(CallKind::Reducer, name)?;
    if function.arguments.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Code::BadArguments,
        format!(
            "the reducer `{name}` takes {} arguments and cannot be scheduled; schedule one without, and keep what it needs in a table",
            function.arguments.len()
        ),
    ))
}

/// # Errors
/// `Denied` in a query.
pub(super) fn only_in_reducers(kind: CallKind, what: &str) -> Result<(), Failure> {
    match kind {
        CallKind::Reducer => Ok(()),
        CallKind::Query => Err(Failure::new(
            Code::Denied,
            format!("a query cannot {what}; only reducers can"),
        )),
    }
}
