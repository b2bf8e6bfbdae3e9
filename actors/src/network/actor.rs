//! The `Network` actor: drives the swarm, gives each accepted stream a task, counts connections.

use std::{
    collections::HashMap,
    io::ErrorKind::QuotaExceeded,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext as _, ActorFuture, Addr, AsyncContext as _, Context, Handler, Message,
};
use futures::StreamExt as _;
use interstice_abi::id::NodeId;
use interstice_client::streams::Opened;
use libp2p::{
    Swarm,
    core::{ConnectedPoint, transport::ListenerId},
    ping,
    swarm::{ConnectionError, ConnectionId, SwarmEvent},
};
use tokio::{runtime::Handle, sync::watch};

use super::behaviour::{Behaviour, BehaviourEvent};
use crate::ingress::{Entrant, Serving, Stage, Way, serve};

/// Swarm events that are handled before the arbiter's other actors have their turn.
const EVENTS_PER_TURN: usize = 64;

/// How often connections are looked for that have not greeted in time.
const SWEEP: Duration = Duration::from_secs(1);

/// The actor that owns the swarm; one per node.
pub struct Network {
    swarm: Swarm<Behaviour>,
    listeners: Vec<ListenerId>,
    /// Where streams are served.
    runtime: Handle,
    serving: Arc<Serving>,
    stopping: Arc<watch::Sender<()>>,
    connections: watch::Sender<u32>,
    /// The places of connections that are encrypted.
    entrants: HashMap<ConnectionId, Arc<Entrant>>,
}

impl Network {
    /// Starts the actor on the current arbiter.
    pub(super) fn begin(
        swarm: Swarm<Behaviour>,
        listeners: Vec<ListenerId>,
        runtime: Handle,
        serving: Arc<Serving>,
        stopping: Arc<watch::Sender<()>>,
        connections: watch::Sender<u32>,
    ) -> Addr<Self> {
        Self {
            swarm,
            listeners,
            runtime,
            serving,
            stopping,
            connections,
            entrants: HashMap::new(),
        }
        .start()
    }

    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(Opened {
                peer,
                connection,
                stream: Ok(stream),
            })) => {
                let (serving, stopping) = (self.serving.clone(), self.stopping.subscribe());
                let way = Way {
                    node: NodeId::from(peer.to_string()),
                    stream,
                    entrant: self.entrants.get(&connection).cloned(),
                };
                self.runtime.spawn(serve(serving, way, stopping));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(ping::Failure::Timeout),
            })) => {
                tracing::debug!(%peer, "a client does not answer any more");
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ConnectionEstablished {
                connection_id,
                endpoint,
                ..
            } => {
                self.connections.send_modify(|open| *open += 1);
                self.known(connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                self.entrants.remove(&connection_id);
                self.connections
                    .send_modify(|open| *open = open.saturating_sub(1));
                match cause {
                    Some(ConnectionError::IO(error)) if error.kind() == QuotaExceeded => {
                        tracing::warn!(peer = %peer_id, %error, "a connection was closed");
                    }
                    cause => tracing::debug!(peer = %peer_id, ?cause, "a connection was closed"),
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "a connection did not come about");
            }
            SwarmEvent::ListenerClosed {
                addresses,
                reason: Err(error),
                ..
            } => {
                tracing::error!(?addresses, %error, "the node does not listen any more");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a connection could not be accepted");
            }
            _ => {}
        }
    }
}

impl Network {
    /// A connection's key is proven.
    fn known(&mut self, connection: ConnectionId, endpoint: ConnectedPoint) {
        let ConnectedPoint::Listener {
            local_addr,
            send_back_addr,
        } = endpoint
        else {
            return;
        };
        let entrance = &self.serving.entrance;
        // One that was cut in this moment is gone.
        if let Some(entrant) = entrance.find(&(local_addr, send_back_addr)) {
            entrance.reach(&entrant, Stage::Known);
            self.entrants.insert(connection, entrant);
        }
    }
}

impl Actor for Network {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Drive);
        ctx.run_interval(SWEEP, |network, _| {
            network.serving.entrance.sweep(Instant::now());
        });
    }
}

/// Polls the swarm for as long as the actor lives.
struct Drive;

impl ActorFuture<Network> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        network: &mut Network,
        _: &mut Context<Network>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        for _ in 0..EVENTS_PER_TURN {
            match network.swarm.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => network.event(event),
                // A swarm has no end of its own.
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Close the listeners; connections stay. Answered when that is under way.
pub(super) struct StopAccepting;

impl Message for StopAccepting {
    type Result = ();
}

impl Handler<StopAccepting> for Network {
    type Result = ();

    fn handle(&mut self, _: StopAccepting, _: &mut Self::Context) {
        for listener in self.listeners.drain(..) {
            // A listener that failed is gone already.
            self.swarm.remove_listener(listener);
        }
    }
}

/// Close all connections in good order; the count of connections tells when it is done.
pub(super) struct CloseAll;

impl Message for CloseAll {
    type Result = ();
}

impl Handler<CloseAll> for Network {
    type Result = ();

    fn handle(&mut self, _: CloseAll, _: &mut Self::Context) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}

/// End the actor, and with it whatever is still open.
pub(super) struct End;

impl Message for End {
    type Result = ();
}

impl Handler<End> for Network {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
