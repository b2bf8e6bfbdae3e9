//! Everything that ends a command early: what happened, what to do next, and the exit code.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 usage, 3 node not reachable. Under `--json` a
//! problem prints as one JSON object on standard error, otherwise as `error: …` with the advice on
//! a line of its own.

use std::{fmt, io, path::Path};

use interstice_abi::failure::{Code, Failure};
use serde_json::{Map, Value as Json};

/// Why a command ends with another exit code than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was refused, or it failed. Exit code 1.
    Failed,
    /// It was typed wrongly. Exit code 2.
    Usage,
    /// The node does not answer. Exit code 3.
    Unreachable,
    /// Whoever read the output has gone; nothing to say, exit code 0.
    NobodyListens,
}

/// The end of a command that did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    message: String,
    advice: Option<String>,
    failure: Option<Box<Failure>>,
}

/// What commands return.
pub type Outcome<T> = Result<T, Problem>;

impl Problem {
    /// Something failed.
    #[must_use]
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Something was typed wrongly.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A node does not answer.
    #[must_use]
    pub fn unreachable(message: impl fmt::Display) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// A file or folder could not be used.
    #[must_use]
    pub fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::failed(format!("cannot {what} {}: {error}", path.display()))
    }

    /// Standard output could not be written; a closed one is no mistake of anyone.
    #[must_use]
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Self::new(Kind::NobodyListens, "standard output is closed")
            }
            _ => Self::failed(format!("cannot write to standard output: {error}")),
        }
    }

    fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            advice: None,
            failure: None,
        }
    }

    /// The same problem, with a sentence on what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl fmt::Display) -> Self {
        self.advice = Some(advice.to_string());
        self
    }

    /// The same problem, said of `subject` (`deploying to node a`).
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        self.message = format!("{subject}: {}", self.message);
        self
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::NobodyListens => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 3,
        }
    }

    /// The stable code of what a node refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.failure.as_ref().map(|failure| failure.code)
    }

    /// The problem as JSON.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut error = Map::new();
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                error.insert(key.to_string(), value.into());
            }
        };
        let failure = self.failure.as_deref();
        let word = match (self.kind, failure) {
            (_, Some(failure)) => failure.code.word(),
            (Kind::Usage, None) => "usage",
            (Kind::Unreachable, None) => "unreachable",
            _ => "failed",
        };
        put("code", Some(word));
        put("message", Some(&self.message));
        put("advice", self.advice.as_deref());
        put(
            "table",
            failure.and_then(|failure| failure.table.as_deref()),
        );
        put("key", failure.and_then(|failure| failure.key.as_deref()));
        put(
            "constraint",
            failure.and_then(|failure| failure.constraint.as_deref()),
        );
        let mut whole = Map::new();
        whole.insert("error".to_string(), Json::Object(error));
        whole.insert("exit_code".to_string(), self.exit_code().into());
        Json::Object(whole)
    }
}

impl From<Failure> for Problem {
    /// What a node answered, or what would have been its answer.
    fn from(failure: Failure) -> Self {
        let advice = says_too_little(&failure).then(|| failure.code.advice().to_string());
        Self {
            kind: Kind::Failed,
            message: failure.message.clone(),
            advice,
            failure: Some(Box::new(failure)),
        }
    }
}

/// Whether a failure's message needs the general advice of its code. A module's own words do not;
/// of arguments, names and conflicts a message says itself what to do where it goes on behind a
/// semicolon or is not a listed difference.
fn says_too_little(failure: &Failure) -> bool {
    match failure.code {
        Code::Rejected | Code::BadArguments => false,
        Code::NotFound | Code::Unavailable => !failure.message.contains("; "),
        Code::SchemaConflict => failure.message.contains('\n'),
        _ => true,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        for (problem, code) in [
            (Problem::failed("a"), 1),
            (Problem::usage("a"), 2),
            (Problem::unreachable("a"), 3),
            (Problem::output(&io::ErrorKind::BrokenPipe.into()), 0),
            (Problem::from(Failure::new(Code::Busy, "a")), 1),
        ] {
            assert_eq!(problem.exit_code(), code, "{problem:?}");
        }
    }

    #[test]
    fn general_advice_is_given_only_where_the_message_has_none() {
        let advice = |code, message: &str| Problem::from(Failure::new(code, message)).advice;
        for (code, message) in [
            (Code::Rejected, "no"),
            (Code::BadArguments, "the file is not a WebAssembly module"),
            (Code::NotFound, "there is no module `a`; did you mean `b`?"),
            (
                Code::SchemaConflict,
                "module `a` is needed by `b`; remove them first",
            ),
        ] {
            assert_eq!(advice(code, message), None, "{message}");
        }
        for (code, message) in [
            (Code::NotFound, "there is no module `a`"),
            (Code::SchemaConflict, "does not fit:\n+ column a.b"),
            (Code::OutOfMemory, "wants 2 bytes; the limit is 1"),
        ] {
            assert!(advice(code, message).is_some(), "{message}");
        }
    }

    #[test]
    fn a_failure_keeps_what_it_is_about_in_json() {
        let failure = Failure::new(Code::Constraint, "taken")
            .about_table("account")
            .about_key("1");
        let json = Problem::from(failure).to_json();
        assert_eq!(
            json.to_string(),
            r#"{"error":{"code":"constraint","message":"taken","advice":"use another value, or update the row that has it","table":"account","key":"1"},"exit_code":1}"#
        );
    }
}
