//! Host calls for timers: rows of a hidden table, so they are part of the step like everything
//! else.

use std::sync::atomic::Ordering;

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::{CANCEL, NAMESPACE, Reply, SCHEDULE, TIMER_SET, TimerDue, TimerRequest},
    id::{NAME_LENGTH_MAX, TimerId},
    period::PERIOD_MS_MAX,
    schema::{ReducerSchema, Visibility},
};
use wasmtime::{Caller, Linker};

use super::{
    Claim, Guest, Halt, Slot, Step, answer,
    bytes::{count_bytes, count_replaced},
};
use crate::{
    module::CallKind,
    table::{Repeat, Timer},
    wasm::Binary,
};

/// What a timer's row takes beside its arguments, for the limit of what one step writes.
const TIMER_BYTES: u64 = 64;

/// What a request takes beside the arguments, in bytes: a name and numbers.
const REQUEST_BYTES_MAX: u64 = 1024;

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
        TIMER_SET.name,
        |mut caller: Caller<'_, Guest>, ptr: u32, len: u32, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), |memory, guest, slot| {
                set(memory, guest, Claim::new(ptr, len), slot)
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
    let timer = set_timer(
        guest,
        TimerRequest {
            reducer: name.to_string(),
            due: TimerDue::After(delay_ms),
            period_ms: None,
            arguments: Vec::new(),
        },
    )?;
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&timer.0.to_bytes()])?)
}

fn set(memory: &mut [u8], guest: &mut Guest, request: Claim, slot: Slot) -> Result<Reply, Halt> {
    let bytes = request.read(memory)?;
    let limit = guest.limits.arguments_bytes_max;
    if bytes.len() as u64 > limit.saturating_add(REQUEST_BYTES_MAX) {
        let message = format!(
            "the arguments of a timer are {} bytes long; the limit is {limit} (arguments_bytes_max in node.toml)",
            bytes.len()
        );
        return Err(Failure::new(Code::TooLarge, message).into());
    }
    let Ok((request, [])) = postcard::take_from_bytes::<TimerRequest>(bytes) else {
        let message = "a timer's request cannot be read";
        return Err(Failure::new(Code::BadArguments, message).into());
    };
    if request.reducer.len() > NAME_LENGTH_MAX {
        return Err(Failure::new(Code::NotFound, "a reducer's name is not one").into());
    }
    let timer = set_timer(guest, request)?;
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&timer.0.to_bytes()])?)
}

/// Checks a timer and sets it.
fn set_timer(guest: &mut Guest, request: TimerRequest) -> Result<TimerId, Halt> {
    let Guest {
        binary,
        step,
        limits,
        ..
    } = guest;
    let step = step.as_mut().ok_or_else(super::guest::no_step)?;
    let running = step.function(binary)?;
    only_in_reducers(running.kind, "set a timer")?;
    check_target(binary, &request)?;
    let repeat = match request.period_ms {
        None => Repeat::Never,
        Some(period_ms) if (1..=PERIOD_MS_MAX).contains(&period_ms) => Repeat::Every(period_ms),
        Some(period_ms) => {
            let message = format!(
                "a period of {period_ms} ms is not possible; the shortest is 1 ms, the longest 100 years"
            );
            return Err(Failure::new(Code::BadArguments, message).into());
        }
    };
    let written = u64::try_from(request.arguments.len()).unwrap_or(u64::MAX);
    count_bytes(step, limits, TIMER_BYTES.saturating_add(written))?;
    let due_ms = match request.due {
        TimerDue::After(delay_ms) => step.turn.timestamp_ms.saturating_add(delay_ms),
        TimerDue::At(due_ms) => due_ms,
    };
    let schedules_itself = running.name == request.reducer;
    let timer = step.tables.set_timer(&Timer {
        of_load: step.turn.of_load,
        repeat,
        arguments: request.arguments,
        ..Timer::once(request.reducer, due_ms)
    })?;
    if schedules_itself {
        warn_of_public_timer(binary, step);
    }
    Ok(timer)
}

/// Says once in the module's log that a public reducer sets its own next timer: each call from
/// outside begins one more chain.
fn warn_of_public_timer(binary: &Binary, step: &mut Step) {
    let schema = &binary.schema;
    let is_public = |name: &str| {
        schema.visibility == Visibility::Public
            && schema.reducer(name).is_some_and(ReducerSchema::is_callable)
    };
    let Ok(running) = step.function(binary) else {
        return;
    };
    if !is_public(&running.name) || binary.warned_of_public_timer.swap(true, Ordering::Relaxed) {
        return;
    }
    let text = format!(
        "warning: the reducer `{}` is public and schedules itself, so each call from outside begins one more chain of timers; write `#[reducer(private)]` or `#[reducer(every = \"…\")]`",
        running.name
    );
    step.outside.log(&schema.name, step.turn.seq, &text);
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

/// The reducer of a timer is there, and the arguments are what it takes.
fn check_target(binary: &Binary, request: &TimerRequest) -> Result<(), Failure> {
    let (_, function) = binary.function(CallKind::Reducer, &request.reducer)?;
    let name = &request.reducer;
    if request.arguments.is_empty() && !function.arguments.is_empty() {
        return Err(Failure::new(
            Code::BadArguments,
            format!(
                "the reducer `{name}` takes {} arguments; hand them over with `schedule_with` of `interstice_sdk::timing`",
                function.arguments.len()
            ),
        ));
    }
    binary
        .layout
        .check(&function.arguments, &request.arguments)
        .map_err(|damaged| {
            Failure::new(
                Code::BadArguments,
                format!(
                    "the arguments of a timer for `{name}` do not fit its signature: {damaged}"
                ),
            )
        })
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
