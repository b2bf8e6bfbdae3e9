//! The network: listeners, encrypted connections, and the streams on them that [`crate::ingress`]
//! serves.
//!
//! The [`actor`](Network) owns the libp2p swarm. Who connects proves its key (Noise); what it may
//! do is decided later. Invariants: connections, handshakes and streams are bounded in number and
//! time, and by the files that the process may open; a dead peer is noticed by pings; a network
//! that stops lets what is unsent go out first.

mod actor;
mod behaviour;
mod descriptors;
mod gate;
mod listen;

use std::{sync::Arc, time::Duration};

use actix::Addr;
use libp2p::{Multiaddr, identity::Keypair};
use tokio::{runtime::Handle, sync::watch, time::timeout};

pub use actor::Network;

use crate::ingress::{Bounds, Entrance, FrontDoor, Serving};
use actor::{CloseAll, End, StopAccepting};

/// Greeted connections: each costs some kilobytes, and up to a frame while one arrives.
const CONNECTIONS_MAX: u32 = 1024;

/// Connections in each stage before the greeting. A client gets in when it is quicker than so many
/// others that arrive.
const WAITING_CONNECTIONS_MAX: u32 = 512;

/// How long a connection may take to greet, from when it is accepted: encryption, streams and all.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);

/// How long unsent answers and closing may take when the network stops.
const STOP_DEADLINE: Duration = Duration::from_secs(6);

/// How the network is set up.
#[derive(Clone)]
pub struct NetworkOptions {
    /// The node's key.
    pub key: Keypair,
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Most connections that have greeted and are no owner's.
    pub connections_max: u32,
    /// Most connections in each of the stages before the greeting: silent, in their handshake,
    /// encrypted.
    pub waiting_connections_max: u32,
    /// How long a connection may take to greet.
    pub greeting_deadline: Duration,
    /// What each connection and all of them may use.
    pub bounds: Bounds,
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
            waiting_connections_max: WAITING_CONNECTIONS_MAX,
            greeting_deadline: GREETING_DEADLINE,
            bounds: Bounds::default(),
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
    let entrance = Entrance::new(descriptors::fitting(&options));
    let mut swarm = behaviour::build(&options, &entrance, runtime.clone())?;
    let listening = listen::listen(&mut swarm, &options.listen).await?;
    let serving = Arc::new(Serving::new(door, options.bounds, entrance));
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

    /// Reads no more, sends what is unsent, closes all connections and ends the actor; a few
    /// seconds at most.
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
