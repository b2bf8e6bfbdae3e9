//! Every entry point with bytes that nobody meant: errors only, and nothing changed by what was
//! refused.

use std::ops::Bound;

use interstice_abi::{
    codec::Column,
    host_call::{ScanCursor, ScanRequest},
    id::{TableId, TimerId},
};
use proptest::prelude::*;

use super::{ACCOUNT, BLOB, account, tables};
use crate::table::{Change, Counter, Tables};

fn some_tables() -> Tables {
    let mut tables = tables();
    for (id, email) in [(1, "a"), (2, ""), (9, "c")] {
        let row = account(id, email, 0, i64::MIN, 10).to_bytes();
        tables.insert(ACCOUNT, &row).expect("inserts");
    }
    let row = ("x".to_string(), vec![1_u8; 5000]).to_bytes();
    tables.insert(BLOB, &row).expect("inserts");
    tables.schedule("tick", 1, false).expect("schedules");
    tables.commit();
    tables
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 0x80, 0xff]), 0..20),
        // A whole row with one byte changed.
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(place, byte)| {
            let mut row = account(3, "zz", 5, 0, 3).to_bytes();
            let place = place.index(row.len());
            row[place] = byte;
            row
        }),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        bytes().prop_map(Bound::Included),
        bytes().prop_map(Bound::Excluded),
        (-2_i64..2).prop_map(|value| Bound::Included(value.to_bytes())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn writes_of_any_bytes_are_refused_or_rows(
        table in 0_u16..6, row in bytes(), key in bytes(), index in 0_u16..6,
    ) {
        let mut tables = some_tables();
        let digest = tables.digest();
        let table = TableId(table);
        let savepoint = tables.savepoint();
        let _ = tables.get(table, index, &key);
        let _ = tables.count(table);
        let _ = tables.edge(table, true);
        let _ = tables.rows_after(table, Some(&key), 2, 10);
        let _ = tables.insert(table, &row);
        let _ = tables.update(table, &row);
        let _ = tables.upsert(table, &row);
        let _ = tables.delete(table, &key);
        let _ = tables.cancel(TimerId(u64::from(table.0)));
        let stored: Vec<_> = (0..2).flat_map(|id| super::rows(&tables, TableId(id))).collect();
        for row in stored {
            prop_assert!(tables.update(ACCOUNT, &row).is_ok() || tables.update(BLOB, &row).is_ok());
        }
        let _ = tables.clear(table);
        tables.rollback(savepoint);
        prop_assert_eq!(tables.digest(), digest);
    }

    #[test]
    fn scans_with_any_bounds_and_cursors_end(
        index in 0_u16..6, lower in bound(), upper in bound(),
        cursor in prop::option::of((bytes(), bytes())),
    ) {
        let tables = some_tables();
        let cursor = cursor.map(|(after, until)| ScanCursor { after, until });
        let mut request = ScanRequest { index, lower, upper, cursor };
        for _ in 0..10 {
            let Ok(batch) = tables.scan(ACCOUNT, &request, 1) else {
                return Ok(());
            };
            prop_assert_eq!(batch.rows.len(), batch.places.len());
            match batch.places.last() {
                Some(after) if batch.more => {
                    request.cursor = Some(ScanCursor { after: after.clone(), until: batch.until });
                }
                _ => return Ok(()),
            }
        }
        prop_assert!(false, "three rows took more than ten batches");
    }

    #[test]
    fn damaged_pages_and_records_are_errors(
        tree in prop::sample::select(vec![0_usize, 1, 2, 3, 4]), key in bytes(), page in bytes(),
        table in 0_u16..6, field in 0_u16..6, value: u64,
    ) {
        let mut frozen = some_tables();
        let writes = frozen.freeze();
        let tree = writes.get(tree).map_or("~counters", |write| &write.tree).to_string();
        let mut loaded = tables();
        let _ = loaded.restore_page(&tree, &key, &page);
        let _ = loaded.restore_page("gone", &key, &page);
        for write in &writes {
            let mut bytes = write.page.as_ref().expect("a page").encode();
            let place = usize::try_from(value).unwrap_or(usize::MAX) % bytes.len();
            bytes[place] ^= 1 << (value % 8);
            let _ = loaded.restore_page(&write.tree, &write.key, &bytes);
        }
        loaded.finish_restore().expect("what was taken can be read");
        let change = Change {
            table: TableId(table),
            key: key.as_slice().into(),
            before: None,
            after: (value % 2 == 0).then(|| page.into()),
        };
        let _ = loaded.redo(&[change], &[Counter { table: TableId(table), field, value }]);
        loaded.digest();
        loaded.freeze();
        let _ = loaded.schedule("tick", value, false);
        let _ = loaded.next_timers(1).first().copied();
    }
}
