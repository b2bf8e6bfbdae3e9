//! Thousands that say nothing, half of something, or the right thing too slowly, and a client
//! among them that is served.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, future::poll_fn};
use interstice_abi::{failure::Code, wire::Ack};
use interstice_client::{Client, ConnectOptions, Error, Identity, streams::transport};
use libp2p::{
    Multiaddr, Swarm, Transport as _,
    core::{
        Endpoint,
        muxing::StreamMuxerExt as _,
        transport::{DialOpts as TransportDial, PortUse},
    },
    multiaddr::Protocol,
    swarm::{Config, SwarmEvent, dial_opts::DialOpts, dummy},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{door::Network, raw::Raw};

/// What a handshake begins with.
const FIRST_WORDS: &[u8] = b"\x13/multistream/1.0.0\n";

/// Idle connections that are open at a time.
const CROWD: usize = 2_500;

fn socket(address: &Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        other => panic!("{other:?}"),
    }
}

fn listener(network: &Network) -> SocketAddr {
    socket(&network.handle.addresses()[0])
}

/// Opens connections without end, every second one with half a handshake, and keeps the last
/// [`CROWD`] of them.
struct Flood {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn start(to: SocketAddr) -> Self {
        let (stop, opened) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stopped, counter) = (stop.clone(), opened.clone());
        let thread = std::thread::spawn(move || {
            use std::io::Write as _;
            let mut crowd = VecDeque::new();
            while !stopped.load(Ordering::Relaxed) {
                // The system may refuse one when its queue is full; the next one comes at once.
                let Ok(mut one) = std::net::TcpStream::connect_timeout(&to, Duration::from_secs(1))
                else {
                    continue;
                };
                if counter.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
                    // It may have been cut already.
                    let _ = one.write_all(&FIRST_WORDS[..9]);
                }
                crowd.push_back(one);
                if crowd.len() > CROWD {
                    crowd.pop_front();
                }
            }
        });
        Self {
            stop,
            opened,
            thread: Some(thread),
        }
    }

    async fn reaches(&self, count: usize) {
        while self.opened.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The test has its outcome already.
            let _ = thread.join();
        }
    }
}

pub(crate) async fn serves(network: &Network) {
    let client = network.connect(&Identity::generate()).await;
    client
        .call("m", "echo", vec![1, 2, 3], Ack::Applied)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_and_half_open_connections_do_not_keep_a_client_out() {
    let network = Network::start();
    let flood = Flood::start(listener(&network));
    flood.reaches(CROWD).await;
    for _ in 0..5 {
        serves(&network).await;
    }
    assert!(flood.opened.load(Ordering::Relaxed) > CROWD);
}

#[tokio::test]
async fn handshakes_of_a_byte_at_a_time_are_cut_and_keep_nobody_out() {
    let network = Network::start_with(|options| {
        options.waiting_connections_max = 64;
        options.greeting_deadline = Duration::from_secs(3);
    })
    .unwrap();
    let mut loris = Vec::new();
    for _ in 0..200 {
        let mut one = TcpStream::connect(listener(&network)).await.unwrap();
        loris.push(tokio::spawn(async move {
            // Until it is cut: from a certain point on, the answers come too fast for a byte at a
            // time to matter.
            for byte in FIRST_WORDS.iter().cycle() {
                if one.write_all(&[*byte]).await.is_err() {
                    return;
                }
                let mut answer = [0; 64];
                let read = tokio::time::timeout(Duration::from_millis(300), one.read(&mut answer));
                if let Ok(Ok(0) | Err(_)) = read.await {
                    return;
                }
            }
        }));
    }
    serves(&network).await;
    for one in loris {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn who_proves_a_key_and_opens_no_stream_is_cut_and_keeps_nobody_out() {
    let network = Network::start_with(|options| {
        options.waiting_connections_max = 16;
        options.greeting_deadline = Duration::from_secs(3);
    })
    .unwrap();
    let identity = Identity::generate();
    let encrypted = transport(identity.keypair(), Duration::from_secs(10)).unwrap();
    let config =
        Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(600));
    let peer = identity.keypair().public().to_peer_id();
    let mut swarm = Swarm::new(encrypted, dummy::Behaviour, peer, config);
    for _ in 0..40 {
        let address = network.handle.addresses()[0].clone();
        swarm
            .dial(DialOpts::unknown_peer_id().address(address).build())
            .unwrap();
    }
    let (mut established, mut ended) = (0, 0);
    while ended < 40 {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => {
                established += 1;
                if established == 16 {
                    serves(&network).await;
                }
            }
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                ended += 1
            }
            _ => {}
        }
    }
    assert!(established >= 16, "{established}");
    serves(&network).await;
}

#[tokio::test]
async fn who_opens_a_stream_and_never_greets_is_cut() {
    let network =
        Network::start_with(|options| options.greeting_deadline = Duration::from_secs(1)).unwrap();
    let mut raw = Raw::open(&network).await;
    assert_eq!(raw.answer().await, None);
    serves(&network).await;
}

#[tokio::test]
async fn thousands_of_streams_on_one_connection_hurt_nobody() {
    let network = Network::start();
    let identity = Identity::generate();
    let mut dialler = transport(identity.keypair(), Duration::from_secs(10)).unwrap();
    let options = TransportDial {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialled = dialler
        .dial(network.handle.addresses()[0].clone(), options)
        .unwrap();
    let (_, mut muxer) = dialled.await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..3_000 {
        let opened = poll_fn(|cx| {
            // What comes back drives the connection; its streams are of no interest.
            let _ = muxer.poll_unpin(cx);
            muxer.poll_outbound_unpin(cx)
        });
        match tokio::time::timeout(Duration::from_secs(2), opened).await {
            Ok(Ok(mut stream)) => {
                // The connection may be gone.
                let _ = stream.write_all(FIRST_WORDS).await;
                streams.push(stream);
            }
            Ok(Err(_)) | Err(_) => break,
        }
    }
    assert!(streams.len() < 100, "{} streams were taken", streams.len());
    serves(&network).await;
}

#[tokio::test]
async fn half_a_frame_is_not_waited_for_for_ever_however_it_dawdles() {
    let network = Network::start_with(|options| {
        options.bounds.rest_of_frame = Duration::from_millis(700);
    })
    .unwrap();
    let mut half = Raw::greeted(&network).await;
    half.say(&[200, 0, 0, 0, 1, 2, 3]).await;
    assert_eq!(half.refused().await.code, Code::Deadline);
    let mut dawdler = Raw::greeted(&network).await;
    dawdler.say(&1_000_000_u32.to_le_bytes()).await;
    let (mut reader, mut writer) = dawdler.stream.split();
    let dawdling = async {
        while writer.write_all(&[7]).await.is_ok() && writer.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        () = dawdling => {}
        read = reader.read_to_end(&mut said) => drop(read),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it dawdles on"),
    }
    serves(&network).await;
}

#[tokio::test]
async fn a_key_that_may_not_come_in_is_told_what_to_do() {
    let network = Network::start();
    let error = Client::connect(
        &network.refused,
        &network.target(),
        &ConnectOptions::default(),
    )
    .await
    .unwrap_err();
    let Error::Failed(failure) = error else {
        panic!("{error:?}")
    };
    assert_eq!(failure.code, Code::Denied);
    assert!(
        failure.message.contains("`allowed`")
            && failure.message.contains(network.refused.id().as_str()),
        "{failure}"
    );
    serves(&network).await;
}
