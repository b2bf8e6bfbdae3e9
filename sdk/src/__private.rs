//! What expansions of the macros and generated bindings name. Not for people: it may change with
//! any version.

pub use interstice_abi as abi;

pub mod check;
pub mod outcome;
pub mod run;
pub mod table;

pub use table::{Rows, TableSlot};

pub use crate::{
    call::{call_query, call_reducer},
    capability::AllCaps,
    context::{Current, EditTables, ReadTables},
};

/// What a reducer without a type parameter is handed: the same caller, no capabilities.
#[must_use]
pub fn plain_reducer_context(context: crate::ReducerContext<AllCaps>) -> crate::ReducerContext {
    context.retype()
}

/// What a query without a type parameter is handed: the same caller, no capabilities.
#[must_use]
pub fn plain_query_context(context: crate::QueryContext<AllCaps>) -> crate::QueryContext {
    context.retype()
}
