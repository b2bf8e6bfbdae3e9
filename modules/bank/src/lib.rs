//! Accounts that never go below zero.
//!
//! Money moves inside one step, so nobody ever sees it gone from one account and not yet arrived
//! in the other.

use std::fmt;

use interstice_sdk::*;

interstice_module!(visibility: Public);

/// An account. Its balance is never negative.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Account {
    /// Chosen by whoever opens it.
    #[primary_key]
    pub id: u64,
    /// In the smallest unit of the currency.
    pub balance: i64,
}

/// Why the bank refuses. Callers read it as the sentence that [`fmt::Display`] makes of it.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// There is no account of this number.
    NoAccount(u64),
    /// Accounts do not open in debt.
    NegativeBalance(i64),
    /// Only what is more than nothing can be transferred.
    NotPositive(i64),
    /// The account does not hold the amount.
    Overdraft {
        /// The account.
        account: u64,
        /// What it holds.
        balance: i64,
        /// What was asked for.
        amount: i64,
    },
    /// The balance would be larger than an `i64`.
    TooRich(u64),
    /// The table refused, for example because the account is there already.
    Table(Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount(account) => write!(f, "there is no account {account}"),
            Self::NegativeBalance(balance) => {
                write!(
                    f,
                    "an account cannot open with {balance}; start at 0 or more"
                )
            }
            Self::NotPositive(amount) => {
                write!(f, "cannot transfer {amount}; the amount must be above 0")
            }
            Self::Overdraft {
                account,
                balance,
                amount,
            } => write!(f, "account {account} holds {balance}, less than {amount}"),
            Self::TooRich(account) => write!(f, "account {account} cannot hold that much"),
            Self::Table(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Table(error)
    }
}

/// Opens an account.
#[reducer]
pub fn open<Caps>(ctx: ReducerContext<Caps>, id: u64, balance: i64) -> Result<(), Refusal>
where
    Caps: CanInsert<Account>,
{
    if balance < 0 {
        return Err(Refusal::NegativeBalance(balance));
    }
    ctx.current
        .tables
        .account()
        .insert(Account { id, balance })?;
    Ok(())
}

/// Moves `amount` from one account to another. After a refusal both are as they were.
#[reducer]
pub fn transfer<Caps>(
    ctx: ReducerContext<Caps>,
    from: u64,
    to: u64,
    amount: i64,
) -> Result<(), Refusal>
where
    Caps: CanRead<Account> + CanUpdate<Account>,
{
    if amount <= 0 {
        return Err(Refusal::NotPositive(amount));
    }
    let payer = account(&ctx, from)?;
    if payer.balance < amount {
        return Err(Refusal::Overdraft {
            account: from,
            balance: payer.balance,
            amount,
        });
    }
    let accounts = ctx.current.tables.account();
    accounts.update(Account {
        balance: payer.balance - amount,
        ..payer
    })?;
    let payee = account(&ctx, to)?;
    let balance = payee.balance.checked_add(amount);
    accounts.update(Account {
        balance: balance.ok_or(Refusal::TooRich(to))?,
        ..payee
    })?;
    Ok(())
}

/// What all accounts hold together.
#[query]
pub fn total<Caps>(ctx: QueryContext<Caps>) -> i64
where
    Caps: CanRead<Account>,
{
    let balances = ctx.current.tables.account().into_iter();
    balances.map(|account| account.balance).sum()
}

/// What one account holds.
#[query]
pub fn balance<Caps>(ctx: QueryContext<Caps>, id: u64) -> Option<i64>
where
    Caps: CanRead<Account>,
{
    let account = ctx.current.tables.account().get(id);
    account.map(|account| account.balance)
}

/// A helper: it takes the context by reference, and asks for the capabilities that it needs itself.
fn account<Caps>(ctx: &ReducerContext<Caps>, id: u64) -> Result<Account, Refusal>
where
    Caps: CanRead<Account>,
{
    let account = ctx.current.tables.account().get(id);
    account.ok_or(Refusal::NoAccount(id))
}

#[cfg(test)]
mod tests;
