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
        let opened = Self::try_open_at(address, identity).await;
        opened.expect("the node accepts a stream")
    }

    pub(crate) async fn greeted_at(address: &Multiaddr, identity: &Identity) -> Self {
        let greeted = Self::try_greeted_at(address, identity).await;
        greeted.expect("the node answers a greeting")
    }

    /// `None` when the node does not let it come so far.
    pub(crate) async fn try_greeted_at(address: &Multiaddr, identity: &Identity) -> Option<Self> {
        let mut raw = Self::try_open_at(address, identity).await?;
        let (id, agent) = (1, "test".into());
        let mut hello = Vec::new();
        encode(
            &Request {
                id,
                body: RequestBody::Hello { agent },
            },
            &mut hello,
        )
        .unwrap();
        raw.stream.write_all(&hello).await.ok()?;
        raw.stream.flush().await.ok()?;
        match raw.answer().await?.body {
            Ok(ResponseBody::Welcome(_)) => Some(raw),
            _ => None,
        }
    }

    async fn try_open_at(address: &Multiaddr, identity: &Identity) -> Option<Self> {
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
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(Opened { stream, .. }) => break stream.ok()?,
                SwarmEvent::OutgoingConnectionError { .. }
                | SwarmEvent::ConnectionClosed { .. } => {
                    return None;
                }
                _ => {}
            }
        };
        tokio::spawn(async move { while swarm.next().await.is_some() {} });
        Some(Self {
            stream,
            decoder: Decoder::new(FRAME_BYTES_MAX),
        })
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
