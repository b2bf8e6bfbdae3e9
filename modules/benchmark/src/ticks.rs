//! Timers that set themselves again.

use interstice_sdk::*;

/// The state of the ticking.
#[table(public)]
pub struct Clock {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// How often it has ticked.
    pub ticks: u64,
    /// Ticks go on until there were so many.
    pub until: u64,
    /// Milliseconds between two ticks of one timer.
    pub every_ms: u64,
}

/// Starts `timers` timers, which tick every `every_ms` until they have ticked `ticks` times
/// together.
#[reducer]
pub fn start_ticks<Caps>(
    ctx: ReducerContext<Caps>,
    timers: u32,
    every_ms: u64,
    ticks: u64,
) -> Result<(), Error>
where
    Caps: CanInsert<Clock> + CanUpdate<Clock>,
{
    ctx.current.tables.clock().upsert(Clock {
        id: 0,
        ticks: 0,
        until: ticks,
        every_ms,
    })?;
    for _ in 0..timers {
        ctx.schedule("tick", every_ms)?;
    }
    Ok(())
}

/// One tick, and the next timer.
#[reducer(private)]
pub fn tick<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanRead<Clock> + CanUpdate<Clock>,
{
    let clocks = ctx.current.tables.clock();
    let Some(clock) = clocks.get(0) else {
        return Ok(());
    };
    if clock.ticks >= clock.until {
        return Ok(());
    }
    let every_ms = clock.every_ms;
    clocks.update(Clock {
        ticks: clock.ticks + 1,
        ..clock
    })?;
    ctx.schedule("tick", every_ms)?;
    Ok(())
}

/// How often it has ticked since it was started.
#[query]
pub fn ticks<Caps>(ctx: QueryContext<Caps>) -> u64
where
    Caps: CanRead<Clock>,
{
    let clock = ctx.current.tables.clock().get(0);
    clock.map_or(0, |clock| clock.ticks)
}
