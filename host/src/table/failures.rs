//! What the tables refuse, in words: each names the table, the key and the constraint.

use interstice_abi::{
    codec::Damaged,
    failure::{Code, Failure},
    id::TableId,
};

use super::one::Table;

pub(super) fn no_table(id: TableId) -> Failure {
    Failure::new(Code::NotFound, format!("there is no table number {id}"))
}

pub(super) fn damaged_row(table: &Table, damaged: Damaged) -> Failure {
    let name = &table.name;
    Failure::new(
        Code::BadArguments,
        format!("table `{name}`: this is not a row of it: {damaged}"),
    )
    .about_table(name.clone())
}

pub(super) fn damaged_key(table: &Table, field: usize, damaged: Damaged) -> Failure {
    let (name, column) = (&table.name, table.column_name(field));
    Failure::new(
        Code::BadArguments,
        format!("table `{name}`: this is not a value of {column}: {damaged}"),
    )
    .about_table(name.clone())
}

pub(super) fn too_large(table: &Table, bytes: usize) -> Failure {
    let (name, limit) = (&table.name, table.row_bytes_max);
    Failure::new(
        Code::TooLarge,
        format!("table `{name}`: a row of {bytes} bytes; the limit is {limit}"),
    )
    .about_table(name.clone())
}

pub(super) fn no_row(table: &Table, key: &[u8]) -> Failure {
    let (name, key) = (&table.name, table.key.show(key));
    Failure::new(
        Code::NotFound,
        format!("table `{name}` has no row with key {key}"),
    )
    .about_table(name.clone())
    .about_key(key)
}

pub(super) fn key_taken(table: &Table, key: &[u8]) -> Failure {
    let (name, key) = (&table.name, table.key.show(key));
    Failure::new(
        Code::Constraint,
        format!("table `{name}` already has a row with key {key}"),
    )
    .about_table(name.clone())
    .about_key(key)
    .about_constraint("primary key")
}

pub(super) fn value_taken(table: &Table, index: usize, value: &[u8]) -> Failure {
    let name = &table.name;
    let (column, value) = table
        .indexes
        .get(index)
        .map_or_else(Default::default, |index| {
            (table.column_name(index.field), index.value.show(value))
        });
    let constraint = format!("unique index on {column}");
    Failure::new(
        Code::Constraint,
        format!("table `{name}` already has a row with {column} {value} ({constraint})"),
    )
    .about_table(name.clone())
    .about_key(value)
    .about_constraint(constraint)
}

pub(super) fn counter_exhausted(table: &Table, field: usize, max: u64) -> Failure {
    let (name, column) = (&table.name, table.column_name(field));
    let constraint = format!("auto_inc on {column}");
    Failure::new(
        Code::Constraint,
        format!("table `{name}` has no next {column}: {max} was the last ({constraint}); use a wider type"),
    )
    .about_table(name.clone())
    .about_constraint(constraint)
}

pub(super) fn no_index(table: &Table, index: u16) -> Failure {
    let name = &table.name;
    Failure::new(
        Code::BadArguments,
        format!("table `{name}` has no index number {index}"),
    )
    .about_table(name.clone())
}

pub(super) fn not_unique(table: &Table, field: usize) -> Failure {
    let (name, column) = (&table.name, table.column_name(field));
    Failure::new(
        Code::BadArguments,
        format!("table `{name}`: the index on {column} is not unique; scan it instead"),
    )
    .about_table(name.clone())
}

pub(super) fn hash_range(table: &Table, field: usize) -> Failure {
    let (name, column) = (&table.name, table.column_name(field));
    Failure::new(
        Code::BadArguments,
        format!("table `{name}`: the hash index on {column} finds equal values only; make it a btree index for ranges"),
    )
    .about_table(name.clone())
}

/// Rows from the journal, the log or the store that are not rows of the table.
pub(super) fn corrupt(table: &Table, damaged: Damaged) -> Failure {
    let name = &table.name;
    Failure::new(
        Code::Corrupt,
        format!("table `{name}`: a stored row is damaged: {damaged}"),
    )
    .about_table(name.clone())
}

pub(super) fn corrupt_counter(table: &str, field: usize, value: u64) -> Failure {
    Failure::new(
        Code::Corrupt,
        format!("table `{table}`: column {field} has no counter that could stand at {value}"),
    )
    .about_table(table)
}
