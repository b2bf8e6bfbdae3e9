//! Entries that reach into other modules, for the tests that kill a node.
//!
//! A client makes, revises and drops entries; each time the module `vault` does its part in the
//! same step, and the modules `mirror` and `echo` react to it. So a step that is torn apart, a
//! reaction that is lost and a call that is made twice show in sums and counts. Beside it run
//! timers: some once, a chain of `init` that goes on for ever, a chain of `load` that ends with
//! its load.

mod tables;
mod timers;

use interstice_sdk::*;

interstice_module!(visibility: Public);

pub use crate::tables::{Alarm, Beat, Entry, Page, Recent, Rung, Start};
use crate::{
    bindings::vault::HasVaultModuleHandle,
    tables::{HasEntryEditHandle, HasEntryReadHandle, HasPageEditHandle, HasRecentEditHandle},
};

/// How far a call of [`add`] goes.
#[interstice_type]
#[derive(Debug, Copy, PartialEq)]
pub enum Course {
    /// To its end.
    Straight,
    /// To its end, after a call to the vault that failed when its work was done.
    Detour,
    /// Until everything is done, and then it returns an error.
    Refused,
    /// Until everything is done, and then it panics.
    Panic,
}

/// Makes an entry, its slip and its page.
#[reducer]
pub fn add<Caps>(
    ctx: ReducerContext<Caps>,
    token: u64,
    client: u64,
    amount: u64,
    course: Course,
) -> Result<(), String>
where
    Caps: CanInsert<Entry> + CanInsert<Page> + CanInsert<Recent>,
{
    let vault = ctx.vault().reducers;
    if course == Course::Detour && vault.deposit(token, client, amount, true).is_ok() {
        return Err("the vault was to fail".to_string());
    }
    ctx.current.tables.entry().insert(Entry {
        id: 0,
        token,
        client,
        number: 0,
        amount,
        changes: 0,
    })?;
    vault.deposit(token, client, amount, false)?;
    let bytes = page_bytes(token);
    ctx.current.tables.page().insert(Page { token, bytes })?;
    ctx.current.tables.recent().insert(Recent { token })?;
    match course {
        Course::Straight | Course::Detour => Ok(()),
        Course::Refused => Err(format!("entry {token} was to be refused")),
        Course::Panic => panic!("entry {token} was to panic"),
    }
}

/// Adds to an entry's amount.
#[reducer]
pub fn revise<Caps>(ctx: ReducerContext<Caps>, token: u64, by: u64) -> Result<(), String>
where
    Caps: CanRead<Entry> + CanUpdate<Entry>,
{
    ctx.vault().reducers.revise(token, by)?;
    let entries = ctx.current.tables.entry();
    let entry = entries
        .get_by_token(token)
        .ok_or("there is no such entry")?;
    entries.update(Entry {
        amount: entry.amount + by,
        changes: entry.changes + 1,
        ..entry
    })?;
    Ok(())
}

/// Drops an entry with everything that belongs to it.
#[reducer]
pub fn discard<Caps>(ctx: ReducerContext<Caps>, token: u64) -> Result<(), String>
where
    Caps: CanRead<Entry> + CanDelete<Entry> + CanDelete<Page> + CanDelete<Recent>,
{
    let entries = ctx.current.tables.entry();
    let entry = entries
        .get_by_token(token)
        .ok_or("there is no such entry")?;
    entries.delete(entry.id)?;
    ctx.current.tables.page().delete(token)?;
    // It may have been made before the last start.
    let _ = ctx.current.tables.recent().delete(token);
    ctx.vault().reducers.withdraw(token)?;
    Ok(())
}

/// The entry of a token.
#[query]
pub fn by_token<Caps>(ctx: QueryContext<Caps>, token: u64) -> Option<Entry>
where
    Caps: CanRead<Entry>,
{
    ctx.current.tables.entry().get_by_token(token)
}

/// The entries of a client.
#[query]
pub fn by_client<Caps>(ctx: QueryContext<Caps>, client: u64) -> Vec<Entry>
where
    Caps: CanRead<Entry>,
{
    ctx.current.tables.entry().scan_by_client_eq(client)
}

/// The entries with numbers from `min` to `max`.
#[query]
pub fn by_number<Caps>(ctx: QueryContext<Caps>, min: u32, max: u32) -> Vec<Entry>
where
    Caps: CanRead<Entry>,
{
    let entries = ctx.current.tables.entry();
    entries.scan_by_number_range(min, max, true, true)
}

/// What stands on the page of a token: up to some kilobytes, the same whenever it is asked.
fn page_bytes(token: u64) -> Vec<u8> {
    let length = usize::try_from(token % 3000).unwrap_or(0);
    vec![u8::try_from(token % 251).unwrap_or(0); length]
}

#[cfg(test)]
mod tests;
