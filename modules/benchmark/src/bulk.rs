//! One table that is changed and read whole.

use interstice_sdk::*;

/// A small row of a large table.
#[table(public)]
pub struct Cell {
    /// Given out in the order of insertion.
    #[primary_key(auto_inc)]
    pub id: u32,
    /// What is added to.
    pub value: i32,
}

/// Inserts `count` rows in one step.
#[reducer]
pub fn fill_cells<Caps>(ctx: ReducerContext<Caps>, count: u32) -> Result<(), Error>
where
    Caps: CanInsert<Cell>,
{
    let cells = ctx.current.tables.cell();
    for value in 0..count {
        cells.insert(Cell {
            id: 0,
            value: value as i32,
        })?;
    }
    Ok(())
}

/// Adds to every row, in one step.
#[reducer]
pub fn add_to_cells<Caps>(ctx: ReducerContext<Caps>, amount: i32) -> Result<(), Error>
where
    Caps: CanRead<Cell> + CanUpdate<Cell>,
{
    let cells = ctx.current.tables.cell();
    for cell in ctx.current.tables.cell() {
        let value = cell.value.wrapping_add(amount);
        cells.update(Cell { value, ..cell })?;
    }
    Ok(())
}

/// Drops every row.
#[reducer]
pub fn clear_cells<Caps>(ctx: ReducerContext<Caps>) -> Result<(), Error>
where
    Caps: CanDelete<Cell>,
{
    ctx.current.tables.cell().clear()
}

/// The sum of all rows, by a lazy scan, and how many there are.
#[query]
pub fn sum_of_cells<Caps>(ctx: QueryContext<Caps>) -> (i64, u64)
where
    Caps: CanRead<Cell>,
{
    let mut sum = (0, 0);
    for cell in ctx.current.tables.cell() {
        sum.0 += i64::from(cell.value);
        sum.1 += 1;
    }
    sum
}
