//! [`Run`]: pieces of bytes one after the other, found by their places.
//!
//! The keys of a page mostly have one length, and so do its rows: then nothing but the bytes is
//! kept, and a search among keys reads a few neighbouring cache lines.

use std::cmp::Ordering;

use super::key_bytes::compare;

/// Pieces of bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    bytes: Vec<u8>,
    ends: Ends,
}

/// Where the pieces end in the run's bytes; the next one begins there.
#[derive(Clone, Debug)]
enum Ends {
    /// All have this length.
    Even { count: usize, length: usize },
    /// 32 bits wide: rows have at most a GiB (`ROW_BYTES_CEILING`), their keys at most twice that,
    /// and only small rows share a page.
    Each(Vec<u32>),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Even {
            count: 0,
            length: 0,
        }
    }
}

fn offset(place: usize) -> u32 {
    u32::try_from(place).expect("a page is smaller than 4 GiB, because rows are bounded by a GiB")
}

fn place(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Ends {
    /// Of a run of one piece.
    const fn one(length: usize) -> Self {
        Self::Even { count: 1, length }
    }

    fn len(&self) -> usize {
        match self {
            Self::Even { count, .. } => *count,
            Self::Each(ends) => ends.len(),
        }
    }

    /// Where the piece at `at` begins; behind the last one, where the run ends.
    fn start(&self, at: usize) -> usize {
        match self {
            Self::Even { count, length } => at.min(*count) * length,
            Self::Each(ends) => {
                let before = at.min(ends.len()).checked_sub(1);
                let end = before.and_then(|before| ends.get(before));
                end.map_or(0, |end| place(*end))
            }
        }
    }

    /// The end of each piece, also where all have one length.
    fn each(&mut self) -> &mut Vec<u32> {
        if let Self::Even { count, length } = *self {
            *self = Self::Each((1..=count).map(|at| offset(at * length)).collect());
        }
        match self {
            Self::Each(ends) => ends,
            Self::Even { .. } => unreachable!("it has just been replaced"),
        }
    }

    fn shift(ends: &mut [u32], from: usize, moved: impl Fn(usize) -> usize) {
        for end in ends.iter_mut().skip(from) {
            *end = offset(moved(place(*end)));
        }
    }
}

impl Run {
    /// A run of one piece.
    pub(super) fn of(piece: &[u8]) -> Self {
        Self {
            bytes: piece.to_vec(),
            ends: Ends::one(piece.len()),
        }
    }

    /// The same, with room for as many bytes as another run has.
    pub(super) fn of_with_room(piece: &[u8], like: &Self) -> Self {
        let mut bytes = Vec::with_capacity(like.bytes.len().max(piece.len()));
        bytes.extend_from_slice(piece);
        let ends = Ends::one(piece.len());
        Self { bytes, ends }
    }

    /// How many pieces there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all pieces.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that it holds room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let ends = match &self.ends {
            Ends::Even { .. } => 0,
            Ends::Each(ends) => ends.capacity(),
        };
        self.bytes.capacity() + ends * size_of::<u32>()
    }

    /// Gives back what is not in use.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        if let Ends::Each(ends) = &mut self.ends {
            ends.shrink_to_fit();
        }
    }

    /// Where the piece at `at` begins.
    pub(super) fn start(&self, at: usize) -> usize {
        self.ends.start(at)
    }

    /// The piece at `at`; nothing where there is none.
    pub(super) fn get(&self, at: usize) -> &[u8] {
        let range = self.ends.start(at)..self.ends.start(at + 1);
        self.bytes.get(range).unwrap_or_default()
    }

    /// The place of `key` among pieces in key order, or the place where it belongs.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(self.get(middle), key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// As [`Run::find`], with one comparison where `key` belongs behind all others.
    pub(super) fn find_from_end(&self, key: &[u8]) -> Result<usize, usize> {
        match self.len().checked_sub(1) {
            Some(last) if compare(self.get(last), key) != Ordering::Less => self.find(key),
            _ => Err(self.len()),
        }
    }

    /// Puts a piece before the one at `at`.
    pub(super) fn insert(&mut self, at: usize, piece: &[u8]) {
        let start = self.ends.start(at);
        if start == self.bytes.len() {
            self.bytes.extend_from_slice(piece);
        } else {
            self.open(start, piece.len());
            self.fill(start, piece);
        }
        match &mut self.ends {
            Ends::Even { count, length } if *count == 0 || *length == piece.len() => {
                *length = piece.len();
                *count += 1;
            }
            ends => {
                let ends = ends.each();
                ends.insert(at, offset(start + piece.len()));
                Ends::shift(ends, at + 1, |end| end + piece.len());
            }
        }
    }

    /// Puts a piece in place of the one at `at`.
    pub(super) fn replace(&mut self, at: usize, piece: &[u8]) {
        if at >= self.len() {
            return;
        }
        let (start, end) = (self.ends.start(at), self.ends.start(at + 1));
        let old = end - start;
        if piece.len() > old {
            self.open(end, piece.len() - old);
        } else {
            self.bytes.drain(start + piece.len()..end);
        }
        self.fill(start, piece);
        if piece.len() != old {
            Ends::shift(self.ends.each(), at, |end| end - old + piece.len());
        }
    }

    /// Takes out the piece at `at`.
    pub(super) fn remove(&mut self, at: usize) {
        if at >= self.len() {
            return;
        }
        let (start, end) = (self.ends.start(at), self.ends.start(at + 1));
        self.bytes.drain(start..end);
        match &mut self.ends {
            Ends::Even { count, .. } => *count -= 1,
            Ends::Each(ends) => {
                ends.remove(at);
                Ends::shift(ends, at, |place| place - (end - start));
            }
        }
    }

    /// The pieces before `at`, and the rest.
    pub(super) fn split(&self, at: usize) -> (Self, Self) {
        let cut = self.ends.start(at);
        let (left, right) = self.bytes.split_at(cut.min(self.bytes.len()));
        let (before, behind) = match &self.ends {
            Ends::Even { count, length } => {
                let before = at.min(*count);
                let even = |count| Ends::Even {
                    count,
                    length: *length,
                };
                (even(before), even(count - before))
            }
            Ends::Each(ends) => {
                let (before, behind) = ends.split_at(at.min(ends.len()));
                let mut behind = behind.to_vec();
                Ends::shift(&mut behind, 0, |end| end - cut);
                (Ends::Each(before.to_vec()), Ends::Each(behind))
            }
        };
        let run = |bytes: &[u8], ends| Self {
            bytes: bytes.to_vec(),
            ends,
        };
        (run(left, before), run(right, behind))
    }

    /// Adds the pieces of another run behind its own.
    pub(super) fn append(&mut self, other: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        match (&mut self.ends, &other.ends) {
            (
                Ends::Even { count, length },
                Ends::Even {
                    count: more,
                    length: other,
                },
            ) if length == other => *count += more,
            (ends, other) => {
                let ends = ends.each();
                let more = (1..=other.len()).map(|at| offset(start + other.start(at)));
                ends.extend(more);
            }
        }
    }

    /// Makes room for `added` bytes at `start`.
    fn open(&mut self, start: usize, added: usize) {
        let end = self.bytes.len();
        self.bytes.resize(end + added, 0);
        self.bytes.copy_within(start..end, start + added);
    }

    fn fill(&mut self, start: usize, piece: &[u8]) {
        if let Some(room) = self.bytes.get_mut(start..start + piece.len()) {
            room.copy_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Insert(usize, Vec<u8>),
        Replace(usize, Vec<u8>),
        Remove(usize),
        SplitAndJoin(usize),
    }

    /// Mostly of one length.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![5 => vec(any::<u8>(), 3), 1 => vec(any::<u8>(), 0..6)]
    }

    fn change() -> impl Strategy<Value = Change> {
        let at = 0_usize..40;
        prop_oneof![
            4 => (at.clone(), piece()).prop_map(|(at, piece)| Change::Insert(at, piece)),
            2 => (at.clone(), piece()).prop_map(|(at, piece)| Change::Replace(at, piece)),
            1 => at.clone().prop_map(Change::Remove),
            1 => at.prop_map(Change::SplitAndJoin),
        ]
    }

    proptest! {
        #[test]
        fn a_run_is_a_list_of_pieces(changes in vec(change(), 0..60)) {
            let (mut run, mut model) = (Run::default(), Vec::<Vec<u8>>::new());
            for change in changes {
                match change {
                    Change::Insert(at, piece) => {
                        let at = at.min(model.len());
                        run.insert(at, &piece);
                        model.insert(at, piece);
                    }
                    Change::Replace(at, piece) => {
                        run.replace(at, &piece);
                        if let Some(old) = model.get_mut(at) {
                            *old = piece;
                        }
                    }
                    Change::Remove(at) => {
                        run.remove(at);
                        if at < model.len() {
                            model.remove(at);
                        }
                    }
                    Change::SplitAndJoin(at) => {
                        let (mut left, right) = run.split(at);
                        prop_assert_eq!(left.len(), at.min(model.len()));
                        left.append(&right);
                        run = left;
                    }
                }
                prop_assert_eq!(run.len(), model.len());
                prop_assert_eq!(run.bytes(), model.concat());
                for at in 0..=model.len() {
                    let piece = model.get(at).map(Vec::as_slice);
                    prop_assert_eq!(run.get(at), piece.unwrap_or_default());
                    prop_assert_eq!(run.start(at), model[..at].concat().len());
                }
            }
        }

        #[test]
        fn a_key_is_found_where_it_is_or_belongs(mut keys in vec(piece(), 0..60), key in piece()) {
            keys.sort();
            keys.dedup();
            let mut run = Run::default();
            for (at, key) in keys.iter().enumerate() {
                run.insert(at, key);
            }
            prop_assert_eq!(run.find(&key), keys.binary_search(&key));
            prop_assert_eq!(run.find_from_end(&key), keys.binary_search(&key));
            for (at, key) in keys.iter().enumerate() {
                prop_assert_eq!(run.find(key), Ok(at));
                prop_assert_eq!(run.find_from_end(key), Ok(at));
            }
        }
    }
}
