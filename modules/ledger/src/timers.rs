//! What runs by itself: timers that are set once, and two chains that set themselves.

use interstice_sdk::*;

use crate::tables::{
    Alarm, Beat, HasAlarmEditHandle, HasBeatEditHandle, HasRecentEditHandle, HasRungEditHandle,
    HasStartEditHandle, Recent, Rung, Start,
};

/// The time between two beats, in milliseconds.
const PERIOD_MS: u64 = 25;

/// Begins the chain that never ends.
#[reducer(on = "init")]
pub fn init<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Beat>,
{
    for chain in [0, 1] {
        ctx.current.tables.beat().insert(Beat {
            chain,
            count: 0,
            last_ms: ctx.time_now_ms()?,
            early: 0,
        })?;
    }
    ctx.schedule("beat", PERIOD_MS)?;
    Ok(())
}

/// Fills what is empty at every start, and begins the chain that ends with this load.
#[reducer(on = "load")]
pub fn load<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Start> + CanInsert<Recent> + CanRead<Beat> + CanUpdate<Beat>,
{
    let tables = &ctx.current.tables;
    tables.recent().insert(Recent { token: 0 })?;
    tables.start().insert(Start {
        id: 0,
        seq: ctx.seq(),
    })?;
    if let Some(beat) = tables.beat().get(1) {
        tables.beat().update(Beat {
            last_ms: ctx.time_now_ms()?,
            ..beat
        })?;
    }
    ctx.schedule("load_beat", PERIOD_MS)?;
    Ok(())
}

/// Sets a timer that fires once.
#[reducer]
pub fn alarm<Caps>(ctx: ReducerContext<Caps>, token: u64, delay_ms: u64) -> Result<(), Error>
where
    Caps: CanInsert<Alarm>,
{
    ctx.current.tables.alarm().insert(Alarm { token })?;
    ctx.schedule("ring", delay_ms)?;
    Ok(())
}

/// A timer has fired.
#[reducer(private)]
pub fn ring<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Rung>,
{
    ctx.current.tables.rung().insert(Rung { id: 0 })?;
    Ok(())
}

/// One link of the chain of `init`.
#[reducer(private)]
pub fn beat<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanRead<Beat> + CanUpdate<Beat>,
{
    ctx.schedule("beat", PERIOD_MS)?;
    count(&ctx, 0)
}

/// One link of the chain of `load`.
#[reducer(private)]
pub fn load_beat<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanRead<Beat> + CanUpdate<Beat>,
{
    ctx.schedule("load_beat", PERIOD_MS)?;
    count(&ctx, 1)
}

fn count<Caps>(ctx: &ReducerContext<Caps>, chain: u64) -> Result<(), Error>
where
    Caps: CanRead<Beat> + CanUpdate<Beat>,
{
    let beats = ctx.current.tables.beat();
    let Some(beat) = beats.get(chain) else {
        return Ok(());
    };
    let now = ctx.time_now_ms()?;
    let is_early = now < beat.last_ms + PERIOD_MS;
    beats.update(Beat {
        chain,
        count: beat.count + 1,
        last_ms: now,
        early: beat.early + u64::from(is_early),
    })
}
