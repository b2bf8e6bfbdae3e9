//! A pipeline: one stream, one task that asks and takes answers in batches, and nothing in between.
//!
//! For gateways and load generators, whose own cost per request counts. Requests are encoded where
//! they are pushed and leave with the next [`Pipeline::turn`]; answers come as they have arrived.
//! Who matches them to requests, and what a lost connection means for those without an answer, is
//! the user's business here; [`crate::Client`] does both.

use std::{future::poll_fn, pin::Pin, task::Poll};

use futures::{AsyncRead as _, AsyncWrite as _, StreamExt as _};
use interstice_abi::wire::{
    FRAME_BYTES_MAX, Request, RequestBody, Response, ResponseBody, Welcome,
};
use libp2p::Swarm;
use tokio::task::JoinHandle;

use crate::{
    ConnectOptions, Error, Identity, Target,
    answer::unexpected,
    connect::{Behaviour, in_time, open},
    frame::{self, Decoder},
    parts::Joiner,
    streams::Substream,
};

/// What one read takes at most: some hundreds of answers.
const PIECE_BYTES: usize = 64 * 1024;

/// A greeted stream for requests in bulk. Dropping it closes the connection.
#[derive(Debug)]
pub struct Pipeline {
    stream: Substream,
    welcome: Welcome,
    decoder: Decoder<Response>,
    joiner: Joiner,
    piece: Vec<u8>,
    /// Encoded requests; those before `written` have left.
    out: Vec<u8>,
    written: usize,
    driver: JoinHandle<()>,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Pipeline {
    /// Connects to the node at `target` and greets it, as `identity`. Must run in a tokio runtime
    /// with time and I/O.
    ///
    /// # Errors
    /// As [`crate::Client::connect`].
    pub async fn connect(
        identity: &Identity,
        target: &Target,
        options: &ConnectOptions,
    ) -> Result<Self, Error> {
        in_time(target, options, async {
            let (swarm, _, stream) = open(identity, target, options).await?;
            let mut pipeline = Self {
                stream,
                welcome: Welcome {
                    node: interstice_abi::id::NodeId::default(),
                    name: String::new(),
                    version: interstice_abi::schema::Version::default(),
                    standing: interstice_abi::wire::Standing::Guest,
                },
                decoder: Decoder::new(FRAME_BYTES_MAX),
                joiner: Joiner::default(),
                piece: vec![0; PIECE_BYTES],
                out: Vec::new(),
                written: 0,
                driver: tokio::spawn(drive(swarm)),
            };
            let agent = options.agent.clone();
            pipeline.push(&Request {
                id: 1,
                body: RequestBody::Hello { agent },
            })?;
            let mut answers = Vec::new();
            while answers.is_empty() {
                pipeline.turn(&mut answers).await?;
            }
            match answers.swap_remove(0).body? {
                ResponseBody::Welcome(welcome) => pipeline.welcome = welcome,
                other => return Err(unexpected("a greeting", &other)),
            }
            Ok(pipeline)
        })
        .await
    }

    /// What the node has said of itself, and what this client is to it.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Adds a request to what leaves with the next [`Pipeline::turn`]. Its id must not be that of
    /// one without an answer, and not 0.
    ///
    /// # Errors
    /// [`Error::Failed`] when it does not fit into a frame; nothing was added then.
    pub fn push(&mut self, request: &Request) -> Result<(), Error> {
        frame::encode(request, &mut self.out).map_err(|error| {
            interstice_abi::failure::Failure::new(
                interstice_abi::failure::Code::TooLarge,
                error.to_string(),
            )
            .into()
        })
    }

    /// Bytes that have not left yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.out.len() - self.written
    }

    /// Sends what waits, and waits for answers, which are appended to `answers`; there may be none
    /// when only a part of one has arrived. The future may be dropped at any time: nothing is
    /// lost.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection is gone, [`Error::Protocol`] when the node speaks
    /// nonsense.
    pub async fn turn(&mut self, answers: &mut Vec<Response>) -> Result<(), Error> {
        let lost = |problem: String| Error::Lost { problem };
        let read = poll_fn(|context| {
            while self.written < self.out.len() {
                let rest = self.out.get(self.written..).unwrap_or_default();
                match Pin::new(&mut self.stream).poll_write(context, rest) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err("nothing more is taken".to_string()));
                    }
                    Poll::Ready(Ok(bytes)) => self.written += bytes,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.to_string())),
                    Poll::Pending => break,
                }
            }
            if self.written == self.out.len() && self.written > 0 {
                self.out.clear();
                self.written = 0;
            }
            // What a flush leaves undone goes on with the next turn; the yamux task sends it
            // anyhow.
            if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context) {
                return Poll::Ready(Err(error.to_string()));
            }
            match Pin::new(&mut self.stream).poll_read(context, &mut self.piece) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err("the node has closed it".to_string())),
                Poll::Ready(Ok(bytes)) => Poll::Ready(Ok(bytes)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.to_string())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
        .map_err(lost)?;
        self.decoder
            .extend(self.piece.get(..read).unwrap_or_default());
        loop {
            let garbage = |error: frame::FrameError| Error::Protocol {
                problem: error.to_string(),
            };
            let Some((answer, bytes)) = self.decoder.message().map_err(garbage)? else {
                return Ok(());
            };
            let whole = self.joiner.take(answer, bytes).map_err(garbage)?;
            answers.extend(whole.map(|(answer, _)| answer));
        }
    }
}

/// Keeps the connection going until the pipeline is dropped; that it is lost shows on the stream.
async fn drive(mut swarm: Swarm<Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}
