//! Host calls by which input, output and large answers cross the boundary.

use interstice_abi::{
    failure::{Code, Failure},
    host_call::{INPUT_READ, NAMESPACE, OUTPUT_WRITE, REPLY_READ},
};
use wasmtime::{Caller, Linker};

use super::{Claim, Guest, claim::put_at, enter, enter_keeping_reply, guest::no_step};
use crate::wasm::Fault;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        INPUT_READ.name,
        |mut caller: Caller<'_, Guest>, ptr: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            let step = guest.step.as_ref().ok_or_else(no_step)?;
            Ok(put_at(memory, ptr, &step.input)?)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        OUTPUT_WRITE.name,
        |mut caller: Caller<'_, Guest>, ptr: u32, len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(output_write(memory, guest, Claim::new(ptr, len))?)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        REPLY_READ.name,
        |mut caller: Caller<'_, Guest>, ptr: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter_keeping_reply(&mut caller)?;
            let reply = std::mem::take(&mut guest.waiting);
            Ok(put_at(memory, ptr, &reply)?)
        },
    )?;
    Ok(())
}

fn output_write(memory: &[u8], guest: &mut Guest, output: Claim) -> Result<(), Fault> {
    let limit = guest.limits.arguments_bytes_max;
    let bytes = output.read(memory)?;
    if output.length() > limit {
        let message = format!(
            "the result is {} bytes long; the limit is {limit} (arguments_bytes_max in node.toml)",
            output.length()
        );
        return Err(Fault::ended(Failure::new(Code::TooLarge, message)));
    }
    let kept = &mut guest.step()?.output;
    kept.clear();
    kept.extend_from_slice(bytes);
    Ok(())
}
