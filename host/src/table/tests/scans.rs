//! Scans in batches, over every index and every kind of bound, and while the loop writes.

use std::ops::Bound;

use interstice_abi::{
    codec::Column,
    failure::Code,
    host_call::{ScanBatch, ScanCursor, ScanRequest},
};

use super::{ACCOUNT, Account, account, tables};
use crate::table::Tables;

fn request(index: u16, lower: Bound<Vec<u8>>, upper: Bound<Vec<u8>>) -> ScanRequest {
    ScanRequest {
        index,
        lower,
        upper,
        cursor: None,
    }
}

/// All rows of a scan, batch by batch.
fn scan(tables: &Tables, mut request: ScanRequest, batch_bytes: usize) -> Vec<Account> {
    let mut rows = Vec::new();
    loop {
        let batch = tables.scan(ACCOUNT, &request, batch_bytes).expect("scans");
        rows.extend(
            batch
                .rows
                .iter()
                .map(|row| Account::from_bytes(row).expect("a row")),
        );
        match batch.places.last() {
            Some(after) if batch.more => {
                request.cursor = Some(ScanCursor {
                    after: after.clone(),
                    until: batch.until,
                });
            }
            _ => return rows,
        }
    }
}

/// Compares every scan over the accounts with the naive one. `rows`: all accounts by id.
pub(super) fn check_all(tables: &Tables, rows: &[Account]) {
    let bounds = |value: i64| {
        [
            Bound::Unbounded,
            Bound::Included(value),
            Bound::Excluded(value),
        ]
    };
    let mut by_created = rows.to_vec();
    by_created.sort_by_key(|row| (row.3, row.0));
    for lower in bounds(-1).into_iter().chain([Bound::Included(2)]) {
        for upper in bounds(1) {
            let inside = |value: i64| std::ops::RangeBounds::contains(&(lower, upper), &value);
            let created = request(3, lower.map(|v| v.to_bytes()), upper.map(|v| v.to_bytes()));
            let expected: Vec<Account> = by_created
                .iter()
                .filter(|row| inside(row.3))
                .cloned()
                .collect();
            assert_eq!(scan(tables, created.clone(), 1), expected);
            assert_eq!(scan(tables, created, 4000), expected);
            let id = |value: i64| u64::try_from(value + 10).expect("positive").to_bytes();
            let ids = request(0, lower.map(id), upper.map(id));
            let expected: Vec<Account> = rows
                .iter()
                .filter(|row| inside(i64::try_from(row.0).expect("small") - 10))
                .cloned()
                .collect();
            assert_eq!(scan(tables, ids, 2000), expected);
        }
    }
    for row in rows.iter().take(3) {
        let email = Bound::Included(row.1.to_bytes());
        let found = scan(tables, request(1, email.clone(), email), 1);
        assert_eq!(found, std::slice::from_ref(row));
    }
}

fn filled(ids: impl IntoIterator<Item = u64>) -> Tables {
    let mut tables = tables();
    for id in ids {
        let ticket = i32::try_from(id).expect("small");
        let row = account(id, &format!("{id}@x"), ticket, 0, 10);
        tables.insert(ACCOUNT, &row.to_bytes()).expect("inserts");
    }
    tables
}

fn ids(batch: &ScanBatch) -> Vec<u64> {
    let id = |row: &Vec<u8>| Account::from_bytes(row).expect("a row").0;
    batch.rows.iter().map(id).collect()
}

#[test]
fn a_loop_sees_what_it_changes_ahead_and_ends_at_what_was_the_last_key() {
    let mut tables = filled([10, 20, 30, 40]);
    let all = request(0, Bound::Unbounded, Bound::Unbounded);
    let first = tables.scan(ACCOUNT, &all, 1).expect("scans");
    assert_eq!(ids(&first), [10]);
    assert!(first.more);

    tables.delete(ACCOUNT, &20_u64.to_bytes()).expect("deletes");
    for id in [25_u64, 35, 50] {
        let row = account(id, &format!("{id}@x"), 0, 0, 1);
        tables.insert(ACCOUNT, &row.to_bytes()).expect("inserts");
    }
    let rest = ScanRequest {
        cursor: Some(ScanCursor {
            after: first.places[0].clone(),
            until: first.until,
        }),
        ..all
    };
    let batch = tables.scan(ACCOUNT, &rest, 1_000_000).expect("scans");
    assert_eq!(ids(&batch), [25, 30, 35, 40], "50 came behind the last key");
    assert!(!batch.more);
}

#[test]
fn the_last_key_may_go_while_the_loop_runs() {
    let mut tables = filled([1, 2, 3]);
    let all = request(0, Bound::Unbounded, Bound::Unbounded);
    let first = tables.scan(ACCOUNT, &all, 1).expect("scans");
    tables.clear(ACCOUNT).expect("clears");
    let row = account(9, "9@x", 0, 0, 1).to_bytes();
    tables.insert(ACCOUNT, &row).expect("inserts");
    let rest = ScanRequest {
        cursor: Some(ScanCursor {
            after: first.places[0].clone(),
            until: first.until,
        }),
        ..all
    };
    let batch = tables.scan(ACCOUNT, &rest, 1_000_000).expect("scans");
    assert_eq!((ids(&batch), batch.more), (Vec::new(), false));
}

#[test]
fn an_empty_range_is_no_error_and_has_no_last_key() {
    let tables = filled([1, 2, 3]);
    let value = |id: u64| id.to_bytes();
    for (lower, upper) in [
        (Bound::Included(value(3)), Bound::Included(value(2))),
        (Bound::Excluded(value(2)), Bound::Excluded(value(3))),
        (Bound::Excluded(value(u64::MAX)), Bound::Unbounded),
        (Bound::Unbounded, Bound::Excluded(value(0))),
    ] {
        let batch = tables.scan(ACCOUNT, &request(0, lower, upper), 100);
        assert_eq!(batch, Ok(ScanBatch::default()));
    }
}

#[test]
fn rows_that_share_a_value_come_in_key_order_and_resume_between() {
    let tables = filled((1..200).rev());
    let zero = Bound::Included(0_i64.to_bytes());
    let found = scan(&tables, request(3, zero.clone(), zero), 100);
    let ids: Vec<u64> = found.iter().map(|row| row.0).collect();
    assert_eq!(ids, (1..200).collect::<Vec<u64>>());
}

#[test]
fn indexes_answer_only_what_they_can() {
    let tables = filled([1]);
    let code = |request: ScanRequest| tables.scan(ACCOUNT, &request, 10).map_err(|f| f.code);
    let email = |text: &str| Bound::Included(text.to_string().to_bytes());
    for unfit in [
        request(1, Bound::Unbounded, Bound::Unbounded),
        request(1, email("a"), email("b")),
        request(9, Bound::Unbounded, Bound::Unbounded),
        request(0, Bound::Included(vec![0x80]), Bound::Unbounded),
        request(3, Bound::Included(Vec::new()), Bound::Unbounded),
    ] {
        assert_eq!(code(unfit), Err(Code::BadArguments));
    }
    let by_created = tables.get(ACCOUNT, 3, &0_i64.to_bytes());
    assert_eq!(
        by_created.map_err(|f| f.code),
        Err(Code::BadArguments),
        "not unique"
    );
}
