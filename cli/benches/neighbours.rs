//! A module cannot slow another one down: the p99 of a neighbour's durable calls, without and
//! during each crime of `modules/crimes`, at the limits that a node has by default.
//!
//! Two neighbours are asked in turns: `near` lives on the crime's thread, `far` on another. The
//! ratio is what the design demands, 3; it is the median of [`ROUNDS`] rounds, each of which
//! measures without and with the crime, because other programs and the disk disturb single ones.
//! `INTERSTICE_CRIMES=endless_loop,cascade` picks some, `INTERSTICE_WINDOW_MS` makes windows
//! longer. Run it with `cargo bench -p interstice-cli --bench neighbours`; it fails when a ratio
//! is too large.

#[path = "../../actors/tests/common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use common::{
    guest::{GuestModule, GuestTable},
    op::{arg, insert, must},
    peer::Peer,
    world::World,
};
use interstice_abi::wire::RequestBody;
use interstice_cli::{
    build::{Builder, Talk},
    node_process::keep_pages_small,
};

/// How much slower a neighbour may become.
const RATIO_MAX: f64 = 3.0;

/// Rounds of which the median counts.
const ROUNDS: usize = 9;

/// How long each measurement takes.
const WINDOW: Duration = Duration::from_millis(400);

/// Fewest calls of a measurement: a p99 of less says nothing.
const CALLS_MIN: usize = 200;

/// What is done again and again while the neighbours are measured.
struct Crime {
    name: &'static str,
    reducer: &'static str,
    arguments: &'static [u64],
    /// Rows that the table has before.
    rows: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Reducer,
    Query,
    /// Goes on by itself until its module is stopped.
    Lasting,
}

const fn crime(reducer: &'static str, arguments: &'static [u64]) -> Crime {
    Crime {
        name: reducer,
        reducer,
        arguments,
        rows: 0,
        kind: Kind::Reducer,
    }
}

impl Crime {
    const fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    const fn with_rows(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }

    const fn called(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }
}

const CRIMES: &[Crime] = &[
    crime("endless_loop", &[]),
    crime("endless_query", &[]).of_kind(Kind::Query),
    crime("deep_recursion", &[]),
    crime("memory_bomb", &[]),
    crime("table_bomb", &[100]).called("table_bomb of small rows"),
    crime("table_bomb", &[100_000]).called("table_bomb of large rows"),
    crime("undo_bomb", &[20_000]),
    crime("huge_row", &[17 << 20]),
    crime("huge_answer", &[20 << 20]).of_kind(Kind::Query),
    crime("huge_error", &[20 << 20]),
    crime("clear_and_panic", &[]).with_rows(20_000),
    crime("scan_flood", &[]).with_rows(20_000),
    crime("host_call_flood", &[]),
    crime("call_flood", &[]),
    crime("cascade", &[]),
    crime("panic_across", &[7]),
    crime("log_flood", &[16_000]),
    crime("chatter", &[1000, 16_000]),
    crime("timer_flood", &[]),
    crime("timer_storm", &[5000]),
    crime("timer_fork", &[]).of_kind(Kind::Lasting),
];

fn neighbour(name: &str) -> GuestModule {
    GuestModule::new(name)
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

/// A node with the neighbours on it, and the criminal's binary.
async fn deployed() -> (World, Vec<u8>) {
    let mut world = World::configured(|_| {});
    world.start_with(Some(2)).await;
    let peer = world.owner().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../modules");
    let builder = Builder::new(folder, Talk::Quiet);
    let built = |name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../modules")
            .join(name);
        builder.module(&path).expect("it compiles").wasm
    };
    let crimes = built("crimes");
    for wasm in [&built("bank"), &crimes] {
        peer.upload(wasm).await.expect("it is installed");
    }
    // Modules go where the fewest are: `crimes` is beside `bank` on the first thread, so the
    // fourth module comes there too.
    for name in ["far", "filler", "near"] {
        peer.install(&neighbour(name)).await;
    }
    (world, crimes)
}

/// The p99 of `near` and `far`.
#[derive(Clone, Copy)]
struct Measured([Duration; 2]);

impl Measured {
    /// How many times as long as `before`.
    fn against(self, before: Self) -> [f64; 2] {
        std::array::from_fn(|place| self.0[place].as_secs_f64() / before.0[place].as_secs_f64())
    }
}

fn median<T: Copy>(mut values: Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> T {
    values.sort_by(order);
    values[values.len() / 2]
}

/// The median of each neighbour's p99s, in microseconds.
fn typical(measured: &[Measured]) -> [u128; 2] {
    std::array::from_fn(|place| {
        let p99s = measured
            .iter()
            .map(|measured| measured.0[place].as_micros());
        median(p99s.collect(), u128::cmp)
    })
}

/// Calls both neighbours in turns for the window.
async fn measure(peer: &Peer, window: Duration) -> Measured {
    let mut took: [Vec<Duration>; 2] = Default::default();
    let started = Instant::now();
    while started.elapsed() < window || took[0].len() < CALLS_MIN {
        for (name, took) in ["near", "far"].into_iter().zip(&mut took) {
            let sent = Instant::now();
            peer.call(name, "put", &[1])
                .await
                .expect("the neighbour serves");
            took.push(sent.elapsed());
        }
    }
    Measured(took.map(|mut took| {
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }))
}

/// The p99s without the crime and during it.
async fn round(
    (criminal, wasm): (&Peer, &[u8]),
    peer: &Peer,
    crime: &Crime,
    window: Duration,
) -> [Measured; 2] {
    let order = |reducer: &'static str, arguments: Vec<u64>| async move {
        criminal.call("crimes", reducer, &arguments).await
    };
    if crime.rows > 0 {
        order("hoard", vec![crime.rows]).await.expect("it hoards");
    }
    let before = measure(peer, window).await;
    let commit = async {
        loop {
            match crime.kind {
                // Whether it ends in an error is another test's question.
                Kind::Reducer => drop(order(crime.reducer, crime.arguments.to_vec()).await),
                Kind::Query => drop(
                    criminal
                        .query("crimes", crime.reducer, crime.arguments)
                        .await,
                ),
                Kind::Lasting => {
                    drop(order(crime.reducer, crime.arguments.to_vec()).await);
                    std::future::pending::<()>().await;
                }
            }
        }
    };
    let during = tokio::select! {
        biased;
        during = measure(peer, window) => during,
        () = commit => unreachable!("it goes on"),
    };
    // The next round begins with a module that has no rows, no timers and nothing under way.
    let module = "crimes".to_string();
    let remove = RequestBody::Remove { module };
    criminal.request(remove).await.expect("an owner removes it");
    criminal.upload(wasm).await.expect("it is installed again");
    [before, during]
}

/// All rounds of a crime, printed; whether its neighbours stay quick.
async fn all_rounds(
    criminal: (&Peer, &[u8]),
    peer: &Peer,
    crime: &Crime,
    window: Duration,
) -> bool {
    let (mut without, mut during, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [before, with_crime] = round(criminal, peer, crime, window).await;
        ratios.push(with_crime.against(before));
        without.push(before);
        during.push(with_crime);
    }
    let ratios: [f64; 2] = std::array::from_fn(|place| {
        let of_place = ratios.iter().map(|ratios| ratios[place]);
        median(of_place.collect(), f64::total_cmp)
    });
    let ([near, far], [near_during, far_during]) = (typical(&without), typical(&during));
    println!(
        "{:<28} {near:>14} {near_during:>14} {:>6.1} {far:>14} {far_during:>14} {:>6.1}",
        crime.name, ratios[0], ratios[1]
    );
    ratios.iter().all(|ratio| *ratio <= RATIO_MAX)
}

fn main() {
    keep_pages_small();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(all_crimes());
}

async fn all_crimes() {
    let chosen = std::env::var("INTERSTICE_CRIMES").ok();
    let window = std::env::var("INTERSTICE_WINDOW_MS").ok();
    let window = window.map_or(WINDOW, |ms| {
        Duration::from_millis(ms.parse().expect("a number"))
    });
    let (mut world, wasm) = deployed().await;
    let criminal = world.owner().await;
    let peer = world.stranger().await;
    measure(&peer, window).await;
    println!(
        "{:<28} {:>14} {:>14} {:>6} {:>14} {:>14} {:>6}",
        "p99 in us", "near without", "near during", "ratio", "far without", "far during", "ratio"
    );
    let mut too_slow = Vec::new();
    for crime in CRIMES {
        if chosen
            .as_ref()
            .is_some_and(|chosen| !chosen.split(',').any(|name| name == crime.reducer))
        {
            continue;
        }
        if !all_rounds((&criminal, &wasm), &peer, crime, window).await {
            too_slow.push(crime.name);
        }
    }
    assert!(too_slow.is_empty(), "neighbours suffer from {too_slow:?}");
    world.stop().await;
}
