//! What a client's durable calls wait for while another one runs steps of 225 MB, and what the disk
//! needs for such a step alone.
//!
//! `cargo bench -p interstice-actors --bench large`. A test run makes one small step.

#[path = "../tests/common/common.rs"]
#[allow(dead_code, reason = "benchmarks and tests use their own parts of it")]
mod common;

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, insert, must, reg, upsert},
    world::World,
};
use interstice_abi::types::{ColumnType, Field};

/// The allocator of the command line's nodes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a row's payload.
const ROW_BYTES: u32 = 120_000;

/// Rows of a step: each is in its record as it was and as it is, 225 MB together.
const ROWS: u64 = 937;

/// Steps whose neighbour is measured.
const STEPS: u32 = 8;

/// How long the neighbour is measured alone.
const ALONE: Duration = Duration::from_secs(2);

/// `fill` replaces all rows.
fn heavy(rows: u64) -> GuestModule {
    let payload = Field::new("payload", ColumnType::Vec(Box::new(ColumnType::U8)));
    let write = must(upsert("goods", [reg(0), Value::Noise(ROW_BYTES)]));
    let fill = Op::Repeat {
        register: 0,
        times: rows.into(),
        body: vec![write],
    };
    GuestModule::new("heavy")
        .table(GuestTable::new("Goods", &[]).field(payload))
        .reducer("fill", 0, vec![fill])
}

fn light() -> GuestModule {
    GuestModule::new("light")
        .table(GuestTable::new("Marks", &["value"]).auto_inc())
        .reducer("mark", 0, vec![must(insert("marks", [0.into(), 1.into()]))])
}

/// How long writing and syncing the bytes of a step takes, without anything else.
fn floor(bytes: usize) -> io::Result<Duration> {
    let piece = vec![7; 1 << 20];
    let mut file: File = tempfile::tempfile()?;
    let began = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let part = left.min(piece.len());
        file.write_all(piece.get(..part).unwrap_or_default())?;
        left -= part;
    }
    file.sync_data()?;
    Ok(began.elapsed())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| {
        let place = (times.len().saturating_sub(1)) as f64 * part;
        times.get(place as usize).copied().unwrap_or_default()
    };
    let longest: Vec<u128> = times
        .iter()
        .rev()
        .take(10)
        .map(Duration::as_millis)
        .collect();
    println!(
        "{what}: {} times, median {:?}, p99 {:?}, the longest in ms {longest:?}",
        times.len(),
        at(0.5),
        at(0.99),
    );
}

async fn measure(rows: u64, steps: u32, alone: Duration) {
    let mut world = World::configured(|config| config.limits.deadline_ms = 60_000);
    world.start().await;
    let owner = world.owner().await;
    owner.install(&heavy(rows)).await;
    owner.install(&light()).await;
    owner.call("heavy", "fill", &[]).await.expect("it fills");
    let is_over = Arc::new(AtomicBool::new(false));
    let neighbour = |over: Arc<AtomicBool>, client: common::peer::Peer| async move {
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            client.call("light", "mark", &[]).await.expect("it marks");
            times.push(began.elapsed());
        }
        times
    };
    let calm = Arc::new(AtomicBool::new(false));
    let calls = tokio::spawn(neighbour(calm.clone(), world.owner().await));
    tokio::time::sleep(alone).await;
    calm.store(true, Ordering::Relaxed);
    print("durable calls alone", calls.await.expect("it ends"));
    let calls = tokio::spawn(neighbour(is_over.clone(), world.owner().await));
    let mut large = Vec::new();
    for _ in 0..steps {
        let began = Instant::now();
        owner.call("heavy", "fill", &[]).await.expect("it fills");
        large.push(began.elapsed());
    }
    is_over.store(true, Ordering::Relaxed);
    print(
        "durable calls beside large steps",
        calls.await.expect("it ends"),
    );
    print("large steps", large);
    world.stop().await;
}

fn main() {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (rows, steps, alone) = if is_test {
        (80, 1, Duration::ZERO)
    } else {
        (ROWS, STEPS, ALONE)
    };
    let bytes = usize::try_from(rows * u64::from(ROW_BYTES) * 2).expect("it fits the memory");
    let floors = (0..steps).map(|_| floor(bytes).expect("a file can be written"));
    print(
        &format!("{bytes} bytes, written and synced alone"),
        floors.collect(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(measure(rows, steps, alone));
}
