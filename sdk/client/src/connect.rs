//! From an address to a greeted link: resolve, dial, encrypt, compare the node's key with the pin,
//! open the stream, greet.
//!
//! All of it has one deadline. Addresses of a name are tried one after the other. A crowded node
//! may close a connection before it has come far; then it is tried again a few times.

use std::{io, time::Duration};

use futures::StreamExt as _;
use interstice_abi::wire::{RequestBody, ResponseBody, Welcome};
use libp2p::{
    Multiaddr, PeerId, Swarm, TransportError,
    core::upgrade,
    ping,
    swarm::{self, DialError, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
};
use tokio::time::timeout;

use crate::{
    Error, Identity, Target,
    link::Link,
    streams::{OpenError, Opened, Role, Streams, Substream, transport},
};

/// Long enough for a slow network and a busy node, short enough for a person who has mistyped an
/// address.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often a connection that was closed early is tried again, and the first wait; each is twice
/// as long as the one before.
const RETRIES_MAX: u32 = 5;
const RETRY_WAIT: Duration = Duration::from_millis(20);

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// How long connecting may take, greeting included.
    pub deadline: Duration,
    /// The program and its version, for the node's log.
    pub agent: String,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            agent: concat!("interstice-client ", env!("CARGO_PKG_VERSION")).to_string(),
        }
    }
}

/// What a client's swarm does: it has one connection, and notices when the other end is gone.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    streams: Streams,
    ping: ping::Behaviour,
}

/// Connects and greets. The link's tasks run on the current runtime until the link is closed.
pub(crate) async fn connect(
    identity: &Identity,
    target: &Target,
    options: &ConnectOptions,
) -> Result<(std::sync::Arc<Link>, Welcome), Error> {
    in_time(target, options, async {
        let addresses = resolved(target).await?;
        let mut retries = 0;
        loop {
            let mut swarm = build(identity, options.deadline)
                .map_err(|problem| unreachable(target, problem))?;
            let failed = match dial(&mut swarm, addresses.clone(), target).await {
                Err(failed) => failed,
                Ok((peer, stream)) => {
                    let link = Link::start(stream);
                    tokio::spawn(drive(swarm, peer, link.clone()));
                    // The link's tasks end when greeting fails or takes too long.
                    match greet(CloseOnDrop(Some(link)), options.agent.clone()).await {
                        Err(error) => Failed {
                            was_pushed_out: matches!(error, Error::Lost { .. }),
                            error,
                        },
                        Ok(greeted) => return Ok(greeted),
                    }
                }
            };
            if !failed.was_pushed_out || retries == RETRIES_MAX {
                return Err(failed.error);
            }
            tokio::time::sleep(RETRY_WAIT * 2_u32.pow(retries)).await;
            retries += 1;
        }
    })
    .await
}

/// Dials once, and opens the stream, which nobody has greeted on.
pub(crate) async fn open(
    identity: &Identity,
    target: &Target,
    options: &ConnectOptions,
) -> Result<(Swarm<Behaviour>, PeerId, Substream), Error> {
    let addresses = resolved(target).await?;
    let mut swarm =
        build(identity, options.deadline).map_err(|problem| unreachable(target, problem))?;
    let dialled = dial(&mut swarm, addresses, target).await;
    let (peer, stream) = dialled.map_err(|failed| failed.error)?;
    Ok((swarm, peer, stream))
}

async fn resolved(target: &Target) -> Result<Vec<Multiaddr>, Error> {
    let resolved = target.resolve().await;
    resolved.map_err(|error| unreachable(target, error.to_string()))
}

/// Bounds `connecting` by the deadline of the options.
pub(crate) async fn in_time<T>(
    target: &Target,
    options: &ConnectOptions,
    connecting: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(options.deadline, connecting)
        .await
        .unwrap_or_else(|_| {
            let seconds = options.deadline.as_secs_f32();
            Err(unreachable(target, format!("no answer within {seconds} s")))
        })
}

fn unreachable(target: &Target, problem: String) -> Error {
    Error::Unreachable {
        target: target.to_string(),
        problem,
    }
}

/// An attempt to connect that came to nothing.
struct Failed {
    error: Error,
    /// Whether the node, or something on the way to it, had accepted the connection and closed it.
    was_pushed_out: bool,
}

struct CloseOnDrop(Option<std::sync::Arc<Link>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.close();
        }
    }
}

async fn greet(
    mut closing: CloseOnDrop,
    agent: String,
) -> Result<(std::sync::Arc<Link>, Welcome), Error> {
    let link = closing.0.clone().ok_or_else(|| Error::Lost {
        problem: "it was closed".into(),
    })?;
    match link.ask(RequestBody::Hello { agent }).await? {
        ResponseBody::Welcome(welcome) => {
            closing.0 = None;
            Ok((link, welcome))
        }
        other => Err(crate::answer::unexpected("a greeting", &other)),
    }
}

fn build(identity: &Identity, deadline: Duration) -> Result<Swarm<Behaviour>, String> {
    let transport = transport(identity.keypair(), deadline).map_err(|error| error.to_string())?;
    let behaviour = Behaviour {
        streams: Streams::new(Role::Dialler),
        ping: ping::Behaviour::default(),
    };
    // The first message goes out together with the name of the protocol.
    let config = swarm::Config::with_tokio_executor()
        .with_substream_upgrade_protocol_override(upgrade::Version::V1Lazy);
    Ok(Swarm::new(
        transport,
        behaviour,
        identity.keypair().public().to_peer_id(),
        config,
    ))
}

async fn dial(
    swarm: &mut Swarm<Behaviour>,
    addresses: Vec<Multiaddr>,
    target: &Target,
) -> Result<(PeerId, Substream), Failed> {
    let mut problem = "it has no address".to_string();
    let mut was_pushed_out = false;
    for address in addresses {
        let dialling = match target.peer() {
            Some(peer) => DialOpts::peer_id(peer).addresses(vec![address]).build(),
            None => DialOpts::unknown_peer_id().address(address).build(),
        };
        let failed = match swarm.dial(dialling) {
            Err(error) => error,
            Ok(()) => match dialled(swarm).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(broken)) => {
                    was_pushed_out |= broken.was_closed;
                    problem = broken.problem;
                    continue;
                }
                Err(error) => error,
            },
        };
        problem = match (failed, target.pin()) {
            (DialError::WrongPeerId { obtained, .. }, Some(expected)) => {
                let found = interstice_abi::id::NodeId::from(obtained.to_string());
                return Err(Failed {
                    error: Error::WrongNode {
                        target: target.to_string(),
                        expected,
                        found,
                    },
                    was_pushed_out: false,
                });
            }
            (failed, _) => {
                was_pushed_out |= was_closed(&failed);
                explain(&failed)
            }
        };
    }
    Err(Failed {
        error: Error::Unreachable {
            target: target.to_string(),
            problem,
        },
        was_pushed_out,
    })
}

/// A connection that came about and has no stream.
struct Broken {
    problem: String,
    was_closed: bool,
}

/// Waits for the one connection that is being dialled, and for the stream on it.
async fn dialled(
    swarm: &mut Swarm<Behaviour>,
) -> Result<Result<(PeerId, Substream), Broken>, DialError> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(Opened { peer, stream, .. })) => {
                return Ok(stream.map(|stream| (peer, stream)).map_err(|error| Broken {
                    problem: error.to_string(),
                    was_closed: matches!(error, OpenError::Broken { .. }),
                }));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error),
            SwarmEvent::ConnectionClosed { cause, .. } => {
                let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
                return Ok(Err(Broken {
                    problem: format!(
                        "the connection was closed at once{cause}; the node may have too many"
                    ),
                    was_closed: true,
                }));
            }
            _ => {}
        }
    }
}

/// Whether a connection was accepted and closed in the middle of its handshake.
fn was_closed(error: &DialError) -> bool {
    let DialError::Transport(attempts) = error else {
        return false;
    };
    attempts.iter().any(|(_, error)| {
        let TransportError::Other(error) = error else {
            return false;
        };
        let closed = [
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::UnexpectedEof,
        ];
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if let Some(inner) = inner.downcast_ref::<io::Error>() {
                if closed.contains(&inner.kind()) {
                    return true;
                }
                // The source of a wrapped error is that of what it wraps.
                cause = inner.get_ref().map(|wrapped| wrapped as _);
            } else {
                cause = inner.source();
            }
        }
        false
    })
}

/// The cause at the bottom, which is what a person can act on.
fn explain(error: &DialError) -> String {
    let DialError::Transport(attempts) = error else {
        return error.to_string();
    };
    match attempts.first() {
        Some((_, TransportError::Other(error))) => root(error),
        _ => error.to_string(),
    }
}

fn root(error: &std::io::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.get_ref().and_then(|inner| inner.source());
    while let Some(inner) = cause {
        message = inner.to_string();
        cause = inner.source();
    }
    message
}

/// Keeps the connection going until the link is closed.
async fn drive(mut swarm: Swarm<Behaviour>, peer: PeerId, link: std::sync::Arc<Link>) {
    let closed = link.closed();
    tokio::pin!(closed);
    loop {
        let event = tokio::select! {
            () = &mut closed => return,
            event = swarm.select_next_some() => event,
        };
        match event {
            SwarmEvent::ConnectionClosed { cause, .. } => {
                let problem =
                    cause.map_or_else(|| "it was closed".to_string(), |cause| cause.to_string());
                link.lose(&problem);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                result: Err(ping::Failure::Timeout),
                ..
            })) => {
                link.lose("the node does not answer any more");
                // It may be connected no longer, and then there is nothing to do.
                let _ = swarm.disconnect_peer_id(peer);
            }
            _ => {}
        }
    }
}
