//! Follows the accounts of the module bank, and can tell whether its books are right.
//!
//! It runs in an actor of its own: the bank does not know it. It keeps a journal of every change
//! that it is told of, and compares the journal with the bank's table and with what the bank
//! itself says.

use interstice_sdk::*;

interstice_module!();

use crate::bindings::bank::{Account, HasAccountHandle, HasBankModuleHandle};

/// One change of one account.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Chosen on insert: entries are in the order in which things happened.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// The account's number.
    #[index(hash)]
    pub account: u64,
    /// What it held before; `None` when it was opened, or already open when the audit began.
    pub before: Option<i64>,
    /// What it held after; `None` when it was closed.
    pub after: Option<i64>,
}

/// What an audit found. All three sums should be the same.
#[interstice_type]
#[derive(Debug, PartialEq)]
pub struct Report {
    /// The sum of all changes in the journal.
    pub by_journal: i64,
    /// The sum over the bank's public table.
    pub by_table: i64,
    /// The bank's own answer.
    pub by_bank: i64,
    /// Whether they agree.
    pub agrees: bool,
}

/// Takes stock of the accounts that were there before the audit.
#[reducer(on = "init")]
pub fn init<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanRead<Account> + CanInsert<Entry>,
{
    for account in ctx.bank().tables.account() {
        note(&ctx, account.id, None, Some(account.balance))?;
    }
    Ok(())
}

/// An account was opened.
#[reducer(on = "bank.account.insert")]
pub fn on_open<Caps>(ctx: ReducerContext<Caps>, row: Account) -> Result<(), Error>
where
    Caps: CanInsert<Entry>,
{
    note(&ctx, row.id, None, Some(row.balance))
}

/// An account's balance changed.
#[reducer(on = "bank.account.update")]
pub fn on_change<Caps>(
    ctx: ReducerContext<Caps>,
    before: Account,
    after: Account,
) -> Result<(), Error>
where
    Caps: CanInsert<Entry>,
{
    note(&ctx, after.id, Some(before.balance), Some(after.balance))
}

/// An account was closed.
#[reducer(on = "bank.account.delete")]
pub fn on_close<Caps>(ctx: ReducerContext<Caps>, row: Account) -> Result<(), Error>
where
    Caps: CanInsert<Entry>,
{
    note(&ctx, row.id, Some(row.balance), None)
}

/// The audit was stopped for so long that the node no longer keeps all that happened meanwhile:
/// the journal lacks what came before this turn.
#[reducer(on = "bank.account.gap")]
pub fn on_gap(ctx: ReducerContext, first_turn: u64) {
    ctx.log(&format!(
        "the journal lacks changes of accounts before turn {first_turn}"
    ));
}

/// Everything that happened to one account.
#[query]
pub fn history<Caps>(ctx: QueryContext<Caps>, account: u64) -> Vec<Entry>
where
    Caps: CanRead<Entry>,
{
    ctx.current.tables.entry().scan_by_account_eq(account)
}

/// Adds up the journal and the bank's table, asks the bank, and compares.
#[query]
pub fn audit<Caps>(ctx: QueryContext<Caps>) -> Result<Report, Error>
where
    Caps: CanRead<Entry> + CanRead<Account>,
{
    let entries = ctx.current.tables.entry().into_iter();
    let by_journal = entries
        .map(|entry| entry.after.unwrap_or(0) - entry.before.unwrap_or(0))
        .sum();
    let accounts = ctx.bank().tables.account().into_iter();
    let by_table = accounts.map(|account| account.balance).sum();
    let by_bank = ctx.bank().queries.total()?;
    Ok(Report {
        by_journal,
        by_table,
        by_bank,
        agrees: by_journal == by_table && by_table == by_bank,
    })
}

fn note<Caps>(
    ctx: &ReducerContext<Caps>,
    account: u64,
    before: Option<i64>,
    after: Option<i64>,
) -> Result<(), Error>
where
    Caps: CanInsert<Entry>,
{
    ctx.current.tables.entry().insert(Entry {
        id: 0,
        account,
        before,
        after,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
