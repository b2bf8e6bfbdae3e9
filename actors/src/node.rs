//! One node: a process's share of everything above, from its data directory to its listeners.
//!
//! [`Node::start`] recovers, runs the actors on threads of its own, and returns once the node listens. A node stops in this
//! order: ingress, drain, log sync, acknowledgements, checkpoint, store, arbiters.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Instant,
};

use actix::{Actor, Addr, Arbiter, prelude::ArbiterHandle};
use interstice_abi::{
    failure::Failure,
    id::{ModuleName, NodeId},
    wire::{Standing, Welcome},
};
use interstice_host::{
    log::{Log, LogOptions, Opened, StdFiles},
    store::Store,
    wasm::Engine,
};
use libp2p::identity::Keypair;
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

use crate::{
    config::Config,
    directory::{self, Directory},
    ingress::{Batch, FrontDoor, Peer, Replies},
    lines::Lines,
    module::turn::{PendingStep, StepKind, Turn, Waiter, invocation_of_node},
    network::{self, NetworkOptions},
    record::Record,
    recovery::{HalfDone, Recovered, recover},
    shared::Shared,
    supervisor::{
        About, Connected, Disconnected, Drain, FromClient, Listening, Stopping, Supervisor,
        admission::Admission,
        barrier::Barrier,
        catalogue::{Catalogue, Installed},
        change::revocations,
        checkpoint::Checkpoints,
        install::Installer,
        places::Outgoing,
        stamp::Stamper,
        timers::Timers,
    },
    version,
};

/// Why a node cannot be made or started.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The directory is not that of a node.
    #[error("{} is not a node's directory: it has no node.toml", path.display())]
    NotANode {
        /// Which directory.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error("the node's directory {} cannot be used: {problem}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// `node.toml` is wrong.
    #[error("{} is not valid: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Line, field and rule.
        problem: String,
    },
    /// The node's key is missing or damaged.
    #[error("the node's key {} cannot be used: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The log cannot be opened or read.
    #[error("the node's log cannot be used: {problem}")]
    Log {
        /// File, offset, what is wrong.
        problem: String,
    },
    /// The stored tables cannot be opened or read.
    #[error("the node's tables cannot be used: {problem}")]
    Store {
        /// What is wrong.
        problem: String,
    },
    /// A module cannot be brought back.
    #[error("the node cannot be recovered: {0}")]
    Recovery(#[source] Failure),
    /// The network cannot be used.
    #[error("{problem}")]
    Network {
        /// Which address and why.
        problem: String,
    },
    /// A mistake of ours.
    #[error("the node has failed: {problem}; this is a bug of Interstice, please report it")]
    Broken {
        /// What happened.
        problem: String,
    },
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Only this machine can connect.
    Loopback,
    /// All addresses of the machine.
    Everywhere,
}

/// How a node is started.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Where it listens.
    pub listen: Listen,
    /// The TCP port, instead of that of `node.toml`; 0 takes a free one.
    pub port: Option<u16>,
    /// Threads that run modules, instead of those of `node.toml`.
    pub workers: Option<usize>,
}

/// A node that runs in this process.
pub struct Node {
    id: NodeId,
    name: String,
    addresses: Vec<String>,
    port: u16,
    stop: Stop,
    thread: JoinHandle<Result<(), NodeError>>,
}

/// Makes `<nodes>/<node id>/` with its configuration and key.
///
/// # Errors
/// When the name is not allowed, or the directory cannot be written.
pub fn create(
    nodes: &Path,
    name: &str,
    port: u16,
    owners: Vec<NodeId>,
) -> Result<(NodeId, PathBuf), NodeError> {
    interstice_abi::id::check_name("node name", name, true).map_err(|problem| {
        NodeError::Config {
            path: "node.toml".into(),
            problem,
        }
    })?;
    let key = Keypair::generate_ed25519();
    let config = Config {
        name: name.to_string(),
        port,
        owners,
        ..Config::default()
    };
    let path = directory::create(nodes, &key, &config)?;
    Ok((NodeId(key.public().to_peer_id().to_string()), path))
}

/// Ends a node from any thread.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Notify>);

impl Stop {
    /// Begins the end; a second call does nothing more.
    pub(crate) fn stop(&self) {
        self.0.notify_one();
    }
}

impl Node {
    /// Starts the node whose data are in `directory`. Blocks until it has recovered and listens.
    ///
    /// # Errors
    /// What is in the way; nothing runs then.
    pub fn start(directory: &Path, options: StartOptions) -> Result<Self, NodeError> {
        let directory = directory.to_path_buf();
        let stop = Stop(Arc::new(Notify::new()));
        let stopped = stop.clone();
        let (tell, told) = mpsc::channel();
        let broken = |problem: String| NodeError::Broken { problem };
        let thread = std::thread::Builder::new()
            .name("interstice-node".to_string())
            .spawn(move || {
                let system = actix::System::new();
                system.block_on(run(&directory, options, stopped, &tell))
            })
            .map_err(|error| broken(error.to_string()))?;
        match told.recv() {
            Ok(Ready {
                id,
                name,
                addresses,
                port,
            }) => Ok(Self {
                id,
                name,
                addresses,
                port,
                stop,
                thread,
            }),
            Err(_) => match thread.join() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) => Err(broken("it ended before it listened".to_string())),
                Err(_) => Err(broken("its thread has panicked".to_string())),
            },
        }
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens, as multiaddresses that end in its id.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Begins to drain and stop; [`Node::wait`] returns when it is done.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Something that stops the node, for a signal handler.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let stop = self.stop.clone();
        move || stop.stop()
    }

    /// Waits until the node has stopped, by [`Node::stop`] or by an owner's request.
    ///
    /// # Errors
    /// When it did not end in order.
    pub fn wait(self) -> Result<(), NodeError> {
        self.thread.join().unwrap_or_else(|_| {
            Err(NodeError::Broken {
                problem: "its thread has panicked".to_string(),
            })
        })
    }
}

/// What a started node tells its starter.
struct Ready {
    id: NodeId,
    name: String,
    addresses: Vec<String>,
    port: u16,
}

/// The life of a node, on the thread of its system.
async fn run(
    path: &Path,
    options: StartOptions,
    stop: Stop,
    tell: &mpsc::Sender<Ready>,
) -> Result<(), NodeError> {
    let directory = Arc::new(Directory::open(path)?);
    let mut config = Config::read(&directory.path("node.toml"))?;
    if let Some(workers) = options.workers {
        config.workers = workers;
    }
    let port = options.port.unwrap_or(config.port);
    let config = Arc::new(config);
    let key = directory.key()?;
    let id = NodeId(key.public().to_peer_id().to_string());
    let started = start_actors(&directory, &config, &key, &id, stop.clone())?;
    let door = Arc::new(Door {
        supervisor: started.supervisor.clone(),
        welcome: Welcome {
            node: id.clone(),
            name: config.name.clone(),
            version: version(),
            standing: Standing::Guest,
        },
        owners: config.owners.clone(),
    });
    let network = network::start(network_options(&config, key, port, options.listen), door)
        .await
        .map_err(|error| NodeError::Network {
            problem: error.to_string(),
        });
    let network = match network {
        Ok(network) => network,
        Err(error) => {
            started.end().await?;
            return Err(error);
        }
    };
    let addresses: Vec<String> = network
        .addresses()
        .iter()
        .map(|address| format!("{address}/p2p/{id}"))
        .collect();
    started.supervisor.do_send(Listening(addresses.clone()));
    let port = network.addresses().iter().find_map(port_of).unwrap_or(port);
    started.shared.lines.message(
        None,
        None,
        &format!("node `{}` listens on {}", config.name, addresses.join(", ")),
    );
    // The starter may have given up waiting; the node can still be stopped.
    let _ = tell.send(Ready {
        id,
        name: config.name.clone(),
        addresses,
        port,
    });
    stop.0.notified().await;
    network.stop_accepting().await;
    let ended = started.end().await;
    network.stop().await;
    ended
}

/// The actors of a node and what they stand on.
struct Started {
    supervisor: Addr<Supervisor>,
    shared: Arc<Shared>,
    arbiters: Vec<Arbiter>,
}

impl Started {
    /// Drains, checkpoints, closes.
    async fn end(self) -> Result<(), NodeError> {
        let (done, drained) = oneshot::channel();
        self.supervisor.do_send(Drain(done));
        // The supervisor ends by itself when it has drained before.
        drop(drained.await);
        self.shared
            .lines
            .message(None, None, "the node has stopped");
        self.shared.lines.flush();
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        let log = self.shared.log.clone();
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(NodeError::Log {
                problem: error.to_string(),
            }),
            Err(panic) => Err(NodeError::Broken {
                problem: panic.to_string(),
            }),
        }
    }
}

fn start_actors(
    directory: &Arc<Directory>,
    config: &Arc<Config>,
    key: &Keypair,
    id: &NodeId,
    stop: Stop,
) -> Result<Started, NodeError> {
    let lines = Lines::open(&directory.path("node.log")).map_err(|error| NodeError::Directory {
        path: directory.path("node.log"),
        problem: error.to_string(),
    })?;
    let (log, opened) = Log::open(
        &directory.path("log"),
        Arc::new(StdFiles),
        LogOptions::default(),
    )
    .map_err(|error| NodeError::Log {
        problem: error.to_string(),
    })?;
    let store = Store::open(&directory.path("db"), config.store_cache_bytes).map_err(|error| {
        NodeError::Store {
            problem: error.to_string(),
        }
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
    };
    let recovered = recover(&installer, config, &store, &log, &opened)?;
    say_recovered(&lines, &opened, &recovered);
    let shared = Arc::new(Shared::new(
        id.clone(),
        seed_of(key)?,
        recovered.epoch,
        log,
        lines,
    ));
    let restart = Record::Restart {
        epoch: recovered.epoch,
    }
    .encode()
    .map_err(NodeError::Recovery)?;
    shared.append(restart);
    let supervisor = supervisor(
        recovered, &shared, config, store, installer, stop, directory,
    );
    Ok(Started {
        supervisor,
        shared,
        arbiters,
    })
}

fn say_recovered(lines: &Lines, opened: &Opened, recovered: &Recovered) {
    if let Some(cut) = &opened.cut {
        let text = format!(
            "the log ended in a block that a crash had cut off: {} bytes of {} from offset {} on were dropped; nothing in them was acknowledged as durable",
            cut.bytes,
            cut.file.display(),
            cut.offset
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
) -> Addr<Supervisor> {
    let Recovered {
        last_seq,
        last_ms,
        modules,
        half_done,
        connected,
        history,
        marks,
        ..
    } = recovered;
    let mut installed = BTreeMap::new();
    let mut places: BTreeMap<ModuleName, usize> = BTreeMap::new();
    for (name, module) in modules {
        let schema = module.binary.schema.clone();
        let hash = module.binary.hash;
        let place = installer.place(&schema, &places, config);
        places.insert(name.clone(), place);
        let mut world = installer.module(module.binary, module.tables, config);
        world.set_revoked(revocations(&module.grants));
        let address = installer.start(shared.clone(), world, place);
        let entry = Installed {
            schema,
            hash,
            state: module.state,
            grants: module.grants,
            since: module.since,
            place,
            address,
        };
        installed.insert(name, entry);
    }
    let catalogue = Catalogue::new(installed);
    let mut stamper = Stamper::after(last_seq, last_ms);
    let half_done = half_done
        .into_iter()
        .filter_map(|turn| resume(turn, &catalogue, shared, config, &mut stamper))
        .collect();
    let checkpoints = Checkpoints::after(history, marks);
    Supervisor {
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
        connections: BTreeMap::new(),
        connected,
        about: About {
            name: config.name.clone(),
            addresses: Vec::new(),
            started: Instant::now(),
            log_directory: directory.path("log"),
        },
        stopping: Stopping::No,
        broken: None,
        half_done,
        turns_ended: 0,
        stop,
    }
    .start()
}

/// A half-done turn, with what is left of it. Steps of loads and of modules that are gone are passed over.
fn resume(
    turn: HalfDone,
    catalogue: &Arc<Catalogue>,
    shared: &Shared,
    config: &Config,
    stamper: &mut Stamper,
) -> Option<Turn> {
    let invocation = invocation_of_node(&shared.id);
    let pending: std::collections::VecDeque<PendingStep> = turn
        .pending
        .into_iter()
        .filter_map(|(module, reducer, arguments, of_load)| {
            let what = if reducer.is_empty() {
                StepKind::Nothing
            } else {
                StepKind::Event(reducer.as_str().into())
            };
            let module = catalogue.index_of(&module)?;
            Some(PendingStep {
                module,
                what,
                invocation: invocation.clone(),
                arguments,
                from_outside: false,
                of_load,
            })
        })
        .collect();
    let home = pending.front()?.module;
    let held = pending
        .iter()
        .filter_map(|step| catalogue.entry(step.module))
        .flat_map(|entry| entry.reach.iter().copied())
        .collect();
    Some(Turn {
        ticket: stamper.ticket(),
        seq: turn.seq,
        timestamp_ms: turn.timestamp_ms,
        catalogue: catalogue.clone(),
        input: None,
        pending,
        next_step: turn.next_step,
        budget: config.limits.steps_per_turn_max,
        held,
        failed: 0,
        dropped: 0,
        refused: None,
        waiter: Waiter::Nobody,
        bytes: 0,
        home: Some(home),
    })
}

/// The key of the node's random streams: derived from its secret key, so that nobody else can foresee them.
fn seed_of(key: &Keypair) -> Result<[u8; 32], NodeError> {
    let encoded = key.to_protobuf_encoding().map_err(|error| NodeError::Key {
        path: "key".into(),
        problem: error.to_string(),
    })?;
    Ok(blake3::derive_key("interstice node seed v1", &encoded))
}

fn network_options(config: &Config, key: Keypair, port: u16, listen: Listen) -> NetworkOptions {
    let host = match listen {
        Listen::Loopback => "127.0.0.1",
        Listen::Everywhere => "0.0.0.0",
    };
    NetworkOptions {
        listen: format!("/ip4/{host}/tcp/{port}")
            .parse()
            .into_iter()
            .collect(),
        connections_max: config.connections_max,
        module_bytes_max: config.limits.module_bytes_max,
        requests_in_flight_per_connection: config.requests_per_connection_max,
        ..NetworkOptions::new(key)
    }
}

fn port_of(address: &libp2p::Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    })
}

/// What the network hands to the supervisor.
struct Door {
    supervisor: Addr<Supervisor>,
    welcome: Welcome,
    owners: Vec<NodeId>,
}

impl FrontDoor for Door {
    fn connected(&self, peer: Arc<Peer>, _: Replies) {
        self.supervisor.do_send(Connected(peer));
    }

    fn batch(&self, batch: Batch) {
        self.supervisor.do_send(FromClient(batch));
    }

    fn disconnected(&self, peer: &Arc<Peer>) {
        self.supervisor.do_send(Disconnected(peer.clone()));
    }

    fn is_owner(&self, node: &NodeId) -> bool {
        self.owners.contains(node)
    }

    fn welcome(&self, peer: &Peer) -> Welcome {
        Welcome {
            standing: peer.standing,
            ..self.welcome.clone()
        }
    }
}
