//! The gate: TCP connections on their way in and out, each accepted one with its place at the
//! [`Entrance`].
//!
//! Below encryption, so that a place is held from the first moment and given back with the socket.
//! What may stay is decided there; here the sockets of those that may not are closed.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt as _, TryFutureExt as _,
    future::{MapOk, Ready},
};
use libp2p::{
    Multiaddr, TransportError,
    core::{
        Transport,
        transport::{DialOpts, ListenerId, TransportEvent},
    },
    tcp,
};
use tokio::time::{Sleep, sleep};

use crate::ingress::{Entrance, Place};

type Tcp = tcp::tokio::Transport;
type Socket = tcp::tokio::TcpStream;

/// Connections that are accepted one after the other before those that are open have their turn.
const ACCEPTED_PER_TURN: u32 = 16;

/// How long the next ones then wait: as short as the timer can.
const TURN: Duration = Duration::from_millis(1);

/// TCP with an entrance.
pub(super) struct Gate {
    tcp: Tcp,
    entrance: Arc<Entrance>,
    accepted: u32,
    /// Until when nothing is accepted. A flood would otherwise push out every handshake before it
    /// is read.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    pub(super) fn new(entrance: Arc<Entrance>) -> Self {
        // Small frames go out at once.
        let tcp = Tcp::new(tcp::Config::default().nodelay(true));
        Self {
            tcp,
            entrance,
            accepted: 0,
            pause: None,
        }
    }
}

impl Transport for Gate {
    type Output = Gated;
    type Error = io::Error;
    type ListenerUpgrade = Ready<Result<Gated, io::Error>>;
    type Dial = MapOk<<Tcp as Transport>::Dial, fn(Socket) -> Gated>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.tcp.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.tcp.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let outgoing: fn(Socket) -> Gated = |socket| Gated {
            socket,
            place: None,
        };
        Ok(self.tcp.dial(address, options)?.map_ok(outgoing))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            (self.pause, self.accepted) = (None, 0);
        }
        let Poll::Ready(event) = Pin::new(&mut self.tcp).poll(cx) else {
            self.accepted = 0;
            return Poll::Pending;
        };
        Poll::Ready(match event {
            TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            } => {
                self.accepted += 1;
                if self.accepted >= ACCEPTED_PER_TURN {
                    self.pause = Some(Box::pin(sleep(TURN)));
                }
                let ends = (local_addr.clone(), send_back_addr.clone());
                // An accepted TCP connection is ready at once.
                let socket = upgrade
                    .now_or_never()
                    .unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()));
                let gated = socket.map(|socket| Gated {
                    socket,
                    place: Some(self.entrance.enter(ends, Instant::now())),
                });
                TransportEvent::Incoming {
                    listener_id,
                    upgrade: futures::future::ready(gated),
                    local_addr,
                    send_back_addr,
                }
            }
            TransportEvent::NewAddress {
                listener_id,
                listen_addr,
            } => TransportEvent::NewAddress {
                listener_id,
                listen_addr,
            },
            TransportEvent::AddressExpired {
                listener_id,
                listen_addr,
            } => TransportEvent::AddressExpired {
                listener_id,
                listen_addr,
            },
            TransportEvent::ListenerClosed {
                listener_id,
                reason,
            } => TransportEvent::ListenerClosed {
                listener_id,
                reason,
            },
            TransportEvent::ListenerError { listener_id, error } => {
                TransportEvent::ListenerError { listener_id, error }
            }
        })
    }
}

/// A TCP connection; an accepted one fails when it has lost its place.
pub(super) struct Gated {
    socket: Socket,
    place: Option<Place>,
}

impl Gated {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        match &self.place {
            Some(place) if place.is_cut(cx.waker()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "its place was needed",
            )),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if let Some(place) = self.place.as_ref().filter(|_| read > 0) {
            place.talks();
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
