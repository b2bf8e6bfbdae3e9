//! A load like that of a bank, and what must be true of its tables at any time: three modules, a
//! call from one to another inside a step, a reaction to its rows, generated keys, an index, steps
//! that fail.

use std::collections::{BTreeMap, BTreeSet};

use interstice_abi::{event::RowEvent, failure::Failure, schema::IndexKind};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, call, delete, insert, must, reg, when_equal},
    peer::{Order, Peer},
};

/// Removals are noted beside deposits, under a number that is no deposit's.
const REMOVED: u64 = 1_000_000;

/// One of so many deposits fails after its work.
const FAILS: u64 = 7;

fn audit() -> GuestModule {
    GuestModule::new("audit")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("note", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

fn bank() -> GuestModule {
    GuestModule::new("bank")
        .depends_on(&audit())
        .table(
            GuestTable::new("Entries", &["value"])
                .auto_inc()
                .index(1, IndexKind::Btree, false),
        )
        .reducer(
            "put",
            1,
            vec![
                must(call("audit", "note", [arg(0)])),
                must(insert("entries", [0.into(), arg(0)])),
                when_equal(
                    arg(0).modulo(FAILS),
                    FAILS - 1,
                    vec![Op::Fail("not this one".into())],
                ),
            ],
        )
        .reducer(
            "take",
            1,
            vec![
                must(delete("entries", arg(0))),
                must(call("audit", "note", [arg(0).plus(REMOVED)])),
            ],
        )
        .query(
            "same",
            1,
            vec![
                Op::ScanEqual {
                    table: "entries".into(),
                    index: 1,
                    value: arg(0),
                    into: 0,
                },
                Op::Return(reg(0)),
            ],
        )
}

fn books() -> GuestModule {
    GuestModule::new("books")
        .depends_on(&bank())
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .on_row(
            "bank.entries",
            RowEvent::Insert,
            "enter",
            vec![must(insert("rows", [0.into(), arg(1)]))],
        )
}

/// The bank once more, with another version, so that its tables get trees of their own.
pub(crate) fn upgrade(patch: u32) -> GuestModule {
    let version = bank().version;
    bank().version(version.major, version.minor, patch)
}

/// Installs all of it.
pub(crate) async fn install(peer: &Peer) {
    for module in [audit(), bank(), books()] {
        peer.install(&module).await;
    }
}

/// What has been asked of the bank, and what it has acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    asked: BTreeSet<u64>,
    put: BTreeSet<u64>,
    /// Keys by value, as they were seen.
    keys: BTreeMap<u64, u64>,
    take_asked: BTreeSet<u64>,
    taken: BTreeSet<u64>,
    /// The greatest key that was ever seen.
    key_max: u64,
}

impl Ledger {
    /// How many deposits are acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.put.len() + self.taken.len()
    }

    /// The next deposits, noted as asked for.
    pub(crate) fn ask(&mut self, count: u64) -> Vec<u64> {
        let values: Vec<u64> = (self.next..self.next + count).collect();
        self.next += count;
        self.asked.extend(&values);
        values
    }

    /// Notes what has become of a deposit. The failure, unless it was that of the reducer.
    pub(crate) fn note<T>(
        &mut self,
        value: u64,
        answer: Result<T, Failure>,
    ) -> Result<(), Failure> {
        match answer {
            Ok(_) => {
                assert_ne!(value % FAILS, FAILS - 1, "{value} fails");
                self.put.insert(value);
                Ok(())
            }
            Err(failure) if failure.message.contains("not this one") => {
                self.asked.remove(&value);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Puts `count` deposits, all at once.
    pub(crate) async fn put(&mut self, peer: &Peer, count: u64) -> Result<(), Failure> {
        let values = self.ask(count);
        let orders: Vec<Order> = values
            .iter()
            .map(|v| Order::new("bank", "put", &[*v]))
            .collect();
        let answers = peer.calls(&orders).await;
        let mut result = Ok(());
        for (value, answer) in values.into_iter().zip(answers) {
            result = self.note(value, answer).and(result);
        }
        result
    }

    /// Takes the newest entry, so that its key would be the next one if keys were used again.
    pub(crate) async fn take_newest(&mut self, peer: &Peer) -> Result<(), Failure> {
        let rows = peer.rows("bank", "entries").await?;
        let Some([key, value]) = rows.last().map(|row| [row[0], row[1]]) else {
            return Ok(());
        };
        self.see(&rows);
        self.take_asked.insert(value);
        peer.call("bank", "take", &[key]).await?;
        self.taken.insert(value);
        Ok(())
    }

    fn see(&mut self, rows: &[Vec<u64>]) {
        for row in rows {
            self.keys.insert(row[1], row[0]);
            self.key_max = self.key_max.max(row[0]);
        }
    }

    /// Compares what is there with what was promised; then the bank must take more.
    pub(crate) async fn check(&mut self, peer: &Peer, about: &str) {
        let rows = peer.rows("bank", "entries").await.expect("is there");
        let values: BTreeSet<u64> = rows.iter().map(|row| row[1]).collect();
        assert_eq!(
            values.len(),
            rows.len(),
            "{about}: a deposit is there twice"
        );
        let missing: Vec<&u64> = self.put.difference(&values).collect();
        let excused = |value: &u64| self.take_asked.contains(value);
        assert!(
            missing.iter().all(|value| excused(value)),
            "{about}: {missing:?} are lost"
        );
        let strange: Vec<&u64> = values.difference(&self.asked).collect();
        assert_eq!(strange, Vec::<&u64>::new(), "{about}: never asked for");
        assert!(
            values.is_disjoint(&self.taken),
            "{about}: a removal is lost"
        );
        for row in &rows {
            let known = self.keys.get(&row[1]);
            assert!(
                known.is_none_or(|key| *key == row[0]),
                "{about}: {row:?} moved"
            );
        }
        self.check_others(peer, &values, about).await;
        for value in values.iter().step_by(9) {
            let counted = peer.query("bank", "same", &[*value]).await;
            assert_eq!(counted, Ok(1), "{about}: the index disagrees");
        }
        self.go_on(peer, values, about).await;
    }

    /// What is in the tables of the other modules follows from what is in the bank.
    async fn check_others(&self, peer: &Peer, values: &BTreeSet<u64>, about: &str) {
        let column = |rows: Vec<Vec<u64>>| {
            let mut column: Vec<u64> = rows.into_iter().map(|row| row[1]).collect();
            column.sort_unstable();
            column
        };
        let books = column(peer.rows("books", "rows").await.expect("is there"));
        let gone = books.iter().filter(|value| !values.contains(value));
        let gone: Vec<u64> = gone.copied().collect();
        assert!(
            gone.iter().all(|value| self.take_asked.contains(value)),
            "{about}: {gone:?} have no entry"
        );
        let mut reacted: Vec<u64> = values.iter().copied().chain(gone.iter().copied()).collect();
        reacted.sort_unstable();
        assert_eq!(books, reacted, "{about}: each entry has one reaction");
        let audit = column(peer.rows("audit", "rows").await.expect("is there"));
        let notes: Vec<u64> = audit
            .iter()
            .copied()
            .filter(|value| *value < REMOVED)
            .collect();
        assert_eq!(notes, reacted, "{about}: each step is whole");
        let removals = audit.len() - notes.len();
        assert_eq!(removals, gone.len(), "{about}: each removal is whole");
    }

    /// Generated keys go on behind all that were ever seen, and what was not acknowledged is
    /// decided.
    async fn go_on(&mut self, peer: &Peer, values: BTreeSet<u64>, about: &str) {
        for value in std::mem::take(&mut self.take_asked) {
            if !values.contains(&value) {
                self.taken.insert(value);
            }
        }
        self.put = values.clone();
        self.asked = values;
        self.take_asked.extend(&self.taken);
        let before = self.key_max;
        self.put(peer, 1).await.expect("the node takes more");
        self.put(peer, 1).await.expect("the node takes more");
        let rows = peer.rows("bank", "entries").await.expect("is there");
        self.see(&rows);
        let newest = rows.last().map_or(0, |row| row[0]);
        assert!(newest > before, "{about}: key {newest} after {before}");
    }
}
