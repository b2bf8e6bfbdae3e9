//! The protocol `/interstice/1` in a libp2p swarm, and the transport below it, for both of its
//! ends.
//!
//! [`Streams`] hands streams out and takes no further part: who dials gets one stream per
//! connection at once, who listens gets those that others open, a bounded number per connection.
//! What is said on a stream is not its business.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use interstice_abi::wire::PROTOCOL;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Transport,
    core::{
        ConnectedPoint, Endpoint,
        muxing::StreamMuxerBox,
        transport::{Boxed, PortUse},
        upgrade,
    },
    identity::Keypair,
    noise,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
    tcp,
};

use crate::muxer;

/// A client's transport: TCP, encrypted by Noise, many streams by Yamux. A connection that is not
/// through all of it after `deadline` is dropped.
///
/// # Errors
/// When `key` cannot sign.
pub fn transport(
    key: &Keypair,
    deadline: Duration,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let sockets = tcp::tokio::Transport::new(tcp::Config::default());
    transport_over(sockets, key, deadline, |_| muxer::Config::client())
}

/// The same over other sockets than plain TCP, with streams that are bounded as `bounds` says of
/// each connection.
///
/// # Errors
/// When `key` cannot sign.
pub fn transport_over<T>(
    sockets: T,
    key: &Keypair,
    deadline: Duration,
    bounds: impl Fn(&ConnectedPoint) -> muxer::Config + Clone + Send + 'static,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error>
where
    T: Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::ListenerUpgrade: Send,
    T::Dial: Send,
{
    Ok(sockets
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex_ext(move |_, ends| bounds(ends))
        .timeout(deadline)
        .boxed())
}

/// The behaviour that opens and accepts streams of `/interstice/1`.
#[derive(Debug)]
pub struct Streams {
    role: Role,
    opened: VecDeque<Opened>,
}

/// Which end of the streams this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens one stream on each connection that it has dialled.
    Dialler,
    /// Accepts streams.
    Listener {
        /// How many of one connection are open at a time; more are refused.
        streams_max: usize,
    },
}

/// A stream is there, or could not be had.
#[derive(Debug)]
pub struct Opened {
    /// The other end.
    pub peer: PeerId,
    /// The connection.
    pub connection: ConnectionId,
    /// The stream, or why there is none.
    pub stream: Result<Substream, OpenError>,
}

/// Why a stream could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The other end is no node, or of another major version.
    #[error("it does not speak {PROTOCOL}")]
    Unsupported,
    /// The connection broke or was too slow.
    #[error("{problem}")]
    Broken {
        /// What happened.
        problem: String,
    },
}

impl Streams {
    /// The behaviour of one end.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            opened: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Opened;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let accepted_max = match self.role {
            Role::Dialler => 0,
            Role::Listener { streams_max } => streams_max,
        };
        Ok(Handler::new(accepted_max, Outbound::Nothing))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(match self.role {
            Role::Dialler => Handler::new(0, Outbound::Wanted),
            Role::Listener { streams_max } => Handler::new(streams_max, Outbound::Nothing),
        })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        stream: THandlerOutEvent<Self>,
    ) {
        self.opened.push_back(Opened {
            peer,
            connection,
            stream,
        });
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // The swarm polls again after each event of a handler; nothing else fills the queue.
        self.opened.pop_front().map_or(Poll::Pending, |opened| {
            Poll::Ready(ToSwarm::GenerateEvent(opened))
        })
    }
}

/// One connection's part of [`Streams`].
#[derive(Debug)]
pub struct Handler {
    outbound: Outbound,
    accepted_max: usize,
    /// Cloned into each stream that is open.
    places: Arc<()>,
    opened: VecDeque<Result<Substream, OpenError>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Outbound {
    Wanted,
    Nothing,
}

impl Handler {
    fn new(accepted_max: usize, outbound: Outbound) -> Self {
        Self {
            outbound,
            accepted_max,
            places: Arc::new(()),
            opened: VecDeque::new(),
        }
    }

    fn hand_out(&mut self, stream: Stream) {
        self.opened.push_back(Ok(Substream {
            stream,
            _place: self.places.clone(),
        }));
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Result<Substream, OpenError>;
    type InboundProtocol = upgrade::ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = upgrade::ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        protocol()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        // The connection polls again after each event that it reports; nothing else changes what
        // is answered here.
        if let Some(opened) = self.opened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(opened));
        }
        if self.outbound == Outbound::Wanted {
            self.outbound = Outbound::Nothing;
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: protocol(),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            // One strong count is the handler's own. A stream that is dropped here is reset.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) if Arc::strong_count(&self.places) <= self.accepted_max => {
                self.hand_out(stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                ..
            }) => {
                self.hand_out(stream);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.opened.push_back(Err(match error {
                    libp2p::swarm::StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    error => OpenError::Broken {
                        problem: error.to_string(),
                    },
                }));
            }
            _ => {}
        }
    }
}

fn protocol() -> SubstreamProtocol<upgrade::ReadyUpgrade<StreamProtocol>> {
    SubstreamProtocol::new(
        upgrade::ReadyUpgrade::new(StreamProtocol::new(PROTOCOL)),
        (),
    )
}

/// A stream of `/interstice/1`. It counts against its connection's bound until it is dropped.
#[derive(Debug)]
pub struct Substream {
    stream: Stream,
    _place: Arc<()>,
}

impl AsyncRead for Substream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
