//! Host calls that change rows, and the one that opens a table. Emptying one is in `clear`.
//!
//! Only a module's own tables can be changed; the capability is checked on every call.

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::{
        NAMESPACE, Reply, TABLE_DELETE, TABLE_INSERT, TABLE_OPEN, TABLE_UPDATE, TABLE_UPSERT,
    },
    id::{NAME_LENGTH_MAX, TableId},
    schema::Access,
};
use wasmtime::{Caller, Linker};

use super::{
    Claim, Guest, Halt, Slot, answer,
    bytes::{count_bytes, count_replaced},
    guest::no_step,
    open,
};
use crate::wasm::Place;

/// Longest name of a table: node, module, table and two dots.
const TABLE_NAME_BYTES_MAX: usize = 3 * NAME_LENGTH_MAX + 2;

/// What is done with a row.
#[derive(Clone, Copy)]
enum RowWrite {
    Insert,
    Update,
    Upsert,
    Delete,
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        TABLE_OPEN.name,
        |mut caller: Caller<'_, Guest>, ptr: u32, len: u32, out: u32, cap: u32| {
            answer(&mut caller, Slot::new(out, cap), |memory, guest, slot| {
                table_open(memory, guest, Claim::new(ptr, len), slot)
            })
        },
    )?;
    for (call, what) in [
        (TABLE_INSERT, RowWrite::Insert),
        (TABLE_UPDATE, RowWrite::Update),
        (TABLE_UPSERT, RowWrite::Upsert),
        (TABLE_DELETE, RowWrite::Delete),
    ] {
        linker.func_wrap(
            NAMESPACE,
            call.name,
            move |mut caller: Caller<'_, Guest>,
                  table: u32,
                  ptr: u32,
                  len: u32,
                  out: u32,
                  cap: u32| {
                answer(&mut caller, Slot::new(out, cap), |memory, guest, slot| {
                    write_row(memory, guest, what, table, Claim::new(ptr, len), slot)
                })
            },
        )?;
    }
    Ok(())
}

/// Handles are places in a list that never has a table twice, so a guest cannot make it long.
fn table_open(
    memory: &mut [u8],
    guest: &mut Guest,
    name: Claim,
    slot: Slot,
) -> Result<Reply, Halt> {
    let bytes = name.read(memory)?;
    let name = std::str::from_utf8(bytes)
        .ok()
        .filter(|name| name.len() <= TABLE_NAME_BYTES_MAX)
        .ok_or_else(|| Failure::new(Code::NotFound, "a table's name is not one"))?;
    let place = open::resolve(&guest.binary, name)?;
    let known = guest.handles.iter().position(|open| *open == place);
    let handle = known.unwrap_or_else(|| {
        guest.handles.push(place);
        guest.handles.len() - 1
    });
    let handle = u32::try_from(handle)
        .map_err(|_| Failure::internal("a module has more tables than handles"))?
        .to_bytes();
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&handle])?)
}

fn write_row(
    memory: &mut [u8],
    guest: &mut Guest,
    what: RowWrite,
    table: u32,
    row: Claim,
    slot: Slot,
) -> Result<Reply, Halt> {
    let bytes = row.read(memory)?;
    let wanted = match what {
        RowWrite::Insert => Access::INSERT,
        RowWrite::Update => Access::UPDATE,
        RowWrite::Upsert => Access::INSERT.with(Access::UPDATE),
        RowWrite::Delete => Access::DELETE,
    };
    let table = writable(guest, table, wanted)?;
    let Guest {
        step,
        waiting,
        limits,
        ..
    } = guest;
    let step = step.as_mut().ok_or_else(no_step)?;
    count_bytes(step, limits, row.length())?;
    let before = step.tables.savepoint();
    match what {
        RowWrite::Insert => drop(step.tables.insert(table, bytes)?),
        RowWrite::Upsert => drop(step.tables.upsert(table, bytes)?),
        RowWrite::Update => step.tables.update(table, bytes)?,
        RowWrite::Delete => step.tables.delete(table, bytes)?,
    }
    if !matches!(what, RowWrite::Insert) {
        count_replaced(step, limits, before)?;
    }
    let stored = match what {
        RowWrite::Insert | RowWrite::Upsert => step.tables.written_row(),
        RowWrite::Update | RowWrite::Delete => &[],
    };
    Ok(slot.put(memory, waiting, 0, &[stored])?)
}

/// The own table behind `handle`, if the running function may do `wanted` with it.
pub(super) fn writable(guest: &Guest, handle: u32, wanted: Access) -> Result<TableId, Halt> {
    let place = guest.place(handle)?;
    let step = guest.step.as_ref().ok_or_else(no_step)?;
    let function = step.function(&guest.binary)?;
    step.revoked
        .check_table(&guest.binary, function, place, wanted)?;
    match place {
        Place::Own(table) => Ok(table),
        Place::Foreign(_) => {
            let table = guest.binary.table_name(place);
            let message =
                format!("the table `{table}` belongs to another module; call one of its reducers");
            Err(Failure::new(Code::Denied, message)
                .about_table(table)
                .into())
        }
    }
}
