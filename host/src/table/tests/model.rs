//! Random operations against a naive model: a `BTreeMap` per table, whole copies as savepoints.

use std::collections::BTreeMap;

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    id::TimerId,
};
use proptest::prelude::*;

use super::{ACCOUNT, Account, BLOB, SEEN, account, accounts, rows, tables};
use crate::table::{Digest, Savepoint, Tables, storage};

/// One operation on both.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Insert(Account),
    Update(Account),
    Upsert(Account),
    Delete(u64),
    Clear,
    Blob(String, usize),
    DeleteBlob(String),
    Seen,
    Schedule(u64, bool),
    Cancel(u64),
    DropTimersOfLoad,
}

pub(super) fn ops() -> impl Strategy<Value = Op> {
    let email = || prop::sample::select(vec!["a", "b", "c@d", "", "e\0f"]);
    let any_account = || {
        let payload = prop_oneof![0_usize..40, 900_usize..1100, Just(5000_usize)];
        (
            0_u64..30,
            0_u32..1000,
            email(),
            -1_i32..40,
            -3_i64..3,
            payload,
        )
            .prop_map(|(id, number, email, ticket, created, payload)| {
                // Few collisions of unique values, but some.
                let email = if number < 100 {
                    email.to_string()
                } else {
                    format!("{number}")
                };
                account(id, &email, ticket, created, payload)
            })
    };
    let name = || prop::sample::select(vec!["", "x", "y\0", "zz"]).prop_map(String::from);
    prop_oneof![
        8 => any_account().prop_map(Op::Insert),
        3 => any_account().prop_map(|mut row| { row.0 = 0; Op::Insert(row) }),
        3 => any_account().prop_map(|mut row| { row.2 = 0; Op::Insert(row) }),
        3 => any_account().prop_map(Op::Update),
        3 => any_account().prop_map(Op::Upsert),
        2 => any_account().prop_map(|mut row| { row.2 = 0; Op::Upsert(row) }),
        6 => (0_u64..30).prop_map(Op::Delete),
        1 => Just(Op::Clear),
        2 => (name(), 0_usize..6000).prop_map(|(name, size)| Op::Blob(name, size)),
        1 => name().prop_map(Op::DeleteBlob),
        1 => Just(Op::Seen),
        1 => (0_u64..5, any::<bool>()).prop_map(|(due, of_load)| Op::Schedule(due, of_load)),
        1 => (0_u64..6).prop_map(Op::Cancel),
        1 => Just(Op::DropTimersOfLoad),
    ]
}

/// What the tables must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    accounts: BTreeMap<u64, Account>,
    last_id: u64,
    last_ticket: i32,
    blobs: BTreeMap<String, usize>,
    seen: Vec<u8>,
    last_seen: u8,
    timers: BTreeMap<u64, (u64, bool)>,
    last_timer: u64,
}

impl Model {
    pub(super) fn forget_ephemeral(&mut self) {
        self.seen.clear();
    }

    fn unique(&self, row: &Account) -> bool {
        self.accounts
            .values()
            .all(|known| known.0 == row.0 || (known.1 != row.1 && known.2 != row.2))
    }

    fn put(&mut self, row: &Account) -> Result<(), Code> {
        if !self.unique(row) {
            return Err(Code::Constraint);
        }
        self.last_id = self.last_id.max(row.0);
        self.last_ticket = self.last_ticket.max(row.2);
        self.accounts.insert(row.0, row.clone());
        Ok(())
    }

    fn insert(&mut self, mut row: Account) -> Result<Account, Code> {
        if row.0 == 0 {
            row.0 = self.last_id + 1;
        }
        if row.2 == 0 {
            row.2 = self.last_ticket + 1;
        }
        if self.accounts.contains_key(&row.0) {
            return Err(Code::Constraint);
        }
        self.put(&row)?;
        Ok(row)
    }

    fn upsert(&mut self, mut row: Account) -> Result<Account, Code> {
        if !self.accounts.contains_key(&row.0) {
            return self.insert(row);
        }
        if row.2 == 0 {
            row.2 = self.last_ticket + 1;
        }
        self.put(&row)?;
        Ok(row)
    }

    fn update(&mut self, row: &Account) -> Result<(), Code> {
        if !self.accounts.contains_key(&row.0) {
            return Err(Code::NotFound);
        }
        self.put(row)
    }
}

fn code<T>(result: Result<T, Failure>) -> Result<T, Code> {
    result.map_err(|failure| failure.code)
}

fn decoded(row: Result<&[u8], Failure>) -> Result<Account, Code> {
    code(row).map(|row| Account::from_bytes(row).expect("a row"))
}

/// Does the same to both and compares what they answer.
pub(super) fn apply(op: &Op, tables: &mut Tables, model: &mut Model) {
    match op {
        Op::Insert(row) => {
            let stored = decoded(tables.insert(ACCOUNT, &row.to_bytes()));
            assert_eq!(stored, model.insert(row.clone()));
        }
        Op::Update(row) => {
            let result = code(tables.update(ACCOUNT, &row.to_bytes()));
            assert_eq!(result, model.update(row));
        }
        Op::Upsert(row) => {
            let stored = decoded(tables.upsert(ACCOUNT, &row.to_bytes()));
            assert_eq!(stored, model.upsert(row.clone()));
        }
        Op::Delete(id) => {
            let result = tables.delete(ACCOUNT, &id.to_bytes());
            assert_eq!(result.is_ok(), model.accounts.remove(id).is_some());
        }
        Op::Clear => {
            let count = tables.clear(ACCOUNT).expect("clears");
            assert_eq!(count, model.accounts.len() as u64);
            model.accounts.clear();
        }
        Op::Blob(name, size) => {
            let row = (name.clone(), vec![3_u8; *size]).to_bytes();
            tables.upsert(BLOB, &row).expect("upserts");
            model.blobs.insert(name.clone(), *size);
        }
        Op::DeleteBlob(name) => {
            let result = tables.delete(BLOB, &name.to_bytes());
            assert_eq!(result.is_ok(), model.blobs.remove(name).is_some());
        }
        Op::Seen => {
            model.last_seen += 1;
            let row = tables.insert(SEEN, &[0]).expect("inserts");
            assert_eq!(row, [model.last_seen]);
            model.seen.push(model.last_seen);
        }
        Op::Schedule(due, of_load) => {
            model.last_timer += 1;
            let timer = tables.schedule("tick", *due, *of_load);
            assert_eq!(timer, Ok(TimerId(model.last_timer)));
            model.timers.insert(model.last_timer, (*due, *of_load));
        }
        Op::Cancel(timer) => {
            let result = tables.cancel(TimerId(*timer));
            assert_eq!(result.is_ok(), model.timers.remove(timer).is_some());
        }
        Op::DropTimersOfLoad => {
            tables.drop_timers_of_load();
            model.timers.retain(|_, (_, of_load)| !*of_load);
        }
    }
}

/// Compares everything that can be read. `ephemeral`: whether ephemeral tables have survived.
pub(super) fn check(tables: &mut Tables, model: &Model, ephemeral: bool) {
    let expected: Vec<Account> = model.accounts.values().cloned().collect();
    assert_eq!(accounts(tables), expected);
    let statistics = &tables.statistics()[0];
    let bytes: usize = expected.iter().map(|row| row.to_bytes().len()).sum();
    assert_eq!(statistics.rows, expected.len() as u64);
    assert_eq!(statistics.bytes, bytes as u64);
    for row in &expected {
        for (index, value) in [
            (0, row.0.to_bytes()),
            (1, row.1.to_bytes()),
            (2, row.2.to_bytes()),
        ] {
            let found = tables.get(ACCOUNT, index, &value).expect("looks up");
            assert_eq!(found, Some(row.to_bytes().as_slice()));
        }
    }
    assert_eq!(
        tables.get(ACCOUNT, 1, &"none".to_string().to_bytes()),
        Ok(None)
    );
    let edge = |last| {
        tables
            .edge(ACCOUNT, last)
            .expect("reads")
            .map(<[u8]>::to_vec)
    };
    assert_eq!(edge(false), expected.first().map(Column::to_bytes));
    assert_eq!(edge(true), expected.last().map(Column::to_bytes));
    super::scans::check_all(tables, &expected);
    let blobs: Vec<Vec<u8>> = model
        .blobs
        .iter()
        .map(|(name, size)| (name.clone(), vec![3_u8; *size]).to_bytes())
        .collect();
    let stored: Vec<Vec<u8>> = rows(tables, BLOB).into_iter().map(Vec::from).collect();
    assert_eq!(stored, blobs);
    let seen: Vec<Vec<u8>> = rows(tables, SEEN).into_iter().map(Vec::from).collect();
    let expected_seen: Vec<Vec<u8>> = model.seen.iter().map(|id| vec![*id]).collect();
    assert_eq!(seen, if ephemeral { expected_seen } else { Vec::new() });
    check_timers(tables, model);
    assert_eq!(tables.digest(), digest(model));
}

fn check_timers(tables: &Tables, model: &Model) {
    let next = model
        .timers
        .iter()
        .map(|(id, (due, _))| (*due, TimerId(*id)))
        .min();
    assert_eq!(tables.next_timers(1).first().copied(), next);
    let timers: Vec<(u64, u64, bool)> = tables
        .timers()
        .iter()
        .map(|timer| (timer.id.0, timer.due_ms, timer.of_load))
        .collect();
    let expected: Vec<(u64, u64, bool)> = model
        .timers
        .iter()
        .map(|(id, (due, of_load))| (*id, *due, *of_load))
        .collect();
    assert_eq!(timers, expected);
}

/// The digest from the rows alone, in no order and no pages.
fn digest(model: &Model) -> Digest {
    let mut digest = Digest::default();
    let mut add = |table: &str, key: &[u8], row: &[u8]| digest.add(Digest::of_row(table, key, row));
    for row in model.accounts.values().rev() {
        add("account", &row.0.to_be_bytes(), &row.to_bytes());
    }
    for (name, size) in &model.blobs {
        let mut key = Vec::new();
        for byte in name.bytes() {
            key.push(byte);
            if byte == 0 {
                key.push(0xff);
            }
        }
        key.extend_from_slice(&[0, 0]);
        add("blob", &key, &(name.clone(), vec![3_u8; *size]).to_bytes());
    }
    for (id, (due, of_load)) in &model.timers {
        let row = (*id, *due, "tick".to_string(), *of_load).to_bytes();
        add("~timers", &id.to_be_bytes(), &row);
    }
    let counters = [
        ("account", "id", model.last_id),
        (
            "account",
            "ticket",
            u64::try_from(model.last_ticket).expect("counts"),
        ),
        ("seen", "id", u64::from(model.last_seen)),
        ("~timers", "id", model.last_timer),
    ];
    for (table, column, last) in counters {
        if last > 0 {
            let key = storage::counter_key(table, column);
            add(storage::COUNTERS_TREE, &key, &last.to_le_bytes());
        }
    }
    digest
}

/// What happens around the operations.
#[derive(Clone, Debug)]
enum Frame {
    Op(Op),
    Save,
    Rollback,
    Commit,
    Freeze,
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let frame = prop_oneof![
        12 => ops().prop_map(Frame::Op),
        2 => Just(Frame::Save),
        2 => Just(Frame::Rollback),
        1 => Just(Frame::Commit),
        1 => Just(Frame::Freeze),
    ];
    prop::collection::vec(frame, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn tables_do_what_the_model_does(frames in frames()) {
        let mut tables = tables();
        let mut model = Model::default();
        let mut saved: Vec<(Savepoint, Model)> = Vec::new();
        for frame in &frames {
            match frame {
                Frame::Op(op) => apply(op, &mut tables, &mut model),
                Frame::Save => saved.push((tables.savepoint(), model.clone())),
                Frame::Rollback => {
                    if let Some((savepoint, before)) = saved.pop() {
                        while tables.rollback_some(savepoint, 3) {}
                        prop_assert!(tables.changes_since(savepoint).is_empty());
                        prop_assert!(tables.counters_since(savepoint).next().is_none());
                        model = before;
                        check(&mut tables, &model, true);
                    }
                }
                Frame::Commit => {
                    saved.clear();
                    tables.commit();
                }
                Frame::Freeze => {
                    tables.freeze();
                }
            }
        }
        check(&mut tables, &model, true);
    }
}
