//! What was acknowledged: the tables as they have to be.

use std::collections::BTreeMap;

use crate::modules::{DEFAULT, Version};

/// Turns whose tables are remembered.
const PAST_MAX: usize = 200;

/// Rows of numbers by their key.
pub(crate) type Rows = BTreeMap<u64, u64>;

/// All tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// `store.rows`, and so `mirror.copy`.
    pub(crate) rows: Rows,
    pub(crate) secret: Rows,
    /// Empty after each start.
    pub(crate) notes: Rows,
    /// How many changes of `store.rows` there were: as many rows has `mirror.heard`.
    pub(crate) changes: u64,
    /// Timers that were set. All of them ring in the end.
    pub(crate) timers: u64,
    /// How many columns `store.rows` has got since the beginning.
    pub(crate) appended: u64,
    pub(crate) plain: Option<Plain>,
    /// `store.rows` after turns, oldest first.
    pub(crate) past: Vec<(u64, Rows)>,
    /// The highest turn that was acknowledged.
    pub(crate) last_seq: u64,
    /// How often each watched module was deployed.
    pub(crate) deploys: u64,
}

/// The module with versions.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) version: Version,
    pub(crate) runs: bool,
    pub(crate) rows: BTreeMap<u64, Vec<u64>>,
}

impl Model {
    /// The turn `seq` was acknowledged and has changed `store.rows` to what they are.
    pub(crate) fn acknowledged(&mut self, seq: u64) {
        assert!(
            seq > self.last_seq,
            "turn {seq} comes after {}, which was acknowledged before",
            self.last_seq
        );
        self.last_seq = seq;
        self.past.push((seq, self.rows.clone()));
        if self.past.len() > PAST_MAX {
            self.past.remove(0);
        }
    }

    pub(crate) fn put(&mut self, id: u64, value: u64) {
        self.rows.insert(id, value);
        self.secret.insert(id, value + 1);
        self.notes.insert(id, value + 2);
        self.changes += 1;
    }

    /// The node has started.
    pub(crate) fn started(&mut self) {
        self.notes.clear();
    }
}

impl Plain {
    /// Whether the table may become that of `next` without a wipe: an empty one may change freely.
    pub(crate) fn fits(&self, next: Version) -> bool {
        self.rows.is_empty() || self.version.fits(next)
    }

    /// The table after a deploy of `next`, which fits or wipes.
    pub(crate) fn deployed(before: Option<Self>, next: Version) -> Self {
        let rows = match before {
            Some(plain) if plain.version == next => plain.rows,
            Some(plain) if plain.version.fits(next) => {
                let rows = plain.rows.into_iter();
                rows.map(|(id, mut row)| {
                    row.push(DEFAULT);
                    (id, row)
                })
                .collect()
            }
            _ => BTreeMap::new(),
        };
        Self {
            version: next,
            runs: true,
            rows,
        }
    }
}
