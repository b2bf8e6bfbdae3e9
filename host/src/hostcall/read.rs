//! Host calls that read tables: a module's own at once, another module's through [`Outside::read`].
//!
//! A read has no error to give to most callers, so one without the capability ends the step. An
//! answer is made by one function, [`read`], for guests of this module and of others alike.
//!
//! [`Outside::read`]: crate::module::Outside::read

use std::future::Future;

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::{NAMESPACE, Reply, ScanRequest, TABLE_COUNT, TABLE_EDGE, TABLE_GET, TABLE_SCAN},
    id::TableId,
    schema::Access,
};
use wasmtime::{Caller, Linker};

use super::{Claim, Guest, Halt, Slot, enter, finish, guest::no_step};
use crate::{
    module::{ForeignRead, ReadRequest},
    table::Tables,
    wasm::{Fault, Place},
};

/// Bytes of rows in one batch of a scan: large enough to make the call cheap, small enough to be a
/// short one.
const SCAN_BATCH_BYTES_MAX: usize = 64 * 1024;

/// Longest encoded request in bytes: two bounds and a cursor, each with a key of at most what fits
/// a row's index.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

type Answer<'a> = Box<dyn Future<Output = wasmtime::Result<u64>> + Send + 'a>;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        TABLE_GET.name,
        |caller: Caller<'_, Guest>,
         (table, index, ptr, len, out, cap): (u32, u32, u32, u32, u32, u32)| {
            answer_read(caller, table, Slot::new(out, cap), move |memory| {
                let index = u16::try_from(index).map_err(|_| {
                    Failure::new(Code::NotFound, format!("there is no index {index}"))
                })?;
                let key = bounded(memory, Claim::new(ptr, len))?.to_vec();
                Ok(ReadRequest::Get { index, key })
            })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        TABLE_COUNT.name,
        |caller: Caller<'_, Guest>, (table, out, cap): (u32, u32, u32)| {
            answer_read(caller, table, Slot::new(out, cap), |_| {
                Ok(ReadRequest::Count)
            })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        TABLE_EDGE.name,
        |caller: Caller<'_, Guest>, (table, last, out, cap): (u32, u32, u32, u32)| {
            answer_read(caller, table, Slot::new(out, cap), move |_| {
                Ok(ReadRequest::Edge { last: last != 0 })
            })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        TABLE_SCAN.name,
        |caller: Caller<'_, Guest>, (table, ptr, len, out, cap): (u32, u32, u32, u32, u32)| {
            answer_read(caller, table, Slot::new(out, cap), move |memory| {
                let bytes = bounded(memory, Claim::new(ptr, len))?;
                Ok(ReadRequest::Scan(scan_request(bytes)?))
            })
        },
    )?;
    Ok(())
}

fn answer_read<'a>(
    mut caller: Caller<'a, Guest>,
    table: u32,
    slot: Slot,
    request: impl FnOnce(&[u8]) -> Result<ReadRequest, Halt> + Send + 'a,
) -> Answer<'a> {
    Box::new(async move {
        let result = perform(&mut caller, table, slot, request).await;
        finish(&mut caller, slot, result)
    })
}

async fn perform(
    caller: &mut Caller<'_, Guest>,
    table: u32,
    slot: Slot,
    request: impl FnOnce(&[u8]) -> Result<ReadRequest, Halt>,
) -> Result<Reply, Halt> {
    let (memory, guest) = enter(caller)?;
    slot.check(memory)?;
    let request = request(memory)?;
    let place = readable(guest, table)?;
    let Guest { step, waiting, .. } = guest;
    let step = step.as_mut().ok_or_else(no_step)?;
    let place = match place {
        Place::Own(table) => return read_own(&step.tables, table, &request, memory, waiting, slot),
        Place::Foreign(place) => place,
    };
    let foreign = guest.binary.foreign.get(place);
    let request = foreign
        .and_then(|table| {
            Some(ForeignRead {
                module: table.module.clone()?,
                table: table.table.clone(),
                read: request,
            })
        })
        .ok_or_else(|| Failure::internal("an open table is not there"))?;
    let meter = guest.meter.clone();
    let reading = guest.step()?.outside.read(request);
    // A read has no `Err` to give: what stands in its way ends the step with its own code.
    let bytes = meter.wait(reading).await.map_err(Fault::ended)?;
    let (memory, guest) = enter(caller)?;
    Ok(slot.put(memory, &mut guest.waiting, 0, &[&bytes])?)
}

/// Rows go from the table into the guest's memory without a stop.
fn read_own(
    tables: &Tables,
    table: TableId,
    request: &ReadRequest,
    memory: &mut [u8],
    waiting: &mut Vec<u8>,
    slot: Slot,
) -> Result<Reply, Halt> {
    let row = match request {
        ReadRequest::Get { index, key } => tables.get(table, *index, key)?,
        ReadRequest::Edge { last } => tables.edge(table, *last)?,
        ReadRequest::Count | ReadRequest::Scan(_) => {
            let bytes = read(tables, table, request)?;
            return Ok(slot.put(memory, waiting, 0, &[&bytes])?);
        }
    };
    Ok(match row {
        Some(row) => slot.put(memory, waiting, 0, &[&[1], row])?,
        None => slot.put(memory, waiting, 0, &[&[0]])?,
    })
}

/// The bytes of the answer to `request`.
///
/// # Errors
/// The table's refusal of a bad key, index or cursor.
pub(crate) fn read(
    tables: &Tables,
    table: TableId,
    request: &ReadRequest,
) -> Result<Vec<u8>, Failure> {
    match request {
        ReadRequest::Get { index, key } => Ok(optional(tables.get(table, *index, key)?)),
        ReadRequest::Edge { last } => Ok(optional(tables.edge(table, *last)?)),
        ReadRequest::Count => Ok(tables.count(table)?.to_bytes()),
        ReadRequest::Scan(request) => {
            let batch = tables.scan(table, request, SCAN_BATCH_BYTES_MAX)?;
            postcard::to_allocvec(&batch).map_err(Failure::internal)
        }
    }
}

fn optional(row: Option<&[u8]>) -> Vec<u8> {
    match row {
        Some(row) => [&[1], row].concat(),
        None => vec![0],
    }
}

/// What is behind `handle`, if the running function may read it.
fn readable(guest: &Guest, handle: u32) -> Result<Place, Halt> {
    let place = guest.place(handle)?;
    let step = guest.step.as_ref().ok_or_else(no_step)?;
    let function = step.function(&guest.binary)?;
    step.revoked
        .check_table(&guest.binary, function, place, Access::READ)
        .map_err(Fault::ended)?;
    Ok(place)
}

fn scan_request(bytes: &[u8]) -> Result<ScanRequest, Failure> {
    match postcard::take_from_bytes(bytes) {
        Ok((request, [])) => Ok(request),
        _ => Err(Failure::new(
            Code::BadArguments,
            "a scan's request cannot be read",
        )),
    }
}

fn bounded(memory: &[u8], claim: Claim) -> Result<&[u8], Halt> {
    let bytes = claim.read(memory)?;
    if claim.length() > REQUEST_BYTES_MAX {
        let message = format!(
            "a key or request is {} bytes long; the limit is {REQUEST_BYTES_MAX}",
            claim.length()
        );
        return Err(Failure::new(Code::TooLarge, message).into());
    }
    Ok(bytes)
}
