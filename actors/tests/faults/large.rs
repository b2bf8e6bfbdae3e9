//! Steps of megabytes on a disk that takes its time: the calls of others are durable meanwhile.

use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use interstice_abi::types::{ColumnType, Field};
use interstice_actors::node::Ground;
use interstice_host::log::{Access, LogFile, LogFiles, StdFiles};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, insert, must, reg, upsert},
    world::World,
};

/// Bytes of a row.
const ROW_BYTES: u32 = 120_000;

/// Rows of a step: more than a block of the log holds.
const ROWS: u64 = 90;

/// Files that hold up large records until a gate is opened.
#[derive(Clone, Default)]
struct Gated(Arc<(Mutex<Gate>, Condvar)>);

#[derive(Default)]
struct Gate {
    is_open: bool,
    /// Whether something waits, or has waited.
    is_reached: bool,
}

struct GatedFile(Box<dyn LogFile>, Gated);

impl Gated {
    fn wait(&self) {
        let (gate, opened) = &*self.0;
        let mut gate = gate.lock().expect("nobody panics here");
        gate.is_reached = true;
        while !gate.is_open {
            gate = opened.wait(gate).expect("nobody panics here");
        }
    }

    fn open_gate(&self) {
        let (gate, opened) = &*self.0;
        gate.lock().expect("nobody panics here").is_open = true;
        opened.notify_all();
    }

    fn is_reached(&self) -> bool {
        self.0.0.lock().expect("nobody panics here").is_reached
    }
}

impl LogFiles for Gated {
    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        StdFiles.create_dir(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        StdFiles.list(directory)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let file = StdFiles.create(path, bytes)?;
        if path.to_string_lossy().contains("large-") {
            return Ok(Box::new(GatedFile(file, self.clone())));
        }
        Ok(file)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn LogFile>> {
        StdFiles.open(path, access)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        StdFiles.remove(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        StdFiles.sync_dir(directory)
    }
}

impl LogFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.1.wait();
        self.0.write_at(offset, bytes)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

fn heavy() -> GuestModule {
    let payload = Field::new("payload", ColumnType::Vec(Box::new(ColumnType::U8)));
    let write = must(upsert("goods", [reg(0), Value::Noise(ROW_BYTES)]));
    let fill = Op::Repeat {
        register: 0,
        times: ROWS.into(),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_calls_of_others_are_answered_while_the_disk_takes_a_large_step() {
    let mut world = World::configured(|config| config.limits.deadline_ms = 30_000);
    let gated = Gated::default();
    let ground = Ground {
        log_files: Arc::new(gated.clone()),
        ..Ground::default()
    };
    world.start_on(ground).await.expect("it starts");
    let (owner, other) = (world.owner().await, world.owner().await);
    owner.install(&heavy()).await;
    owner.install(&light()).await;
    let filling = tokio::spawn(async move { owner.call("heavy", "fill", &[]).await });
    while !gated.is_reached() {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        other.call("light", "mark", &[]).await.expect("it marks");
    }
    assert!(!filling.is_finished());
    gated.open_gate();
    filling.await.expect("it ends").expect("it fills");
    other.call("light", "mark", &[]).await.expect("it marks");
    world.crash().await;
    let owner = world.owner().await;
    let modules = owner.modules().await;
    let rows = |name: &str| {
        let found = modules.iter().find(|module| module.name.as_str() == name);
        found.map(|module| module.tables.iter().map(|table| table.rows).sum())
    };
    assert_eq!((rows("heavy"), rows("light")), (Some(ROWS), Some(6)));
    world.stop().await;
    world.replay().await.expect("the log replays");
}
