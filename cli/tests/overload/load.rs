//! Calls that count, in a closed and in an open loop, and what their clients know of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use interstice_abi::{
    codec::{Column as _, Input},
    failure::Code,
    wire::{Ack, Called},
};
use interstice_client::{Client, Error, Identity};

use crate::{
    connect,
    guest::{GuestModule, GuestTable},
    op::{Op, arg, must, reg, upsert},
};

/// Counters of each connection.
const SLOTS: u64 = 64;

/// How often the open loop sends.
const TICK: Duration = Duration::from_millis(10);

/// What is sent at once at most, in ticks: a harness that was not given the processor does not
/// make up for it by a burst.
const BURST: f64 = 10.0;

/// What clients know of one counter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
}

/// By counter.
pub(crate) type Counts = BTreeMap<u64, Tally>;

/// Of all counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) busy: u64,
    pub(crate) unknown: u64,
    /// Connections that were lost.
    pub(crate) lost: u64,
}

/// `bump(slot)` counts.
pub(crate) fn counters() -> GuestModule {
    let look = Op::Get {
        table: "counts".into(),
        index: 0,
        key: arg(0),
        columns: 2,
        into: 0,
    };
    let count = must(upsert("counts", [arg(0), reg(2).plus(1)]));
    GuestModule::new("counters")
        .table(GuestTable::new("Counts", &["value"]))
        // Register 2 stays 0 where there is no row yet.
        .reducer("bump", 1, vec![Op::Set(2, 0.into()), look, count])
}

pub(crate) fn add(all: &mut Counts, more: Counts) {
    for (slot, tally) in more {
        let sum = all.entry(slot).or_default();
        sum.acknowledged += tally.acknowledged;
        sum.unknown += tally.unknown;
    }
}

/// What a row says: the slot and its count.
pub(crate) fn row(bytes: &[u8]) -> (u64, u64) {
    let mut input = Input::new(bytes);
    let mut number = || u64::decode(&mut input).expect("columns are numbers");
    (number(), number())
}

/// What the node has counted.
pub(crate) async fn stored(client: &Client) -> BTreeMap<u64, u64> {
    let (mut counts, mut after) = (BTreeMap::new(), None);
    loop {
        let page = client.rows("counters", "counts", after, 10_000, None).await;
        let page = page.expect("the table is public");
        counts.extend(page.rows.iter().map(|bytes| row(bytes)));
        match page.next {
            Some(next) => after = Some(next),
            None => return counts,
        }
    }
}

struct Caller {
    client: Client,
    first: u64,
    next: u64,
    counts: Counts,
    totals: Totals,
}

impl Caller {
    async fn connect(address: &str, number: u64) -> Self {
        Self {
            client: connect(address, &Identity::generate()).await,
            first: number * SLOTS,
            next: 0,
            counts: Counts::new(),
            totals: Totals::default(),
        }
    }

    fn call(&mut self) -> impl Future<Output = (u64, Result<Called, Error>)> + use<> {
        let slot = self.first + self.next % SLOTS;
        self.next += 1;
        self.totals.sent += 1;
        let answer = self
            .client
            .call("counters", "bump", slot.to_bytes(), Ack::Durable);
        async move { (slot, answer.await) }
    }

    fn take(&mut self, (slot, answer): (u64, Result<Called, Error>)) {
        let tally = self.counts.entry(slot).or_default();
        match answer {
            Ok(called) => {
                assert_eq!((called.failed, called.dropped), (0, 0));
                tally.acknowledged += 1;
                self.totals.acknowledged += 1;
            }
            Err(Error::Failed(failure)) => {
                assert_eq!(failure.code, Code::Busy, "{failure}");
                self.totals.busy += 1;
            }
            Err(_) => {
                tally.unknown += 1;
                self.totals.unknown += 1;
            }
        }
    }

    /// Connects again when the connection was lost.
    async fn reconnect(&mut self, address: &str) {
        if self.client.lost().now_or_never().is_some() {
            self.totals.lost += 1;
            self.client = connect(address, &Identity::generate()).await;
        }
    }
}

/// Each connection has `in_flight` calls under way; how many durable ones a second come back.
pub(crate) async fn closed(
    address: &str,
    callers: u64,
    in_flight: usize,
    lasting: Duration,
) -> (f64, Counts) {
    let mut tasks = Vec::new();
    let begun = Instant::now();
    for number in 0..callers {
        let mut caller = Caller::connect(address, number).await;
        tasks.push(tokio::spawn(async move {
            let mut waiting: FuturesUnordered<_> = (0..in_flight).map(|_| caller.call()).collect();
            while let Some(answer) = waiting.next().await {
                caller.take(answer);
                if begun.elapsed() < lasting {
                    waiting.push(caller.call());
                }
            }
            caller
        }));
    }
    let (counts, totals) = gather(tasks).await;
    (
        totals.acknowledged as f64 / begun.elapsed().as_secs_f64(),
        counts,
    )
}

/// How many calls a second are sent: never less than twice what the node has taken in any second,
/// because the processor that it was measured with may have been busy with something else.
struct Pace {
    rate: AtomicU64,
    acknowledged: AtomicU64,
}

impl Pace {
    async fn keep(&self, until: Instant) {
        let mut before = 0;
        let mut last = Instant::now();
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let acknowledged = self.acknowledged.load(Ordering::Relaxed);
            let taken = (acknowledged - before) as f64 / last.elapsed().as_secs_f64();
            (before, last) = (acknowledged, Instant::now());
            self.rate.fetch_max((2.0 * taken) as u64, Ordering::Relaxed);
        }
    }
}

/// All connections together send `rate` calls a second or more, whatever comes back. The rate at
/// the end comes with it.
pub(crate) async fn open(
    address: &str,
    callers: u64,
    rate: f64,
    lasting: Duration,
) -> (Counts, Totals, u64) {
    let mut tasks = Vec::new();
    let pace = Arc::new(Pace {
        rate: AtomicU64::new(rate as u64),
        acknowledged: AtomicU64::new(0),
    });
    let until = Instant::now() + lasting;
    for number in 0..callers {
        let mut caller = Caller::connect(address, number).await;
        let (address, pace) = (address.to_string(), pace.clone());
        tasks.push(tokio::spawn(async move {
            let mut waiting = FuturesUnordered::new();
            let mut ticks = tokio::time::interval(TICK);
            let (mut last, mut due) = (Instant::now(), 0.0);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        caller.reconnect(&address).await;
                        let now = Instant::now();
                        let each = pace.rate.load(Ordering::Relaxed) as f64 / callers as f64;
                        let burst = BURST * each * TICK.as_secs_f64();
                        due = (due + each * (now - last).as_secs_f64()).min(burst);
                        last = now;
                        while due >= 1.0 {
                            waiting.push(caller.call());
                            due -= 1.0;
                        }
                        if now >= until {
                            break;
                        }
                    }
                    Some(answer) = waiting.next() => {
                        let is_taken = u64::from(answer.1.is_ok());
                        pace.acknowledged.fetch_add(is_taken, Ordering::Relaxed);
                        caller.take(answer);
                    }
                }
            }
            while let Some(answer) = waiting.next().await {
                caller.take(answer);
            }
            caller
        }));
    }
    pace.keep(until).await;
    let (counts, totals) = gather(tasks).await;
    (counts, totals, pace.rate.load(Ordering::Relaxed))
}

async fn gather(tasks: Vec<tokio::task::JoinHandle<Caller>>) -> (Counts, Totals) {
    let (mut counts, mut totals) = (Counts::new(), Totals::default());
    for task in tasks {
        let caller = task.await.expect("does not panic");
        add(&mut counts, caller.counts);
        totals.sent += caller.totals.sent;
        totals.acknowledged += caller.totals.acknowledged;
        totals.busy += caller.totals.busy;
        totals.unknown += caller.totals.unknown;
        totals.lost += caller.totals.lost;
    }
    (counts, totals)
}
