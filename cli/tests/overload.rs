//! Twice as many calls as a node can take, with slow watchers, clients that come and go, and idle
//! connections beside them: what is too much is answered `Busy`, memory does not grow, watchers
//! that are cut off resume without a gap, and after a kill every durable acknowledgement is there
//! once.
//!
//! `INTERSTICE_SOAK_SECONDS=600` makes the ten minutes of it; without, it takes a few seconds.

#[path = "../../actors/tests/common/emit.rs"]
mod emit;
#[path = "../../actors/tests/common/guest.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod guest;
#[path = "overload/load.rs"]
mod load;
#[path = "../../actors/tests/common/op.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod op;
#[path = "overload/process.rs"]
mod process;
#[path = "../../actors/tests/network/raw.rs"]
#[expect(
    clippy::unwrap_used,
    reason = "what does not come is the test's failure"
)]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod raw;
#[path = "overload/slow.rs"]
mod slow;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use interstice_abi::wire::DeployOptions;
use interstice_client::{Client, ConnectOptions, Identity, Target};
use load::{Counts, Tally, counters};
use process::Running;
use tokio::sync::watch;

/// Runs that are shorter do not judge the memory: caches and buffers are still filling.
const SOAK_SECONDS_MIN: u64 = 60;

/// How long the overload lasts when nobody says, in seconds.
const SECONDS: u64 = 8;

/// Connections that call.
const CALLERS: u64 = 8;

/// Calls that each has under way while capacity is measured.
const IN_FLIGHT: usize = 64;

/// Watchers that read slower than changes come.
const SLOW_WATCHERS: usize = 2;

/// Connections that say nothing.
const IDLE: usize = 300;

async fn connect(address: &str, identity: &Identity) -> Client {
    let target: Target = address.parse().expect("an address");
    Client::connect(identity, &target, &ConnectOptions::default())
        .await
        .expect("the node answers")
}

/// What is asserted about memory, and what people want to see of it.
struct Memory {
    samples: Vec<u64>,
}

impl Memory {
    fn report(&self) {
        let every = (self.samples.len() / 20).max(1);
        let shown: Vec<String> = self
            .samples
            .iter()
            .step_by(every)
            .map(|bytes| (bytes / 1024 / 1024).to_string())
            .collect();
        eprintln!("resident MiB over time: {}", shown.join(" "));
    }
}

async fn sample(pid: u32, mut stop: watch::Receiver<bool>) -> Memory {
    let mut samples = vec![process::resident_bytes(pid)];
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = stop.changed() => {
                samples.push(process::resident_bytes(pid));
                return Memory { samples };
            }
            _ = ticks.tick() => samples.push(process::resident_bytes(pid)),
        }
    }
}

/// Clients that connected, were answered and went, those that were not, and the longest that it
/// took.
#[derive(Debug, Default)]
struct Visits {
    answered: u64,
    failed: Vec<String>,
    longest: Duration,
}

/// Connects, asks for nothing much, and goes, again and again.
async fn come_and_go(address: String, stop: watch::Receiver<bool>) -> Visits {
    let target: Target = address.parse().expect("an address");
    let mut visits = Visits::default();
    while !*stop.borrow() {
        let begun = Instant::now();
        let (identity, options) = (Identity::generate(), ConnectOptions::default());
        let visit = async {
            let client = Client::connect(&identity, &target, &options).await?;
            client.ping().await
        };
        match visit.await {
            Ok(()) => visits.answered += 1,
            Err(error) => visits.failed.push(error.to_string()),
        }
        visits.longest = visits.longest.max(begun.elapsed());
    }
    visits
}

/// Keeps [`IDLE`] connections open that say nothing.
async fn idle(address: String, mut stop: watch::Receiver<bool>) {
    let target: Target = address.parse().expect("an address");
    let to = (std::net::Ipv4Addr::LOCALHOST, target.port());
    let mut open = std::collections::VecDeque::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = ticks.tick() => {
                // The system may refuse one when its queue is full.
                open.extend(tokio::net::TcpStream::connect(to).await.ok());
                if open.len() > IDLE {
                    open.pop_front();
                }
            }
        }
    }
}

/// Compares what the node counts with what its clients know.
fn check(stored: &BTreeMap<u64, u64>, known: &Counts) {
    for (slot, tally) in known {
        let found = stored.get(slot).copied().unwrap_or(0);
        assert!(
            (tally.acknowledged..=tally.acknowledged + tally.unknown).contains(&found),
            "slot {slot} counts {found}; {tally:?}"
        );
    }
    assert!(stored.keys().all(|slot| known.contains_key(slot)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_as_much_as_the_node_can_take_is_busy_and_nothing_grows_or_is_lost() {
    let seconds = std::env::var("INTERSTICE_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("seconds"));
    let home = tempfile::tempdir().expect("a folder");
    let mut node = Running::up(home.path());
    let key = Identity::load(&home.path().join("key")).expect("`up` has made a key");
    let owner = connect(&node.address, &key).await;
    owner
        .deploy(&counters().wasm(), DeployOptions::default(), |_| {})
        .await
        .expect("it is deployed");
    let mut known = Counts::new();
    let measured = Duration::from_secs((seconds / 20).clamp(2, 10));
    let (rate, counts) = load::closed(&node.address, CALLERS, IN_FLIGHT, measured).await;
    load::add(&mut known, counts);
    eprintln!("capacity: {rate:.0} durable calls/s, {CALLERS} connections with {IN_FLIGHT} each");

    let (stop, stopped) = watch::channel(false);
    let memory = tokio::spawn(sample(node.pid(), stopped.clone()));
    let visitors = tokio::spawn(come_and_go(node.address.clone(), stopped.clone()));
    let idle = tokio::spawn(idle(node.address.clone(), stopped.clone()));
    let address = Arc::new(node.address.clone());
    let slow: Vec<_> = (0..SLOW_WATCHERS)
        .map(|_| tokio::spawn(slow::watch(address.clone(), stopped.clone())))
        .collect();
    let begun = Instant::now();
    let (counts, totals, pace) = load::open(
        &node.address,
        CALLERS,
        2.0 * rate,
        Duration::from_secs(seconds),
    )
    .await;
    load::add(&mut known, counts);
    let elapsed = begun.elapsed().as_secs_f64();
    stop.send_replace(true);
    let memory = memory.await.expect("does not panic");
    let visits = visitors.await.expect("does not panic");
    idle.await.expect("does not panic");
    let status = owner.node_status().await.expect("the owner is answered");
    eprintln!(
        "{elapsed:.1} s at twice that or more, {pace} calls/s in the end: {} sent, {} acknowledged, {} busy, {} unknown by {} lost connections; {} requests under way at the end",
        totals.sent,
        totals.acknowledged,
        totals.busy,
        totals.unknown,
        totals.lost,
        status.turns_in_flight
    );
    eprintln!(
        "{} visits, the longest took {:.2?}; {} failed {:?}",
        visits.answered,
        visits.longest,
        visits.failed.len(),
        visits.failed.first()
    );
    memory.report();
    for watcher in slow {
        let seen = watcher.await.expect("does not panic");
        eprintln!(
            "a slow watcher: {} changes, cut off {} times, resumed {} times, began anew {} times",
            seen.changes, seen.cut, seen.resumed, seen.anew
        );
    }
    assert!(totals.busy > 0, "twice the capacity was taken: {totals:?}");
    assert!(visits.answered > 0, "nobody else was served");
    check(&load::stored(&owner).await, &known);
    // A tenth of the time, or the first seconds, fills what is bounded and empty in a fresh
    // process: caches, buffers, the log.
    let tenth = (memory.samples.len() / 10).max(3);
    let (fresh, warm) = (memory.samples[0], memory.samples[tenth]);
    let end = memory.samples[memory.samples.len() - 1];
    eprintln!(
        "resident: {} MiB before the overload, {} MiB after a tenth of it, {} MiB at its end: {:.2} and {:.2} times",
        fresh >> 20,
        warm >> 20,
        end >> 20,
        end as f64 / fresh as f64,
        end as f64 / warm as f64
    );
    drop(owner);
    node.kill();
    let mut node = Running::up(home.path());
    let owner = connect(&node.address, &key).await;
    check(&load::stored(&owner).await, &known);
    node.kill();
    let all: u64 = known.values().map(|tally: &Tally| tally.acknowledged).sum();
    eprintln!("after kill -9 all {all} acknowledged calls are there, once");
    // A few seconds say nothing about growth.
    if seconds >= SOAK_SECONDS_MIN {
        assert!(2 * end <= 3 * warm, "memory has grown: {warm} to {end}");
    }
}
