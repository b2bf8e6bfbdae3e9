//! Byte strings of messages, copied as a whole: the same format as one byte after the other, at a
//! fraction of the cost.

use alloc::vec::Vec;
use core::fmt;

use serde::{
    Deserializer, Serializer,
    de::{Error, Visitor},
};

/// Writes the length and the bytes.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads what [`serialize`] has written.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_bytes(Bytes)
}

/// The same for bytes that may be left out.
pub mod optional {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Read(#[serde(deserialize_with = "super::deserialize")] Vec<u8>);

    #[derive(Serialize)]
    struct Written<'a>(#[serde(serialize_with = "super::serialize")] &'a [u8]);

    /// Writes the bytes, if there are any.
    pub fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Written).serialize(serializer)
    }

    /// Reads what [`serialize`] has written.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let read: Option<Read> = Option::deserialize(deserializer)?;
        Ok(read.map(|Read(bytes)| bytes))
    }
}

/// The same for lists.
pub mod list {
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Read(#[serde(deserialize_with = "super::deserialize")] Vec<u8>);

    #[derive(Serialize)]
    struct Written<'a>(#[serde(serialize_with = "super::serialize")] &'a [u8]);

    /// Writes all of them.
    pub fn serialize<S: Serializer>(all: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|bytes| Written(bytes)))
    }

    /// Reads what [`serialize`] has written.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let read: Vec<Read> = Vec::deserialize(deserializer)?;
        Ok(read.into_iter().map(|Read(bytes)| bytes).collect())
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Whole(#[serde(with = "super")] Vec<u8>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Some(#[serde(with = "super::optional")] Option<Vec<u8>>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct List(#[serde(with = "super::list")] Vec<Vec<u8>>);

    #[test]
    fn the_format_is_that_of_one_byte_after_the_other() {
        let bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
        for some in [None, Option::Some(bytes.clone())] {
            let written = postcard::to_allocvec(&some).unwrap();
            assert_eq!(postcard::from_bytes(&written), Ok(Some(some.clone())));
            assert_eq!(postcard::to_allocvec(&Some(some)), Ok(written));
        }
        let written = postcard::to_allocvec(&Whole(bytes.clone())).unwrap();
        assert_eq!(written, postcard::to_allocvec(&bytes).unwrap());
        let list = vec![bytes.clone(), Vec::new(), vec![1]];
        let listed = postcard::to_allocvec(&List(list.clone())).unwrap();
        assert_eq!(listed, postcard::to_allocvec(&list).unwrap());
        assert_eq!(postcard::from_bytes(&listed), Ok(List(list)));
        assert_eq!(postcard::from_bytes(&written), Ok(Whole(bytes)));
        assert!(postcard::from_bytes::<Whole>(&written[..100]).is_err());
    }
}
