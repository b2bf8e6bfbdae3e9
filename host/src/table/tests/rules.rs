//! Single rules: generated values, constraints, messages, journal.

use interstice_abi::{
    codec::Column,
    event::RowEvent,
    failure::{Code, Failure},
    id::{TableId, TimerId},
    schema::{IndexKind, ModuleSchema, Persistence},
    types::{ColumnType, Field},
};
use std::sync::Arc;

use super::{
    ACCOUNT, Account, BLOB, LIMITS, SEEN, account, accounts, index, schema, table, tables,
};
use crate::table::{Counter, Tables};

fn inserted(tables: &mut Tables, row: &Account) -> Result<Account, Failure> {
    tables
        .insert(ACCOUNT, &row.to_bytes())
        .map(|row| Account::from_bytes(row).expect("a row"))
}

#[test]
fn zero_gets_the_next_number_and_given_values_move_the_counter_past() {
    let mut tables = tables();
    let first = inserted(&mut tables, &account(0, "a", 0, 0, 0)).expect("inserts");
    assert_eq!((first.0, first.2), (1, 1));
    inserted(&mut tables, &account(10, "b", -5, 0, 0)).expect("inserts");
    let next = inserted(&mut tables, &account(0, "c", 0, 0, 0)).expect("inserts");
    assert_eq!((next.0, next.2), (11, 2), "a negative value moves nothing");
    tables.delete(ACCOUNT, &11_u64.to_bytes()).expect("deletes");
    let next = inserted(&mut tables, &account(0, "c", 0, 0, 0)).expect("inserts");
    assert_eq!(next.0, 12, "never given out again");
}

#[test]
fn an_upsert_of_a_row_that_is_there_gets_the_next_number_too() {
    let mut tables = tables();
    let mut upserted = |row: &Account| {
        let stored = tables.upsert(ACCOUNT, &row.to_bytes()).expect("upserts");
        let stored = Account::from_bytes(stored).expect("a row");
        (stored.0, stored.2)
    };
    assert_eq!(upserted(&account(5, "a", 0, 0, 0)), (5, 1));
    assert_eq!(upserted(&account(5, "a", 0, 1, 0)), (5, 2));
    assert_eq!(upserted(&account(5, "a", 9, 2, 0)), (5, 9));
    assert_eq!(upserted(&account(0, "b", 0, 3, 0)), (6, 10));
}

#[test]
fn a_refused_insert_spends_and_changes_nothing() {
    let mut tables = tables();
    inserted(&mut tables, &account(0, "a@b", 0, 0, 0)).expect("inserts");
    let savepoint = tables.savepoint();
    let failure = inserted(&mut tables, &account(0, "a@b", 0, 0, 0)).expect_err("taken");
    assert_eq!(
        failure.message,
        "table `account` already has a row with email \"a@b\" (unique index on email)"
    );
    assert_eq!(failure.code, Code::Constraint);
    assert_eq!(failure.table.as_deref(), Some("account"));
    assert_eq!(failure.key.as_deref(), Some("\"a@b\""));
    assert_eq!(failure.constraint.as_deref(), Some("unique index on email"));
    assert!(tables.changes_since(savepoint).is_empty());
    let next = inserted(&mut tables, &account(0, "b", 0, 0, 0)).expect("inserts");
    assert_eq!((next.0, next.2), (2, 2));
}

#[test]
fn rows_without_a_value_do_not_share_one_under_a_unique_index() {
    for kind in [IndexKind::Hash, IndexKind::Btree] {
        let mut schema = schema();
        let email = ColumnType::Option(Box::new(ColumnType::String));
        let fields = vec![
            Field::new("id", ColumnType::U64),
            Field::new("email", email),
        ];
        schema.tables.truncate(1);
        schema.tables[0] = table("account", fields, Persistence::Logged);
        schema.tables[0].indexes = vec![index(1, kind, true, false)];
        let mut tables = Tables::new(Arc::new(schema), LIMITS).expect("fits");
        let row = |id: u64, email: Option<&str>| (id, email.map(String::from)).to_bytes();
        for (id, email) in [(1, None), (2, None), (3, Some("a")), (4, Some(""))] {
            tables.insert(ACCOUNT, &row(id, email)).expect("inserts");
        }
        let failure = tables.insert(ACCOUNT, &row(5, Some("a")));
        assert_eq!(failure.expect_err("taken").code, Code::Constraint);
        tables.update(ACCOUNT, &row(3, None)).expect("updates");
        tables.insert(ACCOUNT, &row(5, Some("a"))).expect("inserts");
        let none = None::<String>.to_bytes();
        let found = tables.get(ACCOUNT, 1, &none).expect("looks up");
        assert_eq!(found, Some(row(1, None).as_slice()), "the first of them");
    }
}

#[test]
fn failures_name_table_and_key() {
    let mut tables = tables();
    inserted(&mut tables, &account(7, "a", 0, 0, 0)).expect("inserts");
    let message = |result: Result<(), Failure>| {
        let failure = result.expect_err("refused");
        (failure.code, failure.message)
    };
    let taken = tables
        .insert(ACCOUNT, &account(7, "b", 0, 0, 0).to_bytes())
        .map(|_| ());
    assert_eq!(
        message(taken),
        (
            Code::Constraint,
            "table `account` already has a row with key 7".into()
        )
    );
    let none = tables.update(ACCOUNT, &account(8, "b", 0, 0, 0).to_bytes());
    assert_eq!(
        message(none),
        (
            Code::NotFound,
            "table `account` has no row with key 8".into()
        )
    );
    let none = tables.delete(BLOB, &"x".to_string().to_bytes());
    assert_eq!(
        message(none),
        (
            Code::NotFound,
            "table `blob` has no row with key \"x\"".into()
        )
    );
    let large = tables.update(ACCOUNT, &account(7, "a", 0, 0, 20_000).to_bytes());
    assert_eq!(message(large).0, Code::TooLarge);
    let (code, text) = message(tables.update(ACCOUNT, &[1, 2, 3]));
    assert_eq!(code, Code::BadArguments);
    assert!(
        text.starts_with("table `account`: this is not a row of it"),
        "{text}"
    );
    let hidden = tables.timers_table();
    assert_eq!(message(tables.clear(hidden).map(|_| ())).0, Code::NotFound);
    assert_eq!(message(tables.cancel(TimerId(3))).0, Code::NotFound);
}

#[test]
fn every_counter_ends_at_its_type_and_says_so() {
    for (ty, last) in [
        (ColumnType::U8, u64::from(u8::MAX)),
        (ColumnType::U16, u64::from(u16::MAX)),
        (ColumnType::U32, u64::from(u32::MAX)),
        (ColumnType::U64, u64::MAX),
        (ColumnType::I32, u64::from(i32::MAX.unsigned_abs())),
        (ColumnType::I64, i64::MAX.unsigned_abs()),
    ] {
        let mut counted = table("t", vec![Field::new("id", ty.clone())], Persistence::Logged);
        counted.primary_key_auto_inc = true;
        let module = ModuleSchema {
            tables: vec![counted],
            ..schema()
        };
        let mut tables = Tables::new(Arc::new(module), LIMITS).expect("fits");
        let counter = Counter {
            table: TableId(0),
            field: 0,
            value: last - 1,
        };
        tables.redo(&[], &[counter]).expect("fits");
        tables.insert(TableId(0), &[0]).expect("the last one");
        assert_eq!(
            tables
                .counters_since(super::super::Savepoint {
                    changes: 0,
                    counters: 0
                })
                .map(|counter| counter.value)
                .collect::<Vec<_>>(),
            [last]
        );
        let failure = tables.insert(TableId(0), &[0]).expect_err("used up");
        assert_eq!(failure.code, Code::Constraint);
        assert_eq!(failure.constraint.as_deref(), Some("auto_inc on id"));
        assert!(
            failure.message.contains(&last.to_string()),
            "{ty}: {failure}"
        );
        assert_eq!(tables.count(TableId(0)), Ok(1));
    }
}

#[test]
fn the_row_as_stored_has_all_generated_values() {
    let columns = vec![
        Field::new("text", ColumnType::String),
        Field::new("a", ColumnType::I64),
        Field::new("id", ColumnType::U32),
        Field::new("b", ColumnType::U8),
        Field::new("tail", ColumnType::String),
    ];
    let mut counted = table("t", columns, Persistence::Logged);
    counted.primary_key = 2;
    counted.primary_key_auto_inc = true;
    counted.indexes = vec![
        index(1, IndexKind::Hash, false, true),
        index(3, IndexKind::Btree, true, true),
    ];
    let module = ModuleSchema {
        tables: vec![counted],
        ..schema()
    };
    let mut tables = Tables::new(Arc::new(module), LIMITS).expect("fits");
    type Row = (String, i64, u32, u8, String);
    let row = |a, id, b| ("x".to_string(), a, id, b, "y".to_string());
    let mut insert = |given: Row| {
        let stored = tables
            .insert(TableId(0), &given.to_bytes())
            .expect("inserts");
        Row::from_bytes(stored).expect("a row")
    };
    assert_eq!(insert(row(0, 0, 0)), row(1, 1, 1));
    assert_eq!(insert(row(300, 70_000, 9)), row(300, 70_000, 9));
    assert_eq!(insert(row(0, 0, 0)), row(301, 70_001, 10));
    assert_eq!(insert(row(0, 5, 0)), row(302, 5, 11));
}

#[test]
fn an_unchanged_update_is_a_change_and_clear_deletes_in_key_order() {
    let mut tables = tables();
    for id in [3, 1, 2] {
        inserted(&mut tables, &account(id, &id.to_string(), 0, 0, 0)).expect("inserts");
    }
    tables.commit();
    let savepoint = tables.savepoint();
    let same = accounts(&tables)[0].to_bytes();
    tables.update(ACCOUNT, &same).expect("updates");
    assert_eq!(tables.clear(ACCOUNT), Ok(3));
    let changes = tables.changes_since(savepoint);
    let events: Vec<RowEvent> = changes.iter().map(|change| change.event()).collect();
    assert_eq!(events[0], RowEvent::Update);
    assert_eq!(changes[0].before, changes[0].after);
    assert_eq!(events[1..], [RowEvent::Delete; 3]);
    let keys: Vec<&[u8]> = changes[1..].iter().map(|change| &*change.key).collect();
    assert!(keys.is_sorted());
}

#[test]
fn counters_are_reported_once_with_their_final_value() {
    let mut tables = tables();
    let savepoint = tables.savepoint();
    for email in ["a", "b", "c"] {
        inserted(&mut tables, &account(0, email, 0, 0, 0)).expect("inserts");
    }
    tables.schedule("tick", 5, false).expect("schedules");
    let counter = |table, field, value| Counter {
        table,
        field,
        value,
    };
    let expected = [
        counter(ACCOUNT, 0, 3),
        counter(ACCOUNT, 2, 3),
        counter(tables.timers_table(), 0, 1),
    ];
    assert!(tables.counters_since(savepoint).eq(expected));
}

#[test]
fn ephemeral_rows_go_and_their_counter_stays() {
    let mut tables = tables();
    tables.insert(SEEN, &[0]).expect("inserts");
    tables.commit();
    tables.clear_ephemeral();
    assert_eq!(tables.count(SEEN), Ok(0));
    assert_eq!(tables.insert(SEEN, &[0]), Ok(&[2][..]));
}

#[test]
fn timers_are_undone_with_their_step() {
    let mut tables = tables();
    let kept = tables.schedule("tick", 50, false).expect("schedules");
    let load = tables.schedule("tick", 10, true).expect("schedules");
    tables.commit();
    let savepoint = tables.savepoint();
    assert_eq!(tables.take_timer(load).map(|timer| timer.due_ms), Some(10));
    tables.schedule("tick", 1, false).expect("schedules");
    assert_eq!(
        tables.next_timers(1).first().copied(),
        Some((1, TimerId(3)))
    );
    tables.rollback(savepoint);
    assert_eq!(tables.next_timers(1).first().copied(), Some((10, load)));
    tables.drop_timers_of_load();
    assert_eq!(tables.next_timers(1).first().copied(), Some((50, kept)));
    assert_eq!(tables.schedule("tick", 99, false), Ok(TimerId(3)));
}

#[test]
fn a_row_of_two_numbers_takes_less_than_64_bytes() {
    let columns = vec![
        Field::new("id", ColumnType::U32),
        Field::new("value", ColumnType::I32),
    ];
    let module = ModuleSchema {
        tables: vec![table("t", columns, Persistence::Logged)],
        ..schema()
    };
    let mut tables = Tables::new(Arc::new(module), LIMITS).expect("fits");
    for number in 0..20_000_u32 {
        let id = number.wrapping_mul(2_654_435_761);
        let row = (id, i32::MIN).to_bytes();
        tables.insert(TableId(0), &row).expect("inserts");
    }
    tables.commit();
    let memory = tables.tables[0].pages.memory();
    assert!(memory / 20_000 < 56, "{} bytes a row", memory / 20_000);
}
