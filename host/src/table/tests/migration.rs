//! Redeploys: what stays, what is refused, what a wipe drops, and crashes around them.

use std::sync::Arc;

use interstice_abi::{
    codec::Column,
    id::TableId,
    schema::{IndexKind, ModuleSchema, Persistence},
    types::{ColumnType, Field, Fields, TypeDefinition, TypeKind, Variant},
};

use super::{
    ACCOUNT, BLOB, LIMITS, SEEN, account, bytes_type, crash::Disk, index, rows, schema, table,
};
use crate::table::Tables;

fn filled() -> Tables {
    let mut tables = super::tables();
    for id in 1..=200_u64 {
        let ticket = i32::try_from(id).expect("small");
        let row = account(id, &id.to_string(), ticket, 5, 30).to_bytes();
        tables.insert(ACCOUNT, &row).expect("inserts");
    }
    tables.insert(SEEN, &[0]).expect("inserts");
    let blob = ("b".to_string(), vec![1_u8; 100]).to_bytes();
    tables.insert(BLOB, &blob).expect("inserts");
    tables.schedule("tick", 7, false).expect("schedules");
    tables.commit();
    tables
}

fn changed(change: impl FnOnce(&mut ModuleSchema)) -> Arc<ModuleSchema> {
    let mut schema = schema();
    change(&mut schema);
    Arc::new(schema)
}

fn with_columns() -> Arc<ModuleSchema> {
    changed(|schema| {
        let note = ColumnType::Option(Box::new(ColumnType::String));
        schema.tables[0].fields.push(Field::new("note", note));
        schema.tables[0].fields.push(Field {
            default: Some(9_i64.to_bytes()),
            ..Field::new("limit", ColumnType::I64)
        });
        let index = index(6, IndexKind::Btree, false, false);
        schema.tables[0].indexes.push(index);
        let first = table(
            "a",
            vec![Field::new("id", ColumnType::U8)],
            Persistence::Logged,
        );
        schema.tables.insert(0, first);
    })
}

fn refused(schema: Arc<ModuleSchema>) -> String {
    let mut tables = filled();
    let before = tables.digest();
    let (mut tables, difference) = tables.migrate(schema, false).expect_err("refused");
    assert_eq!(tables.digest(), before, "nothing changed");
    difference.to_string()
}

#[test]
fn the_same_schema_keeps_everything_but_ephemeral_rows() {
    let mut tables = filled();
    let digest = tables.digest();
    let mut tables = tables.migrate(changed(|_| {}), false).expect("the same");
    assert_eq!(tables.digest(), digest);
    assert_eq!(tables.count(SEEN), Ok(0));
    assert_eq!(
        tables.next_timers(1).first().copied().map(|(due, _)| due),
        Some(7)
    );
    let found = tables.get(ACCOUNT, 1, &"77".to_string().to_bytes());
    assert!(found.expect("looks up").is_some());
}

#[test]
fn added_columns_are_filled_in_and_indexed() {
    let mut tables = filled().migrate(with_columns(), false).expect("compatible");
    let moved = TableId(1);
    let row = tables.get(moved, 0, &3_u64.to_bytes()).expect("reads");
    let mut expected = account(3, "3", 3, 5, 30).to_bytes();
    expected.push(0);
    9_i64.encode(&mut expected);
    assert_eq!(row, Some(expected.as_slice()));
    assert_eq!(tables.count(moved), Ok(200));
    let mut next = account(0, "new", 0, 5, 30).to_bytes();
    next.push(0);
    9_i64.encode(&mut next);
    let stored = tables.insert(moved, &next).expect("inserts");
    assert_eq!(stored[..2], 201_u64.to_bytes(), "the counter goes on");
}

#[test]
fn pages_that_were_extended_before_the_move_give_the_same_rows() {
    let written_since = |tables: &mut Tables| {
        let row = account(7, "written since", 7, 5, 3).to_bytes();
        tables.update(ACCOUNT, &row).expect("updates");
        tables.delete(ACCOUNT, &90_u64.to_bytes()).expect("deletes");
        let row = account(0, "came since", 0, 5, 30).to_bytes();
        tables.insert(ACCOUNT, &row).expect("inserts");
        tables.commit();
    };
    let (mut plain, mut prepared) = (filled(), filled());
    written_since(&mut plain);
    let mut plain = plain.migrate(with_columns(), false).expect("fits");
    let preparing = prepared.preparing(&with_columns());
    assert!(!preparing.is_empty());
    assert!(prepared.preparing(&changed(|_| {})).is_empty());
    let mut done = preparing.run();
    written_since(&mut prepared);
    let moved = prepared.migrate_with(with_columns(), false, &mut done);
    let mut moved = moved.expect("fits");
    assert_eq!(moved.digest(), plain.digest());
    assert_eq!(rows(&moved, TableId(1)), rows(&plain, TableId(1)));
    assert_eq!(moved.statistics(), plain.statistics());
    let email = "came since".to_string().to_bytes();
    let found = |tables: &Tables| {
        let found = tables.get(TableId(1), 1, &email).expect("looks up");
        found.map(<[u8]>::to_vec)
    };
    assert!(found(&moved).is_some(), "its index was taken along");
    assert_eq!(found(&moved), found(&plain));
    let mut disk = Disk::default();
    disk.write(&moved.freeze());
    let mut restored = Tables::new(with_columns(), LIMITS).expect("fits");
    disk.restore(&mut restored);
    assert_eq!(restored.digest(), moved.digest());
}

fn shades(names: &[&str]) -> Arc<ModuleSchema> {
    changed(|schema| {
        let variants = names.iter().map(|name| Variant {
            name: (*name).into(),
            fields: Fields::Unit,
        });
        let shade = TypeDefinition {
            path: "bank".into(),
            kind: TypeKind::Enum(variants.collect()),
        };
        schema.types.types.insert("Shade".into(), shade);
        schema.tables[0].fields[3].ty = ColumnType::Named("Shade".into());
    })
}

#[test]
fn an_enum_grows_at_its_end_and_its_rows_stay() {
    let mut tables = Tables::new(shades(&["Dark", "Light"]), LIMITS).expect("fits");
    let row = |id: u64, shade: u8| {
        let text = id.to_string();
        let mut row = (id, text, i32::try_from(id).expect("small")).to_bytes();
        row.push(shade);
        row.push(0);
        row
    };
    for id in 1..=100 {
        tables.insert(ACCOUNT, &row(id, 1)).expect("inserts");
    }
    tables.commit();
    let before = rows(&tables, ACCOUNT);
    let (tables, _) = tables
        .migrate(shades(&["Grey", "Dark", "Light"]), false)
        .expect_err("the numbers of the variants would change");
    let mut tables = tables
        .migrate(shades(&["Dark", "Light", "Grey"]), false)
        .expect("grown at its end");
    assert_eq!(rows(&tables, ACCOUNT), before);
    let refused = tables.insert(ACCOUNT, &row(101, 3));
    refused.expect_err("there is no such variant");
    tables
        .insert(ACCOUNT, &row(101, 2))
        .expect("the one that came");
    tables.commit();
    let mut disk = Disk::default();
    disk.write(&tables.freeze());
    let grown = shades(&["Dark", "Light", "Grey"]);
    let mut restored = Tables::new(grown, LIMITS).expect("fits");
    disk.restore(&mut restored);
    assert_eq!(restored.digest(), tables.digest());
}

#[test]
fn an_empty_table_begins_again_under_another_type() {
    let strings = || {
        changed(|schema| {
            schema.tables[0].fields[0].ty = ColumnType::U32;
            schema.tables[0].fields[3].ty = ColumnType::String;
        })
    };
    let (mut tables, _) = filled().migrate(strings(), false).expect_err("rows");
    let plan = tables.plan(&strings()).expect("is planned");
    let dropped: Vec<(&str, u64)> = plan
        .dropped()
        .map(|(_, table)| (table.name.as_str(), table.rows))
        .collect();
    assert_eq!(dropped, [("account", 200)]);
    tables.clear(ACCOUNT).expect("clears");
    tables.commit();
    assert!(tables.plan(&strings()).expect("is planned").is_compatible());
    let mut tables = tables.migrate(strings(), false).expect("is empty");
    let next = (0_u32, "a".to_string(), 0_i32, "b".to_string(), vec![0_u8]).to_bytes();
    let stored = tables.insert(ACCOUNT, &next).expect("inserts");
    assert_eq!(stored[..2], 201_u32.to_bytes(), "the counter goes on");
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let text = refused(changed(|schema| {
        schema.tables[0].fields[3].ty = ColumnType::U64;
        schema.tables[0].fields[4].name = "body".into();
        schema.tables.remove(1);
    }));
    let expected = "\
~ column account.created: i64 -> u64 (not compatible)
- column account.payload (not compatible)
+ column account.body: Vec<u8> (not compatible: columns are added at the end)
- table blob (not compatible: its rows would be lost)";
    assert_eq!(text, expected);
    let text = refused(changed(|schema| {
        schema.tables[1]
            .fields
            .push(Field::new("size", ColumnType::U32));
        schema.tables[1].persistence = Persistence::Logged;
    }));
    let expected = "\
+ column blob.size: u32 (not compatible: give it a #[default(…)] or make it an Option)
~ table blob: stateful -> logged (not compatible)";
    assert_eq!(text, expected);
    let text = refused(changed(|schema| schema.reducers.clear()));
    let expected = "\
- reducer tick()
- timer 1 for reducer tick (not compatible)";
    assert_eq!(text, expected);
    let text = refused(changed(|schema| schema.tables[0].indexes[2].unique = true));
    let expected = "\
~ index account.created: btree -> btree, unique
+ unique index on account.created (not compatible: rows share a value)";
    assert_eq!(text, expected);
}

#[test]
fn ephemeral_tables_may_become_anything() {
    let schema = changed(|schema| {
        schema.tables[2].fields = vec![Field::new("name", ColumnType::String)];
        schema.tables[2].primary_key_auto_inc = false;
        schema.tables[2].persistence = Persistence::Logged;
    });
    let tables = filled().migrate(schema, false).expect("compatible");
    assert_eq!(tables.count(SEEN), Ok(0));
    filled()
        .migrate(changed(|schema| drop(schema.tables.remove(2))), false)
        .expect("nothing is lost");
}

#[test]
fn a_wipe_drops_only_what_does_not_fit() {
    let schema = changed(|schema| {
        schema.tables[0].fields[3].ty = ColumnType::U64;
        schema.reducers.clear();
    });
    let mut tables = filled().migrate(schema, true).expect("wiped");
    assert_eq!(tables.count(ACCOUNT), Ok(0));
    assert_eq!(tables.count(BLOB), Ok(1));
    assert!(tables.timers().is_empty());
    let row = (0_u64, "x".to_string(), 0_i32, 0_u64, vec![0_u8]).to_bytes();
    let stored = tables.insert(ACCOUNT, &row).expect("inserts");
    assert_eq!(stored[0], 1, "its counters start again");
}

#[test]
fn an_added_counter_starts_behind_the_rows() {
    let schema = changed(|schema| schema.tables[0].indexes[2].auto_inc = true);
    let mut tables = filled().migrate(schema, false).expect("compatible");
    let row = account(0, "x", 0, 0, 0).to_bytes();
    let stored = tables.insert(ACCOUNT, &row).expect("inserts");
    let stored = super::Account::from_bytes(stored).expect("a row");
    assert_eq!(stored.3, 6);
}

#[test]
fn a_crash_around_a_redeploy_finds_the_rows_of_either_version() {
    let mut disk = Disk::default();
    let mut tables = filled();
    disk.write(&tables.freeze());
    let old_digest = tables.digest();
    let mut tables = tables.migrate(with_columns(), false).expect("compatible");
    let digest = tables.digest();
    let writes = tables.freeze();
    for cut in 0..=writes.len() {
        let mut torn = disk.clone();
        torn.write(&writes[..cut]);
        // The marker still names the old version: load that, then repeat the redeploy.
        let mut loaded = super::tables();
        torn.restore(&mut loaded);
        assert_eq!(loaded.digest(), old_digest, "cut at {cut}");
        let mut loaded = loaded.migrate(with_columns(), false).expect("compatible");
        assert_eq!(loaded.digest(), digest);
        torn.write(&loaded.freeze());
        torn.write(&loaded.freeze());
        let mut again = Tables::new(with_columns(), LIMITS).expect("fits");
        torn.restore(&mut again);
        assert_eq!(again.digest(), digest);
        again.freeze();
        assert!(again.freeze().is_empty(), "the old tree is gone");
    }
    disk.write(&writes);
    let mut loaded = Tables::new(with_columns(), LIMITS).expect("fits");
    disk.restore(&mut loaded);
    assert_eq!(
        loaded.digest(),
        digest,
        "the old tree is left over and harmless"
    );
}

#[test]
fn a_wiped_table_leaves_nothing_in_the_store() {
    let mut disk = Disk::default();
    let mut tables = filled();
    disk.write(&tables.freeze());
    let unlike = changed(|schema| {
        schema.tables[0].fields[4] = Field::new("payload", ColumnType::String);
        schema.tables[1].fields.push(Field {
            default: Some(vec![0]),
            ..Field::new("more", bytes_type())
        });
    });
    let mut tables = tables.migrate(unlike, true).expect("wiped");
    disk.write(&tables.freeze());
    let mut tables = tables.migrate(changed(|_| {}), true).expect("wiped");
    assert_eq!(tables.count(BLOB), Ok(0), "a column was taken away");
    for _ in 0..3 {
        disk.write(&tables.freeze());
    }
    let mut loaded = super::tables();
    disk.restore(&mut loaded);
    assert_eq!(loaded.digest(), tables.digest());
    assert!(rows(&loaded, ACCOUNT).is_empty());
    assert!(loaded.freeze().is_empty());
}
