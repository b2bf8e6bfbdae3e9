//! Hears of everything that the module `mirror` hears: the second link of a chain of reactions.
//!
//! It is installed, upgraded and removed while the others run. Whenever it is there, it has one
//! row per row of the mirror: what was there before it came it takes over in `init`.

use interstice_sdk::*;

interstice_module!();

use crate::bindings::mirror::{HasHeardHandle, HasMirrorModuleHandle, Heard};

/// What was heard.
#[table]
#[derive(Debug, PartialEq)]
pub struct Echo {
    /// Never given twice.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// The row of the mirror.
    #[index(hash)]
    pub heard: u64,
}

/// Takes over what is there.
#[reducer(on = "init")]
pub fn init<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanRead<Heard> + CanInsert<Echo>,
{
    for row in ctx.mirror().tables.heard() {
        note(&ctx, row.id)?;
    }
    Ok(())
}

/// The mirror has heard something.
#[reducer(on = "mirror.heard.insert")]
pub fn on_heard<Caps>(ctx: ReducerContext<Caps>, row: Heard) -> Result<(), Error>
where
    Caps: CanInsert<Echo>,
{
    note(&ctx, row.id)
}

fn note<Caps>(ctx: &ReducerContext<Caps>, heard: u64) -> Result<(), Error>
where
    Caps: CanInsert<Echo>,
{
    ctx.current.tables.echo().insert(Echo { id: 0, heard })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use interstice_sdk::testing;

    use super::*;

    fn heard(id: u64) -> Heard {
        Heard {
            id,
            entry: 1,
            token: 1,
            kind: 1,
            amount: 1,
        }
    }

    #[test]
    fn there_is_one_row_per_row_of_the_mirror() {
        testing::fill([heard(3), heard(5)]);
        assert_eq!(testing::step(init), Ok(()));
        assert_eq!(testing::step(|ctx| on_heard(ctx, heard(6))), Ok(()));
        let rows = testing::rows::<Echo>();
        let rows: Vec<u64> = rows.iter().map(|row| row.heard).collect();
        assert_eq!(rows, [3, 5, 6]);
    }
}
