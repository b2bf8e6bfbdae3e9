//! Modules that have grown, and what those see that were compiled against their older selves.

use interstice_abi::{
    host_call::{ScanBatch, ScanRequest},
    id::TableId,
};
use std::ops::Bound;

use super::*;
use crate::{
    module::{CallKind, ReadRequest},
    schema::View,
};

/// The bank with a column more, also where its rows are an argument or a result, and an index
/// before the other one.
fn grown() -> ModuleSchema {
    bent(|p| {
        row_functions(p);
        p.table.fields.push(Field {
            default: Some(true.to_bytes()),
            ..Field::new("open", ColumnType::Bool)
        });
        let option = ColumnType::Option(Box::new(ColumnType::U8));
        p.table.fields.push(Field::new("rank", option));
        let plain = p.table.fields.iter();
        let plain = plain.map(|field| Field::new(field.name.clone(), field.ty.clone()));
        let row = TypeKind::Struct(Fields::Named(plain.collect()));
        p.types.types.insert("Account".into(), definition(row));
        let first = IndexSchema {
            field: 0,
            kind: IndexKind::Hash,
            unique: true,
            auto_inc: false,
        };
        p.table.indexes.insert(0, first);
    })
    .expect("good")
}

/// `open` takes a row, `total` returns rows.
fn row_functions(p: &mut Pieces) {
    p.reducers[0].arguments = vec![Field::new("row", named("Account"))];
    let rows = ColumnType::Vec(Box::new(named("Account")));
    p.query.result = ColumnType::Tuple(vec![ColumnType::U8, rows]);
}

fn bound() -> Dependency {
    let provider = bent(row_functions).expect("good");
    Dependency {
        tables: provider.tables,
        reducers: provider.reducers,
        queries: provider.queries,
        types: provider.types,
        ..binding()
    }
}

/// A row of the older bank, and of the grown one with what is added.
fn old_row(id: u64) -> Vec<u8> {
    let mut row = id.to_bytes();
    row.push(1);
    "note".to_string().encode(&mut row);
    row
}

fn new_row(id: u64, added: &[u8]) -> Vec<u8> {
    [old_row(id), added.to_vec()].concat()
}

#[test]
fn a_view_cuts_what_is_seen_and_fills_in_what_is_given() {
    assert_eq!(check_binding(&schema(), &bound(), &grown()), Ok(()));
    assert!(View::new(&bound(), &bent(row_functions).expect("good")).is_none());
    let view = View::new(&bound(), &grown()).expect("something differs");
    let table = TableId(0);
    assert_eq!(*view.row(table, &new_row(300, &[0, 1, 7])), old_row(300));

    let mut given = old_row(5);
    view.give(CallKind::Reducer, "open", &mut given);
    assert_eq!(given, new_row(5, &[1, 0]), "the default, and `None`");
    assert_eq!(*view.reported("open", &given), old_row(5));

    let mut result = vec![9, 2];
    result.extend(new_row(1, &[0, 0]));
    result.extend(new_row(2, &[1, 1, 4]));
    let seen = view.result("total", result);
    assert_eq!(seen, [vec![9, 2], old_row(1), old_row(2)].concat());

    let mut get = ReadRequest::Get {
        index: 1,
        key: Vec::new(),
    };
    let asked = view.ask(table, &mut get).expect("rows are cut");
    assert!(matches!(get, ReadRequest::Get { index: 2, .. }), "{get:?}");
    let found = [vec![1], new_row(3, &[1, 0])].concat();
    let seen = view.answer(asked, found).expect("is an answer");
    assert_eq!(seen, [vec![1], old_row(3)].concat());
    assert_eq!(view.answer(asked, vec![0]), Ok(vec![0]));

    let mut scan = ReadRequest::Scan(ScanRequest {
        index: 0,
        lower: Bound::Unbounded,
        upper: Bound::Unbounded,
        cursor: None,
    });
    let asked = view.ask(table, &mut scan).expect("rows are cut");
    let batch = |row: Vec<u8>| {
        let batch = ScanBatch {
            rows: vec![row],
            places: vec![vec![8]],
            until: vec![9],
            more: true,
        };
        postcard::to_allocvec(&batch).expect("encodes")
    };
    let seen = view.answer(asked, batch(new_row(4, &[0, 0])));
    assert_eq!(seen, Ok(batch(old_row(4))));
}

#[test]
fn an_enum_may_grow_where_it_is_given_and_not_where_it_is_seen() {
    let grey = |p: &mut Pieces| {
        let variants = ["Dark", "Light", "Grey"].map(|name| Variant {
            name: name.into(),
            fields: Fields::Unit,
        });
        let shade = definition(TypeKind::Enum(variants.to_vec()));
        p.types.types.insert("Shade".into(), shade);
    };
    let takes = |p: &mut Pieces| {
        p.reducers[0].arguments = vec![Field::new("shade", named("Shade"))];
        p.table.visibility = Visibility::Private;
    };
    let provider = bent(takes).expect("good");
    let bound = Dependency {
        tables: Vec::new(),
        reducers: provider.reducers,
        types: provider.types,
        ..binding()
    };
    let grown = bent(|p| {
        takes(p);
        grey(p);
    })
    .expect("good");
    assert_eq!(check_binding(&schema(), &bound, &grown), Ok(()));
    let mut listens = schema();
    listens.reducers[0].events = vec![Event::Call {
        module: "bank".into(),
        reducer: "open".into(),
    }];
    let failure = check_binding(&listens, &bound, &grown).expect_err("it would see the new one");
    assert!(failure.message.contains("reported"), "{failure}");
    let failure = check_binding(&schema(), &binding(), &bent(grey).expect("good"));
    let failure = failure.expect_err("rows may have the new one");
    assert!(failure.message.contains("column `shade`"), "{failure}");
}

proptest! {
    #[test]
    fn bytes_that_are_no_row_project_to_something_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let view = View::new(&bound(), &grown()).expect("something differs");
        let mut given = bytes.clone();
        view.give(CallKind::Reducer, "open", &mut given);
        let _ = view.result("total", bytes.clone());
        let _ = view.row(TableId(0), &bytes);
    }
}
