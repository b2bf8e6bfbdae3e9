//! The bank: transfers between accounts, two reads and two updates each.

use interstice_sdk::*;

/// An account.
#[table(public)]
pub struct Account {
    /// From 0 on.
    #[primary_key]
    pub id: u32,
    /// Never negative.
    pub balance: i64,
}

/// Opens the accounts `0..count` with `balance` each, or resets them.
#[reducer]
pub fn open_accounts<Caps>(ctx: ReducerContext<Caps>, count: u32, balance: i64) -> Result<(), Error>
where
    Caps: CanInsert<Account> + CanUpdate<Account>,
{
    let accounts = ctx.current.tables.account();
    for id in 0..count {
        accounts.upsert(Account { id, balance })?;
    }
    Ok(())
}

/// Moves `amount` from one account to another, or less where there is less. Money that goes to its
/// own account stays.
#[reducer]
pub fn transfer<Caps>(
    ctx: ReducerContext<Caps>,
    from: u32,
    to: u32,
    amount: i64,
) -> Result<(), String>
where
    Caps: CanRead<Account> + CanUpdate<Account>,
{
    let accounts = ctx.current.tables.account();
    let missing = |id: u32| format!("there is no account {id}; call `open_accounts` first");
    let payer = accounts.get(from).ok_or_else(|| missing(from))?;
    let payee = accounts.get(to).ok_or_else(|| missing(to))?;
    let moved = amount.clamp(0, payer.balance);
    if from == to {
        return Ok(());
    }
    let update = |account: Account| accounts.update(account).map_err(|error| error.to_string());
    update(Account {
        balance: payer.balance - moved,
        ..payer
    })?;
    update(Account {
        balance: payee.balance + moved,
        ..payee
    })
}

/// What all accounts hold together: transfers do not change it.
#[query]
pub fn total<Caps>(ctx: QueryContext<Caps>) -> i64
where
    Caps: CanRead<Account>,
{
    let accounts = ctx.current.tables.account();
    accounts.into_iter().map(|account| account.balance).sum()
}
