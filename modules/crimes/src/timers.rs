//! Timers: thousands at once, some that make more of themselves, and some that crash.

use interstice_sdk::*;

use crate::{HasLootEditHandle, Loot, steal};

/// Sets timers without end, until it is stopped.
#[reducer]
pub fn timer_flood<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    loop {
        ctx.schedule("tick", 0)?;
    }
}

/// Sets `count` timers that are due at once.
#[reducer]
pub fn timer_storm(ctx: ReducerContext, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        ctx.schedule("tick", 0)?;
    }
    Ok(())
}

/// What the timers of a storm do: next to nothing.
#[reducer(private)]
pub fn tick(_ctx: ReducerContext) {}

/// Sets a timer that sets two, each of which sets two. Only an owner ends it.
#[reducer]
pub fn timer_fork(ctx: ReducerContext) -> Result<(), Error> {
    ctx.schedule("timer_fork", 0)?;
    ctx.schedule("timer_fork", 0)?;
    Ok(())
}

/// Sets `count` timers, each of which crashes.
#[reducer]
pub fn crashing_timers(ctx: ReducerContext, count: u32) -> Result<(), Error> {
    for _ in 0..count {
        ctx.schedule("crash", 0)?;
    }
    Ok(())
}

/// Crashes after a row.
#[reducer]
pub fn crash<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    panic!("a timer crashes");
}

/// Sets a timer far ahead, to see what becomes of it.
#[reducer]
pub fn alarm(ctx: ReducerContext, delay_ms: u64) -> Result<(), Error> {
    ctx.schedule("ring", delay_ms)?;
    Ok(())
}

/// What an alarm does: one row more.
#[reducer(private)]
pub fn ring<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    let loot = Loot {
        id: 0,
        size: 4242,
        bytes: Vec::new(),
    };
    ctx.current.tables.loot().insert(loot)?;
    Ok(())
}
