//! [`Error`]: what a refused call leaves behind, as a value that the module reads.
//!
//! It is a [`Failure`] of the host in one word of memory. Failures that end the step never become
//! one.

use std::fmt;

use interstice_abi::failure::{Code, Failure};

/// Why a call was refused: its code, a sentence, and the table, key and constraint it is about
/// where there are any.
///
/// A refused call has changed nothing; the step goes on.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

impl Error {
    pub(crate) fn new(failure: Failure) -> Self {
        Self(Box::new(failure))
    }

    pub(crate) fn internal(what: impl fmt::Display) -> Self {
        Self::new(Failure::internal(what))
    }

    /// The stable word for the kind of failure, such as `not-found`, `constraint` or `denied`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code.word()
    }

    /// What happened, in a sentence without a full stop.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The table that it is about.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The key that it is about, as a person would write it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The constraint that was hurt, such as `primary key`.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// What to do about failures of this kind.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        self.0.code.advice()
    }

    pub(crate) fn from_reply(status: u16, answer: &[u8]) -> Self {
        match postcard::from_bytes(answer) {
            Ok(failure) => Self::new(failure),
            Err(_) => Self::new(Failure::new(
                Code::from_number(status).unwrap_or(Code::Internal),
                format!("the host refused the call with status {status} and no readable reason"),
            )),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Error");
        fields.field("code", &self.code());
        fields.field("message", &self.message());
        for (name, value) in [
            ("table", self.table()),
            ("key", self.key()),
            ("constraint", self.constraint()),
        ] {
            if let Some(value) = value {
                fields.field(name, &value);
            }
        }
        fields.finish()
    }
}

impl std::error::Error for Error {}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.to_string()
    }
}
