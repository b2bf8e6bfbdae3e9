//! The network: listeners, encrypted connections, and the streams on them that [`crate::ingress`] serves.
//!
//! The [`actor`](Network) owns the libp2p swarm. Who connects proves its key (Noise); what it may do is decided later.
//! Invariants: connections, handshakes and streams are bounded in number and time; a dead peer is noticed by pings; a
//! network that stops lets what is unsent go out first.

mod actor;
mod behaviour;
mod listen;

use std::{sync::Arc, time::Duration};

use actix::Addr;
use libp2p::{Multiaddr, identity::Keypair};
use tokio::{runtime::Handle, sync::watch, time::timeout};

pub use actor::Network;

use crate::ingress::{Bounds, FrontDoor, Serving};
use actor::{CloseAll, End, StopAccepting};

/// Open connections: each costs some kilobytes, and up to a frame while one arrives.
const CONNECTIONS_MAX: u32 = 1024;

/// Largest module that is taken, in bytes.
const MODULE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Requests of a connection that may be unanswered.
const REQUESTS_IN_FLIGHT_MAX: u32 = 16_384;

/// Unsent bytes of a connection from which it is cut: four of the largest answers.
const UNSENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Unsent bytes of a connection from which its watches end: far from the cut, and more than a largest row.
const STREAM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long unsent answers and closing may take when the network stops.
const STOP_DEADLINE: Duration = Duration::from_secs(6);

/// How the network is set up.
#[derive(Clone)]
pub struct NetworkOptions {
    /// The node's key.
    pub key: Keypair,
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Most open connections.
    pub connections_max: u32,
    /// Largest module that may be uploaded, in bytes.
    pub module_bytes_max: u64,
    /// Most unanswered requests of one connection; more are answered `Busy`.
    pub requests_in_flight_per_connection: u32,
    /// Unsent bytes from which a connection is cut.
    pub unsent_bytes_max: usize,
    /// Unsent bytes from which a connection's streams of answers are refused.
    pub stream_bytes_max: usize,
    /// Where connections are encrypted, read and written; `None`: on the thread of the actor.
    pub runtime: Option<Handle>,
}

impl NetworkOptions {
    /// The defaults for a node with this key; it listens nowhere yet.
    #[must_use]
    pub fn new(key: Keypair) -> Self {
        Self {
            key,
            listen: Vec::new(),
            connections_max: CONNECTIONS_MAX,
            module_bytes_max: MODULE_BYTES_MAX,
            requests_in_flight_per_connection: REQUESTS_IN_FLIGHT_MAX,
            unsent_bytes_max: UNSENT_BYTES_MAX,
            stream_bytes_max: STREAM_BYTES_MAX,
            runtime: None,
        }
    }
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Somebody else listens there.
    #[error(
        "port {port} is in use by another program or node; choose another one with --port, or stop that one"
    )]
    PortInUse {
        /// The TCP port.
        port: u16,
    },
    /// The system refuses to listen.
    #[error("cannot listen on {address}: {problem}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What it says.
        problem: String,
    },
    /// The key cannot be used.
    #[error("the node's key cannot be used: {problem}")]
    Key {
        /// What is wrong with it.
        problem: String,
    },
}

/// The way to the [`Network`] actor.
#[derive(Clone)]
pub struct NetworkHandle {
    actor: Addr<Network>,
    addresses: Vec<Multiaddr>,
    connections: watch::Receiver<u32>,
    /// Its streams hold the receivers.
    stopping: Arc<watch::Sender<()>>,
}

/// Starts the `Network` actor on the current arbiter. Its listeners are up when this returns.
///
/// # Errors
/// All of [`NetworkError`].
pub async fn start(
    options: NetworkOptions,
    door: Arc<dyn FrontDoor>,
) -> Result<NetworkHandle, NetworkError> {
    let runtime = options.runtime.clone().unwrap_or_else(Handle::current);
    let mut swarm = behaviour::build(&options, runtime.clone())?;
    let listening = listen::listen(&mut swarm, &options.listen).await?;
    let bounds = Bounds {
        requests_in_flight: options.requests_in_flight_per_connection,
        module_bytes_max: options.module_bytes_max,
        unsent_bytes_max: options.unsent_bytes_max,
        stream_bytes_max: options.stream_bytes_max,
    };
    let serving = Arc::new(Serving::new(door, bounds));
    let stopping = Arc::new(watch::Sender::new(()));
    let (counter, connections) = watch::channel(0);
    let actor = Network::begin(
        swarm,
        listening.listeners,
        runtime,
        serving,
        stopping.clone(),
        counter,
    );
    Ok(NetworkHandle {
        actor,
        addresses: listening.addresses,
        connections,
        stopping,
    })
}

impl NetworkHandle {
    /// Where the node listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.addresses.clone()
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> u32 {
        *self.connections.borrow()
    }

    /// Closes the listeners. Connections that are open stay.
    pub async fn stop_accepting(&self) {
        // An actor that has ended listens nowhere.
        let _ = self.actor.send(StopAccepting).await;
    }

    /// Reads no more, sends what is unsent, closes all connections and ends the actor; a few seconds at most.
    pub async fn stop(&self) {
        self.stop_accepting().await;
        self.stopping.send_replace(());
        let closing = async {
            self.stopping.closed().await;
            // As above.
            let _ = self.actor.send(CloseAll).await;
            let mut connections = self.connections.clone();
            // The actor's end closes them, too.
            let _ = connections.wait_for(|open| *open == 0).await;
        };
        if timeout(STOP_DEADLINE, closing).await.is_err() {
            tracing::warn!("some clients did not take their last answers in time");
        }
        let _ = self.actor.send(End).await;
    }
}
