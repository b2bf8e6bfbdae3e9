//! Timers that repeat: they go on whatever their runs return, and owners see, count and end them.

use interstice_abi::{
    failure::Code,
    host_call::{TimerDue, TimerRequest},
    id::TimerId,
    schema::IndexKind,
    wire::{HistoryBytes, HistoryInput, HistoryOrder, LogLevel, TimerCounts, TimerLife},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must, reg, schedule, schedule_every, when_less},
    peer::{Peer, Watching},
    world::World,
};

/// The period of the timers here, in milliseconds.
const PERIOD_MS: u64 = 20;

/// How many runs a test waits for.
const RUNS: u64 = 5;

/// A module whose `tick` runs by itself, and fails now and then: the first run in a fresh
/// instance succeeds, and a failure renews the instance.
fn clock() -> GuestModule {
    GuestModule::new("clock")
        .table(GuestTable::new("Ticks", &["time"]).auto_inc())
        .every(
            PERIOD_MS,
            "tick",
            vec![
                must(insert("ticks", [0.into(), Value::Time])),
                when_less(1.into(), Value::Memory, vec![Op::Fail("no".into())]),
            ],
        )
}

async fn counts(peer: &Peer, module: &str) -> TimerCounts {
    let counts = peer.client().timer_counts().await.expect("the node tells");
    let mut counts = counts.into_iter();
    counts
        .find(|counts| counts.module.as_str() == module)
        .expect("it is there")
}

/// The counts once this many runs by timers have failed: no event says so to a client.
async fn failed(peer: &Peer, module: &str, runs: u64) -> TimerCounts {
    let counting = async {
        loop {
            let counts = counts(peer, module).await;
            if counts.failed >= runs {
                return counts;
            }
        }
    };
    let deadline = std::time::Duration::from_secs(60);
    tokio::time::timeout(deadline, counting)
        .await
        .expect("they fail in time")
}

async fn inserted(watching: &mut Watching, count: u64) -> Vec<Vec<u64>> {
    let count = usize::try_from(count).expect("fits");
    let changes = watching.changes(count).await.into_iter();
    changes.filter_map(|change| change.after).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reducer_with_a_period_goes_on_after_its_failures() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&clock()).await;
    let counts = failed(&peer, "clock", RUNS).await;
    assert_eq!(counts.pending, 1);
    let warnings = peer.lines("clock").await.into_iter();
    let warnings = warnings
        .filter(|line| line.level == LogLevel::Warning)
        .filter(|line| {
            line.text
                .contains("reducer `tick`, run by a timer, returned an error: ")
        });
    assert!(warnings.count() >= 5);
    let refused = peer.call("clock", "tick", &[]).await;
    assert_eq!(refused.map_err(|failure| failure.code), Err(Code::Denied));

    let page = peer.client().timers("clock", None, 10).await;
    let phase = page.expect("owners see it").timers[0].due_ms % PERIOD_MS;
    world.restart().await;
    let peer = world.owner().await;
    let mut ticks = peer.watch("clock", "ticks", None).await;
    assert!(!ticks.rows().await.0.is_empty());
    inserted(&mut ticks, RUNS).await;
    let page = peer
        .client()
        .timers("clock", None, 10)
        .await
        .expect("owners see it");
    let [timer] = page.timers.as_slice() else {
        unreachable!("one timer, over failures and a restart, not {page:?}")
    };
    assert_eq!(
        (timer.reducer.as_str(), timer.period_ms),
        ("tick", Some(PERIOD_MS))
    );
    assert_eq!(timer.life, TimerLife::OfSchema);
    // The restart did not begin another row of times.
    assert_eq!(timer.due_ms % PERIOD_MS, phase);
    world.stop().await;
    let replayed = world.replay().await.expect("it replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_belongs_to_its_version_of_the_module() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let tables = || {
        GuestModule::new("clock")
            .table(GuestTable::new("Ticks", &["time"]).auto_inc())
            .table(GuestTable::new("Rings", &["time"]).auto_inc())
    };
    let tick = vec![must(insert("ticks", [0.into(), Value::Time]))];
    let ring = vec![must(insert("rings", [0.into(), Value::Time]))];
    peer.install(&tables().every(1, "tick", tick)).await;
    let mut ticks = peer.watch("clock", "ticks", None).await;
    ticks.rows().await;
    ticks.changes(1).await;
    // The new version has no reducer `tick` any more, and its timer does not hold the deploy up.
    let next = tables().every(1, "ring", ring).version(0, 1, 1);
    peer.install(&next).await;
    let mut rings = peer.watch("clock", "rings", None).await;
    rings.rows().await;
    rings.changes(1).await;
    let page = peer
        .client()
        .timers("clock", None, 10)
        .await
        .expect("owners see it");
    let reducers: Vec<_> = page.timers.iter().map(|timer| &*timer.reducer).collect();
    assert_eq!(reducers, ["ring"]);
    world.stop().await;
    let replayed = world.replay().await.expect("it replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

/// A module whose timers have arguments.
fn bank() -> GuestModule {
    GuestModule::new("bank")
        .table(GuestTable::new("Paid", &["to", "amount"]).auto_inc())
        .hidden(
            "pay",
            2,
            vec![must(insert("paid", [0.into(), arg(0), arg(1)]))],
        )
        .reducer(
            "order",
            0,
            vec![must(schedule_every("pay", PERIOD_MS, vec![7, 100]))],
        )
        .reducer(
            "order_late",
            0,
            vec![must(Op::SetTimer {
                request: TimerRequest {
                    reducer: "pay".into(),
                    due: TimerDue::At(u64::MAX),
                    period_ms: None,
                    arguments: vec![8, 9],
                },
                into: 0,
            })],
        )
        .reducer(
            "order_wrongly",
            0,
            vec![must(schedule_every("pay", PERIOD_MS, vec![7]))],
        )
        .reducer(
            "order_without_end",
            0,
            vec![must(schedule_every("pay", 0, vec![7, 100]))],
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_hands_its_arguments_over_and_an_owner_ends_it() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&bank()).await;
    for (reducer, problem) in [
        ("order_wrongly", "do not fit its signature"),
        ("order_without_end", "0 ms is not possible"),
    ] {
        let refused = peer.call("bank", reducer, &[]).await;
        let failure = refused.expect_err("such a timer is refused");
        assert!(failure.message.contains(problem), "{failure}");
    }
    peer.call("bank", "order", &[]).await.expect("commits");
    peer.call("bank", "order_late", &[]).await.expect("commits");
    let mut paid = peer.watch("bank", "paid", None).await;
    let mut rows = paid.rows().await.0;
    rows.extend(inserted(&mut paid, RUNS).await);
    assert!(rows.iter().all(|row| row[1..] == [7, 100]), "{rows:?}");

    let client = peer.client();
    let page = client.timers("bank", None, 1).await.expect("owners see it");
    assert_eq!((page.timers.len(), page.next), (1, Some(TimerId(1))));
    let page = client
        .timers("bank", page.next, 1)
        .await
        .expect("owners see it");
    assert_eq!((page.timers[0].timer, page.next), (TimerId(2), None));
    assert_eq!(page.timers[0].arguments, HistoryBytes::Whole(vec![8, 9]));
    assert_eq!(page.timers[0].life, TimerLife::Durable);

    let stranger = world.stranger().await;
    for denied in [
        stranger.client().timers("bank", None, 1).await.map(drop),
        stranger
            .client()
            .cancel_timer("bank", TimerId(1))
            .await
            .map(drop),
    ] {
        assert!(
            denied
                .expect_err("owners only")
                .to_string()
                .contains("owners")
        );
    }
    let seq = client
        .cancel_timer("bank", TimerId(1))
        .await
        .expect("it is pending");
    let again = client.cancel_timer("bank", TimerId(1)).await;
    assert!(
        again
            .expect_err("it is gone")
            .to_string()
            .contains("not pending")
    );
    assert_eq!(counts(&peer, "bank").await.pending, 1);
    let history = peer.history("bank", None, HistoryOrder::Reverse, 5).await;
    let steps = history.expect("owners see it").steps;
    let step = steps
        .iter()
        .find(|step| step.seq == seq)
        .expect("it is a turn");
    assert!(matches!(
        &step.input,
        Some(HistoryInput::CancelTimer {
            timer: TimerId(1),
            ..
        })
    ));

    world.crash().await;
    assert_eq!(counts(&world.owner().await, "bank").await.pending, 1);
    world.stop().await;
    let replayed = world.replay().await.expect("it replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_reducer_that_schedules_itself_is_warned_of_once() {
    let world = World::started().await;
    let peer = world.owner().await;
    let chain = GuestModule::new("chain")
        .table(
            GuestTable::new("Links", &["kind"])
                .auto_inc()
                .index(1, IndexKind::Btree, false),
        )
        .reducer(
            "link",
            0,
            vec![
                must(insert("links", [0.into(), 1.into()])),
                Op::Count {
                    table: "links".into(),
                    into: 0,
                },
                when_less(reg(0), RUNS, vec![must(schedule("link", 0))]),
            ],
        )
        .hidden(
            "own_link",
            0,
            vec![
                must(insert("links", [0.into(), 2.into()])),
                must(schedule("own_link", 3_600_000)),
            ],
        )
        .reducer("begin", 0, vec![must(schedule("own_link", 0))]);
    peer.install(&chain).await;
    let mut links = peer.watch("chain", "links", None).await;
    links.rows().await;
    peer.call("chain", "begin", &[]).await.expect("commits");
    links.changes(1).await;
    peer.call("chain", "link", &[]).await.expect("commits");
    inserted(&mut links, RUNS - 1).await;
    let lines = peer.lines("chain").await.into_iter();
    let warnings: Vec<_> = lines
        .filter(|line| line.text.contains("schedules itself"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].text.contains("`link` is public"),
        "{warnings:?}"
    );
}
