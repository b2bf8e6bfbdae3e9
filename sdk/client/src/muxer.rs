//! Many streams on one connection by Yamux, with a bound on everything that the other end can make
//! this one hold.
//!
//! Yamux lets windows grow with the round trips that the other end pretends, and keeps a piece of
//! memory for each frame, however short. So windows of one connection share a small sum, streams
//! that wait to be accepted are few, and every byte that has arrived and was not read is counted,
//! frames included ([`held`]). A connection beyond its bound fails with the reason.

pub mod held;

use std::{
    collections::VecDeque,
    fmt, io, iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures::{
    AsyncRead, AsyncWrite,
    future::{Ready, ready as ready_with},
};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use yamux::{Connection, ConnectionError, Mode};

use held::{Counted, Held, Unread};

/// Streams of one connection at both ends together, those of identify and ping among them: room
/// for ours and to spare.
const STREAMS_MAX: usize = 32;

/// Streams that the other end has opened and nobody has accepted yet; a further one is reset.
const UNACCEPTED_MAX: usize = 4;

/// What each stream may have under way from the beginning, as Yamux says.
const FIRST_WINDOW_BYTES: usize = yamux::DEFAULT_CREDIT as usize;

/// By how much the windows of a node's connection may grow together: 1 MiB under way is 10 MiB a
/// second over 100 ms.
const NODE_WINDOW_BYTES: usize = 1024 * 1024;

/// What a node holds of one connection: the windows of the streams that it accepts, grown, and
/// half as much again.
const NODE_HELD_BYTES_MAX: usize = 3 * 1024 * 1024;

/// By how much the windows of a client's connection may grow together: a backup or a large table
/// comes as fast as the line.
const CLIENT_WINDOW_BYTES: usize = 16 * 1024 * 1024;

/// What a client holds of its node: all its windows, and a frame for each half kilobyte of them.
const CLIENT_HELD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Hears what connections hold, for a bound over all of them. Its methods are called on the tasks
/// of connections, often.
pub trait Tally: fmt::Debug + Send + Sync {
    /// The connection holds `bytes` more.
    fn more(&self, bytes: usize);

    /// The connection holds `bytes` less.
    fn less(&self, bytes: usize);
}

/// How a connection's streams are bounded.
#[derive(Clone, Debug)]
pub struct Config {
    yamux: yamux::Config,
    held_bytes_max: usize,
    tally: Option<Arc<dyn Tally>>,
}

impl Config {
    /// For a client, whose node may be a hostile one but is the only one.
    #[must_use]
    pub fn client() -> Self {
        Self::new(CLIENT_WINDOW_BYTES, CLIENT_HELD_BYTES_MAX, None)
    }

    /// For a connection of a node, counted by `tally` as well.
    #[must_use]
    pub fn node(tally: Option<Arc<dyn Tally>>) -> Self {
        Self::new(NODE_WINDOW_BYTES, NODE_HELD_BYTES_MAX, tally)
    }

    fn new(window_bytes: usize, held_bytes_max: usize, tally: Option<Arc<dyn Tally>>) -> Self {
        let mut yamux = yamux::Config::default();
        let windows = STREAMS_MAX * FIRST_WINDOW_BYTES + window_bytes;
        yamux
            .set_max_num_streams(STREAMS_MAX)
            .set_max_connection_receive_window(Some(windows));
        Self {
            yamux,
            held_bytes_max,
            tally,
        }
    }

    fn over<C>(self, io: C, mode: Mode) -> Muxer<C>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let held = Arc::new(Held::new(self.held_bytes_max, self.tally));
        let counted = Counted::new(io, held.clone());
        Muxer {
            connection: Connection::new(counted, self.yamux, mode),
            held,
            unaccepted: VecDeque::new(),
            acceptor: None,
        }
    }
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for Config
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, io: C, _: &'static str) -> Self::Future {
        ready_with(Ok(self.over(io, Mode::Server)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for Config
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, io: C, _: &'static str) -> Self::Future {
        ready_with(Ok(self.over(io, Mode::Client)))
    }
}

/// A connection with many streams.
#[derive(Debug)]
pub struct Muxer<C> {
    connection: Connection<Counted<C>>,
    held: Arc<Held>,
    /// Yamux makes progress by accepting streams only; those that came while nobody accepted wait
    /// here.
    unaccepted: VecDeque<Stream>,
    acceptor: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let next = ready!(self.connection.poll_next_inbound(cx));
        let stream = next.unwrap_or(Err(ConnectionError::Closed));
        Poll::Ready(stream.map(|stream| self.counted(stream)).map_err(failed))
    }

    fn counted(&self, stream: yamux::Stream) -> Stream {
        let unread = self.held.stream(stream.id().val());
        Stream { stream, unread }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        if let Some(stream) = self.unaccepted.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.acceptor = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let opened = ready!(self.connection.poll_new_outbound(cx));
        Poll::Ready(opened.map(|stream| self.counted(stream)).map_err(failed))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(failed)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = ready!(self.poll_next(cx))?;
        if self.unaccepted.len() < UNACCEPTED_MAX {
            self.unaccepted.push_back(stream);
            if let Some(acceptor) = self.acceptor.take() {
                acceptor.wake();
            }
        }
        // There may be more; others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A stream of a connection.
#[derive(Debug)]
pub struct Stream {
    stream: yamux::Stream,
    unread: Unread,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.unread.read(read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Stream {
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

/// The reason at the bottom: that of the socket, or of the bound.
fn failed(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        error => io::Error::other(error),
    }
}
