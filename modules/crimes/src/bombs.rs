//! Too much of something: memory, rows, bytes of one row, of a result, of an error.

use std::hint::black_box;

use interstice_sdk::*;

use crate::{HasLootEditHandle, Loot, steal, steal_bytes};

/// Wants all memory there is.
#[reducer]
pub fn memory_bomb<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

/// Inserts rows of `row_bytes` until it is stopped; a refusal is its error.
#[reducer]
pub fn table_bomb<Caps>(ctx: ReducerContext<Caps>, row_bytes: u32) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    for size in 0.. {
        steal_bytes(&ctx, size, vec![7; row_bytes as usize])?;
    }
    Ok(())
}

/// Inserts `rows` small rows and panics: much to undo.
#[reducer]
pub fn undo_bomb<Caps>(ctx: ReducerContext<Caps>, rows: u64) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    for size in 0..rows {
        steal(&ctx, size)?;
    }
    panic!("{rows} rows for nothing");
}

/// Inserts `rows` small rows that stay.
#[reducer]
pub fn hoard<Caps>(ctx: ReducerContext<Caps>, rows: u64) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    for size in 0..rows {
        steal(&ctx, size)?;
    }
    Ok(())
}

/// Empties the table and panics.
#[reducer]
pub fn clear_and_panic<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanDelete<Loot>,
{
    ctx.current.tables.loot().clear()?;
    panic!("everything was burnt");
}

/// Empties the table for good.
#[reducer]
pub fn clear<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanDelete<Loot>,
{
    ctx.current.tables.loot().clear()
}

/// Inserts one row of `bytes`.
#[reducer]
pub fn huge_row<Caps>(ctx: ReducerContext<Caps>, bytes: u32) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    steal_bytes(&ctx, 2, vec![7; bytes as usize])
}

/// Answers with `bytes`.
#[query]
pub fn huge_answer(_ctx: QueryContext, bytes: u32) -> Vec<u8> {
    vec![7; bytes as usize]
}

/// Fails with a message of `bytes`.
#[reducer]
pub fn huge_error<Caps>(ctx: ReducerContext<Caps>, bytes: u32) -> Result<(), String>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1).map_err(|error| error.to_string())?;
    Err("x".repeat(bytes as usize))
}
