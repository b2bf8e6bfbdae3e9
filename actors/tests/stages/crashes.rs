//! A log that ends anywhere: what a kill or a power cut leaves. Whatever is left of it, the node
//! comes back to the state after some call, with every reaction of that call, because half-done
//! turns are finished first.

use interstice_abi::event::RowEvent;
use interstice_actors::config::Placement;

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must, reg, update, upsert, when_equal, when_less},
    peer::Peer,
    world::World,
};

/// Calls before the log is cut.
const CALLS: u64 = 25;

/// Places at which it is cut.
const CUTS: u64 = 20;

const MODULES: [&str; 3] = ["first", "second", "third"];

/// `first.put` calls `third`; `second` reacts slowly, so that its step is often synced alone;
/// `third` reacts to `second`.
fn modules() -> [GuestModule; 3] {
    let third = GuestModule::new("third")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("add", 1, vec![must(insert("rows", [0.into(), arg(0)]))]);
    let first = GuestModule::new("first")
        .depends_on(&third)
        .table(GuestTable::new("Rows", &["value", "random"]).auto_inc())
        .reducer(
            "put",
            1,
            vec![
                must(Op::Insert {
                    table: "rows".into(),
                    row: vec![0.into(), arg(0), Value::Random],
                    into: 0,
                }),
                must(call("third", "add", [arg(0)])),
                must(update("rows", [reg(0), arg(0).plus(1), Value::Random])),
                when_equal(arg(0).modulo(6), 5, vec![Op::Fail("not this one".into())]),
            ],
        );
    let slowly = Op::Repeat {
        register: 1,
        times: 3000.into(),
        body: vec![Op::Count {
            table: "first.rows".into(),
            into: 2,
        }],
    };
    let second = GuestModule::new("second")
        .depends_on(&first)
        .depends_on(&third)
        .table(GuestTable::new("Rows", &["depth", "random"]).auto_inc())
        .on_row(
            "first.rows",
            RowEvent::Insert,
            "look",
            vec![
                slowly,
                must(insert("rows", [0.into(), 0.into(), Value::Random])),
            ],
        )
        .on_row(
            "first.rows",
            RowEvent::Update,
            "look_again",
            vec![
                must(call("third", "add", [arg(5)])),
                when_equal(arg(1).modulo(4), 3, vec![Op::Fail("not this time".into())]),
            ],
        )
        .on_row(
            "rows",
            RowEvent::Insert,
            "deeper",
            vec![when_less(
                arg(1),
                3,
                vec![must(insert(
                    "rows",
                    [0.into(), arg(1).plus(1), Value::Random],
                ))],
            )],
        );
    [third, first, second]
}

async fn digests(peer: &Peer) -> Vec<[u64; 4]> {
    let mut all = Vec::new();
    for module in MODULES {
        all.push(
            peer.status(module)
                .await
                .digest
                .expect("owners see digests"),
        );
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_cut_anywhere_leads_to_the_state_after_some_call() {
    let mut world = World::configured(|config| config.placement = Placement::Spread);
    world.start_with(Some(3)).await;
    let peer = world.owner().await;
    for module in modules() {
        peer.install(&module).await;
    }
    let begin = world.log_end();
    let mut states = vec![digests(&peer).await];
    let mut ends = Vec::new();
    for number in 0..CALLS {
        let answer = peer.call("first", "put", &[number]).await;
        assert_eq!(answer.is_err(), number % 6 == 5);
        states.push(digests(&peer).await);
        ends.push(world.log_end());
    }
    let end = world.log_end();
    let image = world.copy();
    world.stop().await;
    let mut seen = std::collections::BTreeSet::new();
    for cut in 0..CUTS {
        // Spread evenly, with an odd step, so that they fall on every part of a block.
        let offset = begin + (end - begin) * cut / CUTS + cut % 7;
        let mut world = image.copy();
        world.cut_log(offset);
        world.start_with(Some(3)).await;
        let peer = world.owner().await;
        let now = digests(&peer).await;
        // A call that fails leaves the state as it was: the last of equal ones.
        let place = states.iter().rposition(|state| *state == now);
        let acknowledged = ends.iter().filter(|end| **end <= offset).count();
        assert!(
            place.is_some(),
            "cut at {offset} of {begin}..{end}: no state after any call"
        );
        assert!(
            place.is_some_and(|place| place >= acknowledged),
            "cut at {offset}: {place:?} calls of {acknowledged} that were acknowledged"
        );
        seen.extend(place);
        // What comes next continues from there.
        if let Some(place) = place {
            let next = u64::try_from(place).expect("fits");
            peer.call("first", "put", &[next * 6])
                .await
                .expect("the node takes more");
        }
        world.stop().await;
    }
    assert!(seen.len() > 5, "the cuts were at different calls: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_was_set_before_the_end_of_the_log_fires_once_after_it() {
    let world = World::configured(|_| {});
    let mut world = world;
    world.start().await;
    let peer = world.owner().await;
    let module = GuestModule::new("alarm")
        .table(GuestTable::new("Rows", &["kind"]).auto_inc())
        .reducer(
            "ring",
            0,
            vec![
                must(insert("rows", [0.into(), 1.into()])),
                must(upsert("rows", [100.into(), 2.into()])),
            ],
        )
        .reducer("set", 0, vec![must(crate::common::op::schedule("ring", 0))]);
    peer.install(&module).await;
    let begin = world.log_end();
    let mut watch = peer.watch("alarm", "rows", None).await;
    assert_eq!(watch.rows().await.0.len(), 0);
    peer.call("alarm", "set", &[]).await.expect("commits");
    watch.changes(2).await;
    let end = world.log_end();
    let image = world.copy();
    world.stop().await;
    // Everything from a log without the timer to one that has its whole turn.
    let mut rows_of = std::collections::BTreeSet::new();
    for cut in 0..8 {
        let offset = begin + (end - begin) * cut / 7;
        let mut world = image.copy();
        world.cut_log(offset);
        world.start().await;
        let peer = world.owner().await;
        let mut watch = peer.watch("alarm", "rows", None).await;
        let mut rows = watch.rows().await.0.len();
        if peer.status("alarm").await.counters.reducers > 0 || offset >= end {
            while rows < 2 {
                rows += watch.changes(1).await.len();
            }
        }
        rows_of.insert(rows);
        world.stop().await;
    }
    assert!(
        rows_of.iter().all(|rows| *rows == 0 || *rows == 2),
        "{rows_of:?}"
    );
    assert!(rows_of.contains(&2), "{rows_of:?}");
}
