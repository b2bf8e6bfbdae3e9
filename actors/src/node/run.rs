//! The life of a node, on the thread of its system: open the directory, start the actors, listen, wait for the end, close.
//!
//! The listeners open last and stop accepting first, so that nothing enters a node that is not whole. How recovered state becomes
//! actors is in `assemble.rs`.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use actix::{Addr, Arbiter};
use interstice_abi::{
    id::NodeId,
    wire::{Standing, Welcome},
};
use libp2p::identity::Keypair;
use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::{
    Ground, Listen, NodeError, NodeLog, StartOptions, Stop, assemble::start_actors, door::Door,
};
use crate::{
    config::Config,
    directory::Directory,
    ingress::FrontDoor,
    network::{self, NetworkOptions},
    shared::Shared,
    supervisor::{Drain, Listening, Supervisor, drain::LAST_STEP},
    turns::TurnRequests,
    version,
};

/// How long the change that is being made may take to end, beyond the deadline of its step, once nothing else runs: it may
/// convert the rows of a large table.
const CHANGE_END: Duration = Duration::from_secs(30);

/// What a started node tells its starter.
pub(super) struct Ready {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) addresses: Vec<String>,
    pub(super) port: u16,
    pub(super) door: Arc<dyn FrontDoor>,
    pub(super) log: NodeLog,
}

/// The life of a node, on the thread of its system.
pub(super) async fn run(
    path: &Path,
    options: StartOptions,
    stop: Stop,
    ground: Ground,
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
    let id = NodeId::from(key.public().to_peer_id().to_string());
    let started = start_actors(&directory, &config, &key, &id, stop.clone(), ground)?;
    for path in directory.mended() {
        let text = format!("others could read {}; it is private again", path.display());
        started.shared.lines.warn(None, None, &text);
    }
    let door = Arc::new(Door {
        supervisor: started.supervisor.clone(),
        turns: TurnRequests::new(&started.shared, config.turn_time(), Handle::current()),
        welcome: Welcome {
            node: id.clone(),
            name: config.name.clone(),
            version: version(),
            standing: Standing::Guest,
        },
        owners: config.owners.clone(),
        allowed: config.allowed.clone(),
    });
    let listen = match config.listen {
        Listen::Loopback => Listen::Loopback,
        Listen::Everywhere => options.listen,
    };
    let network = network::start(network_options(&config, key, port, listen), door.clone())
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
        door,
        log: NodeLog::new(&started.shared.lines),
    });
    stop.0.notified().await;
    network.stop_accepting().await;
    let ended = started.end().await;
    network.stop().await;
    ended
}

/// The actors of a node and what they stand on.
pub(super) struct Started {
    pub(super) supervisor: Addr<Supervisor>,
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<Config>,
    pub(super) arbiters: Vec<Arbiter>,
}

impl Started {
    /// Drains, checkpoints, closes.
    async fn end(self) -> Result<(), NodeError> {
        let (done, drained) = oneshot::channel();
        self.supervisor.do_send(Drain(done));
        let mut drained = drained;
        let drain = Duration::from_millis(self.config.drain_ms);
        // The supervisor ends by itself when it has drained before. While it makes a change it hears nothing, so that what the
        // change runs is stopped from here.
        if timeout(drain + LAST_STEP, &mut drained).await.is_err() {
            self.shared.shedding.stop_turns();
            let deadline = Duration::from_millis(self.config.limits.deadline_ms);
            if timeout(deadline + CHANGE_END, drained).await.is_err() {
                let text = "the node stops in the middle of a change of its modules, which its next start undoes or finishes";
                self.shared.lines.warn(None, None, text);
            }
        }
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
            Ok(Ok(())) => match self.shared.unwritten.get() {
                None => Ok(()),
                Some(problem) => Err(NodeError::Unwritten {
                    problem: problem.clone(),
                }),
            },
            Ok(Err(error)) => Err(NodeError::Log {
                problem: error.to_string(),
            }),
            Err(panic) => Err(NodeError::Broken {
                problem: panic.to_string(),
            }),
        }
    }
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
        waiting_connections_max: config.waiting_connections_max,
        bounds: config.bounds(),
        ..NetworkOptions::new(key)
    }
}

fn port_of(address: &libp2p::Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    })
}
