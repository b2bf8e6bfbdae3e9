//! Moves whose long part was done before, while the tables were written to, against moves without
//! that.

use std::{collections::BTreeSet, sync::Arc};

use interstice_abi::{
    schema::{IndexKind, ModuleSchema},
    types::{ColumnType, Field},
};
use proptest::prelude::*;

use super::{
    ACCOUNT, index,
    model::{Model, Op, apply, ops},
    rows, schema, tables,
};
use crate::table::{
    Prepared, Tables,
    index::{Index, Keys},
};

/// With a column and indexes more. Where `unique` says so, rows that share a value speak against
/// it.
fn next(extends: bool, unique: bool) -> Arc<ModuleSchema> {
    let mut schema = schema();
    let account = &mut schema.tables[0];
    account
        .indexes
        .push(index(3, IndexKind::Hash, unique, false));
    account
        .indexes
        .push(index(1, IndexKind::Btree, false, false));
    if extends {
        let note = ColumnType::Option(Box::new(ColumnType::String));
        account.fields.push(Field::new("note", note));
        account
            .indexes
            .push(index(5, IndexKind::Btree, true, false));
    }
    Arc::new(schema)
}

/// The values of an index, each with the key of a row.
fn content(index: &Index) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
    match index {
        Index::Btree(places) => places
            .iter()
            .map(|place| (place.as_slice().to_vec(), Vec::new()))
            .collect(),
        Index::Hash(map) => map
            .iter()
            .flat_map(|(value, keys)| {
                let keys: Vec<_> = match keys {
                    Keys::One(key) => vec![key],
                    Keys::Many(keys) => keys.iter().collect(),
                };
                let value = value.as_slice().to_vec();
                let keys = keys.into_iter();
                keys.map(move |key| (value.clone(), key.as_slice().to_vec()))
            })
            .collect(),
    }
}

/// Tables and what they must hold.
struct Modelled(Option<Tables>, Model);

impl Modelled {
    fn new() -> Self {
        Self(Some(tables()), Model::default())
    }

    fn tables(&mut self) -> &mut Tables {
        self.0.as_mut().expect("they have not moved")
    }

    fn apply(&mut self, ops: &[Op]) {
        let Self(Some(tables), model) = self else {
            unreachable!("they have not moved");
        };
        ops.iter().for_each(|op| apply(op, tables, model));
    }
}

fn some_ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(ops(), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_prepared_move_comes_to_the_same_rows_indexes_and_objections(
        (before, undone, since, last) in (some_ops(), some_ops(), some_ops(), some_ops()),
        (extends, unique) in any::<(bool, bool)>(),
    ) {
        let new = next(extends, unique);
        let (mut plain, mut ahead) = (Modelled::new(), Modelled::new());
        for modelled in [&mut plain, &mut ahead] {
            modelled.apply(&before);
            modelled.tables().commit();
        }
        // A step is open while the pages are handed out, and is undone.
        let (savepoint, model) = (ahead.tables().savepoint(), ahead.1.clone());
        ahead.apply(&undone);
        let preparing = ahead.tables().preparing(&new);
        while ahead.tables().rollback_some(savepoint, 3) {}
        ahead.1 = model;
        let mut prepared: Prepared = preparing.run();
        for modelled in [&mut plain, &mut ahead] {
            modelled.apply(&since);
            modelled.tables().commit();
        }
        let expected = plain.tables().plan(&new).expect("is planned");
        let planned = ahead.tables().plan_with(&new, &mut prepared).expect("is planned");
        prop_assert_eq!(planned.difference.to_string(), expected.difference.to_string());
        prop_assert_eq!(planned.tables, expected.tables);
        for modelled in [&mut plain, &mut ahead] {
            modelled.apply(&last);
            modelled.tables().commit();
        }
        let plain = plain.0.expect("is there").migrate(Arc::clone(&new), false);
        let ahead = ahead.0.expect("is there").migrate_with(new, false, &mut prepared);
        match (plain, ahead) {
            (Ok(mut plain), Ok(mut ahead)) => {
                prop_assert_eq!(ahead.digest(), plain.digest());
                prop_assert_eq!(ahead.statistics(), plain.statistics());
                prop_assert_eq!(rows(&ahead, ACCOUNT), rows(&plain, ACCOUNT));
                for (ahead, plain) in ahead.tables.iter().zip(&plain.tables) {
                    for (ahead, plain) in ahead.indexes.iter().zip(&plain.indexes) {
                        prop_assert_eq!(content(&ahead.rows), content(&plain.rows));
                    }
                }
            }
            (Err((_, plain)), Err((_, ahead))) => {
                prop_assert_eq!(ahead.to_string(), plain.to_string());
            }
            (plain, ahead) => prop_assert!(
                false,
                "one fits and the other does not: {:?}, {:?}",
                plain.map(drop).map_err(|(_, difference)| difference.to_string()),
                ahead.map(drop).map_err(|(_, difference)| difference.to_string()),
            ),
        }
    }
}

#[test]
fn a_preparation_for_another_schema_is_given_up() {
    let mut tables = super::tables();
    let row = super::account(1, "one", 1, 1, 3);
    let row = interstice_abi::codec::Column::to_bytes(&row);
    tables.insert(ACCOUNT, &row).expect("inserts");
    tables.commit();
    let mut prepared = tables.preparing(&next(true, true)).run();
    let other = next(false, false);
    let mut moved = tables
        .migrate_with(other.clone(), false, &mut prepared)
        .expect("fits");
    moved.freeze();
    assert_eq!(rows(&moved, ACCOUNT).len(), 1);
    // What was prepared before another upgrade came first is of no use.
    let last = next(true, true);
    let mut prepared = super::tables().preparing(&last).run();
    let moved = moved
        .migrate_with(last, false, &mut prepared)
        .expect("fits");
    let table = &moved.tables[0];
    assert!(
        table
            .indexes
            .iter()
            .all(|index| content(&index.rows).len() == 1)
    );
}
