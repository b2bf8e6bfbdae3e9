//! Timers that repeat or have arguments, and those that a schema asks for.

use std::sync::Arc;

use interstice_abi::{
    codec::Column,
    event::Event,
    id::{TableId, TimerId},
    schema::{ModuleSchema, Visibility},
    types::{ColumnType, Field},
};

use super::{LIMITS, crash::Disk, schema, tables};
use crate::table::{Repeat, Tables, Timer};

/// The schema of the other tests, whose `tick` runs by itself.
fn ticking(period_ms: u64) -> Arc<ModuleSchema> {
    let mut schema = schema();
    schema.reducers[0].events = vec![Event::Every {
        period_ms,
        visibility: Visibility::Private,
    }];
    Arc::new(schema)
}

fn due(tables: &Tables) -> Vec<(u64, TimerId)> {
    tables.next_timers(usize::MAX)
}

#[test]
fn a_timer_that_repeats_is_due_in_whole_periods_and_skips_what_has_passed() {
    let mut tables = tables();
    let timer = Timer {
        repeat: Repeat::Every(100),
        arguments: vec![1, 2, 3],
        ..Timer::once("tick", 1000)
    };
    let id = tables.set_timer(&timer).expect("it is set");
    for (fires_at, next) in [(1000, 1100), (1101, 1200), (1299, 1300), (1555, 1600)] {
        let fired = tables.fire_timer(id, fires_at).expect("it is pending");
        assert_eq!(fired.arguments, [1, 2, 3]);
        assert_eq!(due(&tables), [(next, id)]);
    }
    let savepoint = tables.savepoint();
    tables.fire_timer(id, 1600).expect("it is pending");
    let change = &tables.changes_since(savepoint)[0];
    assert!(change.before.is_some() && change.after.is_some());
    tables.rollback(savepoint);
    assert_eq!(due(&tables), [(1600, id)]);
    tables.cancel(id).expect("it is pending");
    assert_eq!(tables.fire_timer(id, 1600), None);
}

#[test]
fn a_timer_that_fires_once_has_the_row_that_it_always_had() {
    let mut tables = tables();
    let savepoint = tables.savepoint();
    tables.schedule("tick", 7, true).expect("it is set");
    let row = tables.changes_since(savepoint)[0].after.clone();
    let old = (1_u64, 7_u64, "tick".to_string(), true).to_bytes();
    assert_eq!(row.as_deref(), Some(&*old));
    let with = Timer {
        arguments: vec![9],
        ..Timer::once("tick", 8)
    };
    tables.set_timer(&with).expect("it is set");
    let kept = tables.timers();
    assert_eq!(Timer::from_row(&old), Ok(kept[0].clone()));
    assert_eq!(
        (kept[0].repeat, kept[1].arguments.as_slice()),
        (Repeat::Never, &[9][..])
    );
    // A row of neither shape is refused.
    for cut in old.len() + 1..old.len() + 3 {
        let longer = [&*old, &vec![1; cut - old.len()]].concat();
        assert!(Timer::from_row(&longer).is_err());
    }
}

#[test]
fn all_timers_come_back_from_the_store_and_from_the_log() {
    let mut tables = tables();
    tables.schedule("tick", 50, false).expect("it is set");
    let every = Timer {
        repeat: Repeat::Every(10),
        arguments: vec![4],
        ..Timer::once("tick", 20)
    };
    let every = tables.set_timer(&every).expect("it is set");
    let savepoint = tables.savepoint();
    tables.fire_timer(every, 25).expect("it is pending");
    let changes = tables.changes_since(savepoint).to_vec();
    tables.rollback(savepoint);
    tables.commit();
    let mut disk = Disk::default();
    disk.write(&tables.freeze());
    let mut loaded = super::tables();
    disk.restore(&mut loaded);
    assert_eq!(loaded.timers(), tables.timers());
    assert_eq!(loaded.digest(), tables.digest());
    loaded.redo(&changes, &[]).expect("it fits");
    assert_eq!(due(&loaded), [(30, every), (50, TimerId(1))]);
}

#[test]
fn a_schema_sets_each_of_its_timers_once_and_ends_those_that_it_no_longer_has() {
    let mut tables = Tables::new(ticking(100), LIMITS).expect("it fits");
    tables.set_timers_of_schema(1000);
    assert_eq!(due(&tables), [(1100, TimerId(1))]);
    // Another load changes nothing.
    tables.set_timers_of_schema(1050);
    assert_eq!(due(&tables), [(1100, TimerId(1))]);
    tables.commit();
    // The same period goes on, another one begins at its load.
    let mut tables = tables.migrate(ticking(100), false).expect("it fits");
    tables.set_timers_of_schema(1060);
    assert_eq!(due(&tables), [(1100, TimerId(1))]);
    tables.commit();
    let mut tables = tables.migrate(ticking(30), false).expect("it fits");
    assert_eq!(due(&tables), []);
    tables.set_timers_of_schema(1070);
    assert_eq!(due(&tables), [(1100, TimerId(2))]);
    assert_eq!(tables.timers()[0].repeat, Repeat::OfSchema(30));
    tables.commit();
    let without = tables.migrate(Arc::new(schema()), false).expect("it fits");
    assert_eq!(due(&without), []);
}

#[test]
fn a_pending_timer_keeps_its_reducer_and_the_types_of_its_arguments() {
    let taking = |ty: ColumnType| {
        let mut schema = schema();
        schema.reducers[0].arguments = vec![Field::new("amount", ty)];
        Arc::new(schema)
    };
    let with = |tables: &mut Tables| {
        let timer = Timer {
            arguments: vec![5],
            ..Timer::once("tick", 10)
        };
        tables.set_timer(&timer).expect("it is set");
        tables.commit();
    };
    let mut tables = Tables::new(taking(ColumnType::U64), LIMITS).expect("it fits");
    with(&mut tables);
    let renamed = {
        let mut schema = ModuleSchema::clone(&taking(ColumnType::U64));
        schema.reducers[0].arguments[0].name = "sum".into();
        Arc::new(schema)
    };
    let tables = tables.migrate(renamed, false).expect("names are free");
    let (tables, difference) = tables
        .migrate(taking(ColumnType::I64), false)
        .expect_err("5 would become -3");
    assert!(difference.to_string().contains("timer 1"), "{difference}");
    let wiped = tables
        .migrate(taking(ColumnType::I64), true)
        .expect("wipes");
    assert_eq!(due(&wiped), []);
    assert_eq!(wiped.count(TableId(0)), Ok(0));
}
