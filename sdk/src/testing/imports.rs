//! The host calls of a node, answered by the thread's world: the native counterpart of `sys`, with
//! its functions.
//!
//! Answers go the same way as in a node, through the guest's buffer or, when they are too large,
//! through [`reply_read`]; so tests run the guest's side of the protocol too.

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::{Reply, TimerDue, TimerRequest},
    schema::TableSchema,
    types::TypeSet,
};

use super::{
    calls,
    table::Table,
    world::{self, World},
};

fn reply(answer: Result<Vec<u8>, Failure>, out: &mut [u8]) -> Reply {
    let (status, bytes) = match answer {
        Ok(bytes) => (0, bytes),
        Err(failure) => (
            failure.code as u16,
            postcard::to_allocvec(&failure).unwrap_or_default(),
        ),
    };
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match out.get_mut(..bytes.len()) {
        Some(room) => room.copy_from_slice(&bytes),
        None => world::with(|world| world.waiting = bytes),
    }
    Reply { status, length }
}

fn ask(out: &mut [u8], work: impl FnOnce(&mut World) -> Result<Vec<u8>, Failure>) -> Reply {
    let answer = world::with(work);
    reply(answer, out)
}

fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(Failure::internal)
}

fn ask_table(
    table: u32,
    out: &mut [u8],
    work: impl FnOnce(&mut Table) -> Result<Vec<u8>, Failure>,
) -> Reply {
    ask(out, |world| {
        let table = world.tables.get_mut(table as usize);
        let (_, table) = table.ok_or_else(|| Failure::internal("no such table handle"))?;
        work(table)
    })
}

/// Runs an export with `input`: its status and output.
#[cfg(test)]
pub(crate) fn run_export(input: &[u8], export: impl FnOnce(u32) -> u32) -> (u32, Vec<u8>) {
    world::with(|world| {
        world.input = input.to_vec();
        world.output.clear();
    });
    let length = u32::try_from(input.len()).expect("inputs of tests are short");
    let status = export(length);
    (status, world::with(|world| world.output.clone()))
}

/// Fills `buffer` with the input of the running export.
pub(crate) fn input_read(buffer: &mut [u8]) {
    world::with(|world| {
        for (to, from) in buffer.iter_mut().zip(&world.input) {
            *to = *from;
        }
    });
}

/// Sets the output of the running export.
pub(crate) fn output_write(bytes: &[u8]) {
    world::with(|world| world.output = bytes.to_vec());
}

/// Fills `buffer` with the last answer that did not fit.
pub(crate) fn reply_read(buffer: &mut [u8]) {
    world::with(|world| buffer.copy_from_slice(&std::mem::take(&mut world.waiting)));
}

/// One line into the module's log.
pub(crate) fn log(line: &str) {
    world::with(|world| world.logs.push(line.to_string()));
}

/// Milliseconds since 1970.
pub(crate) fn time_now(out: &mut [u8]) -> Reply {
    ask(out, |world| Ok(world.time_ms.to_bytes()))
}

/// The next number of the stream.
pub(crate) fn random(out: &mut [u8]) -> Reply {
    ask(out, |world| Ok(world.random().to_bytes()))
}

/// This node's id.
pub(crate) fn node_id(out: &mut [u8]) -> Reply {
    ask(out, |world| Ok(world.node_id.to_bytes()))
}

/// The step's number.
pub(crate) fn seq() -> u64 {
    world::with(|world| world.seq)
}

/// A timer for a reducer.
pub(crate) fn schedule(name: &[u8], delay_ms: u64, out: &mut [u8]) -> Reply {
    ask(out, |world| {
        let timer = world.schedule(TimerRequest {
            reducer: text(name)?.to_string(),
            due: TimerDue::After(delay_ms),
            period_ms: None,
            arguments: Vec::new(),
        });
        Ok(timer.0.to_bytes())
    })
}

/// The timer's number.
pub(crate) fn timer_set(request: &[u8], out: &mut [u8]) -> Reply {
    ask(out, |world| {
        let request: TimerRequest = postcard::from_bytes(request).map_err(Failure::internal)?;
        if request.period_ms == Some(0) {
            let message = "a period of 0 ms is not possible; the shortest is 1 ms";
            return Err(Failure::new(Code::BadArguments, message));
        }
        Ok(world.schedule(request).0.to_bytes())
    })
}

/// Ends a pending timer.
pub(crate) fn cancel(timer: u64, out: &mut [u8]) -> Reply {
    ask(out, |world| {
        let place = world.timers.iter().position(|known| known.id.0 == timer);
        let message = format!("timer {timer} is not pending");
        let place = place.ok_or_else(|| Failure::new(Code::NotFound, message))?;
        world.timers.remove(place);
        Ok(Vec::new())
    })
}

/// Makes the table called `name`, unless it is there. A node has tables from their schemas; here
/// the row type brings its own.
pub(crate) fn table_declare(name: &str, schema: fn(&mut TypeSet) -> TableSchema) {
    world::with(|world| {
        if !world.tables.iter().any(|(known, _)| known == name) {
            world
                .tables
                .push((name.to_string(), Table::new(name, schema)));
        }
    });
}

/// The handle of a table.
pub(crate) fn table_open(name: &[u8], out: &mut [u8]) -> Reply {
    ask(out, |world| {
        let name = text(name)?;
        let place = world.tables.iter().position(|(known, _)| known == name);
        let known = world.tables.iter().map(|(known, _)| known.as_str());
        let place = place.ok_or_else(|| Failure::not_found("table", name, known))?;
        u32::try_from(place)
            .map(|handle| handle.to_bytes())
            .map_err(Failure::internal)
    })
}

/// The row as stored.
pub(crate) fn table_insert(table: u32, row: &[u8], out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| table.insert(row))
}

/// Nothing.
pub(crate) fn table_update(table: u32, row: &[u8], out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| table.update(row).map(|_| Vec::new()))
}

/// The row as stored.
pub(crate) fn table_upsert(table: u32, row: &[u8], out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| table.upsert(row))
}

/// Nothing.
pub(crate) fn table_delete(table: u32, key: &[u8], out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| table.delete(key))
}

/// Nothing.
pub(crate) fn table_clear(table: u32, out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| {
        table.clear();
        Ok(Vec::new())
    })
}

/// 0, or 1 and the row.
pub(crate) fn table_get(table: u32, index: u32, key: &[u8], out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| {
        table.get(index as usize, key).map(optional)
    })
}

/// How many rows there are.
pub(crate) fn table_count(table: u32, out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| Ok(table.count().to_bytes()))
}

/// 0, or 1 and the first or last row.
pub(crate) fn table_edge(table: u32, last: u32, out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| {
        Ok(optional(if last == 0 {
            table.first()
        } else {
            table.last()
        }))
    })
}

/// A batch of rows.
pub(crate) fn table_scan(table: u32, request: &[u8], out: &mut [u8]) -> Reply {
    ask_table(table, out, |table| {
        let request = postcard::from_bytes(request).map_err(Failure::internal)?;
        postcard::to_allocvec(&table.scan(&request)?).map_err(Failure::internal)
    })
}

/// Nothing.
pub(crate) fn call_reducer(request: &[u8], out: &mut [u8]) -> Reply {
    reply(calls::call(false, request).map(|_| Vec::new()), out)
}

/// The result's bytes.
pub(crate) fn call_query(request: &[u8], out: &mut [u8]) -> Reply {
    reply(calls::call(true, request), out)
}

fn optional(row: Option<Vec<u8>>) -> Vec<u8> {
    let mut answer = vec![u8::from(row.is_some())];
    answer.extend(row.unwrap_or_default());
    answer
}
