//! Stage 5 of a call: what a guest asks of its host, checked, decoded and answered.
//!
//! One file per family of calls, all of one shape: take the claims, check the capability, act on
//! the step, and return a reply or a [`Halt`]. A refusal is a status that the guest reads and
//! lives with; a fault ends the step and the instance. Nothing that a guest hands over can make
//! the host panic.

mod bytes;
mod call;
mod claim;
mod clear;
mod context;
mod guest;
mod io;
mod open;
mod read;
mod timer;
mod write;

use interstice_abi::{
    failure::{Code, Failure},
    host_call::Reply,
};
use wasmtime::{Caller, Linker, Memory};

pub(crate) use claim::{Claim, Slot};
pub(crate) use context::panic_text;
pub(crate) use guest::{Guest, Step, StepStart};
pub(crate) use read::read;

use crate::wasm::{Fault, MEMORY_EXPORT};

/// Why a host call does not do what was asked.
pub(crate) enum Halt {
    /// A status for the guest; nothing has changed.
    Refused(Failure),
    /// The end of the step.
    Fault(Fault),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// All host calls.
///
/// # Errors
/// None but wasmtime's own.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    io::link(&mut linker)?;
    context::link(&mut linker)?;
    timer::link(&mut linker)?;
    write::link(&mut linker)?;
    clear::link(&mut linker)?;
    read::link(&mut linker)?;
    call::link(&mut linker)?;
    Ok(linker)
}

/// How every host call begins: the guest's memory beside what the host knows of it. Drops an
/// answer that nobody fetched.
///
/// # Errors
/// [`Fault::Deadline`], now and then.
pub(crate) fn enter<'a>(
    caller: &'a mut Caller<'_, Guest>,
) -> Result<(&'a mut [u8], &'a mut Guest), Fault> {
    let (memory, guest) = enter_keeping_reply(caller)?;
    if !guest.waiting.is_empty() {
        guest.waiting = Vec::new();
    }
    Ok((memory, guest))
}

fn enter_keeping_reply<'a>(
    caller: &'a mut Caller<'_, Guest>,
) -> Result<(&'a mut [u8], &'a mut Guest), Fault> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => find_memory(caller)?,
    };
    let (bytes, guest) = memory.data_and_store_mut(caller);
    guest.count_call()?;
    Ok((bytes, guest))
}

/// The first host call of an instance may come from its start function.
fn find_memory(caller: &mut Caller<'_, Guest>) -> Result<Memory, Fault> {
    let memory = caller
        .get_export(MEMORY_EXPORT)
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| Fault::ended(Failure::internal("a checked module has no memory")))?;
    caller.data_mut().memory = Some(memory);
    Ok(memory)
}

/// Runs a call that answers at once.
fn answer(
    caller: &mut Caller<'_, Guest>,
    slot: Slot,
    act: impl FnOnce(&mut [u8], &mut Guest, Slot) -> Result<Reply, Halt>,
) -> wasmtime::Result<u64> {
    let (memory, guest) = enter(caller)?;
    slot.check(memory)?;
    match act(memory, guest, slot) {
        Ok(reply) => Ok(reply.pack()),
        Err(Halt::Fault(fault)) => Err(fault.into()),
        Err(Halt::Refused(failure)) => {
            Ok(refuse(memory, &mut guest.waiting, slot, &failure)?.pack())
        }
    }
}

/// Ends a call that had to wait.
fn finish(
    caller: &mut Caller<'_, Guest>,
    slot: Slot,
    result: Result<Reply, Halt>,
) -> wasmtime::Result<u64> {
    match result {
        Ok(reply) => Ok(reply.pack()),
        Err(Halt::Fault(fault)) => Err(fault.into()),
        Err(Halt::Refused(failure)) => {
            let (memory, guest) = enter(caller)?;
            Ok(refuse(memory, &mut guest.waiting, slot, &failure)?.pack())
        }
    }
}

fn refuse(
    memory: &mut [u8],
    waiting: &mut Vec<u8>,
    slot: Slot,
    failure: &Failure,
) -> Result<Reply, Fault> {
    let bytes =
        postcard::to_allocvec(failure).map_err(|error| Fault::ended(Failure::internal(error)))?;
    slot.put(memory, waiting, number(failure.code), &[&bytes])
}

/// Codes are numbered by their discriminants.
const fn number(code: Code) -> u16 {
    code as u16
}
