//! What the clients of the module `ledger` hold. The ledger calls it inside its own steps.
//!
//! Every slip counts in the account of its client, always: a step that keeps one without the other
//! has been torn apart. It also counts who connects and who goes, because it is never unloaded.

use interstice_sdk::*;

interstice_module!();

/// What a client holds: the sum of its slips.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Account {
    /// The client's number.
    #[primary_key]
    pub client: u64,
    /// The sum of the slips' amounts.
    pub balance: u64,
    /// How many slips there are.
    pub slips: u64,
}

/// One deposit.
#[table]
#[derive(Debug, PartialEq)]
pub struct Slip {
    /// Never given twice.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// The entry's token.
    #[index(hash, unique)]
    pub token: u64,
    /// Whose it is.
    #[index(btree)]
    pub client: u64,
    /// How much it is.
    pub amount: u64,
}

/// How often somebody has come and gone.
#[table]
#[derive(Debug, PartialEq)]
pub struct Presence {
    /// The id of a client's key.
    #[primary_key]
    pub node: String,
    /// Connections opened.
    pub opened: u64,
    /// Connections ended, by whatever.
    pub closed: u64,
}

/// Takes a deposit in; fails at the end, with everything done, when `fails` says so.
#[reducer]
pub fn deposit<Caps>(
    ctx: ReducerContext<Caps>,
    token: u64,
    client: u64,
    amount: u64,
    fails: bool,
) -> Result<(), String>
where
    Caps: CanInsert<Slip> + CanRead<Account> + CanInsert<Account> + CanUpdate<Account>,
{
    ctx.current.tables.slip().insert(Slip {
        id: 0,
        token,
        client,
        amount,
    })?;
    let accounts = ctx.current.tables.account();
    let (balance, slips) = accounts
        .get(client)
        .map_or((0, 0), |account| (account.balance, account.slips));
    accounts.upsert(Account {
        client,
        balance: balance + amount,
        slips: slips + 1,
    })?;
    if fails {
        return Err(format!("the deposit {token} was to fail"));
    }
    Ok(())
}

/// Adds to a deposit.
#[reducer]
pub fn revise<Caps>(ctx: ReducerContext<Caps>, token: u64, by: u64) -> Result<(), String>
where
    Caps: CanRead<Slip> + CanUpdate<Slip> + CanRead<Account> + CanUpdate<Account>,
{
    let slips = ctx.current.tables.slip();
    let slip = slips.get_by_token(token).ok_or("there is no such slip")?;
    let accounts = ctx.current.tables.account();
    let account = accounts.get(slip.client).ok_or("there is no account")?;
    accounts.update(Account {
        balance: account.balance + by,
        ..account
    })?;
    slips.update(Slip {
        amount: slip.amount + by,
        ..slip
    })?;
    Ok(())
}

/// Gives a deposit back.
#[reducer]
pub fn withdraw<Caps>(ctx: ReducerContext<Caps>, token: u64) -> Result<(), String>
where
    Caps: CanRead<Slip> + CanDelete<Slip> + CanRead<Account> + CanUpdate<Account>,
{
    let slips = ctx.current.tables.slip();
    let slip = slips.get_by_token(token).ok_or("there is no such slip")?;
    let accounts = ctx.current.tables.account();
    let account = accounts.get(slip.client).ok_or("there is no account")?;
    accounts.update(Account {
        balance: account.balance - slip.amount,
        slips: account.slips - 1,
        ..account
    })?;
    slips.delete(slip.id)?;
    Ok(())
}

/// Somebody has come.
#[reducer(on = "connect")]
pub fn on_connect<Caps>(ctx: ReducerContext<Caps>, node_id: String) -> Result<(), Error>
where
    Caps: CanRead<Presence> + CanInsert<Presence> + CanUpdate<Presence>,
{
    count(&ctx, node_id, (1, 0))
}

/// Somebody has gone.
#[reducer(on = "disconnect")]
pub fn on_disconnect<Caps>(ctx: ReducerContext<Caps>, node_id: String) -> Result<(), Error>
where
    Caps: CanRead<Presence> + CanInsert<Presence> + CanUpdate<Presence>,
{
    count(&ctx, node_id, (0, 1))
}

fn count<Caps>(ctx: &ReducerContext<Caps>, node: String, by: (u64, u64)) -> Result<(), Error>
where
    Caps: CanRead<Presence> + CanInsert<Presence> + CanUpdate<Presence>,
{
    let presence = ctx.current.tables.presence();
    let known = presence.get(node.clone());
    let (opened, closed) = known.map_or((0, 0), |row| (row.opened, row.closed));
    presence.upsert(Presence {
        node,
        opened: opened + by.0,
        closed: closed + by.1,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use interstice_sdk::testing;

    use super::*;

    #[test]
    fn accounts_are_the_sums_of_their_slips() {
        assert_eq!(testing::step(|ctx| deposit(ctx, 1, 7, 5, false)), Ok(()));
        assert_eq!(testing::step(|ctx| deposit(ctx, 2, 7, 3, false)), Ok(()));
        assert!(testing::step(|ctx| deposit(ctx, 3, 7, 9, true)).is_err());
        assert_eq!(testing::step(|ctx| revise(ctx, 1, 2)), Ok(()));
        assert_eq!(testing::step(|ctx| withdraw(ctx, 2)), Ok(()));
        let account = Account {
            client: 7,
            balance: 7,
            slips: 1,
        };
        assert_eq!(testing::rows::<Account>(), [account]);
    }
}
