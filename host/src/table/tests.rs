//! Tests of the tables: against a naive model, over crashes, through migrations, and with hostile
//! bytes.

mod crash;
mod digests;
mod hostile;
mod migration;
mod model;
mod prepared;
mod rules;
mod scans;
mod timers;

use std::sync::Arc;

use interstice_abi::{
    ABI_VERSION,
    codec::Column,
    id::{ModuleName, TableId},
    schema::{
        IndexKind, IndexSchema, ModuleSchema, Persistence, ReducerSchema, TableSchema, Version,
        Visibility,
    },
    types::{ColumnType, Field, TypeSet},
};

use super::{RowLimits, Tables};

/// `account { id: u64 auto_inc, email: String hash unique, ticket: i32 btree unique auto_inc, created: i64 btree, payload: Vec<u8> }`.
const ACCOUNT: TableId = TableId(0);
/// `blob { name: String, data: Vec<u8> }`, stateful.
const BLOB: TableId = TableId(1);
/// `seen { id: u8 auto_inc }`, ephemeral.
const SEEN: TableId = TableId(2);

const LIMITS: RowLimits = RowLimits {
    row_bytes_max: 10_000,
    stateful_row_bytes_max: 20_000,
};

type Account = (u64, String, i32, i64, Vec<u8>);

fn account(id: u64, email: &str, ticket: i32, created: i64, payload: usize) -> Account {
    (id, email.to_string(), ticket, created, vec![7; payload])
}

fn index(field: u16, kind: IndexKind, unique: bool, auto_inc: bool) -> IndexSchema {
    IndexSchema {
        field,
        kind,
        unique,
        auto_inc,
    }
}

fn table(name: &str, fields: Vec<Field>, persistence: Persistence) -> TableSchema {
    TableSchema {
        name: name.into(),
        type_name: name.to_uppercase(),
        fields,
        primary_key: 0,
        primary_key_auto_inc: false,
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence,
    }
}

fn bytes_type() -> ColumnType {
    ColumnType::Vec(Box::new(ColumnType::U8))
}

fn schema() -> ModuleSchema {
    let account = TableSchema {
        primary_key_auto_inc: true,
        indexes: vec![
            index(1, IndexKind::Hash, true, false),
            index(2, IndexKind::Btree, true, true),
            index(3, IndexKind::Btree, false, false),
        ],
        ..table(
            "account",
            vec![
                Field::new("id", ColumnType::U64),
                Field::new("email", ColumnType::String),
                Field::new("ticket", ColumnType::I32),
                Field::new("created", ColumnType::I64),
                Field::new("payload", bytes_type()),
            ],
            Persistence::Logged,
        )
    };
    let blob = table(
        "blob",
        vec![
            Field::new("name", ColumnType::String),
            Field::new("data", bytes_type()),
        ],
        Persistence::Stateful,
    );
    let seen = TableSchema {
        primary_key_auto_inc: true,
        ..table(
            "seen",
            vec![Field::new("id", ColumnType::U8)],
            Persistence::Ephemeral,
        )
    };
    let tick = ReducerSchema {
        name: "tick".into(),
        arguments: Vec::new(),
        events: Vec::new(),
        capabilities: Vec::new(),
    };
    ModuleSchema {
        abi_version: ABI_VERSION,
        name: ModuleName::new("bank").expect("a name"),
        version: Version::default(),
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
        tables: vec![account, blob, seen],
        reducers: vec![tick],
        queries: Vec::new(),
        types: TypeSet::default(),
    }
}

fn tables() -> Tables {
    Tables::new(Arc::new(schema()), LIMITS).expect("the schema fits")
}

fn accounts(tables: &Tables) -> Vec<Account> {
    rows(tables, ACCOUNT)
        .iter()
        .map(|row| Account::from_bytes(row).expect("a row"))
        .collect()
}

fn rows(tables: &Tables, table: TableId) -> Vec<Box<[u8]>> {
    tables
        .rows_after(table, None, usize::MAX, usize::MAX)
        .expect("the table is there")
        .into_iter()
        .map(|(_, row)| row)
        .collect()
}
