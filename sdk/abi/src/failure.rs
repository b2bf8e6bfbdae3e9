//! The one list of everything that can go wrong: from the host call to the exit code.
//!
//! [`Code`] is closed and its numbers are stable; [`Failure`] is a code plus what it is about.

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text::quoted;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal, $advice:literal;)*) => {
        /// A kind of failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u16)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code with this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The code's name in messages and JSON.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                }
            }
        }
    };
}

codes! {
    /// Arguments, a row or a message that do not fit what the schema asks for.
    BadArguments = 1, "bad-arguments", "compare the arguments with the signature that `schema` shows";
    /// A name or key that is not there.
    NotFound = 2, "not-found", "check the name; `modules`, `schema` and `table` list what is there";
    /// Not allowed by visibility, ownership or the declared capabilities.
    Denied = 3, "denied", "ask an owner of the node, or declare the capability in the signature";
    /// Was allowed once; the grant was taken back.
    Revoked = 4, "revoked", "an owner can give it back with `grant`";
    /// A key or unique value that is taken.
    Constraint = 5, "constraint", "use another value, or update the row that has it";
    /// A module that does not fit what is installed.
    SchemaConflict = 6, "schema-conflict", "keep the old shape, or deploy with `--wipe` to drop what does not fit";
    /// The reducer or query returned an error of its own.
    Rejected = 7, "rejected", "the message is the module's own";
    /// The module is stopped because it failed again and again.
    Quarantined = 8, "quarantined", "mend the module and deploy it again, or `load` it to try once more";
    /// Larger than a limit.
    TooLarge = 9, "too-large", "send less, or raise the limit in node.toml";
    /// A call chain that came back to a module already in it, or is too deep.
    CallCycle = 10, "call-cycle", "react to a table's change instead of calling back";
    /// Ran longer than its deadline.
    Deadline = 11, "deadline", "do less per step, or raise deadline_ms in node.toml";
    /// Used more memory than its limit.
    OutOfMemory = 12, "out-of-memory", "keep less in memory, or raise memory_bytes in node.toml";
    /// Recursed too deeply.
    StackOverflow = 13, "stack-overflow", "recurse less deeply";
    /// The guest crashed.
    Trap = 14, "trap", "the module's log has the message and the backtrace";
    /// More is admitted than can be worked off.
    Busy = 15, "busy", "try again later, or send less at a time";
    /// Not there at the moment: starting, stopping, not connected, log poisoned.
    Unavailable = 16, "unavailable", "try again; the message says what is missing";
    /// Stored or sent bytes that are damaged.
    Corrupt = 17, "corrupt", "the message names the place; `doctor` can check a data directory";
    /// A mistake of Interstice itself.
    Internal = 18, "internal", "this is a bug of Interstice; please report it with the node's log";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Something that went wrong, for the guest, the client and the person behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub code: Code,
    /// What happened, naming the thing, its value and its limit. No full stop.
    pub message: String,
    /// The table it is about.
    pub table: Option<String>,
    /// The key it is about, as a person would write it.
    pub key: Option<String>,
    /// The constraint that was hurt (`primary key`, `unique index on email`).
    pub constraint: Option<String>,
}

impl Failure {
    /// A failure that is about no table.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            table: None,
            key: None,
            constraint: None,
        }
    }

    /// A mistake of ours: `what` should have been impossible.
    #[must_use]
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(Code::Internal, what.to_string())
    }

    /// A name that is not there, with the nearest that is.
    #[must_use]
    pub fn not_found<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let hint = nearest(name, known)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Self::new(
            Code::NotFound,
            format!("there is no {kind} `{}`{hint}", quoted(name)),
        )
    }

    /// The same failure, about `table`.
    #[must_use]
    pub fn about_table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// The same failure, about `key`.
    #[must_use]
    pub fn about_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same failure, because of `constraint`.
    #[must_use]
    pub fn about_constraint(mut self, constraint: impl Into<String>) -> Self {
        self.constraint = Some(constraint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failure {}

/// Most names that [`nearest`] compares: a module may have thousands of tables, and a slip of the
/// finger is worth no more than a few milliseconds.
const COMPARED_MAX: usize = 1000;

/// The known name that is closest to `name` by edit distance, if one is close enough to be a slip
/// of the finger. Of very many names only the first are compared.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names have at most NAME_LENGTH_MAX bytes; what is longer is not a slip.
    if name.len() > crate::id::NAME_LENGTH_MAX {
        return None;
    }
    let name = name.to_lowercase();
    // A swap of two letters costs 2.
    let limit = (name.chars().count() / 2).clamp(1, 3);
    // A letter has up to four bytes.
    let is_close = |candidate: &&str| candidate.len().abs_diff(name.len()) <= limit * 4;
    known
        .into_iter()
        .filter(is_close)
        .take(COMPARED_MAX)
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: alloc::vec::Vec<char> = b.chars().collect();
    let mut row: alloc::vec::Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, to) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(from != *to))
                .min(*above + 1)
                .min(left + 1);
            diagonal = *above;
            *above = cost;
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_numbers() {
        for (place, code) in Code::ALL.iter().enumerate() {
            let number = *code as u16;
            assert_eq!(usize::from(number), place + 1);
            assert_eq!(Code::from_number(number), Some(*code));
        }
        assert_eq!(Code::from_number(0), None);
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_name() {
        assert_eq!(nearest("helo", ["hello", "caller"]), Some("hello"));
        assert_eq!(nearest("Hello", ["hello"]), Some("hello"));
        assert_eq!(nearest("transfer", ["open", "total"]), None);
        assert_eq!(nearest("", []), None);
        assert_eq!(nearest(&"x".repeat(200), [&*"x".repeat(199)]), None);
    }

    #[test]
    fn a_name_that_is_not_there_is_quoted_by_a_line_at_most() {
        let failure = Failure::not_found("module", &"\u{1b}".repeat(1_000_000), ["bank"]);
        assert!(failure.message.len() < 200, "{failure}");
    }
}
