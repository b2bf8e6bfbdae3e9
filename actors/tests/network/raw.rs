//! A stream on which a test says what it likes, and reads when it likes.

use std::time::Duration;

use futures::{AsyncWriteExt as _, StreamExt as _};
use interstice_abi::{
    failure::Failure,
    wire::{FRAME_BYTES_MAX, Request, RequestBody, Response, ResponseBody},
};
use interstice_client::{
    Identity,
    frame::{Decoder, encode},
    streams::{Opened, Role, Streams, Substream, transport},
};
use libp2p::{
    Multiaddr, Swarm,
    swarm::{Config, SwarmEvent, dial_opts::DialOpts},
};

/// A stream, as it is.
pub(crate) struct Raw {
    pub(crate) stream: Substream,
    decoder: Decoder<Response>,
}

impl Raw {
    pub(crate) async fn open_at(address: &Multiaddr, identity: &Identity) -> Self {
        let transport = transport(identity.keypair(), Duration::from_secs(10)).unwrap();
        let peer = identity.keypair().public().to_peer_id();
        let mut swarm = Swarm::new(
            transport,
            Streams::new(Role::Dialler),
            peer,
            Config::with_tokio_executor(),
        );
        swarm
            .dial(DialOpts::unknown_peer_id().address(address.clone()).build())
            .unwrap();
        let stream = loop {
            if let SwarmEvent::Behaviour(Opened { stream, .. }) = swarm.select_next_some().await {
                break stream.unwrap();
            }
        };
        tokio::spawn(async move { while swarm.next().await.is_some() {} });
        Self {
            stream,
            decoder: Decoder::new(FRAME_BYTES_MAX),
        }
    }

    pub(crate) async fn greeted_at(address: &Multiaddr, identity: &Identity) -> Self {
        let mut raw = Self::open_at(address, identity).await;
        let agent = "test".into();
        raw.ask(1, RequestBody::Hello { agent }).await;
        assert!(matches!(
            raw.answer().await,
            Some(Response {
                id: 1,
                body: Ok(ResponseBody::Welcome(_))
            })
        ));
        raw
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn ask(&mut self, id: u64, body: RequestBody) {
        let mut bytes = Vec::new();
        encode(&Request { id, body }, &mut bytes).unwrap();
        self.say(&bytes).await;
    }

    /// The next answer; `None` when the node has closed the stream.
    pub(crate) async fn answer(&mut self) -> Option<Response> {
        loop {
            if let Some((response, _)) = self.decoder.message().unwrap() {
                return Some(response);
            }
            match self.decoder.read(&mut self.stream).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Expects a failure about the stream itself, and then its end.
    pub(crate) async fn refused(mut self) -> Failure {
        let response = self.answer().await.expect("a failure before the end");
        assert_eq!(response.id, 0);
        let end = self.answer().await;
        assert!(end.is_none(), "{end:?}");
        response.body.unwrap_err()
    }
}
