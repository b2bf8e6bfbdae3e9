//! A front door whose answers the tests choose by the name of the reducer, and a network on a
//! thread of its own.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, NodeId, Seq},
    schema::Version,
    wire::{
        Called, DeployReport, Request, RequestBody, Response, ResponseBody, Standing, WatchEvent,
        Welcome,
    },
};
use interstice_actors::{
    ingress::{Batch, FrontDoor, Peer, Replies, Work},
    network::{self, NetworkError, NetworkHandle, NetworkOptions},
};
use interstice_client::{Client, ConnectOptions, Identity, Target};
use libp2p::identity::Keypair;
use tokio::sync::{
    mpsc::UnboundedReceiver, mpsc::UnboundedSender, mpsc::unbounded_channel, oneshot,
};

/// What the door has seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected(NodeId, Standing),
    Disconnected(NodeId),
    Deployed(Vec<u8>),
    Canceled(u64),
    /// A call of `hold` waits.
    Held,
}

/// Answers calls by their reducer's name.
pub(crate) struct Door {
    owner: NodeId,
    node: NodeId,
    /// A key that may not come in.
    refused: NodeId,
    seen: UnboundedSender<Seen>,
    held: Mutex<Vec<(u64, Replies)>>,
}

impl Door {
    fn tell(&self, seen: Seen) {
        // A test that has seen enough does not listen any more.
        let _ = self.seen.send(seen);
    }

    fn called(id: u64, seq: u64) -> Response {
        let called = Called {
            seq: Seq(seq),
            failed: 0,
            dropped: 0,
        };
        Response {
            id,
            body: Ok(ResponseBody::Called(called)),
        }
    }

    fn call(&self, id: u64, reducer: &str, arguments: &[u8], replies: &Replies) {
        match reducer {
            "echo" => replies.send(Self::called(id, arguments.len() as u64)),
            "fail" => replies.send(Response {
                id,
                body: Err(Failure::new(Code::Rejected, "it said no")),
            }),
            // Answered by the next `release`, or never.
            "hold" => {
                self.held.lock().unwrap().push((id, replies.clone()));
                self.tell(Seen::Held);
            }
            "release" => {
                replies.send(Self::called(id, 0));
                for (id, replies) in self.held.lock().unwrap().drain(..) {
                    replies.send_all([Self::called(id, 1)]);
                }
            }
            other => panic!("no reducer {other}"),
        }
    }

    fn request(&self, Request { id, body }: Request, replies: &Replies) {
        match body {
            RequestBody::Call {
                reducer, arguments, ..
            } => self.call(id, &reducer, &arguments, replies),
            // As many bytes as the query's name says.
            RequestBody::Query { query, .. } => {
                let bytes = vec![7; query.parse().unwrap()];
                replies.send(Response {
                    id,
                    body: Ok(ResponseBody::Value { bytes, seq: Seq(1) }),
                });
            }
            RequestBody::Watch { .. } => {
                for row in 0..3 {
                    let event = WatchEvent::Rows {
                        rows: vec![vec![row]],
                        complete: None,
                    };
                    replies.more(Response {
                        id,
                        body: Ok(ResponseBody::Watch(event)),
                    });
                }
            }
            RequestBody::Cancel { id: ended } => {
                replies.send(Response {
                    id: ended,
                    body: Ok(ResponseBody::Ended),
                });
                self.tell(Seen::Canceled(ended));
            }
            other => panic!("not asked in these tests: {other:?}"),
        }
    }
}

impl FrontDoor for Door {
    fn connected(&self, peer: Arc<Peer>, _: Replies) {
        self.tell(Seen::Connected(peer.node.clone(), peer.standing));
    }

    fn batch(&self, batch: Batch) {
        assert!(!batch.work.is_empty());
        for work in batch.work {
            match work {
                Work::Request(request) => self.request(request, &batch.replies),
                Work::DeployAll { .. } => panic!("not asked in these tests"),
                Work::Deploy { id, wasm, .. } => {
                    self.tell(Seen::Deployed(wasm));
                    let report = DeployReport {
                        module: ModuleName::new("uploaded").unwrap(),
                        version: Version {
                            major: 1,
                            minor: 0,
                            patch: 0,
                        },
                        replaced: None,
                        seq: Seq(1),
                        changes: vec![],
                        load_failure: None,
                    };
                    batch.replies.send(Response {
                        id,
                        body: Ok(ResponseBody::Deployed(report)),
                    });
                }
            }
        }
    }

    fn disconnected(&self, peer: &Arc<Peer>) {
        self.tell(Seen::Disconnected(peer.node.clone()));
    }

    fn is_owner(&self, node: &NodeId) -> bool {
        *node == self.owner
    }

    fn admits(&self, node: &NodeId) -> bool {
        *node != self.refused
    }

    fn welcome(&self, peer: &Peer) -> Welcome {
        let version = Version {
            major: 0,
            minor: 5,
            patch: 0,
        };
        Welcome {
            node: self.node.clone(),
            name: "test".into(),
            version,
            standing: peer.standing,
        }
    }
}

/// A network on a thread of its own, stopped when dropped.
pub(crate) struct Network {
    pub(crate) handle: NetworkHandle,
    pub(crate) id: NodeId,
    pub(crate) owner: Identity,
    /// Who may not come in.
    pub(crate) refused: Identity,
    pub(crate) seen: UnboundedReceiver<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {}).unwrap()
    }

    pub(crate) fn start_with(
        change: impl FnOnce(&mut NetworkOptions),
    ) -> Result<Self, NetworkError> {
        let (owner, key) = (Identity::generate(), Keypair::generate_ed25519());
        let refused = Identity::generate();
        let id = NodeId::from(key.public().to_peer_id().to_string());
        let mut options = NetworkOptions::new(key);
        options.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        change(&mut options);
        let (seen_sender, seen) = unbounded_channel();
        let (owner_id, node) = (owner.id().clone(), id.clone());
        let door = Arc::new(Door {
            owner: owner_id,
            node,
            refused: refused.id().clone(),
            seen: seen_sender,
            held: Mutex::default(),
        });
        let (started, starting) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let network = network::start(options, door).await;
                let running = network.as_ref().ok().cloned();
                started.send(network).unwrap();
                if let Some(running) = running {
                    // A dropped sender stops it as well.
                    let _ = stopped.await;
                    running.stop().await;
                }
            });
        });
        let handle = starting.recv().unwrap()?;
        Ok(Self {
            handle,
            id,
            owner,
            refused,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn target(&self) -> Target {
        self.handle.addresses()[0].to_string().parse().unwrap()
    }

    pub(crate) async fn connect(&self, identity: &Identity) -> Client {
        Client::connect(identity, &self.target(), &ConnectOptions::default())
            .await
            .unwrap()
    }

    /// Waits until the door has seen `expected`; what it saw before does not matter.
    pub(crate) async fn until(&mut self, expected: &Seen) {
        while self.seen.recv().await.unwrap() != *expected {}
    }

    /// Stops it and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The test has its outcome already.
            let _ = thread.join();
        }
    }
}
