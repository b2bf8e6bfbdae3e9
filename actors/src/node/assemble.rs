//! From a data directory to running actors: log, store and engine are opened, the state is recovered, and the supervisor
//! starts with everything that it owns.
//!
//! The record of the restart is in the log before any turn of the new epoch. Nothing of the network is here.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use actix::{Actor, Addr, Arbiter, prelude::ArbiterHandle};
use interstice_abi::{
    failure::Failure,
    id::{ModuleName, NodeId, Seq},
};
use interstice_host::{
    log::{Cut, Held, Log, LogPosition, Opened},
    store::Store,
    wasm::Engine,
};
use libp2p::identity::Keypair;

use super::{Ground, NodeError, Stop, codes::Codes, run::Started};
use crate::{
    apart::Apart,
    backup::{self, serve::Backups},
    clock::NodeClock,
    config::Config,
    directory::Directory,
    lines::Lines,
    module::{
        core::Core,
        lane::Lane,
        turn::{
            Origin, PendingStep, StepKind, Turn, Waiter,
            pending::{Budget, Pending},
        },
    },
    record::{NamedLimits, Record},
    recovery::{HalfDone, Recovered, recover},
    shared::{Shared, Who},
    supervisor::{
        About, Supervisor,
        admission::Admission,
        barrier::Barrier,
        catalogue::{Catalogue, Entry, Installed, ModuleIndex, fingerprints::Fingerprints},
        change::granting::revocations,
        checkpoint::{
            Checkpoints,
            marker::{Clean, Marker},
        },
        drain::Stopping,
        inspect::{Inspector, gauges::Gauges},
        install::{compiling::Compiles, installer::Installer},
        places::Outgoing,
        second_chance::SecondChances,
        stamp::Stamper,
        timers::Timers,
    },
};

/// Most modules that the log names for one turn.
const MODULES_NAMED_MAX: usize = 16;

/// Recovers what `directory` holds and starts the supervisor and the module actors on it.
pub(super) fn start_actors(
    directory: &Arc<Directory>,
    config: &Arc<Config>,
    key: &Keypair,
    id: &NodeId,
    stop: Stop,
    ground: Ground,
) -> Result<Started, NodeError> {
    let has_run = directory.path("node.log").exists();
    let lines = Lines::open(&directory.path("node.log")).map_err(|error| NodeError::Directory {
        path: directory.path("node.log"),
        problem: error.to_string(),
    })?;
    let (log, opened) = Log::open(&directory.path("log"), ground.log_files, ground.log_options)
        .map_err(|error| NodeError::Log {
            problem: error.to_string(),
        })?;
    let store = Store::open_watched(
        &directory.path("db"),
        config.store_cache_bytes,
        ground.store_steps,
    )
    .map_err(|error| NodeError::Store {
        problem: error.to_string(),
    })?;
    backup::serve::clean(directory.root()).map_err(|error| NodeError::Directory {
        path: directory.root().to_owned(),
        problem: error.to_string(),
    })?;
    let engine = Engine::new(Some(directory.path("cache"))).map_err(NodeError::Recovery)?;
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let arbiters: Vec<Arbiter> = (1..workers).map(|_| Arbiter::new()).collect();
    // The first is this thread's own: the supervisor's and the network's.
    let handles: Vec<ArbiterHandle> = std::iter::once(Arbiter::current())
        .chain(arbiters.iter().map(Arbiter::handle))
        .collect();
    let installer = Installer {
        engine,
        directory: directory.clone(),
        arbiters: Arc::new(handles),
        compiles: Compiles::default(),
    };
    let recovered = recover(&installer, config, &store, &opened, |from| log.read(from))?;
    if has_run && opened.end == LogPosition(0) && recovered.last_seq == Seq(0) {
        let text = "the folder has neither a log nor tables, though the node has run in it before; it had no modules, and begins empty at turn 0";
        lines.warn(None, None, text);
    }
    let clock = NodeClock::after(recovered.last_ms, ground.clocks);
    say_recovered(&lines, &opened, &recovered);
    begin_to_run(&store).map_err(|problem| NodeError::Store { problem })?;
    if let Some(seconds) = clock.seconds_ahead() {
        let text = format!(
            "the system's clock is {seconds} s behind the node's last turn; the node's time goes on from that turn and approaches the clock by 3 minutes an hour"
        );
        lines.warn(None, None, &text);
    }
    let shared = Arc::new(Shared::new(
        Who {
            id: id.clone(),
            seed: seed_of(key)?,
            epoch: recovered.epoch,
        },
        log,
        Arc::new(lines),
        ground.remote,
        Lane::start(workers).map_err(|error| NodeError::Broken {
            problem: format!("the threads for long work cannot be started: {error}"),
        })?,
        clock,
    ));
    shared.hear_of_poison();
    let restart = Record::Restarted {
        epoch: recovered.epoch,
        limits: NamedLimits(config.limits.clone()),
    }
    .encode()
    .map_err(NodeError::Recovery)?;
    shared.append(restart);
    let supervisor = supervisor(
        recovered, &shared, config, store, installer, stop, directory,
    )
    .map_err(NodeError::Recovery)?;
    Ok(Started {
        supervisor,
        shared,
        config: config.clone(),
        arbiters,
    })
}

/// Whether something acknowledged can have been in a torn tail, in words. The log's note of it is
/// written after each sync and not synced itself, so after a power cut it says too little.
pub(crate) fn held_by(cut: &Cut) -> &'static str {
    match cut.held {
        Held::NothingNoted => {
            "the log noted nothing in it as acknowledged, which is exact after a killed process; after a power cut the note may be some seconds old, and a disk that has also damaged what was synced may have lost acknowledged turns"
        }
        Held::Unknown => {
            "a crash leaves nothing acknowledged in it, but a disk that has damaged what was synced may have lost acknowledged turns: the log's note of what was acknowledged is missing or ends earlier"
        }
    }
}

/// From here on turns are acknowledged that the checkpoint does not hold: it no longer says that the node was stopped.
fn begin_to_run(store: &Store) -> Result<(), String> {
    let marker = store.marker().map_err(|error| error.to_string())?;
    let Some(marker) = marker.map(|bytes| Marker::decode(&bytes)).transpose()? else {
        return Ok(());
    };
    if marker.clean == Clean::Running {
        return Ok(());
    }
    let running = Marker {
        clean: Clean::Running,
        ..marker
    };
    store
        .commit(&running.encode()?)
        .map_err(|error| error.to_string())
}

fn say_recovered(lines: &Lines, opened: &Opened, recovered: &Recovered) {
    if let Some(cut) = &opened.cut {
        let text = format!(
            "the log ended in a block that a crash had cut off: {} bytes of {} from offset {} on were dropped; {}",
            cut.bytes,
            cut.file.display(),
            cut.offset,
            held_by(cut)
        );
        lines.warn(None, None, &text);
    }
    if recovered.redone > 0 {
        let text = format!(
            "recovered {} modules: {} records redone, {} turns to finish",
            recovered.modules.len(),
            recovered.redone,
            recovered.half_done.len()
        );
        lines.message(None, None, &text);
    }
}

fn supervisor(
    recovered: Recovered,
    shared: &Arc<Shared>,
    config: &Arc<Config>,
    store: Store,
    installer: Installer,
    stop: Stop,
    directory: &Directory,
) -> Result<Addr<Supervisor>, Failure> {
    let Recovered {
        last_seq,
        last_ms,
        modules,
        half_done,
        connected,
        bases,
        ..
    } = recovered;
    let mut stamper = Stamper::after(last_seq, last_ms);
    let mut codes = Codes::new(&installer, shared, config, &mut stamper);
    let mut installed = BTreeMap::new();
    let mut places: BTreeMap<ModuleName, usize> = BTreeMap::new();
    for (name, mut module) in modules {
        let binary = codes.of(&name, &mut module)?;
        let schema = binary.schema.clone();
        let place = installer.place(&schema, &places, config);
        places.insert(name.clone(), place);
        let mut world = installer.module(binary, module.tables, config);
        world.set_revoked(revocations(&module.grants));
        let core = Core::new(name.clone(), shared.clone(), world);
        let address = installer.start(core, place);
        let entry = Installed {
            fingerprints: Arc::new(Fingerprints::of(&schema)),
            schema,
            hash: module.hash,
            state: module.state,
            grants: module.grants,
            since: module.since,
            place,
            address,
        };
        installed.insert(name, entry);
    }
    let second_chances = SecondChances::of(codes.into_healed());
    let catalogue = Catalogue::new(installed);
    shared.turns.look_in(&catalogue);
    let half_done = half_done
        .into_iter()
        .filter_map(|turn| resume(turn, &catalogue, shared, config, &mut stamper))
        .inspect(|turn| say_resumed(&shared.lines, turn))
        .collect();
    let checkpoints = Checkpoints::after(bases);
    let supervisor = Supervisor {
        shared: shared.clone(),
        config: config.clone(),
        store: Arc::new(store),
        installer,
        catalogue,
        stamper,
        admission: Admission::new(config),
        barrier: Barrier::default(),
        timers: Timers::default(),
        checkpoints,
        outgoing: Outgoing::default(),
        batched: None,
        connections: BTreeMap::new(),
        connected,
        about: About {
            name: config.name.clone(),
            addresses: Vec::new(),
            started: Instant::now(),
            gauges: Gauges::new(directory.path("log")),
        },
        inspector: Inspector::default(),
        stopping: Stopping::No,
        second_chances,
        catch_ups: BTreeMap::new(),
        broken: None,
        half_done,
        turns_ended: 0,
        backups: Backups::default(),
        turns_committed: 0,
        stop,
    };
    Ok(supervisor.start())
}

/// A half-done turn, with what is left of it. Steps of loads and of modules that are gone are passed over.
fn resume(
    turn: HalfDone,
    catalogue: &Arc<Catalogue>,
    shared: &Shared,
    config: &Config,
    stamper: &mut Stamper,
) -> Option<Turn> {
    let pending: Pending = turn
        .pending
        .into_iter()
        .filter_map(|left| {
            let what = if left.reducer.is_empty() {
                StepKind::Nothing
            } else {
                StepKind::Event(left.reducer)
            };
            let module = catalogue.index_of(&left.module)?;
            let arguments = match &left.effect {
                Some(effect) => catalogue.handed_over(module, effect),
                None => left.arguments,
            };
            Some(PendingStep {
                of_load: left.of_load,
                releases: left.releases,
                ..PendingStep::of_node(&shared.id, module, what, arguments)
            })
        })
        .collect();
    let home = pending.front()?.module;
    let passed_over = pending.iter().filter(|step| {
        let module = catalogue.entry(step.module);
        !module.is_some_and(Entry::serves)
    });
    let passed_over = passed_over.count();
    if passed_over > 0 {
        let text = format!(
            "a crash cut the turn off, and {passed_over} of its reactions are passed over because their modules do not run"
        );
        shared.lines.warn(None, Some(turn.seq), &text);
    }
    let held = catalogue.reach_of(pending.iter().map(|step| step.module));
    Some(Turn {
        ticket: stamper.ticket(),
        seq: turn.seq,
        timestamp_ms: turn.timestamp_ms,
        catalogue: Apart::new(catalogue.clone()),
        origin: Origin::Anybody,
        input: None,
        began: turn.began,
        pending,
        next_step: turn.next_step,
        budget: Budget::from(&config.limits),
        left: config.turn_time(),
        held,
        failed: 0,
        dropped: 0,
        dropped_at: None,
        resumed: true,
        refused: None,
        waiter: Waiter::Nobody,
        bytes: 0,
        home: Some(home),
        guest: None,
    })
}

fn say_resumed(lines: &Lines, turn: &Turn) {
    let names = |modules: &mut dyn Iterator<Item = ModuleIndex>| {
        let names = modules.filter_map(|module| {
            let entry = turn.catalogue.entry(module)?;
            Some(format!("`{}`", entry.installed.schema.name))
        });
        names.take(MODULES_NAMED_MAX).collect::<Vec<_>>().join(", ")
    };
    let next = names(&mut turn.pending.front().map(|step| step.module).into_iter());
    let text = format!(
        "the turn was cut off by the last stop of the node; it goes on in module {next} with step {} and holds {}; `turns` lists it, `turns drop` ends it",
        turn.next_step,
        names(&mut turn.held.iter().copied())
    );
    lines.message(None, Some(turn.seq), &text);
}

/// The key of the node's random streams: derived from its secret key, so that nobody else can foresee them.
pub(crate) fn seed_of(key: &Keypair) -> Result<[u8; 32], NodeError> {
    let encoded = key.to_protobuf_encoding().map_err(|error| NodeError::Key {
        path: "key".into(),
        problem: error.to_string(),
    })?;
    Ok(blake3::derive_key("interstice node seed v1", &encoded))
}
