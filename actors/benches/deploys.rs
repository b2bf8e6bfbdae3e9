//! How long other modules wait while one with a large table is upgraded: a column more, an index
//! more, a unique index more.
//!
//! `cargo bench -p interstice-actors --bench deploys` (minutes; numbers of rows may be given
//! behind `--`). A client calls a module beside it without pause; the longest of its calls while a
//! deploy is made is what the deploy keeps everybody waiting.

#[path = "../tests/common/common.rs"]
#[allow(dead_code, reason = "benchmarks and tests use their own parts of it")]
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must},
    peer::{Order, Peer},
    world::World,
};
use interstice_abi::{
    schema::IndexKind,
    types::{ColumnType, Field},
    wire::Ack,
};

/// The allocator of the command line's nodes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows that one call makes: a step well within its deadline.
const ROWS_AT_ONCE: u64 = 2_000;

/// Rows by default.
const ROWS: [u64; 2] = [200_000, 1_000_000];

/// The table in its versions. Rows have 20 to 30 bytes.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Version {
    First,
    WithColumn,
    WithIndex,
    WithUniqueIndex,
}

fn large(version: Version) -> GuestModule {
    let mut table = GuestTable::new("Rows", &["a", "b"]).auto_inc();
    let mut row = vec![Value::Const(0), Value::Random, Value::Random];
    if version >= Version::WithColumn {
        table = table.field(Field {
            default: Some(vec![7]),
            ..Field::new("c", ColumnType::U64)
        });
        row.push(Value::Const(7));
    }
    if version >= Version::WithIndex {
        table = table.index(1, IndexKind::Btree, false);
    }
    if version >= Version::WithUniqueIndex {
        table = table.index(2, IndexKind::Hash, true);
    }
    let fill = Op::Repeat {
        register: 0,
        times: arg(0),
        body: vec![must(Op::Insert {
            table: "rows".into(),
            row,
            into: 1,
        })],
    };
    GuestModule::new("large")
        .table(table)
        .reducer("fill", 1, vec![fill])
}

fn beside() -> GuestModule {
    let put = must(insert("sum", [Value::Const(0), arg(0)]));
    GuestModule::new("beside")
        .table(GuestTable::new("Sum", &["value"]).auto_inc())
        .reducer("put", 1, vec![put])
}

/// Calls without pause until told to stop; the longest call.
async fn call_on(peer: Peer, stop: Arc<AtomicBool>) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let called = peer.call_at(Ack::Applied, "beside", "put", &[1]).await;
        called.expect("it serves");
        longest = longest.max(began.elapsed());
    }
    longest
}

async fn measure(world: &World, owner: &Peer, what: &str, version: Version) {
    let stop = Arc::new(AtomicBool::new(false));
    let caller = tokio::spawn(call_on(world.stranger().await, stop.clone()));
    let began = Instant::now();
    owner.install(&large(version)).await;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let longest = caller.await.expect("it ends");
    println!(
        "  {what}: others wait {:.1} ms at most, the deploy takes {:.0} ms",
        longest.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e3
    );
}

async fn run(rows: u64) {
    // No checkpoint meanwhile: only what a deploy does is to be seen.
    let mut world = World::configured(|config| config.checkpoint_bytes = 1 << 40);
    world.start_with(Some(2)).await;
    let owner = world.owner().await;
    owner.install(&beside()).await;
    owner.install(&large(Version::First)).await;
    let mut left = rows;
    while left > 0 {
        let count = left.min(ROWS_AT_ONCE);
        let order = [Order::new("large", "fill", &[count])];
        for answer in owner.calls(&order).await {
            answer.expect("they are inserted");
        }
        left -= count;
    }
    println!("{rows} rows");
    // The same binary, which moves no row.
    measure(&world, &owner, "nothing new", Version::First).await;
    measure(&world, &owner, "a column", Version::WithColumn).await;
    measure(&world, &owner, "an index", Version::WithIndex).await;
    measure(&world, &owner, "a unique index", Version::WithUniqueIndex).await;
    world.stop().await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().filter_map(|rows| rows.parse().ok());
    let given: Vec<u64> = given.collect();
    let all = match given.as_slice() {
        [] if arguments.iter().any(|argument| argument == "--bench") => &ROWS[..],
        // `cargo test --benches` only wants to see that it works.
        [] => &[ROWS_AT_ONCE],
        given => given,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    for rows in all {
        runtime.block_on(run(*rows));
    }
}
