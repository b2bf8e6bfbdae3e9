//! Texts of a peer: names are bounded where they are decoded, and messages quote at most a line.
//!
//! A frame may be 65 MiB long, and a name in it must cost its reader no more than a name. The
//! length is checked before anything is copied, at both ends: what cannot be read is not sent
//! either.

use alloc::string::String;
use core::fmt;

use serde::{Deserializer, Serializer, de::Visitor, ser::Error as _};

/// Longest name in a message, in bytes: the longest name of a thing, twice, which has room for a
/// version after it and for a slip of the keyboard that deserves an answer.
pub const NAME_BYTES_MAX: usize = 256;

/// Longest quote of a text in a message, in characters: a line.
const QUOTE_CHARS_MAX: usize = 120;

/// Writes a name.
///
/// # Errors
/// A name longer than [`NAME_BYTES_MAX`].
pub fn serialize<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if name.len() > NAME_BYTES_MAX {
        return Err(S::Error::custom("a name is too long"));
    }
    serializer.serialize_str(name)
}

/// Reads a name of at most [`NAME_BYTES_MAX`] bytes.
///
/// # Errors
/// Those of the format, and a name that is longer, of which nothing is copied.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Name)
}

/// The same for names that may be left out.
pub mod optional {
    use alloc::string::String;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Read(#[serde(deserialize_with = "super::deserialize")] String);

    #[derive(Serialize)]
    struct Written<'a>(#[serde(serialize_with = "super::serialize")] &'a str);

    /// Writes a name, if there is one.
    ///
    /// # Errors
    /// As [`super::serialize`].
    pub fn serialize<S: Serializer>(
        name: &Option<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_deref().map(Written).serialize(serializer)
    }

    /// Reads what [`serialize`] has written.
    ///
    /// # Errors
    /// As [`super::deserialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        let read: Option<Read> = Option::deserialize(deserializer)?;
        Ok(read.map(|Read(name)| name))
    }
}

struct Name;

impl Visitor<'_> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name of at most {NAME_BYTES_MAX} bytes")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        if name.len() > NAME_BYTES_MAX {
            return Err(E::custom("a name is too long"));
        }
        Ok(name.into())
    }
}

/// A text of somebody else inside a message: escaped, and cut after a line. Costs no more than
/// that line.
#[must_use]
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// What [`quoted`] shows.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for letter in self.0.chars() {
            let escaped = letter.escape_debug();
            shown += escaped.len();
            if shown > QUOTE_CHARS_MAX {
                return f.write_str("…");
            }
            write!(f, "{escaped}")?;
        }
        Ok(())
    }
}

/// The beginning of `text` that has at most `bytes_max` bytes, followed by `…` where something was
/// cut.
#[must_use]
pub fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.shrink_to_fit();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        #[serde(with = "super")]
        name: String,
        #[serde(with = "optional")]
        other: Option<String>,
    }

    /// The same without the bound.
    #[derive(Serialize)]
    struct Loose {
        name: String,
        other: Option<String>,
    }

    fn loose(name: usize, other: usize) -> Vec<u8> {
        let (name, other) = ("n".repeat(name), Some("o".repeat(other)));
        postcard::to_allocvec(&Loose { name, other }).unwrap()
    }

    #[test]
    fn the_format_of_a_bounded_name_is_that_of_a_text() {
        let bytes = loose(NAME_BYTES_MAX, 3);
        let named: Named = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(named.name.len(), NAME_BYTES_MAX);
        assert_eq!(named.other.as_deref(), Some("ooo"));
        assert_eq!(postcard::to_allocvec(&named).unwrap(), bytes);
    }

    #[test]
    fn a_long_name_is_neither_read_nor_written() {
        for (name, other) in [(NAME_BYTES_MAX + 1, 0), (0, NAME_BYTES_MAX + 1)] {
            assert!(postcard::from_bytes::<Named>(&loose(name, other)).is_err());
            let (name, other) = ("n".repeat(name), Some("o".repeat(other)));
            assert!(postcard::to_allocvec(&Named { name, other }).is_err());
        }
    }

    #[test]
    fn a_quote_is_a_line() {
        assert_eq!(quoted("a\u{1b}[0m\n").to_string(), "a\\u{1b}[0m\\n");
        assert_eq!(
            quoted(&"x".repeat(QUOTE_CHARS_MAX)).to_string().len(),
            QUOTE_CHARS_MAX
        );
        let long = quoted(&"\u{1b}".repeat(1_000_000)).to_string();
        assert!(long.ends_with('…') && long.len() < 130, "{long}");
    }

    #[test]
    fn a_cut_text_ends_between_letters() {
        assert_eq!(cut("aäb".into(), 4), "aäb");
        assert_eq!(cut("aäb".into(), 2), "a…");
    }
}
