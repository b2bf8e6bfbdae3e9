//! The floor: what this machine can do without a node. The same guest function, called directly
//! through wasmtime, over a `BTreeMap`, with a bare append-only file that one thread syncs in
//! groups.
//!
//! Nothing of the node's crates runs here, so that the floor does not move with them. A call
//! counts once its bytes are synced.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use interstice_abi::{
    codec::{Input, put_varint},
    host_call::{Invocation, NAMESPACE, REDUCER_PREFIX},
};
use serde::{Deserialize, Serialize};
use wasmtime::{
    Caller, Config, Engine, Extern, Instance, Linker, Memory, Module, Store, TypedFunc,
};

use super::{load::Load, report::Median};
use crate::problem::{Outcome, Problem};

/// The file is zeroed this far before anything is measured, and written from the start again
/// behind it.
const FILE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a message over TCP.
const MESSAGE_BYTES: usize = 100;

/// Calls between two looks at the clock.
const CALLS_PER_LOOK: u32 = 256;

/// Bytes of the payload of a row of 100.
const PAYLOAD_BYTES: u32 = 92;

/// Calls per second, without and with the file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Empty calls into the guest.
    pub noop: f64,
    /// Inserts of a row of 100 bytes into a `BTreeMap`.
    pub insert_in_memory: f64,
    /// The same, each synced in a file, counted when it is.
    pub insert_synced: f64,
    /// Median time of a message of 100 bytes to another thread and back over TCP on this machine,
    /// in microseconds.
    pub round_trip_us: f64,
}

impl Limit {
    /// The median of each figure over several measurements; `None` when there is none.
    #[must_use]
    pub fn median<'a>(limits: impl Iterator<Item = &'a Self> + Clone) -> Option<Self> {
        limits.clone().next()?;
        let median = |of: fn(&Self) -> f64| Median::of(limits.clone().map(of).collect()).middle;
        Some(Self {
            noop: median(|limit| limit.noop),
            insert_in_memory: median(|limit| limit.insert_in_memory),
            insert_synced: median(|limit| limit.insert_synced),
            round_trip_us: median(|limit| limit.round_trip_us),
        })
    }

    /// The floor below a load of benchmark-workload, in calls per second; `None` for what it is
    /// not the floor of.
    #[must_use]
    pub fn below(&self, load: &Load) -> Option<f64> {
        match load.reducer.as_str() {
            "noop" => Some(self.noop),
            "insert_logged" => Some(self.insert_synced),
            _ => None,
        }
    }
}

/// Measures each part for `duration`, with the binary of benchmark-workload, on the disk that
/// holds `folder`.
///
/// # Errors
/// When the module does not run, or the file cannot be written.
pub fn measure(wasm: &[u8], folder: &Path, duration: Duration) -> Outcome<Limit> {
    let failed =
        |error: wasmtime::Error| Problem::failed(format!("the floor cannot be measured: {error}"));
    let mut guest = Guest::new(wasm).map_err(failed)?;
    let noop = guest.per_second("noop", duration, None).map_err(failed)?;
    let insert_in_memory = guest
        .per_second("insert_logged", duration, None)
        .map_err(failed)?;
    let mut guest = Guest::new(wasm).map_err(failed)?;
    let path = folder.join(format!(".limit.{}", std::process::id()));
    let file = Appended::create(&path).map_err(|error| Problem::file("write", &path, &error))?;
    let synced = guest.per_second("insert_logged", duration, Some(&file));
    file.end();
    std::fs::remove_file(&path).map_err(|error| Problem::file("remove", &path, &error))?;
    Ok(Limit {
        noop,
        insert_in_memory,
        insert_synced: synced.map_err(failed)?,
        round_trip_us: round_trip_us()
            .map_err(|error| Problem::failed(format!("the network cannot be measured: {error}")))?,
    })
}

/// The median of so many messages there and back, each sent when the one before is back.
const ROUND_TRIPS: usize = 5000;

fn round_trip_us() -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let other = std::thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..ROUND_TRIPS {
            stream.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut message = [0; MESSAGE_BYTES];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let started = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        times.push(started.elapsed());
    }
    // It has nothing more to say: what it was sent has come back.
    drop(other.join());
    times.sort_unstable();
    let median = times.get(ROUND_TRIPS / 2).copied().unwrap_or_default();
    Ok(median.as_secs_f64() * 1e6)
}

/// What the guest's calls work on.
#[derive(Default)]
struct World {
    memory: Option<Memory>,
    input: Vec<u8>,
    rows: BTreeMap<u64, Vec<u8>>,
    last_id: u64,
    /// What the current call has recorded.
    record: Vec<u8>,
}

struct Guest {
    store: Store<World>,
    instance: Instance,
}

impl Guest {
    fn new(wasm: &[u8]) -> wasmtime::Result<Self> {
        let engine = Engine::new(&Config::new())?;
        let module = Module::new(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap(
            NAMESPACE,
            "input_read",
            |mut caller: Caller<'_, World>, to: u32| {
                let (memory, world) = memory(&mut caller)?;
                let input = &world.input;
                slice(memory, to, input.len())?.copy_from_slice(input);
                wasmtime::Result::Ok(())
            },
        )?;
        linker.func_wrap(
            NAMESPACE,
            "table_open",
            |mut caller: Caller<'_, World>, _: u32, _: u32, out: u32, _: u32| {
                let (memory, _) = memory(&mut caller)?;
                slice(memory, out, 1)?.fill(0);
                wasmtime::Result::Ok(1_u64)
            },
        )?;
        linker.func_wrap(
            NAMESPACE,
            "table_insert",
            |mut caller: Caller<'_, World>, _: u32, from: u32, length: u32, out: u32, _: u32| {
                insert(&mut caller, from, length, out)
            },
        )?;
        linker.func_wrap(NAMESPACE, "output_write", |_: u32, _: u32| ())?;
        linker.define_unknown_imports_as_traps(&module)?;
        let mut store = Store::new(&engine, World::default());
        let instance = linker.instantiate(&mut store, &module)?;
        let found = instance.get_export(&mut store, "memory");
        store.data_mut().memory = found.and_then(Extern::into_memory);
        Ok(Self { store, instance })
    }

    /// How often `reducer` runs in a second; with a file, how often what it did is synced.
    fn per_second(
        &mut self,
        reducer: &str,
        duration: Duration,
        file: Option<&Appended>,
    ) -> wasmtime::Result<f64> {
        let name = format!("{REDUCER_PREFIX}{reducer}");
        let function: TypedFunc<u32, u32> = self.instance.get_typed_func(&mut self.store, &name)?;
        let invocation = postcard::to_allocvec(&Invocation {
            caller_node_id: String::new(),
            caller_module_name: String::new(),
            caller_is_owner: false,
        })?;
        let began = Instant::now();
        let mut calls = 0_u64;
        while began.elapsed() < duration {
            for _ in 0..CALLS_PER_LOOK {
                let world = self.store.data_mut();
                world.record.clear();
                world.input.clear();
                world.input.extend_from_slice(&invocation);
                if reducer != "noop" {
                    for number in [0, calls, u64::from(PAYLOAD_BYTES), 0] {
                        put_varint(number.into(), &mut world.input);
                    }
                }
                let length = u32::try_from(world.input.len()).unwrap_or(u32::MAX);
                if function.call(&mut self.store, length)? != 0 {
                    return Err(wasmtime::Error::msg("the reducer has failed"));
                }
                calls += 1;
                if let Some(file) = file {
                    file.append(&self.store.data().record);
                }
            }
        }
        if let Some(file) = file {
            calls = file.drained();
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of calls is far below 2^53"
        )]
        Ok(calls as f64 / began.elapsed().as_secs_f64())
    }
}

fn memory<'a>(
    caller: &'a mut Caller<'_, World>,
) -> wasmtime::Result<(&'a mut [u8], &'a mut World)> {
    let memory = caller
        .data()
        .memory
        .ok_or_else(|| wasmtime::Error::msg("the guest has no memory"))?;
    Ok(memory.data_and_store_mut(caller))
}

fn slice(memory: &mut [u8], start: u32, length: usize) -> wasmtime::Result<&mut [u8]> {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    memory
        .get_mut(start..start.saturating_add(length))
        .ok_or_else(|| wasmtime::Error::msg("the guest points outside of its memory"))
}

/// Inserts a row whose first column is an `auto_inc` key, and answers with the row as stored.
fn insert(
    caller: &mut Caller<'_, World>,
    from: u32,
    length: u32,
    out: u32,
) -> wasmtime::Result<u64> {
    let (memory, world) = memory(caller)?;
    let row = slice(memory, from, usize::try_from(length).unwrap_or(usize::MAX))?;
    let mut input = Input::new(row);
    input
        .varint(64)
        .map_err(|damaged| wasmtime::Error::msg(damaged.to_string()))?;
    world.last_id += 1;
    let mut stored = Vec::with_capacity(row.len() + 8);
    put_varint(world.last_id.into(), &mut stored);
    stored.extend_from_slice(input.rest());
    slice(memory, out, stored.len())?.copy_from_slice(&stored);
    world.record.extend_from_slice(&stored);
    let answer = u64::try_from(stored.len()).unwrap_or(u64::MAX);
    world.rows.insert(world.last_id, stored);
    Ok(answer)
}

/// A file that one thread writes and syncs, everything that waits at a time.
struct Appended {
    shared: Arc<Shared>,
    writer: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    records: u64,
    synced: u64,
    /// Nothing is being written.
    idle: bool,
    ended: bool,
}

impl Appended {
    fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..FILE_BYTES / zeros.len() {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        let shared = Arc::new(Shared::default());
        let writer = std::thread::spawn({
            let shared = shared.clone();
            move || shared.write(file)
        });
        Ok(Self { shared, writer })
    }

    fn append(&self, record: &[u8]) {
        let mut waiting = self.shared.lock();
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        waiting.bytes.extend_from_slice(&length.to_le_bytes());
        waiting.bytes.extend_from_slice(record);
        waiting.records += 1;
        let first = waiting.idle;
        waiting.idle = false;
        drop(waiting);
        if first {
            self.shared.changed.notify_all();
        }
    }

    /// Waits until everything is synced; how many records that are.
    fn drained(&self) -> u64 {
        let mut waiting = self.shared.lock();
        while !(waiting.ended || waiting.idle && waiting.bytes.is_empty()) {
            let waited = self.shared.changed.wait(waiting);
            waiting = waited.unwrap_or_else(PoisonError::into_inner);
        }
        waiting.synced
    }

    fn end(self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        // A panic there has shown in what was synced.
        drop(self.writer.join());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut file: File) {
        let (mut taken, mut place) = (Vec::new(), 0);
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() {
                waiting.idle = true;
                self.changed.notify_all();
                if waiting.ended {
                    return;
                }
                let waited = self.changed.wait(waiting);
                waiting = waited.unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut taken, &mut waiting.bytes);
            let records = std::mem::take(&mut waiting.records);
            drop(waiting);
            if place + taken.len() > FILE_BYTES {
                place = 0;
            }
            place += taken.len();
            let start = u64::try_from(place - taken.len()).unwrap_or(0);
            let written = file
                .seek(SeekFrom::Start(start))
                .and_then(|_| file.write_all(&taken))
                .and_then(|()| file.sync_data());
            taken.clear();
            let mut waiting = self.lock();
            match written {
                Ok(()) => waiting.synced += records,
                // What was not synced does not count.
                Err(_) => waiting.ended = true,
            }
        }
    }
}
