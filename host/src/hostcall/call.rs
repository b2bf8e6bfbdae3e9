//! Host calls into other modules. The guest waits on its fiber until the callee is done.
//!
//! What the callee did is spliced into the step's effects where the call returned. A callee's
//! failure is an answer that the guest reads, unless it ends the whole step.

use std::future::Future;

use interstice_abi::{
    failure::{Code, Failure},
    host_call::{CALL_QUERY, CALL_REDUCER, CallRequest, NAMESPACE, Reply},
};
use wasmtime::{Caller, Linker};

use super::{
    Claim, Guest, Halt, Slot,
    bytes::{check_room, held_by_callee},
    enter, finish,
    guest::no_step,
    open,
    timer::only_in_reducers,
};
use crate::{
    limits::StepBytes,
    module::{CallContext, CallKind, OutsideReply},
    wasm::Fault,
};

/// What a request's names take on top of its arguments, in bytes.
const NAMES_BYTES_MAX: u64 = 1024;

type Answer<'a> = Box<dyn Future<Output = wasmtime::Result<u64>> + Send + 'a>;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for (call, kind) in [
        (CALL_REDUCER, CallKind::Reducer),
        (CALL_QUERY, CallKind::Query),
    ] {
        linker.func_wrap_async(
            NAMESPACE,
            call.name,
            move |mut caller: Caller<'_, Guest>,
                  (ptr, len, out, cap): (u32, u32, u32, u32)|
                  -> Answer<'_> {
                Box::new(async move {
                    let slot = Slot::new(out, cap);
                    let result = perform(&mut caller, kind, Claim::new(ptr, len), slot).await;
                    finish(&mut caller, slot, result)
                })
            },
        )?;
    }
    Ok(())
}

async fn perform(
    caller: &mut Caller<'_, Guest>,
    kind: CallKind,
    request: Claim,
    slot: Slot,
) -> Result<Reply, Halt> {
    let (memory, guest) = enter(caller)?;
    slot.check(memory)?;
    let request = read_request(request.read(memory)?, guest)?;
    let meter = guest.meter.clone();
    // From here on the guest waits, so what it has used is known without another look at the clock.
    let waiting = meter.begin_wait();
    let held_before = guest.step()?.bytes_held;
    let context = check(guest, kind, &request)?;
    meter.check_counted()?;
    let is_remote = request.node.is_some();
    let calling = guest.step()?.outside.call(kind, request, context);
    let reply = waiting.until(calling, |reply| reply.ended).await;
    meter.add_us(reply.running_us);
    let (memory, guest) = enter(caller)?;
    hold(guest, &reply, is_remote, held_before)?;
    let result = take_in(guest, reply)?;
    meter.check_counted()?;
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&result])?)
}

fn read_request(bytes: &[u8], guest: &Guest) -> Result<CallRequest, Failure> {
    let limit = guest.limits.arguments_bytes_max;
    if bytes.len() as u64 > limit.saturating_add(NAMES_BYTES_MAX) {
        let message = format!(
            "the arguments of a call are {} bytes long; the limit is {limit} (arguments_bytes_max in node.toml)",
            bytes.len()
        );
        return Err(Failure::new(Code::TooLarge, message));
    }
    match postcard::take_from_bytes(bytes) {
        Ok((request, [])) => Ok(request),
        _ => Err(Failure::new(
            Code::BadArguments,
            "a call's request cannot be read",
        )),
    }
}

/// Whether the running function may make the call, and what the callee inherits.
fn check(guest: &mut Guest, kind: CallKind, request: &CallRequest) -> Result<CallContext, Halt> {
    let Guest {
        binary,
        step,
        limits,
        meter,
        ..
    } = guest;
    let step = step.as_mut().ok_or_else(no_step)?;
    if kind == CallKind::Reducer {
        only_in_reducers(step.function(binary)?.kind, "call a reducer")?;
    }
    if request.node.is_none() && request.module == binary.schema.name.as_str() {
        let message = format!(
            "the module `{}` cannot call itself; call the function directly",
            binary.schema.name
        );
        return Err(Failure::new(Code::CallCycle, message).into());
    }
    open::dependency(binary, request.node.as_deref(), &request.module)?;
    step.revoked.check_call(&request.module)?;
    let depth = step.depth.saturating_add(1);
    if depth > limits.call_depth_max {
        let message = format!(
            "calls between modules are nested {depth} deep; the limit is {} (call_depth_max in node.toml)",
            limits.call_depth_max
        );
        return Err(Failure::new(Code::CallCycle, message).into());
    }
    // What a call adds is counted when it is there, so beyond the limit nobody is asked.
    check_room(step, limits)?;
    step.calls_made = step.calls_made.saturating_add(1);
    Ok(CallContext {
        turn: step.turn.clone(),
        call_ordinal: step.call_ordinal.saturating_add(step.calls_made),
        running_us_used: meter.counted_us(),
        bytes_held: held_by_callee(step, limits),
        depth,
        waits_since: Some(meter.seen()),
    })
}

/// Counts what the step holds after a call: the callee's part, or another node's answer, which
/// stands in the record. A call that has failed leaves nothing to hold.
fn hold(guest: &mut Guest, reply: &OutsideReply, is_remote: bool, before: u64) -> Result<(), Halt> {
    if guest.limits.step_bytes == StepBytes::Written {
        return Ok(());
    }
    let step = guest.step()?;
    step.bytes_held = match &reply.result {
        Ok(answer) if is_remote => before.saturating_add(answer.len() as u64),
        Ok(_) => reply.bytes_held,
        Err(_) => before,
    };
    Ok(())
}

/// Takes in what a call has done; the result's bytes.
fn take_in(guest: &mut Guest, reply: OutsideReply) -> Result<Vec<u8>, Halt> {
    let Guest { binary, step, .. } = guest;
    let step = step.as_mut().ok_or_else(no_step)?;
    step.calls_made = step.calls_made.saturating_add(reply.calls_made);
    match reply.result {
        Ok(result) => {
            if !reply.effects.is_empty() {
                step.gather(binary);
                step.effects.extend(reply.effects);
            }
            Ok(result)
        }
        Err(failure) if reply.ends_step => Err(Fault::Ended {
            failure,
            ends_step: true,
        }
        .into()),
        Err(failure) => Err(failure.into()),
    }
}
