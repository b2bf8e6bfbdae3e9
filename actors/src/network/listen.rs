//! Listening: when it has returned, clients can connect; a port in use is an error with the port's
//! number.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, Swarm, TransportError, core::transport::ListenerId, multiaddr::Protocol,
    swarm::SwarmEvent,
};
use tokio::time::timeout;

use super::{NetworkError, behaviour::Behaviour};

/// How long the system may take to name a listener's addresses.
const LISTENING_DEADLINE: Duration = Duration::from_secs(5);

/// What the node listens on.
pub(super) struct Listening {
    pub(super) listeners: Vec<ListenerId>,
    pub(super) addresses: Vec<Multiaddr>,
}

/// Listens on all of `wanted`.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    wanted: &[Multiaddr],
) -> Result<Listening, NetworkError> {
    let mut listening = Listening {
        listeners: Vec::new(),
        addresses: Vec::new(),
    };
    for address in wanted {
        check_free(address)?;
        let listener = swarm
            .listen_on(address.clone())
            .map_err(|error| match error {
                TransportError::Other(error) => refused(address, &error),
                TransportError::MultiaddrNotSupported(_) => refused(
                    address,
                    &io::Error::other("only /ip4 or /ip6 with /tcp can be listened on"),
                ),
            })?;
        listening.listeners.push(listener);
        let named = first_address(swarm, listener, &mut listening.addresses);
        match timeout(LISTENING_DEADLINE, named).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(refused(address, &error)),
            Err(_) => return Err(refused(address, &io::ErrorKind::TimedOut.into())),
        }
    }
    Ok(listening)
}

/// libp2p shares a port with whoever else of the same user shares it, so that clients would reach
/// one node or the other by chance. An ordinary socket is refused there.
fn check_free(address: &Multiaddr) -> Result<(), NetworkError> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port > 0 => {
            let bound = TcpListener::bind(SocketAddr::new(ip, port));
            bound.map(drop).map_err(|error| refused(address, &error))
        }
        _ => Ok(()),
    }
}

fn refused(address: &Multiaddr, error: &io::Error) -> NetworkError {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    match (error.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(port)) => NetworkError::PortInUse { port },
        _ => NetworkError::Listen {
            address: address.clone(),
            problem: error.to_string(),
        },
    }
}

/// Waits for the listener's first address, and takes those of other interfaces that are there with
/// it.
async fn first_address(
    swarm: &mut Swarm<Behaviour>,
    listener: ListenerId,
    addresses: &mut Vec<Multiaddr>,
) -> io::Result<()> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                addresses.push(address);
                if listener_id == listener {
                    break;
                }
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } if listener_id == listener => {
                return reason.and(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            _ => {}
        }
    }
    while let Some(Some(event)) = futures::FutureExt::now_or_never(swarm.next()) {
        if let SwarmEvent::NewListenAddr { address, .. } = event {
            addresses.push(address);
        }
    }
    Ok(())
}
