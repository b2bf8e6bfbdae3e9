//! A driver in the node's own process: it keeps so many calls under way and hands them in by the
//! batch.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::AsyncWrite;
use interstice_abi::wire::{Ack, FRAME_BYTES_MAX, Request, RequestBody, Response};
use interstice_actors::{config::Placement, node::Inside};
use interstice_client::frame::Decoder;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

use crate::common::{guest::GuestModule, world::World};

/// Calls under way.
const UNDER_WAY: u64 = 4096;

/// Calls that are handed in at once.
const BATCH: u64 = 512;

/// A call to be made over and over.
#[derive(Clone)]
pub(crate) struct Order(RequestBody);

impl Order {
    pub(crate) fn new(module: &str, reducer: &str, arguments: &[u64], ack: Ack) -> Self {
        let mut encoded = Vec::new();
        for argument in arguments {
            encoded.extend(postcard::to_allocvec(argument).expect("a number encodes"));
        }
        Self(RequestBody::Call {
            module: module.into(),
            reducer: reducer.into(),
            arguments: encoded,
            ack,
        })
    }
}

/// A node and the way into it.
pub(crate) struct Driver {
    runtime: Runtime,
    /// The node lives as long as its driver.
    _world: World,
    inside: Arc<Inside>,
    answered: Arc<Answered>,
    sent: u64,
}

/// How many calls have been answered.
#[derive(Default)]
struct Answered {
    count: AtomicU64,
    more: Notify,
}

impl Driver {
    /// A node with these modules.
    pub(crate) fn start(modules: &[GuestModule], placement: Placement, workers: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let world = runtime.block_on(async {
            let mut world = World::configured(|config| config.placement = placement);
            world.start_with(Some(workers)).await;
            let peer = world.owner().await;
            for module in modules {
                peer.install(module).await;
            }
            world
        });
        let inside = Arc::new(world.inside());
        let answered = Arc::new(Answered::default());
        let mut sink = Sink {
            decoder: Decoder::new(FRAME_BYTES_MAX),
            answered: answered.clone(),
        };
        let way = inside.clone();
        runtime.spawn(async move { way.answers(&mut sink).await.expect("every call succeeds") });
        Self {
            runtime,
            _world: world,
            inside,
            answered,
            sent: 0,
        }
    }

    /// Makes `turns` calls, `orders` in turn, and waits for the last answer.
    pub(crate) fn run(&mut self, orders: &[Order], turns: u64) -> Duration {
        let started = Instant::now();
        let end = self.sent + turns;
        self.runtime.block_on(async {
            while self.sent < end {
                let batch = BATCH.min(end - self.sent);
                self.answered
                    .until((self.sent + batch).saturating_sub(UNDER_WAY))
                    .await;
                let requests = (self.sent..self.sent + batch).zip(orders.iter().cycle());
                let requests = requests.map(|(id, order)| Request {
                    id,
                    body: order.0.clone(),
                });
                self.inside.send(requests.collect());
                self.sent += batch;
            }
            self.answered.until(end).await;
        });
        started.elapsed()
    }
}

impl Answered {
    async fn until(&self, count: u64) {
        loop {
            let more = self.more.notified();
            if self.count.load(Ordering::Relaxed) >= count {
                return;
            }
            more.await;
        }
    }
}

/// Counts the answers that are written to it; the first failure ends it.
struct Sink {
    decoder: Decoder<Response>,
    answered: Arc<Answered>,
}

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.decoder.extend(bytes);
        let mut count = 0;
        while let Some((response, _)) = self.decoder.message().map_err(io::Error::other)? {
            response.body.map_err(io::Error::other)?;
            count += 1;
        }
        self.answered.count.fetch_add(count, Ordering::Relaxed);
        self.answered.more.notify_waiters();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
