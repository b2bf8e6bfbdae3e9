//! What the node's swarm does on its connections, and how much of it. How many connections there
//! are is decided at the [`Entrance`].

use std::{sync::Arc, time::Duration};

use interstice_client::{
    muxer,
    streams::{Role, Streams, transport_over},
};
use libp2p::{
    Swarm,
    core::ConnectedPoint,
    identify, ping,
    swarm::{self, NetworkBehaviour},
};
use tokio::runtime::Handle;

use super::{NetworkError, NetworkOptions, gate::Gate};
use crate::ingress::Entrance;

/// How long a connection may be open without a stream.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Streams of our protocol on one connection: clients use one, and may be opening the next.
const STREAMS_PER_CONNECTION_MAX: usize = 4;

/// Streams of a connection that are being negotiated.
const NEGOTIATIONS_PER_CONNECTION_MAX: usize = 8;

/// How often an idle connection is checked, and how long its answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The parts of the node's swarm.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) streams: Streams,
}

/// A swarm that listens nowhere yet; its connections run on `runtime`.
pub(super) fn build(
    options: &NetworkOptions,
    entrance: &Arc<Entrance>,
    runtime: Handle,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let gate = Gate::new(entrance.clone());
    let counting = entrance.clone();
    let bounds = move |ends: &ConnectedPoint| match ends {
        ConnectedPoint::Listener {
            local_addr,
            send_back_addr,
        } => muxer::Config::node(counting.tally(&(local_addr.clone(), send_back_addr.clone()))),
        ConnectedPoint::Dialer { .. } => muxer::Config::node(None),
    };
    let transport =
        transport_over(gate, &options.key, options.greeting_deadline, bounds).map_err(|error| {
            NetworkError::Key {
                problem: error.to_string(),
            }
        })?;
    let public = options.key.public();
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(
            identify::Config::new(interstice_abi::wire::PROTOCOL.to_string(), public.clone())
                .with_agent_version(format!("interstice {}", crate::version())),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_INTERVAL)
                .with_timeout(PING_TIMEOUT),
        ),
        streams: Streams::new(Role::Listener {
            streams_max: STREAMS_PER_CONNECTION_MAX,
        }),
    };
    let config = swarm::Config::with_executor(move |task| drop(runtime.spawn(task)))
        .with_idle_connection_timeout(IDLE_MAX)
        .with_max_negotiating_inbound_streams(NEGOTIATIONS_PER_CONNECTION_MAX);
    Ok(Swarm::new(
        transport,
        behaviour,
        public.to_peer_id(),
        config,
    ))
}
