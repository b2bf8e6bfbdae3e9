//! Timers: turns of their own, durable but for those of a load, which end with it.

use interstice_abi::{
    event::Event,
    failure::Code,
    schema::IndexKind,
    wire::{ModuleState, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must, reg, schedule, when_less},
    world::World,
};

/// How long the timers of a load wait here: longer than a test needs to stop the node before they
/// are due.
const LOAD_DELAY_MS: u64 = 4000;

fn clock() -> GuestModule {
    GuestModule::new("clock")
        .table(GuestTable::new("Rings", &["seq_or_kind"]).auto_inc())
        .table(GuestTable::new("Pending", &["timer"]).auto_inc())
        .reducer("ring", 0, vec![must(insert("rings", [0.into(), 1.into()]))])
        .reducer("beat", 0, vec![must(insert("rings", [0.into(), 2.into()]))])
        .reducer(
            "faint",
            0,
            vec![must(insert("rings", [0.into(), 3.into()])), Op::Trap],
        )
        .reducer(
            "after",
            1,
            vec![
                must(Op::Schedule {
                    reducer: "ring".into(),
                    delay_ms: arg(0),
                    into: 0,
                }),
                must(insert("pending", [0.into(), reg(0)])),
            ],
        )
        .reducer("cancel", 1, vec![must(Op::Cancel { timer: arg(0) })])
        .reducer(
            "twice_but_fail",
            0,
            vec![
                must(schedule("ring", 0)),
                must(schedule("ring", 0)),
                Op::Fail("no".into()),
            ],
        )
        .reducer("faint_soon", 0, vec![must(schedule("faint", 0))])
        .reducer("with_argument", 0, vec![must(schedule("after", 0))])
        .reducer("of_nobody", 0, vec![must(schedule("nobody", 0))])
}

fn loading() -> GuestModule {
    clock().on(
        Event::Load,
        "begin",
        vec![must(schedule("beat", LOAD_DELAY_MS))],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_is_a_turn_of_its_own_and_fires_once() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&clock()).await;
    let mut rings = peer.watch("clock", "rings", None).await;
    assert_eq!(rings.rows().await.0.len(), 0);
    let called = peer.call("clock", "after", &[0]).await.expect("commits");
    let change = rings.changes(1).await.remove(0);
    assert_eq!(change.after, Some(vec![1, 1]));
    assert!(change.position.seq > called.seq, "it is a later turn");
    // A step that is undone sets no timer; a timer whose step faults is gone all the same.
    peer.call("clock", "twice_but_fail", &[])
        .await
        .expect_err("fails");
    peer.call("clock", "faint_soon", &[])
        .await
        .expect("commits");
    let status = peer
        .status_when("clock", |status| status.counters.faults == 1)
        .await;
    assert_eq!(status.state, ModuleState::Loaded);
    for (reducer, code) in [("with_argument", "argument"), ("of_nobody", "nobody")] {
        let failure = peer
            .call("clock", reducer, &[])
            .await
            .expect_err("is refused at once");
        assert_eq!(failure.code, Code::Rejected);
        assert!(failure.message.contains(code), "{failure}");
    }
    peer.call("clock", "after", &[0]).await.expect("commits");
    assert_eq!(
        rings.changes(1).await.remove(0).after,
        Some(vec![2, 1]),
        "nothing else has fired"
    );
    assert_eq!(peer.status("clock").await.counters.faults, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_was_cancelled_does_nothing_and_one_that_is_pending_survives() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&clock()).await;
    for delay in [1500, 1600] {
        peer.call("clock", "after", &[delay])
            .await
            .expect("commits");
    }
    let pending = peer.rows("clock", "pending").await.expect("is there");
    peer.call("clock", "cancel", &[pending[0][1]])
        .await
        .expect("is pending");
    peer.call("clock", "cancel", &[pending[0][1]])
        .await
        .expect_err("is gone");
    world.crash().await;
    let peer = world.owner().await;
    let mut rings = peer.watch("clock", "rings", None).await;
    let (mut rows, _) = rings.rows().await;
    while rows.is_empty() {
        rows.extend(
            rings
                .changes(1)
                .await
                .into_iter()
                .filter_map(|change| change.after),
        );
    }
    assert_eq!(rows, [[1, 1]]);
    peer.call("clock", "cancel", &[pending[1][1]])
        .await
        .expect_err("has fired");
    // One more, to see that nothing else comes before it.
    peer.call("clock", "after", &[200]).await.expect("commits");
    let change = rings.changes(1).await.remove(0);
    assert_eq!(change.after, Some(vec![2, 1]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_of_a_load_end_with_it_and_do_not_double() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&loading()).await;
    peer.install(&loading().version(0, 1, 1)).await;
    world.restart().await;
    world.crash().await;
    let peer = world.owner().await;
    peer.request(RequestBody::Unload {
        module: "clock".into(),
    })
    .await
    .expect("stops");
    peer.request(RequestBody::Load {
        module: "clock".into(),
    })
    .await
    .expect("starts");
    let mut rings = peer.watch("clock", "rings", None).await;
    let (before, _) = rings.rows().await;
    // Due after the beats of all loads up to here: if any but the last had stayed, it would come
    // before.
    peer.call("clock", "after", &[LOAD_DELAY_MS + 100])
        .await
        .expect("commits");
    let mut kinds = Vec::new();
    while kinds.last() != Some(&1) {
        kinds.extend(
            rings
                .changes(1)
                .await
                .into_iter()
                .filter_map(|change| change.after)
                .map(|row| row[1]),
        );
    }
    assert_eq!(
        before,
        Vec::<Vec<u64>>::new(),
        "this machine took {LOAD_DELAY_MS} ms for a restart"
    );
    assert_eq!(kinds, [2, 1]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_a_load_began_is_one_chain_after_restarts() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let chain = GuestModule::new("chain")
        .table(
            GuestTable::new("Links", &["of_load", "time"])
                .auto_inc()
                .index(1, IndexKind::Btree, false),
        )
        .table(GuestTable::new("Loads", &["time"]).auto_inc())
        .on(
            Event::Load,
            "begin",
            vec![
                must(insert("loads", [0.into(), Value::Time])),
                must(schedule("link", 0)),
            ],
        )
        .reducer(
            "link",
            0,
            vec![
                Op::Count {
                    table: "loads".into(),
                    into: 0,
                },
                must(insert("links", [0.into(), reg(0), Value::Time])),
                // Ends after a while, so that the test can count what each load has made.
                Op::ScanEqual {
                    table: "links".into(),
                    index: 1,
                    value: reg(0),
                    into: 2,
                },
                when_less(reg(2), LINKS, vec![must(schedule("link", 2))]),
            ],
        )
        .reducer(
            "last",
            0,
            vec![must(insert("links", [0.into(), 1000.into(), Value::Time]))],
        )
        .reducer("end", 0, vec![must(schedule("last", 50))]);
    peer.install(&chain).await;
    for _ in 0..3 {
        world.restart().await;
    }
    let peer = world.owner().await;
    let mut links = peer.watch("chain", "links", None).await;
    let (mut rows, _) = links.rows().await;
    let loads = count(&peer.rows("chain", "loads").await.expect("is there"));
    assert_eq!(loads, 4);
    let of_this_load = |rows: &[Vec<u64>]| {
        rows.iter()
            .filter(|row| row[1] == loads)
            .cloned()
            .collect::<Vec<_>>()
    };
    while count(&of_this_load(&rows)) < LINKS {
        rows.extend(
            links
                .changes(1)
                .await
                .into_iter()
                .filter_map(|change| change.after),
        );
    }
    // A second chain would go one link beyond the end of the first.
    peer.call("chain", "end", &[]).await.expect("commits");
    while rows.last().map(|row| row[1]) != Some(1000) {
        rows.extend(
            links
                .changes(1)
                .await
                .into_iter()
                .filter_map(|change| change.after),
        );
    }
    assert_eq!(count(&of_this_load(&rows)), LINKS);
    let times: Vec<u64> = rows.iter().map(|row| row[2]).collect();
    assert!(
        times.windows(2).all(|pair| pair[0] <= pair[1]),
        "time does not go back"
    );
    world.stop().await;
}

/// How long the chain of a load is.
const LINKS: u64 = 30;

fn count(rows: &[Vec<u64>]) -> u64 {
    u64::try_from(rows.len()).expect("fits")
}
