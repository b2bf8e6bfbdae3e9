//! The digest that pages remember is that of the rows, however they came and wherever they lie.

use std::sync::Arc;

use interstice_abi::id::TableId;
use proptest::prelude::*;

use super::{
    crash::Disk,
    model::{Model, Op, apply, ops},
    schema, tables,
};
use crate::table::{Change, Counter, Digest, Hashing, Savepoint, Tables, storage};

/// The digest computed from every row, with nothing remembered.
fn from_scratch(tables: &Tables) -> Digest {
    let mut digest = Digest::default();
    for table in tables.tables.iter().filter(|table| table.is_kept()) {
        for (key, row) in table.pages.range(&[]) {
            digest.add(Digest::of_row(&table.name, key, row));
        }
    }
    for table in &tables.tables {
        for counter in table.counters.iter().filter(|counter| counter.last > 0) {
            let key = storage::counter_key(&table.name, table.column_name(counter.field));
            let value = counter.last.to_le_bytes();
            digest.add(Digest::of_row(storage::COUNTERS_TREE, &key, &value));
        }
    }
    digest
}

/// The same rows and counters in tables of their own, put in the order of `shuffled`, with detours
/// that leave other pages behind.
fn laid_out_anew(tables: &Tables, shuffle: u64) -> Tables {
    let mut anew = super::tables();
    let mut rows = Vec::new();
    for (id, table) in (0..).map(TableId).zip(&tables.tables) {
        for (key, row) in table.pages.range(&[]).filter(|_| table.is_kept()) {
            rows.push(Change {
                table: id,
                key: key.into(),
                before: None,
                after: Some(row.into()),
            });
        }
        for counter in &table.counters {
            let counter = Counter {
                table: id,
                field: u16::try_from(counter.field).expect("few fields"),
                value: counter.last,
            };
            anew.redo(&[], &[counter]).expect("fits");
        }
    }
    rows.sort_by_key(|change| {
        let hash = blake3::keyed_hash(
            &[7; 32],
            &[&change.key[..], &shuffle.to_le_bytes()].concat(),
        );
        *hash.as_bytes()
    });
    for change in &rows {
        anew.redo(std::slice::from_ref(change), &[]).expect("fits");
    }
    for change in rows.iter().step_by(2) {
        let gone = Change {
            after: None,
            ..change.clone()
        };
        anew.redo(&[gone], &[]).expect("fits");
    }
    for change in rows.iter().step_by(2) {
        anew.redo(std::slice::from_ref(change), &[]).expect("fits");
    }
    anew
}

/// What happens to tables between two looks at their digest.
#[derive(Clone, Debug)]
enum Event {
    Op(Op),
    Save,
    Rollback,
    Commit,
    /// Somebody begins to hash.
    Begin,
    /// And brings back what they found, whatever has happened meanwhile.
    Keep,
    Digest,
    /// Changes are taken back by redoing what was before.
    Undo,
    /// The same schema again, as by a deploy.
    Migrate,
    /// Everything goes to a store and comes back.
    Restore,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        14 => ops().prop_map(Event::Op),
        2 => Just(Event::Save),
        2 => Just(Event::Rollback),
        1 => Just(Event::Commit),
        3 => Just(Event::Begin),
        3 => Just(Event::Keep),
        2 => Just(Event::Digest),
        1 => Just(Event::Undo),
        1 => Just(Event::Migrate),
        1 => Just(Event::Restore),
    ];
    prop::collection::vec(event, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_remembered_digest_is_that_of_the_rows_after_changes_undo_migrations_and_restores(
        events in events(),
        shuffle in any::<u64>(),
    ) {
        let mut tables = tables();
        let mut model = Model::default();
        let mut saved: Vec<(Savepoint, Model)> = Vec::new();
        let mut begun: Vec<(Hashing, Digest)> = Vec::new();
        for event in &events {
            match event {
                Event::Op(op) => apply(op, &mut tables, &mut model),
                Event::Save => saved.push((tables.savepoint(), model.clone())),
                Event::Rollback => {
                    if let Some((savepoint, before)) = saved.pop() {
                        tables.rollback(savepoint);
                        model = before;
                    }
                }
                Event::Commit => {
                    saved.clear();
                    tables.commit();
                }
                Event::Begin => {
                    let now = from_scratch(&tables);
                    begun.push((tables.begin_digest(), now));
                }
                Event::Keep => {
                    if let Some((hashing, then)) = begun.pop() {
                        let (digest, hashed) = hashing.finish();
                        prop_assert_eq!(digest, then, "of the moment when it was begun");
                        tables.keep_digests(hashed);
                    }
                }
                Event::Digest => prop_assert_eq!(tables.digest(), from_scratch(&tables)),
                Event::Undo => {
                    let all = tables.savepoint();
                    apply(&Op::Clear, &mut tables, &mut model.clone());
                    prop_assert_eq!(tables.digest(), from_scratch(&tables));
                    tables.rollback(all);
                }
                Event::Migrate => {
                    saved.clear();
                    tables.commit();
                    tables = tables.migrate(Arc::new(schema()), false).expect("the same");
                    model.forget_ephemeral();
                }
                Event::Restore => {
                    saved.clear();
                    tables.commit();
                    tables.begin_new_trees();
                    let mut disk = Disk::default();
                    disk.write(&tables.freeze());
                    let before = from_scratch(&tables);
                    tables = super::tables();
                    disk.restore(&mut tables);
                    model.forget_ephemeral();
                    prop_assert_eq!(tables.digest(), before);
                }
            }
        }
        prop_assert_eq!(tables.digest(), from_scratch(&tables));
        prop_assert_eq!(tables.begin_digest().pages(), 0, "nothing is hashed twice");
        prop_assert_eq!(laid_out_anew(&tables, shuffle).digest(), from_scratch(&tables));
    }
}
