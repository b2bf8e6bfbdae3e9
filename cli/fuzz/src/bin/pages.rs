//! Pages and counters in a store: any bytes are taken in or refused; tables that were restored
//! from anything can be read, changed and frozen, and what they freeze restores as the same
//! tables.
#![no_main]

use std::sync::{Arc, LazyLock, Once};

use interstice_abi::{
    ABI_VERSION,
    id::{ModuleName, TableId},
    schema::{IndexKind, IndexSchema, ModuleSchema, Persistence, TableSchema, Version, Visibility},
    types::{ColumnType, Field},
};
use interstice_fuzz::{memory, schemas, shapes};
use interstice_host::table::Tables;
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};

static BEGIN: Once = Once::new();
static SCHEMA: LazyLock<Arc<ModuleSchema>> = LazyLock::new(|| Arc::new(schema()));
static TREES: LazyLock<Vec<String>> = LazyLock::new(trees);

fuzz_target!(|data: &[u8]| {
    BEGIN.call_once(|| memory::limit(64 * 1024 * 1024));
    // An input that is too short to choose is none.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(data);
    let mut tables = empty();
    let mut last: Vec<u8> = Vec::new();
    let pages = input.arbitrary::<u8>()? % 8;
    for _ in 0..pages {
        let tree = input.choose(&TREES)?;
        let key = part(&mut input)?;
        let page = part(&mut input)?;
        // An entry that is refused ends a restore.
        if tables.restore_page(tree, key, page).is_err() {
            return Ok(());
        }
        last = page.to_vec();
    }
    if tables.finish_restore().is_err() {
        return Ok(());
    }
    work(&mut tables, &last, input.take_rest());
    let digest = tables.digest();
    tables.begin_new_trees();
    let mut again = empty();
    for write in tables.freeze() {
        let page = write
            .page
            .expect("trees that are begun have nothing to remove");
        again
            .restore_page(&write.tree, &write.key, &page.encode())
            .expect("what was frozen can be restored");
    }
    again
        .finish_restore()
        .expect("what was frozen can be restored");
    assert_eq!(again.digest(), digest);
    Ok(())
}

/// Reads everything and tries to write some rows.
fn work(tables: &mut Tables, page: &[u8], row: &[u8]) {
    for number in 0..3 {
        let table = TableId(number);
        let count = tables.count(table).expect("the table is there");
        let rows = tables
            .rows_after(table, None, usize::MAX, usize::MAX)
            .expect("the table is there");
        assert_eq!(rows.len() as u64, count);
        assert!(rows.is_sorted_by(|one, other| one.0 < other.0));
        let edge = tables.edge(table, true).expect("the table is there");
        assert_eq!(edge, rows.last().map(|(_, row)| &**row));
        // What is refused changes nothing; the digest below tells.
        let savepoint = tables.savepoint();
        let inserted = tables.insert(table, row).is_ok();
        let other = tables.upsert(table, page.get(2..).unwrap_or_default());
        if inserted || other.is_ok() {
            tables.rollback(savepoint);
        }
        assert_eq!(tables.count(table), Ok(count));
        if let Ok(Some(row)) = tables.edge(table, false) {
            let row = row.to_vec();
            tables
                .upsert(table, &row)
                .expect("a row that is there fits");
        }
        tables.commit();
    }
}

fn part<'a>(input: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length = usize::from(input.arbitrary::<u8>()?);
    input.bytes(length.min(input.len()))
}

fn empty() -> Tables {
    Tables::new(SCHEMA.clone(), schemas::limits().rows()).expect("the schema is right")
}

fn schema() -> ModuleSchema {
    let table = |name: &str, fields: &[(&str, ColumnType)], persistence| TableSchema {
        name: name.into(),
        type_name: name.to_uppercase(),
        fields: fields
            .iter()
            .map(|(name, ty)| Field::new(*name, ty.clone()))
            .collect(),
        primary_key: 0,
        primary_key_auto_inc: fields
            .first()
            .is_some_and(|field| field.1 == ColumnType::U64),
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence,
    };
    let index = |field, kind, unique| IndexSchema {
        field,
        kind,
        unique,
        auto_inc: false,
    };
    let text = ColumnType::String;
    let mut notes = table(
        "notes",
        &[
            ("id", ColumnType::U64),
            ("text", text.clone()),
            ("n", ColumnType::I32),
        ],
        Persistence::Logged,
    );
    notes.indexes = vec![
        index(1, IndexKind::Hash, true),
        index(2, IndexKind::Btree, false),
    ];
    let people = table(
        "people",
        &[
            ("name", text),
            ("tree", ColumnType::Named("Tree".into())),
            ("shade", ColumnType::Named("Shade".into())),
        ],
        Persistence::Logged,
    );
    let blobs = table(
        "blobs",
        &[
            ("id", ColumnType::Option(Box::new(ColumnType::I16))),
            ("blob", ColumnType::Vec(Box::new(ColumnType::U8))),
        ],
        Persistence::Stateful,
    );
    ModuleSchema {
        abi_version: ABI_VERSION,
        name: ModuleName::new("fuzz").expect("is a name"),
        version: Version::default(),
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
        tables: vec![notes, people, blobs],
        reducers: Vec::new(),
        queries: Vec::new(),
        types: shapes::TYPES.clone(),
    }
}

/// The trees that the tables have in a store, as a freeze names them, and one that is nobody's.
fn trees() -> Vec<String> {
    let mut tables = empty();
    let rows: [&[u8]; 3] = [&[0, 1, b'a', 2], &[1, b'a', 0, 0], &[0, 0]];
    for (number, row) in (0..).zip(rows) {
        tables
            .insert(TableId(number), row)
            .expect("the row is right");
    }
    tables.commit();
    let mut trees: Vec<String> = tables
        .freeze()
        .into_iter()
        .map(|write| write.tree.to_string())
        .collect();
    trees.dedup();
    assert_eq!(trees.len(), 4, "three tables and the counters: {trees:?}");
    trees.extend(["~timers".into(), "gone.00".into()]);
    trees
}
