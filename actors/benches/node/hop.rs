//! What a message costs that goes from one actor's mailbox to another's.

use std::time::Instant;

use actix::{Actor, Addr, Arbiter, Context, Handler, Message, System};
use criterion::{Criterion, Throughput};
use tokio::sync::oneshot;

/// An actor that counts what it gets.
struct Counter {
    left: u64,
    done: Option<oneshot::Sender<()>>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

/// So many hops follow, and then this is to be told.
#[derive(Message)]
#[rtype(result = "()")]
struct Expect(u64, oneshot::Sender<()>);

#[derive(Message)]
#[rtype(result = "()")]
struct Hop;

impl Handler<Expect> for Counter {
    type Result = ();

    fn handle(&mut self, Expect(hops, done): Expect, _: &mut Self::Context) {
        self.left = hops;
        self.done = Some(done);
    }
}

impl Handler<Hop> for Counter {
    type Result = ();

    fn handle(&mut self, _: Hop, _: &mut Self::Context) {
        self.left -= 1;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            // Who asked waits for it.
            let _ = done.send(());
        }
    }
}

/// Messages to an actor on this arbiter, and on another.
pub(crate) fn hops(c: &mut Criterion) {
    let system = System::new();
    let other = Arbiter::new();
    let mut group = c.benchmark_group("a message to an actor");
    group.throughput(Throughput::Elements(1));
    let start = || Counter {
        left: 0,
        done: None,
    };
    let here = system.block_on(async { start().start() });
    let there = Counter::start_in_arbiter(&other.handle(), move |_| start());
    for (what, address) in [("on the same arbiter", here), ("on another arbiter", there)] {
        group.bench_function(what, |b| {
            b.iter_custom(|hops| {
                let started = Instant::now();
                system.block_on(flood(&address, hops));
                started.elapsed()
            });
        });
    }
    group.finish();
    other.stop();
}

async fn flood(address: &Addr<Counter>, hops: u64) {
    let (done, told) = oneshot::channel();
    address.do_send(Expect(hops, done));
    for _ in 0..hops {
        address.do_send(Hop);
    }
    told.await.expect("the actor counts to the end");
}
