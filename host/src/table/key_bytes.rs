//! [`KeyBytes`]: ordered key bytes that live in place when they are short, as nearly all keys are. Maps of them need
//! no pointer chase per comparison and no allocation per row.

use std::{borrow::Borrow, cmp::Ordering, fmt, hash, ops::Deref};

/// The longest key that needs no allocation: it fills the value up to 24 bytes, the size of a
/// `Vec`.
const INLINE_MAX: usize = 22;

/// Ordered key bytes.
#[derive(Clone)]
pub struct KeyBytes(Place);

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

impl KeyBytes {
    /// A key that needs no allocation; `None` when it is long.
    pub(crate) fn short(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; INLINE_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        let length = u8::try_from(key.len()).ok()?;
        Some(Self(Place::Inline { length, bytes }))
    }
}

impl From<&[u8]> for KeyBytes {
    fn from(key: &[u8]) -> Self {
        Self::short(key).unwrap_or_else(|| Self(Place::Heap(key.into())))
    }
}

/// Compares keys as byte strings. Eight bytes at a time where there are as many: a call that
/// compares two short strings costs more than the comparison.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    if let (Some((left, left_rest)), Some((right, right_rest))) = (
        left.split_first_chunk::<8>(),
        right.split_first_chunk::<8>(),
    ) {
        let order = u64::from_be_bytes(*left).cmp(&u64::from_be_bytes(*right));
        return order.then_with(|| left_rest.cmp(right_rest));
    }
    if let (Ok(left), Ok(right)) = (<&[u8; 4]>::try_from(left), <&[u8; 4]>::try_from(right)) {
        return u32::from_be_bytes(*left).cmp(&u32::from_be_bytes(*right));
    }
    left.cmp(right)
}

impl Deref for KeyBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
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
        let (left, right) = match (&self.0, &other.0) {
            (
                Place::Inline { length, bytes },
                Place::Inline {
                    length: other_length,
                    bytes: other_bytes,
                },
            ) => {
                // What is behind a key is zero: of two that are alike up to there, the longer one
                // is the later.
                return compare(bytes, other_bytes).then(length.cmp(other_length));
            }
            _ => (self.as_slice(), other.as_slice()),
        };
        left.cmp(right)
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_like_their_bytes(
            left in prop::collection::vec(0_u8..3, 0..30),
            right in prop::collection::vec(0_u8..3, 0..30),
        ) {
            let order = left.cmp(&right);
            prop_assert_eq!(compare(&left, &right), order);
            let keys = [&left, &right].map(|key| KeyBytes::from(key.as_slice()));
            prop_assert_eq!(keys[0].cmp(&keys[1]), order);
        }
    }

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
