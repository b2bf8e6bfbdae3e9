//! The parts of a step, each alone: row check, key encoding, index, log append, empty call into a
//! guest, host call.
//!
//! `cargo bench -p interstice-host`. Throughputs are per element; what a whole turn costs is for
//! `interstice-cli benchmark`.

mod guest;

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use interstice_abi::{
    id::TableId,
    key::KeyType,
    schema::{Access, IndexKind, IndexSchema, ModuleSchema},
    types::{ColumnType, TypeSet},
    walk::Layout,
};
use interstice_host::{
    log::{Log, LogOptions, StdFiles},
    table::{RowLimits, Tables},
};

const TABLE: TableId = TableId(0);

/// Rows of the tables that are looked up in.
const ROWS: u64 = 100_000;

/// Records of one batch of the log: what a busy node syncs together.
const RECORDS: u64 = 1024;

fn limits() -> RowLimits {
    interstice_host::limits::Limits::default().rows()
}

/// A row of `notes`: its key, the column that is indexed, and a text that makes it 100 bytes long.
fn row(id: u64) -> Vec<u8> {
    postcard::to_allocvec(&(id, id % 1000, "x".repeat(90))).expect("a row encodes")
}

fn filled() -> Tables {
    let mut tables = Tables::new(Arc::new(schema()), limits()).expect("the schema is right");
    for id in 1..=ROWS {
        tables.insert(TABLE, &row(id)).expect("the row is new");
        tables.commit();
    }
    tables
}

fn schema() -> ModuleSchema {
    let mut schema = guest::schema();
    if let Some(table) = schema.tables.first_mut() {
        table.indexes = vec![IndexSchema {
            field: 1,
            kind: IndexKind::Btree,
            unique: false,
            auto_inc: false,
        }];
    }
    schema
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("row");
    group.throughput(Throughput::Elements(1));
    let mut layout = Layout::new(&TypeSet::default()).expect("there are no types");
    let fields = guest::notes().fields;
    let nodes = layout
        .resolve_fields(&fields)
        .expect("the fields are right");
    let row = row(7);
    group.bench_function("check against the schema", |b| {
        b.iter(|| layout.check(&nodes, black_box(&row)));
    });
    group.bench_function("encode a key", |b| {
        let ty = KeyType::new(&ColumnType::U64, &TypeSet::default()).expect("integers are keys");
        let value = postcard::to_allocvec(&123_456_u64).expect("a key encodes");
        let mut key = Vec::new();
        b.iter(|| {
            key.clear();
            ty.order(black_box(&value), &mut key)
                .expect("the key is right");
            black_box(&key);
        });
    });
    group.finish();
}

fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("table");
    group.throughput(Throughput::Elements(1));
    let mut tables = filled();
    let mut next = ROWS;
    group.bench_function("insert and commit", |b| {
        b.iter(|| {
            next += 1;
            tables.insert(TABLE, &row(next)).expect("the row is new");
            tables.commit();
        });
    });
    let mut tables = filled();
    group.bench_function("update and commit", |b| {
        let mut id = 0;
        b.iter(|| {
            id = (id + 7919) % ROWS;
            tables
                .update(TABLE, &row(id + 1))
                .expect("the row is there");
            tables.commit();
        });
    });
    let key = |id: u64| postcard::to_allocvec(&id).expect("a key encodes");
    group.bench_function("get by primary key", |b| {
        let mut id = 0;
        b.iter(|| {
            id = (id + 7919) % ROWS;
            black_box(
                tables
                    .get(TABLE, 0, &key(id + 1))
                    .expect("the key is right"),
            );
        });
    });
    group.finish();
}

fn log(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(RECORDS));
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(3));
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _) = Log::open(folder.path(), Arc::new(StdFiles), LogOptions::default())
        .expect("an empty folder opens");
    group.bench_function("append 1024 records of 120 bytes and sync", |b| {
        b.iter_batched(
            || (0..RECORDS).map(|_| vec![7_u8; 120]).collect::<Vec<_>>(),
            |records| {
                let (synced, wait) = std::sync::mpsc::channel();
                for record in records {
                    log.append(record);
                }
                log.when_durable(Box::new(move |durable| {
                    // The other end waits below.
                    let _ = synced.send(durable.is_ok());
                }));
                assert_eq!(wait.recv(), Ok(true));
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn calls(c: &mut Criterion) {
    let mut group = c.benchmark_group("guest");
    group.throughput(Throughput::Elements(1));
    let mut module = guest::module();
    for (what, function) in [
        ("empty reducer", "nothing"),
        ("one host call", "time"),
        ("insert of a row", "add"),
    ] {
        group.bench_function(what, |b| {
            b.iter(|| {
                let outcome =
                    block_on(module.run(guest::request(function), Box::new(guest::Nobody)));
                module.tables_mut().commit();
                assert!(outcome.result.is_ok());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rows, tables, log, calls);
criterion_main!(benches);

/// What the guest's reducers may do with its table.
const ALL: Access = Access(15);
