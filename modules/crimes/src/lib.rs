//! Misbehaves on order, to show that a module hurts nobody but itself.
//!
//! Each reducer and query is one crime. Those that change rows do so before the crime, so that it
//! can be seen that nothing of it stays. What the SDK does not let a module do (forged pointers,
//! rows that are none, writes without the capability) is not here.

use std::hint::black_box;

use interstice_sdk::*;

interstice_module!(visibility: Public);

mod bombs;
mod floods;
mod timers;

use crate::bindings::bank::{Account, HasAccountHandle, HasBankModuleHandle};

/// Evidence: no crime leaves any.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Loot {
    /// Chosen on insert.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// What was taken.
    #[index(btree)]
    pub size: u64,
    /// Something heavy.
    pub bytes: Vec<u8>,
}

/// What the cascade is made of.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Spark {
    /// Chosen on insert.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// How far from the first.
    pub generation: u64,
}

/// The account whose existence makes [`init`] crash.
pub const ACCOUNT_OF_DOOM: u64 = 666;

/// Crashes where the bank has an account of [`ACCOUNT_OF_DOOM`], after a row and a call that must
/// not stay.
#[reducer(on = "init")]
pub fn init<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanRead<Account> + CanInsert<Loot>,
{
    if ctx.bank().tables.account().get(ACCOUNT_OF_DOOM).is_some() {
        steal(&ctx, 1)?;
        ctx.bank().reducers.open(ACCOUNT_OF_DOOM + 1, 1)?;
        panic!("the module crashes before it has begun");
    }
    Ok(())
}

/// No crime: one row more.
#[reducer]
pub fn behave<Caps>(ctx: ReducerContext<Caps>, size: u64) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, size)
}

/// Never ends.
#[reducer]
pub fn endless_loop<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    loop {
        black_box(());
    }
}

/// Asks and never ends.
#[query]
pub fn endless_query(_ctx: QueryContext) -> u64 {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Calls itself until there is no stack left.
#[reducer]
pub fn deep_recursion<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    black_box(deeper(1));
    Ok(())
}

fn deeper(depth: u64) -> u64 {
    let here = black_box([depth; 8]);
    if black_box(depth) == 0 {
        return 0;
    }
    deeper(depth + 1) + here.iter().sum::<u64>()
}

/// Panics after a call into another module has succeeded.
#[reducer]
pub fn panic_across<Caps>(ctx: ReducerContext<Caps>, account: u64) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1)?;
    ctx.bank().reducers.open(account, 1_000_000)?;
    panic!("caught with account {account}");
}

/// Returns an error after a call into another module has succeeded.
#[reducer]
pub fn fail_across<Caps>(ctx: ReducerContext<Caps>, account: u64) -> Result<(), String>
where
    Caps: CanInsert<Loot>,
{
    steal(&ctx, 1).map_err(|error| error.to_string())?;
    let opened = ctx.bank().reducers.open(account, 1_000_000);
    opened.map_err(|error| error.to_string())?;
    Err(format!("account {account} was a mistake"))
}

/// Lays the first spark of a fire that feeds itself.
#[reducer]
pub fn cascade<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanInsert<Spark>,
{
    spread(&ctx, 0)
}

/// Each spark makes two.
#[reducer(on = "spark.insert")]
pub fn on_spark<Caps>(ctx: ReducerContext<Caps>, row: Spark) -> Result<(), Error>
where
    Caps: CanInsert<Spark>,
{
    spread(&ctx, row.generation + 1)?;
    spread(&ctx, row.generation + 1)
}

fn spread<Caps>(ctx: &ReducerContext<Caps>, generation: u64) -> Result<(), Error>
where
    Caps: CanInsert<Spark>,
{
    ctx.current
        .tables
        .spark()
        .insert(Spark { id: 0, generation })?;
    Ok(())
}

/// Takes something.
fn steal<Caps>(ctx: &ReducerContext<Caps>, size: u64) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    steal_bytes(ctx, size, Vec::new())
}

fn steal_bytes<Caps>(ctx: &ReducerContext<Caps>, size: u64, bytes: Vec<u8>) -> Result<(), Error>
where
    Caps: CanInsert<Loot>,
{
    let row = Loot { id: 0, size, bytes };
    ctx.current.tables.loot().insert(row)?;
    Ok(())
}

#[cfg(test)]
mod tests;
