//! The host call that empties a table, in pieces: a large table must not hold up the thread's
//! other guests.

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

use interstice_abi::{
    failure::Failure,
    host_call::{NAMESPACE, Reply, TABLE_CLEAR},
    id::TableId,
    schema::Access,
};
use wasmtime::{Caller, Linker};

use super::{
    Guest, Halt, Slot, bytes::count_cleared, enter, finish, guest::no_step, write::writable,
};
use crate::{
    table::Tables,
    wasm::{Binary, Fault},
};

/// Rows of one piece: about a millisecond's work.
const ROWS_AT_ONCE: usize = 2000;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        TABLE_CLEAR.name,
        |mut caller: Caller<'_, Guest>,
         (table, out, cap): (u32, u32, u32)|
         -> Box<dyn Future<Output = wasmtime::Result<u64>> + Send + '_> {
            Box::new(async move {
                let slot = Slot::new(out, cap);
                let result = perform(&mut caller, table, slot).await;
                finish(&mut caller, slot, result)
            })
        },
    )?;
    Ok(())
}

async fn perform(caller: &mut Caller<'_, Guest>, table: u32, slot: Slot) -> Result<Reply, Halt> {
    let (memory, guest) = enter(caller)?;
    slot.check(memory)?;
    let table = writable(guest, table, Access::DELETE)?;
    let Guest { step, limits, .. } = guest;
    count_cleared(step.as_mut().ok_or_else(no_step)?, limits, table)?;
    loop {
        let (memory, guest) = enter(caller)?;
        guest.meter.check()?;
        let Guest {
            binary,
            step,
            waiting,
            ..
        } = guest;
        let tables = &mut step.as_mut().ok_or_else(no_step)?.tables;
        // Part of the rows may be gone: what goes wrong then is not a refusal, which would have
        // changed nothing.
        if clear_piece(binary, tables, table).map_err(Fault::ended)? {
            return Ok(slot.put(memory, waiting, 0, &[])?);
        }
        yield_once().await;
    }
}

/// Deletes the rows with the smallest keys; whether the table is empty.
fn clear_piece(binary: &Binary, tables: &mut Tables, table: TableId) -> Result<bool, Failure> {
    if tables.count(table)? <= ROWS_AT_ONCE as u64 {
        tables.clear(table)?;
        return Ok(true);
    }
    for (_, row) in tables.rows_after(table, None, ROWS_AT_ONCE, usize::MAX)? {
        tables.delete(table, binary.key_of(table, &row)?)?;
    }
    Ok(false)
}

/// Lets the thread's other tasks run.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
