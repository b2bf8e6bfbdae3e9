//! [`KeyBytes`]: ordered key bytes that live in place when they are short, as nearly all keys are. Maps of them need
//! no pointer chase per comparison and no allocation per row.

use std::{borrow::Borrow, cmp::Ordering, fmt, hash};

/// The longest key that needs no allocation: it fills the value up to 24 bytes, the size of a `Vec`.
const INLINE_MAX: usize = 22;

/// Ordered key bytes.
#[derive(Clone)]
pub(crate) struct KeyBytes(Place);

#[derive(Clone)]
enum Place {
    Inline { length: u8, bytes: [u8; INLINE_MAX] },
    Heap(Box<[u8]>),
}

impl KeyBytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Place::Inline { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Place::Heap(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for KeyBytes {
    fn from(key: &[u8]) -> Self {
        let mut bytes = [0; INLINE_MAX];
        match (bytes.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(part), Ok(length)) => {
                part.copy_from_slice(key);
                Self(Place::Inline { length, bytes })
            }
            _ => Self(Place::Heap(key.into())),
        }
    }
}

impl Borrow<[u8]> for KeyBytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for KeyBytes {}

impl PartialOrd for KeyBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl hash::Hash for KeyBytes {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_length_keep_their_bytes_and_order() {
        assert_eq!(size_of::<KeyBytes>(), 24);
        let mut before = KeyBytes::from(&[][..]);
        for length in 1..60_u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let key = KeyBytes::from(bytes.as_slice());
            assert_eq!(key.as_slice(), bytes);
            assert!(before < key);
            before = key;
        }
    }
}
