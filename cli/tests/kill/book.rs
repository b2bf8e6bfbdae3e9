//! What clients know: what they were told has happened, what may have happened, what cannot have.
//!
//! An operation is *sure* when it was acknowledged as durable, and *open* when it was sent and
//! nobody knows, or was only acknowledged as applied. What was refused has not happened. A check
//! settles what is open by what it finds.

use std::{collections::BTreeMap, fmt::Debug};

/// One operation of a client on one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Made { client: u64 },
    Revised,
    Discarded,
    Alarmed,
}

/// What a client knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Acknowledged as durable.
    Sure { done: Done, token: u64, seq: u64 },
    /// Nobody knows, or acknowledged as applied.
    Open { done: Done, token: u64, seq: u64 },
    /// A durable query has shown these values of an entry.
    Seen { token: u64, id: u64, number: u64 },
}

/// Whether something has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    #[default]
    Never,
    Open,
    Sure,
}

/// What is known of one token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) client: u64,
    pub(crate) made: Fate,
    pub(crate) discarded: Fate,
    /// Revisions that are sure, and those that are open.
    pub(crate) revised: (u64, u64),
}

/// Something of which one of several values holds.
#[derive(Clone, Debug)]
pub(crate) struct OneOf<T>(Vec<T>);

/// What the owner has ordered.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// The version of `echo` that is there.
    pub(crate) echo: OneOf<Option<u32>>,
    /// Whether `ledger` runs.
    pub(crate) ledger_runs: OneOf<bool>,
    /// Whether `vault` may write into the log.
    pub(crate) vault_logs: OneOf<bool>,
    /// Runs of the ledger's `load` since the last check: sure ones, and open ones.
    pub(crate) loads: (u64, u64),
    /// Deploys that replaced the ledger, or may have, and those of the mirror.
    pub(crate) ledger_deploys: u64,
    pub(crate) mirror_deploys: u64,
    pub(crate) last_seq: u64,
}

/// Everything.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) tokens: BTreeMap<u64, Known>,
    pub(crate) alarms: BTreeMap<u64, Fate>,
    pub(crate) orders: Orders,
    /// Rows of the ledger's table of starts, as of the last check.
    pub(crate) starts: u64,
    /// Counts of the two chains of timers, as of the last check.
    pub(crate) beats: [u64; 2],
    /// The highest number of a turn that anybody was told.
    pub(crate) last_seq: u64,
    pub(crate) rounds: u64,
    /// Who has got a value of a counter, ever.
    given: BTreeMap<(&'static str, u64), u64>,
    sentinels: u64,
}

impl<T: PartialEq + Debug> OneOf<T> {
    pub(crate) fn sure(&mut self, value: T) {
        self.0 = vec![value];
    }

    pub(crate) fn open(&mut self, value: T) {
        self.0.push(value);
    }

    /// The one that was ordered last.
    pub(crate) fn last(&self) -> &T {
        self.0.last().expect("there is always one")
    }

    /// What was found must be one of them, and is sure from here on.
    pub(crate) fn settle(&mut self, what: &str, found: T) {
        assert!(
            self.0.contains(&found),
            "{what} is {found:?}, but only {:?} was ordered",
            self.0
        );
        self.sure(found);
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            echo: OneOf(vec![None]),
            ledger_runs: OneOf(vec![true]),
            vault_logs: OneOf(vec![true]),
            loads: (0, 0),
            ledger_deploys: 0,
            mirror_deploys: 0,
            last_seq: 0,
        }
    }
}

impl Book {
    /// Takes in what a client knows. How many acknowledgements there are.
    pub(crate) fn note(&mut self, events: Vec<Event>) -> u64 {
        let mut acknowledged = 0;
        for event in events {
            match event {
                Event::Sure { done, token, seq } => {
                    acknowledged += 1;
                    self.last_seq = self.last_seq.max(seq);
                    self.happened(done, token, Fate::Sure);
                }
                Event::Open { done, token, seq } => {
                    self.last_seq = self.last_seq.max(seq);
                    self.happened(done, token, Fate::Open);
                }
                Event::Seen { token, id, number } => {
                    self.given("entry ids", id, token);
                    self.given("entry numbers", number, token);
                }
            }
        }
        acknowledged
    }

    fn happened(&mut self, done: Done, token: u64, fate: Fate) {
        if done == Done::Alarmed {
            let alarm = self.alarms.entry(token).or_default();
            *alarm = fate.max(*alarm);
            return;
        }
        let known = self.tokens.entry(token).or_default();
        if fate == Fate::Sure {
            // What is durable rests on what was before.
            known.made = Fate::Sure;
        }
        match (done, fate) {
            (Done::Made { client }, _) => {
                known.client = client;
                known.made = fate.max(known.made);
            }
            (Done::Revised, Fate::Sure) => known.revised.0 += 1,
            (Done::Revised, _) => known.revised.1 += 1,
            (Done::Discarded, _) => known.discarded = fate.max(known.discarded),
            (Done::Alarmed, _) => {}
        }
    }

    /// The value of a counter belongs to `owner`, and must not belong to anybody else, ever.
    pub(crate) fn given(&mut self, counter: &'static str, value: u64, owner: u64) {
        let holder = *self.given.entry((counter, value)).or_insert(owner);
        assert_eq!(
            holder, owner,
            "{counter}: {value} was given to {holder} and again to {owner}"
        );
    }

    /// The tokens of a client's entries.
    pub(crate) fn alive(&self, client: u64) -> Vec<u64> {
        let alive = self.tokens.iter().filter(|(_, known)| {
            known.client == client && known.made == Fate::Sure && known.discarded == Fate::Never
        });
        alive.map(|(token, _)| *token).collect()
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> usize {
        let alive = self.tokens.values();
        alive
            .filter(|known| known.made == Fate::Sure && known.discarded == Fate::Never)
            .count()
    }

    /// A token for an entry of the check's own.
    pub(crate) fn sentinel(&mut self) -> u64 {
        self.sentinels += 1;
        (1 << 60) + self.sentinels
    }
}
