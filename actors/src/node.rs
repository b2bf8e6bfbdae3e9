//! One node: a process's share of everything above, from its data directory to its listeners.
//!
//! [`Node::start`] recovers, runs the actors on threads of its own, and returns once the node listens. A node stops in this
//! order: ingress, drain, log sync, acknowledgements, checkpoint, store, arbiters.
//!
//! Here is what an embedding program holds; the node's life on its own thread is in `node/run.rs`.

mod codes;

mod inside;

mod log;

mod run;

pub(crate) mod assemble;

mod door;

mod error;

mod ground;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use interstice_abi::id::NodeId;
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use self::error::NodeError;
#[doc(hidden)]
pub use self::ground::Ground;
#[doc(hidden)]
pub use self::inside::Inside;
pub use self::log::NodeLog;
use self::run::{Ready, run};
pub use crate::{
    backup::restore::{Adopt, RestoreError, Restored, restore},
    directory::keep_files_private,
};
use crate::{config::Config, directory, ingress::FrontDoor, remote::Remote};

/// Where a node listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listen {
    /// Only this machine can connect.
    Loopback,
    /// All addresses of the machine.
    #[default]
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
    door: Arc<dyn FrontDoor>,
    log: NodeLog,
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
    Ok((NodeId::from(key.public().to_peer_id().to_string()), path))
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
        Self::start_on(directory, options, Ground::default())
    }

    /// As [`Node::start`], with somebody else to answer calls to modules of other nodes.
    ///
    /// # Errors
    /// As [`Node::start`].
    #[doc(hidden)]
    pub fn start_with(
        directory: &Path,
        options: StartOptions,
        remote: Arc<dyn Remote>,
    ) -> Result<Self, NodeError> {
        let ground = Ground {
            remote,
            ..Ground::default()
        };
        Self::start_on(directory, options, ground)
    }

    /// As [`Node::start`], on another ground.
    ///
    /// # Errors
    /// As [`Node::start`].
    #[doc(hidden)]
    pub fn start_on(
        directory: &Path,
        options: StartOptions,
        ground: Ground,
    ) -> Result<Self, NodeError> {
        let directory = directory.to_path_buf();
        let stop = Stop(Arc::new(Notify::new()));
        let stopped = stop.clone();
        let (tell, told) = mpsc::channel();
        let broken = |problem: String| NodeError::Broken { problem };
        let thread = std::thread::Builder::new()
            .name("interstice-node".to_string())
            .spawn(move || {
                let system = actix::System::new();
                system.block_on(run(&directory, options, stopped, ground, &tell))
            })
            .map_err(|error| broken(error.to_string()))?;
        match told.recv() {
            Ok(Ready {
                id,
                name,
                addresses,
                port,
                door,
                log,
            }) => Ok(Self {
                id,
                name,
                addresses,
                port,
                door,
                log,
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

    /// Its log, for what the program around it has to say.
    #[must_use]
    pub fn log(&self) -> NodeLog {
        self.log.clone()
    }

    /// A way into the node that does not go over its network.
    #[doc(hidden)]
    #[must_use]
    pub fn inside(&self) -> Inside {
        Inside::new(self.door.clone(), self.id.clone())
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
