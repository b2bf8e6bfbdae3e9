//! Too often: host calls, scans, calls into another module, lines of log.

use std::hint::black_box;

use interstice_sdk::*;

use crate::{HasLootEditHandle, Loot, bindings::bank::HasBankModuleHandle, steal};

/// Asks for the time without end.
#[reducer]
pub fn host_call_flood<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    loop {
        black_box(ctx.time_now_ms()?);
    }
}

/// Reads its whole table without end.
#[reducer]
pub fn scan_flood<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot> + CanRead<Loot>,
{
    steal(&ctx, 1)?;
    loop {
        black_box(ctx.current.tables.loot().scan());
    }
}

/// Asks another module without end.
#[reducer]
pub fn call_flood<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    loop {
        black_box(ctx.bank().queries.total()?);
    }
}

/// Writes lines of `line_bytes`, without end.
#[reducer]
pub fn log_flood<Caps>(ctx: ReducerContext<Caps>, line_bytes: u32) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    let line = "y".repeat(line_bytes as usize);
    loop {
        ctx.log(&line);
    }
}

/// Writes `lines` lines of `line_bytes` and ends: what was said stays said.
#[reducer]
pub fn chatter(ctx: ReducerContext, lines: u32, line_bytes: u32) {
    let line = "y".repeat(line_bytes as usize);
    for _ in 0..lines {
        ctx.log(&line);
    }
}
