//! Hears of every change of the module `ledger`, and writes down one line for each: a change that
//! is missed or heard twice shows.

use interstice_sdk::*;

interstice_module!();

use crate::bindings::ledger::Entry;

/// What was heard of an entry.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Heard {
    /// In the order of what has happened.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// The entry's id.
    #[index(btree)]
    pub entry: u64,
    /// The entry's token.
    pub token: u64,
    /// 1: inserted, 2: updated, 3: deleted.
    pub kind: u64,
    /// The entry's amount afterwards.
    pub amount: u64,
}

/// An entry has come.
#[reducer(on = "ledger.entry.insert")]
pub fn on_insert<Caps>(ctx: ReducerContext<Caps>, row: Entry) -> Result<(), Error>
where
    Caps: CanInsert<Heard>,
{
    note(&ctx, &row, 1)
}

/// An entry has changed.
#[reducer(on = "ledger.entry.update")]
pub fn on_update<Caps>(ctx: ReducerContext<Caps>, _before: Entry, after: Entry) -> Result<(), Error>
where
    Caps: CanInsert<Heard>,
{
    note(&ctx, &after, 2)
}

/// An entry has gone.
#[reducer(on = "ledger.entry.delete")]
pub fn on_delete<Caps>(ctx: ReducerContext<Caps>, row: Entry) -> Result<(), Error>
where
    Caps: CanInsert<Heard>,
{
    note(&ctx, &row, 3)
}

fn note<Caps>(ctx: &ReducerContext<Caps>, entry: &Entry, kind: u64) -> Result<(), Error>
where
    Caps: CanInsert<Heard>,
{
    ctx.current.tables.heard().insert(Heard {
        id: 0,
        entry: entry.id,
        token: entry.token,
        kind,
        amount: entry.amount,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use interstice_sdk::testing;

    use super::*;

    #[test]
    fn every_change_is_a_line() {
        let entry = Entry {
            id: 4,
            token: 9,
            client: 1,
            number: 1,
            amount: 3,
            changes: 0,
        };
        let later = Entry {
            amount: 8,
            ..entry.clone()
        };
        assert_eq!(testing::step(|ctx| on_insert(ctx, entry.clone())), Ok(()));
        let updated = testing::step(|ctx| on_update(ctx, entry.clone(), later.clone()));
        assert_eq!(updated, Ok(()));
        assert_eq!(testing::step(|ctx| on_delete(ctx, later.clone())), Ok(()));
        let heard = testing::rows::<Heard>();
        let kinds: Vec<(u64, u64)> = heard.iter().map(|row| (row.kind, row.amount)).collect();
        assert_eq!(kinds, [(1, 3), (2, 8), (3, 8)]);
    }
}
