//! What reducers and queries may return, and how it becomes an export's outcome.

use std::fmt::Display;

use interstice_abi::codec::Column;

/// What a reducer may return: nothing, or `Result<(), E>` with `E: Display`.
#[diagnostic::on_unimplemented(
    message = "a reducer cannot return `{Self}`",
    label = "not a reducer's outcome",
    note = "a reducer returns nothing, or `Result<(), E>` where `E` implements `Display`"
)]
pub trait ReducerOutcome {
    /// The error's message, if it is one.
    ///
    /// # Errors
    /// What the reducer returned as `Err`.
    fn outcome(self) -> Result<(), String>;
}

impl ReducerOutcome for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> ReducerOutcome for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// A query that returns its value.
#[derive(Debug)]
pub struct Plain;

/// A query that returns a `Result`.
#[derive(Debug)]
pub struct Fallible;

/// What a query may return: a column type, or `Result<T, E>` of one. `Kind` tells the two apart.
#[diagnostic::on_unimplemented(
    message = "a query cannot return `{Self}`",
    label = "not a query's outcome",
    note = "a query returns a column type `T`, or `Result<T, E>` where `E` implements `Display`"
)]
pub trait QueryOutcome<Kind> {
    /// What the query answers with.
    type Value: Column;

    /// The encoded value, or the error's message.
    ///
    /// # Errors
    /// What the query returned as `Err`.
    fn outcome(self) -> Result<Vec<u8>, String>;
}

impl<T: Column> QueryOutcome<Plain> for T {
    type Value = T;

    fn outcome(self) -> Result<Vec<u8>, String> {
        Ok(self.to_bytes())
    }
}

impl<T: Column, E: Display> QueryOutcome<Fallible> for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<Vec<u8>, String> {
        self.map(|value| value.to_bytes())
            .map_err(|error| error.to_string())
    }
}
