//! Names and numbers of things, each with a type of its own.
//!
//! Invariant: a [`ModuleName`] is always valid, so it can be printed, compared and put into a
//! message without a second look. It never becomes a path: files are named by content hash.

use alloc::{
    string::{String, ToString},
    sync::Arc,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Visitor},
};

use crate::text::{NAME_BYTES_MAX, quoted};

/// Longest name of a module, table, reducer, query, type or field, in bytes.
/// Long enough for every name that a person types, short enough for error messages and log lines.
pub const NAME_LENGTH_MAX: usize = 128;

/// The name of the node's own module, which holds the catalogue and the grants; no other module
/// may have it.
pub const BUILT_IN_MODULE: &str = "interstice";

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A turn's number: strictly increasing per node, never reused, across restarts too. 0 is
    /// "before the first turn".
    Seq(u64)
}
number! {
    /// A step's number inside its turn, from 0.
    StepIndex(u32)
}
number! {
    /// What changes when a node is restored from a backup, so that its old and new numbers are not
    /// confused.
    Epoch(u32)
}
number! {
    /// A pending timer of a module. Never 0, never reused within a module.
    TimerId(u64)
}
number! {
    /// A table's place in its module's schema, from 0; hidden tables come after the declared ones.
    TableId(u16)
}

/// Where a change stands in a node's history: what watchers resume from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The node's epoch.
    pub epoch: Epoch,
    /// The turn.
    pub seq: Seq,
    /// The step inside the turn.
    pub step: StepIndex,
    /// The change inside the step, from 0.
    pub index: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}.{}",
            self.epoch, self.seq, self.step, self.index
        )
    }
}

impl core::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            alloc::format!(
                "`{text}` is not a position: write EPOCH.SEQ.STEP.INDEX, such as 0.17.0.2"
            )
        };
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let position = Position {
            epoch: Epoch(next()?.parse().map_err(|_| wrong())?),
            seq: Seq(next()?.parse().map_err(|_| wrong())?),
            step: StepIndex(next()?.parse().map_err(|_| wrong())?),
            index: next()?.parse().map_err(|_| wrong())?,
        };
        match parts.next() {
            Some(_) => Err(wrong()),
            None => Ok(position),
        }
    }
}

/// A module's name: its package name as written, `[A-Za-z0-9_-]`, starting with a letter. Clones
/// share the text.
#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub struct ModuleName(Arc<str>);

impl PartialEq for ModuleName {
    fn eq(&self, other: &Self) -> bool {
        // Inside a step, nearly all names are clones of one.
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl core::hash::Hash for ModuleName {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl ModuleName {
    /// Takes a name that follows the rules.
    ///
    /// # Errors
    /// A sentence that says which rule `name` breaks.
    pub fn new(name: impl AsRef<str>) -> Result<Self, String> {
        let name = name.as_ref();
        check_name("module name", name, true)?;
        if name == BUILT_IN_MODULE {
            return Err(alloc::format!(
                "`{name}` is the node's own module; call yours something else"
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, whose clones do not share its text with those of this one.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(self.as_str().into())
    }
}

impl TryFrom<String> for ModuleName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(name)
    }
}

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> String {
        name.0.to_string()
    }
}

impl Serialize for ModuleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = shared(deserializer, NAME_LENGTH_MAX)?;
        Self::new(name).map_err(D::Error::custom)
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ModuleName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for ModuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A node's id: the text form of its libp2p `PeerId`, one spelling everywhere. Clones share the
/// text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same id, whose clones do not share its text with those of this one.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(self.as_str().into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for NodeId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for NodeId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shared(deserializer, NAME_BYTES_MAX).map(Self)
    }
}

/// Reads a text of at most `bytes_max` bytes that is to be shared, at the cost of one allocation.
fn shared<'de, D: Deserializer<'de>>(
    deserializer: D,
    bytes_max: usize,
) -> Result<Arc<str>, D::Error> {
    struct Text(usize);

    impl Visitor<'_> for Text {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a text of at most {} bytes", self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Arc<str>, E> {
            if text.len() > self.0 {
                return Err(E::custom("a name or id is too long"));
            }
            Ok(text.into())
        }
    }

    deserializer.deserialize_str(Text(bytes_max))
}

/// Checks that `name` starts with a letter or `_`, holds only letters, digits and `_` (and `-`
/// where `hyphens` are allowed), and is at most [`NAME_LENGTH_MAX`] bytes long. ASCII only: names
/// stand in files, logs and commands.
///
/// # Errors
/// A sentence that names `what`, the name (escaped) and the rule.
pub fn check_name(what: &str, name: &str, hyphens: bool) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (hyphens && c == '-');
    if name.is_empty() {
        return Err(alloc::format!(
            "a {what} is empty; give it a name that starts with a letter"
        ));
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(alloc::format!(
            "a {what} is {} bytes long; the limit is {NAME_LENGTH_MAX}",
            name.len()
        ));
    }
    if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') || !name.chars().all(allowed) {
        let hyphen = if hyphens { ", `-`" } else { "" };
        return Err(alloc::format!(
            "the {what} `{}` is not allowed: use ASCII letters, digits{hyphen} and `_`, starting with a letter",
            quoted(name)
        ));
    }
    Ok(())
}

/// Words that cannot name anything in generated code, not even as `r#word`.
const NEVER_NAMES: [&str; 5] = ["_", "crate", "self", "Self", "super"];

/// The rule for everything that becomes an identifier of generated code: tables, functions, types,
/// fields. As [`check_name`] without hyphens.
///
/// # Errors
/// A sentence that says what is wrong with the name.
pub fn check_identifier(what: &str, name: &str) -> Result<(), String> {
    check_name(what, name, false)?;
    if NEVER_NAMES.contains(&name) {
        return Err(alloc::format!(
            "a {what} cannot be called `{name}`, which no program could write; rename it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_or_break_a_terminal_are_refused() {
        for bad in [
            "",
            "a/b",
            "..",
            "a\u{1b}[0m",
            "ä",
            "1a",
            "-a",
            "a b",
            "interstice",
            &"x".repeat(129),
        ] {
            assert!(ModuleName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["hello", "hello-example", "module_manager", "A1", "_x"] {
            assert_eq!(
                ModuleName::new(good).map(String::from),
                Ok(good.to_string())
            );
        }
    }

    #[test]
    fn a_position_reads_back_what_it_prints() {
        let position = Position {
            epoch: Epoch(1),
            seq: Seq(u64::MAX),
            step: StepIndex(3),
            index: 9,
        };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "1.2.3", "1.2.3.4.5", "a.b.c.d", "1.2.3.-4"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
