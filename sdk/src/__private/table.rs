//! Rows and what can be done with the tables that hold them: the generic runtime below every table
//! handle.
//!
//! Handles (made by `#[table]` and by the bindings) are thin: they check capabilities in their
//! bounds and call these functions, so a module's code grows little with its number of tables.
//! Iteration is in `rows`.

mod rows;
mod slot;

use std::ops::{Bound, RangeBounds};

use interstice_abi::{codec::Column, event::TableRef, schema::TableSchema, types::TypeSet};

pub use rows::Rows;
pub use slot::TableSlot;

use crate::{
    Error,
    host::{self, imports},
};

/// A struct whose values are rows of a table. Implemented by `#[table]`, and for rows of bindings.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the row of a table",
    label = "not a row",
    note = "put `#[table]` on the struct, or take the row type of a binding"
)]
pub trait TableRow: Column + Clone {
    /// The primary key's type.
    type Key: Column + Clone;

    /// The other node's name in the bindings; `None` on this node.
    const NODE: Option<&'static str>;

    /// The other module's name as written; `None` for the module's own tables.
    const MODULE: Option<&'static str>;

    /// The table's name: the struct's name in lower case.
    const TABLE: &'static str;

    /// The primary key of `row`. Not a method: rows may have a method of that name by a trait of
    /// the module.
    fn key(row: &Self) -> Self::Key;

    /// The table as the schema says it.
    #[doc(hidden)]
    fn schema(types: &mut TypeSet) -> TableSchema;

    /// Where the instance remembers the table's handle.
    #[doc(hidden)]
    fn slot() -> &'static TableSlot;
}

/// What the schema and the host call `R`'s table.
#[must_use]
pub fn reference<R: TableRow>() -> TableRef {
    TableRef {
        node: R::NODE.map(str::to_string),
        module: R::MODULE.map(str::to_string),
        table: R::TABLE.to_string(),
    }
}

fn open<R: TableRow>() -> Result<u32, Error> {
    R::slot().open(R::NODE, R::MODULE, R::TABLE, R::schema)
}

/// Inserts `row`; the row as stored, generated values filled in.
///
/// # Errors
/// When a key or unique value is taken, or the call is not allowed.
pub fn insert<R: TableRow>(row: &R) -> Result<R, Error> {
    let table = open::<R>()?;
    R::slot().count_insert();
    host::encoded(row, |row| {
        host::ask(|out| imports::table_insert(table, row, out), host::value)
    })
}

/// Replaces the row that has the same primary key.
///
/// # Errors
/// When there is none, a unique value is taken, or the call is not allowed.
pub fn update<R: TableRow>(row: &R) -> Result<(), Error> {
    let table = open::<R>()?;
    R::slot().count_change();
    host::encoded(row, |row| {
        host::ask(|out| imports::table_update(table, row, out), host::nothing)
    })
}

/// Inserts `row`, or replaces the row that has the same primary key; the row as stored.
///
/// # Errors
/// When a unique value is taken, or the call is not allowed.
pub fn upsert<R: TableRow>(row: &R) -> Result<R, Error> {
    let table = open::<R>()?;
    R::slot().count_insert();
    host::encoded(row, |row| {
        host::ask(|out| imports::table_upsert(table, row, out), host::value)
    })
}

/// Deletes the row with this primary key.
///
/// # Errors
/// When there is none, or the call is not allowed.
pub fn delete<R: TableRow>(key: &R::Key) -> Result<(), Error> {
    let table = open::<R>()?;
    R::slot().count_change();
    host::encoded(key, |key| {
        host::ask(|out| imports::table_delete(table, key, out), host::nothing)
    })
}

/// Deletes every row.
///
/// # Errors
/// When the call is not allowed.
pub fn clear<R: TableRow>() -> Result<(), Error> {
    let table = open::<R>()?;
    R::slot().count_change();
    host::ask(|out| imports::table_clear(table, out), host::nothing)
}

/// The row whose indexed value is `key`: index 0 is the primary key, `i + 1` the unique index `i`
/// of the schema.
pub fn get<R: TableRow, V: Column>(index: u16, key: &V) -> Option<R> {
    read(|| {
        let table = open::<R>()?;
        host::encoded(key, |key| {
            host::ask(
                |out| imports::table_get(table, index.into(), key, out),
                host::optional,
            )
        })
    })
}

/// The row with the smallest primary key.
#[must_use]
pub fn first<R: TableRow>() -> Option<R> {
    edge(0)
}

/// The row with the largest primary key.
#[must_use]
pub fn last<R: TableRow>() -> Option<R> {
    edge(1)
}

fn edge<R: TableRow>(last: u32) -> Option<R> {
    read(|| {
        let table = open::<R>()?;
        host::ask(|out| imports::table_edge(table, last, out), host::optional)
    })
}

/// How many rows there are.
#[must_use]
pub fn count<R: TableRow>() -> u64 {
    read(|| {
        let table = open::<R>()?;
        host::ask(|out| imports::table_count(table, out), host::value)
    })
}

/// All rows in the order of their keys, in batches.
pub fn iterate<R: TableRow>() -> Rows<R> {
    Rows::new(0, Bound::Unbounded, Bound::Unbounded)
}

/// All rows in the order of their keys.
#[must_use]
pub fn scan<R: TableRow>() -> Vec<R> {
    iterate().collect()
}

/// The rows whose indexed value lies between the bounds, in the order of (value, key). `index` as
/// in [`get`].
pub fn scan_between<R: TableRow, V: Column>(
    index: u16,
    lower: Bound<&V>,
    upper: Bound<&V>,
) -> Vec<R> {
    let encode = |bound: Bound<&V>| bound.map(Column::to_bytes);
    Rows::new(index, encode(lower), encode(upper)).collect()
}

/// The rows whose indexed value is `value`.
pub fn scan_eq<R: TableRow, V: Column>(index: u16, value: &V) -> Vec<R> {
    scan_between(index, Bound::Included(value), Bound::Included(value))
}

/// The rows whose indexed value is less than `value`.
pub fn scan_lt<R: TableRow, V: Column>(index: u16, value: &V) -> Vec<R> {
    scan_between(index, Bound::Unbounded, Bound::Excluded(value))
}

/// The rows whose indexed value is at most `value`.
pub fn scan_lte<R: TableRow, V: Column>(index: u16, value: &V) -> Vec<R> {
    scan_between(index, Bound::Unbounded, Bound::Included(value))
}

/// The rows whose indexed value is greater than `value`.
pub fn scan_gt<R: TableRow, V: Column>(index: u16, value: &V) -> Vec<R> {
    scan_between(index, Bound::Excluded(value), Bound::Unbounded)
}

/// The rows whose indexed value is at least `value`.
pub fn scan_gte<R: TableRow, V: Column>(index: u16, value: &V) -> Vec<R> {
    scan_between(index, Bound::Included(value), Bound::Unbounded)
}

/// The rows whose indexed value lies between `min` and `max`, each of which counts in or not.
pub fn scan_range<R: TableRow, V: Column>(
    index: u16,
    (min, include_min): (&V, bool),
    (max, include_max): (&V, bool),
) -> Vec<R> {
    let bound = |value, include| {
        if include {
            Bound::Included(value)
        } else {
            Bound::Excluded(value)
        }
    };
    scan_between(index, bound(min, include_min), bound(max, include_max))
}

/// The rows whose primary key lies in `keys`.
pub fn range<R: TableRow>(keys: &impl RangeBounds<R::Key>) -> Vec<R> {
    scan_between(0, keys.start_bound(), keys.end_bound())
}

/// Ends the step when a read is refused: reads have no `Err` to give.
fn read<T>(ask: impl FnOnce() -> Result<T, Error>) -> T {
    ask().unwrap_or_else(|error| host::end_step(&error))
}
