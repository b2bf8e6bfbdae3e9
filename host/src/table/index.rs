//! [`Index`]: which rows have a value. Rebuilt from the rows at load, never stored.
//!
//! An entry is a *place*: the value's ordered bytes, then the row's key. Both kinds give rows in
//! the order of their places. Uniqueness is checked before a write (`write.rs`), not here: while a
//! log is redone over a half-written checkpoint, two rows may share a unique value for a while.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound::{Excluded, Included, Unbounded},
};

use interstice_abi::schema::IndexKind;

use super::key_bytes::KeyBytes;

/// The rows of a table by the value of one field.
#[derive(Debug)]
pub(super) enum Index {
    /// Keys by value.
    Hash(HashMap<KeyBytes, Keys>),
    /// Places in order.
    Btree(BTreeSet<KeyBytes>),
}

/// The keys of the rows that share a value. Most values have one.
#[derive(Debug)]
pub(super) enum Keys {
    One(KeyBytes),
    Many(BTreeSet<KeyBytes>),
}

/// An index that is filled while nothing looks anything up in it, and how many rows stand in the
/// way of a unique one.
#[derive(Debug)]
pub(super) struct Filling {
    rows: Index,
    /// For every value one less than the rows that have it.
    doubles: u64,
}

impl Filling {
    pub(super) fn new(kind: IndexKind) -> Self {
        Self {
            rows: Index::new(kind),
            doubles: 0,
        }
    }

    /// Adds the place whose first `value` bytes are the value. Any number of rows may have the
    /// value `none`.
    pub(super) fn add(&mut self, place: &[u8], value: usize, none: Option<&[u8]>) {
        self.doubles += u64::from(self.has_another(place, value, none));
        self.rows.insert(place, value);
    }

    /// Removes a place that was added.
    pub(super) fn remove(&mut self, place: &[u8], value: usize, none: Option<&[u8]>) {
        self.rows.remove(place, value);
        let double = u64::from(self.has_another(place, value, none));
        self.doubles = self.doubles.saturating_sub(double);
    }

    fn has_another(&self, place: &[u8], value: usize, none: Option<&[u8]>) -> bool {
        let value = place.get(..value).unwrap_or_default();
        none != Some(value) && self.rows.first(value).is_some()
    }

    /// How many rows have a value that another one has already.
    pub(super) fn doubles(&self) -> u64 {
        self.doubles
    }

    /// The filled index.
    pub(super) fn into_index(self) -> Index {
        self.rows
    }
}

impl Index {
    pub(super) fn new(kind: IndexKind) -> Self {
        match kind {
            IndexKind::Hash => Self::Hash(HashMap::new()),
            IndexKind::Btree => Self::Btree(BTreeSet::new()),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Hash(map) => *map = HashMap::new(),
            Self::Btree(places) => *places = BTreeSet::new(),
        }
    }

    /// Adds the place whose first `value` bytes are the value.
    pub(super) fn insert(&mut self, place: &[u8], value: usize) {
        let map = match self {
            Self::Btree(places) => {
                places.insert(KeyBytes::from(place));
                return;
            }
            Self::Hash(map) => map,
        };
        let (value, key) = place.split_at(value.min(place.len()));
        let key = KeyBytes::from(key);
        match map.get_mut(value) {
            None => {
                map.insert(KeyBytes::from(value), Keys::One(key));
            }
            Some(Keys::Many(keys)) => {
                keys.insert(key);
            }
            Some(keys) => {
                if let Keys::One(one) = keys
                    && *one != key
                {
                    *keys = Keys::Many(BTreeSet::from([one.clone(), key]));
                }
            }
        }
    }

    /// Removes the place whose first `value` bytes are the value.
    pub(super) fn remove(&mut self, place: &[u8], value: usize) {
        let map = match self {
            Self::Btree(places) => {
                places.remove(place);
                return;
            }
            Self::Hash(map) => map,
        };
        let (value, key) = place.split_at(value.min(place.len()));
        let empty = match map.get_mut(value) {
            None => false,
            Some(Keys::One(one)) => one.as_slice() == key,
            Some(Keys::Many(keys)) => {
                keys.remove(key);
                keys.is_empty()
            }
        };
        if empty {
            map.remove(value);
        }
    }

    /// The key of the first row with this value.
    pub(super) fn first(&self, value: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Hash(map) => match map.get(value)? {
                Keys::One(key) => Some(key.as_slice()),
                Keys::Many(keys) => keys.first().map(KeyBytes::as_slice),
            },
            Self::Btree(places) => places
                .range::<[u8], _>((Included(value), Unbounded))
                .next()?
                .as_slice()
                .strip_prefix(value),
        }
    }

    /// The keys of the rows with this value that are not before `from`. Of hash indexes only.
    pub(super) fn keys<'a>(
        &'a self,
        value: &[u8],
        from: &'a [u8],
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let (one, many) = match self {
            Self::Hash(map) => match map.get(value) {
                Some(Keys::One(key)) => (Some(key), None),
                Some(Keys::Many(keys)) => (None, Some(keys)),
                None => (None, None),
            },
            Self::Btree(_) => (None, None),
        };
        let many = many
            .into_iter()
            .flat_map(move |keys| keys.range::<[u8], _>((Included(from), Unbounded)));
        one.into_iter()
            .filter(move |key| key.as_slice() >= from)
            .chain(many)
            .map(KeyBytes::as_slice)
    }

    /// The places from `from` up to, but without, `to`, in order. Of btree indexes only.
    pub(super) fn places<'a>(
        &'a self,
        from: &'a [u8],
        to: Option<&'a [u8]>,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let places = match self {
            Self::Btree(places) if to.is_none_or(|to| from < to) => Some(places),
            _ => None,
        };
        let to = to.map_or(Unbounded, Excluded);
        places
            .into_iter()
            .flat_map(move |places| places.range::<[u8], _>((Included(from), to)))
            .map(KeyBytes::as_slice)
    }
}
