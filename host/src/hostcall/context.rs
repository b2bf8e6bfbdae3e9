//! Host calls about the step itself: time, random numbers, the node, the log.

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::{LOG, NAMESPACE, NODE_ID, PANIC, RANDOM, Reply, SEQ, TIME_NOW},
};
use wasmtime::{Caller, Linker};

use super::{Claim, Guest, Halt, Slot, answer, enter};

/// Longest entry of a module's log in bytes; what is beyond is cut off.
const LOG_ENTRY_BYTES_MAX: usize = 16 * 1024;

/// Most entries that one step can write: a loop that logs must not fill the disk.
const LOG_ENTRIES_PER_STEP_MAX: u32 = 1000;

/// Longest message of a panic in bytes; what is beyond is cut off.
const PANIC_BYTES_MAX: usize = 4096;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        TIME_NOW.name,
        |mut caller: Caller<'_, Guest>, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), time_now)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        RANDOM.name,
        |mut caller: Caller<'_, Guest>, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), random)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        NODE_ID.name,
        |mut caller: Caller<'_, Guest>, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), node_id)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        SEQ.name,
        |mut caller: Caller<'_, Guest>| -> wasmtime::Result<u64> {
            let (_, guest) = enter(&mut caller)?;
            Ok(guest.step()?.turn.seq.0)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        LOG.name,
        |mut caller: Caller<'_, Guest>, ptr: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            log(guest, Claim::new(ptr, len).read(memory)?)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        PANIC.name,
        |mut caller: Caller<'_, Guest>, ptr: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            guest.panic = Some(panic_text(Claim::new(ptr, len).read(memory)?));
            Ok(())
        },
    )?;
    Ok(())
}

fn time_now(memory: &mut [u8], guest: &mut Guest, slot: Slot) -> Result<Reply, Halt> {
    let step = guest.step()?;
    if step.revoked.time {
        let message = "the grant to read the clock was taken back";
        return Err(Failure::new(Code::Revoked, message).into());
    }
    let time = step.turn.timestamp_ms.to_bytes();
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&time])?)
}

fn random(memory: &mut [u8], guest: &mut Guest, slot: Slot) -> Result<Reply, Halt> {
    let number = guest.step()?.random.next_u64().to_bytes();
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&number])?)
}

fn node_id(memory: &mut [u8], guest: &mut Guest, slot: Slot) -> Result<Reply, Halt> {
    let id = guest.step()?.turn.node_id.to_string().to_bytes();
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&id])?)
}

/// Lines are kept when the step is undone. Without the grant they are dropped: there is no status
/// to say so.
fn log(guest: &mut Guest, text: &[u8]) -> wasmtime::Result<()> {
    let name = guest.binary.schema.name.clone();
    let step = guest.step()?;
    if step.revoked.logging || step.entries_logged > LOG_ENTRIES_PER_STEP_MAX {
        return Ok(());
    }
    step.entries_logged += 1;
    let seq = step.turn.seq;
    if step.entries_logged > LOG_ENTRIES_PER_STEP_MAX {
        let line = format!(
            "a step has logged {LOG_ENTRIES_PER_STEP_MAX} times; what it logs beyond that is dropped"
        );
        step.outside.log(&name, seq, &line);
    } else {
        step.outside
            .log(&name, seq, &text_of(text, LOG_ENTRY_BYTES_MAX));
    }
    Ok(())
}

/// The message of a panic on one line, as it stands behind an error's name.
pub(crate) fn panic_text(bytes: &[u8]) -> String {
    text_of(bytes, PANIC_BYTES_MAX)
        .replace(":\n", ": ")
        .replace('\n', " ")
}

/// Text from a guest, of at most `bytes_max` bytes and a mark where it was cut.
fn text_of(bytes: &[u8], bytes_max: usize) -> String {
    let kept = bytes.get(..bytes.len().min(bytes_max)).unwrap_or_default();
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if kept.len() < bytes.len() {
        text.push('…');
    }
    text
}
