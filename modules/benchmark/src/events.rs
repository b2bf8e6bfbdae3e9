//! Fan-out: one row that changes, and whoever watches it.

use interstice_sdk::*;

/// What was said last on a channel.
#[table(public, ephemeral)]
pub struct Signal {
    /// The channel.
    #[primary_key]
    pub channel: u64,
    /// Which operation.
    pub seq: u64,
    /// When its sender sent it, in microseconds since 1970.
    pub sent_us: u64,
}

/// How often something was said, as the reaction to it has counted.
#[table(public, ephemeral)]
pub struct Heard {
    /// The channel.
    #[primary_key]
    pub channel: u64,
    /// How often.
    pub times: u64,
}

/// Says something on a channel.
#[reducer]
pub fn emit<Caps>(
    ctx: ReducerContext<Caps>,
    channel: u64,
    seq: u64,
    sent_us: u64,
) -> Result<(), Error>
where
    Caps: CanInsert<Signal> + CanUpdate<Signal>,
{
    let signals = ctx.current.tables.signal();
    signals.upsert(Signal {
        channel,
        seq,
        sent_us,
    })?;
    Ok(())
}

/// Counts what was said first on a channel.
#[reducer(on = "signal.insert")]
pub fn hear<Caps>(ctx: ReducerContext<Caps>, signal: Signal) -> Result<(), Error>
where
    Caps: CanRead<Heard> + CanInsert<Heard> + CanUpdate<Heard>,
{
    count(&ctx, signal.channel)
}

/// Counts what was said since.
#[reducer(on = "signal.update")]
pub fn hear_again<Caps>(ctx: ReducerContext<Caps>, _old: Signal, new: Signal) -> Result<(), Error>
where
    Caps: CanRead<Heard> + CanInsert<Heard> + CanUpdate<Heard>,
{
    count(&ctx, new.channel)
}

/// How often something was said on a channel since the node has started.
#[query]
pub fn heard<Caps>(ctx: QueryContext<Caps>, channel: u64) -> u64
where
    Caps: CanRead<Heard>,
{
    let heard = ctx.current.tables.heard().get(channel);
    heard.map_or(0, |heard| heard.times)
}

fn count<Caps>(ctx: &ReducerContext<Caps>, channel: u64) -> Result<(), Error>
where
    Caps: CanRead<Heard> + CanInsert<Heard> + CanUpdate<Heard>,
{
    let heard = ctx.current.tables.heard();
    let times = heard.get(channel).map_or(0, |heard| heard.times);
    heard.upsert(Heard {
        channel,
        times: times + 1,
    })?;
    Ok(())
}
