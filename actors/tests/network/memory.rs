//! What one connection can make a node hold, by a client that writes the frames of Yamux itself.

use std::{convert::Infallible, io, iter, pin::Pin, time::Duration};

use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    future::{Ready, ready},
};
use interstice_abi::wire::{Ack, PROTOCOL, Request, RequestBody};
use interstice_client::{Identity, frame::encode};
use libp2p::{
    Transport as _,
    core::{
        Endpoint,
        muxing::{StreamMuxer, StreamMuxerEvent},
        transport::{DialOpts, PortUse},
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version},
    },
    noise, tcp,
};

use crate::{crowd::serves, door::Network};

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const OPEN: u16 = 1;
const ACK: u16 = 2;

/// What each stream may send at first.
const FIRST_WINDOW: usize = 256 * 1024;

/// The largest window of a stream: the first one, and by how much all of them may grow together.
const WINDOW_MAX: usize = FIRST_WINDOW + 1024 * 1024;

/// Silent streams, as many as a node holds: eight in negotiation, and four that wait for it.
const SILENT: u32 = 12;

/// The first stream that waits.
const UNREAD: u32 = 2 * 9 + 1;

/// How long the end of a connection may take. Yamux, pings and idleness end none that early.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// A connection on which nothing is multiplexed yet.
struct Bare<C>(C);

#[derive(Clone)]
struct AsYamux;

impl UpgradeInfo for AsYamux {
    type Info = &'static str;
    type InfoIter = iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: Send + 'static> InboundConnectionUpgrade<C> for AsYamux {
    type Output = Bare<C>;
    type Error = Infallible;
    type Future = Ready<Result<Bare<C>, Infallible>>;

    fn upgrade_inbound(self, io: C, _: &'static str) -> Self::Future {
        ready(Ok(Bare(io)))
    }
}

impl<C: Send + 'static> OutboundConnectionUpgrade<C> for AsYamux {
    type Output = Bare<C>;
    type Error = Infallible;
    type Future = Ready<Result<Bare<C>, Infallible>>;

    fn upgrade_outbound(self, io: C, _: &'static str) -> Self::Future {
        ready(Ok(Bare(io)))
    }
}

/// Only so that a transport can be made of it; nobody polls it.
impl<C> StreamMuxer for Bare<C> {
    type Substream = futures::io::Cursor<Vec<u8>>;
    type Error = io::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<Self::Substream>> {
        std::task::Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<Self::Substream>> {
        std::task::Poll::Pending
    }

    fn poll_close(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<StreamMuxerEvent>> {
        std::task::Poll::Pending
    }
}

fn header(kind: u8, flags: u16, stream: u32, length: usize) -> Vec<u8> {
    let mut header = vec![0, kind];
    header.extend(flags.to_be_bytes());
    header.extend(stream.to_be_bytes());
    header.extend(u32::try_from(length).unwrap().to_be_bytes());
    header
}

fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    let mut data = header(DATA, 0, stream, bytes.len());
    data.extend(bytes);
    data
}

/// An encrypted connection whose frames the test writes.
struct Frames<C> {
    io: C,
}

async fn connect(network: &Network) -> Frames<impl AsyncRead + AsyncWrite + Unpin + Send> {
    let identity = Identity::generate();
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(identity.keypair()).unwrap())
        .multiplex(AsYamux);
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let address = network.handle.addresses()[0].clone();
    let (_, Bare(io)) = transport.dial(address, options).unwrap().await.unwrap();
    Frames { io }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Frames<C> {
    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// The node's next frame: kind, flags, stream, number or length, and what it holds.
    async fn hear(&mut self) -> (u8, u16, u32, u32, Vec<u8>) {
        let mut head = [0; 12];
        self.io.read_exact(&mut head).await.unwrap();
        let [_, kind, f0, f1, s0, s1, s2, s3, n0, n1, n2, n3] = head;
        let flags = u16::from_be_bytes([f0, f1]);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let number = u32::from_be_bytes([n0, n1, n2, n3]);
        let mut content = vec![0; if kind == DATA { number as usize } else { 0 }];
        self.io.read_exact(&mut content).await.unwrap();
        (kind, flags, stream, number, content)
    }

    /// Whether the node closes the connection, after what was sent.
    async fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        let end = self.io.read_to_end(&mut rest);
        tokio::time::timeout(ENDS_WITHIN, end).await.is_ok()
    }
}

/// What opens a stream of ours and greets on it.
fn greeting() -> Vec<u8> {
    let mut content = b"\x13/multistream/1.0.0\n".to_vec();
    content.push(u8::try_from(PROTOCOL.len() + 1).unwrap());
    content.extend(format!("{PROTOCOL}\n").bytes());
    let agent = "test".into();
    let body = RequestBody::Hello { agent };
    encode(&Request { id: 1, body }, &mut content).unwrap();
    content
}

/// A connection that has greeted on stream 1, and has opened some others on which no protocol is
/// ever named. More than are negotiated at a time: those from [`UNREAD`] on wait, and nobody reads
/// them.
async fn with_silent_streams(
    network: &Network,
    streams: u32,
) -> Frames<impl AsyncRead + AsyncWrite + Unpin + Send> {
    let mut frames = connect(network).await;
    let mut opening = header(WINDOW_UPDATE, OPEN, 1, 0);
    opening.extend(data(1, &greeting()));
    frames.say(&opening).await.unwrap();
    let id = network.id.as_str().as_bytes();
    let is_welcome = |content: &[u8]| content.windows(id.len()).any(|part| part == id);
    while !matches!(&frames.hear().await, (DATA, _, 1, _, content) if is_welcome(content)) {}
    for place in 1..=streams {
        let open = header(WINDOW_UPDATE, OPEN, 2 * place + 1, 0);
        frames.say(&open).await.unwrap();
    }
    frames
}

#[tokio::test]
async fn frames_of_one_byte_on_a_stream_that_nobody_reads_end_the_connection() {
    let network = Network::start();
    let mut frames = with_silent_streams(&network, SILENT).await;
    // Within the window; in the node each of them takes a hundred times as much.
    let pieces = data(UNREAD, &[7]).repeat(1000);
    for _ in 0..FIRST_WINDOW / 1000 {
        if frames.say(&pieces).await.is_err() {
            break;
        }
    }
    assert!(frames.ends().await, "the node holds all of them");
    serves(&network).await;
}

#[tokio::test]
async fn the_connection_whose_unread_streams_hold_most_is_cut_when_all_hold_too_much() {
    let network =
        Network::start_with(|options| options.bounds.all_held_bytes = 3 * FIRST_WINDOW).unwrap();
    let mut frames = with_silent_streams(&network, SILENT).await;
    let piece = [0; 16 * 1024];
    'windows: for stream in (UNREAD..=2 * SILENT + 1).step_by(2) {
        for _ in 0..FIRST_WINDOW / piece.len() {
            if frames.say(&data(stream, &piece)).await.is_err() {
                break 'windows;
            }
        }
    }
    assert!(frames.ends().await, "the node holds all windows");
    serves(&network).await;
}

/// Reads the node's frames and keeps count of what may be sent, with answers to its pings that
/// come late.
struct Slow<C> {
    frames: Frames<C>,
    /// What may be sent on the stream.
    credit: usize,
    most_credit: usize,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Slow<C> {
    /// Takes in the node's next frame.
    async fn hear(&mut self) {
        let (kind, flags, stream, number, _) = self.frames.hear().await;
        match kind {
            WINDOW_UPDATE if stream == 1 => {
                self.credit += number as usize;
                self.most_credit = self.most_credit.max(self.credit);
            }
            PING if flags & OPEN != 0 => {
                // The attack: a round trip that looks like half a second.
                tokio::time::sleep(Duration::from_millis(500)).await;
                let pong = header(PING, ACK, 0, number as usize);
                self.frames.say(&pong).await.unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn late_answers_to_the_pings_of_yamux_do_not_make_windows_grow_without_bound() {
    let network = Network::start();
    let mut slow = Slow {
        frames: connect(&network).await,
        credit: FIRST_WINDOW,
        most_credit: FIRST_WINDOW,
    };
    let mut content = greeting();
    for id in 2..26 {
        let call = RequestBody::Call {
            module: "m".into(),
            reducer: "echo".into(),
            arguments: vec![7; 1024 * 1024],
            ack: Ack::Applied,
        };
        encode(&Request { id, body: call }, &mut content).unwrap();
    }
    let open = header(WINDOW_UPDATE, OPEN, 1, 0);
    slow.frames.say(&open).await.unwrap();
    let mut rest = content.as_slice();
    while !rest.is_empty() {
        let taken = rest.len().min(16 * 1024).min(slow.credit);
        if taken == 0 {
            slow.hear().await;
            continue;
        }
        let (piece, behind) = rest.split_at(taken);
        slow.frames.say(&data(1, piece)).await.unwrap();
        slow.credit -= taken;
        rest = behind;
    }
    let most = slow.most_credit;
    assert!(most <= WINDOW_MAX, "a window of {most} bytes");
    serves(&network).await;
}
