//! A log that ends behind any of its records: the node finishes the turn that was cut off, and
//! replay finishes it in the same way.

use interstice_abi::event::{Event, RowEvent};
use interstice_abi::schema::Persistence;
use interstice_actors::config::Placement;

use super::agreed;
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must, reg, schedule, when_equal},
    world::World,
};

/// Small, because the log is copied again and again; large enough for all of it.
const SEGMENT_BYTES: u64 = 256 * 1024;

/// `first.put` makes rows to which `second` reacts, and ephemeral ones to which `third` reacts;
/// both call on.
fn modules() -> [GuestModule; 3] {
    let rows = || GuestTable::new("Rows", &["value", "memory"]).auto_inc();
    let add = |value: Value| must(insert("rows", [0.into(), value, Value::Memory]));
    let third = GuestModule::new("third")
        .table(rows())
        .reducer(
            "add",
            1,
            vec![add(arg(0)), when_equal(arg(0), 3, vec![Op::Trap])],
        )
        .on(
            Event::Load,
            "begin",
            vec![add(1000.into()), schedule("ring", 0)],
        )
        .reducer("ring", 0, vec![add(2000.into())]);
    let first = GuestModule::new("first")
        .depends_on(&third)
        .table(rows())
        .table(
            GuestTable::new("Ticks", &["value"])
                .auto_inc()
                .kept(Persistence::Ephemeral),
        )
        .reducer(
            "put",
            1,
            vec![
                add(arg(0)),
                must(insert("ticks", [0.into(), arg(0).plus(100)])),
                call("third", "add", [arg(0)]),
                add(Value::Status),
            ],
        )
        .on_row(
            "ticks",
            RowEvent::Insert,
            "tick",
            // None are left when this is finished after a crash.
            vec![
                Op::Count {
                    table: "ticks".into(),
                    into: 0,
                },
                add(reg(0).plus(arg(1).times(1000))),
            ],
        );
    let second = GuestModule::new("second")
        .depends_on(&first)
        .depends_on(&third)
        .table(rows())
        .on_row(
            "first.rows",
            RowEvent::Insert,
            "look",
            vec![
                add(arg(1)),
                call("third", "add", [arg(1).plus(10)]),
                when_equal(arg(1), 2, vec![Op::Fail("not this".into())]),
            ],
        )
        .on_row(
            "rows",
            RowEvent::Insert,
            "own",
            vec![when_equal(arg(1), 1, vec![add(50.into())])],
        )
        .on(Event::Load, "begin", vec![add(1001.into())]);
    [third, first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_that_a_crash_cut_off_are_finished_in_a_replay_as_they_were_in_the_node() {
    let mut world = World::configured(|config| config.placement = Placement::Spread);
    world.start_with(Some(2)).await;
    let peer = world.owner().await;
    for module in modules() {
        peer.install(&module).await;
    }
    for number in 1..=2 {
        peer.call("first", "put", &[number]).await.expect("commits");
    }
    // A start may be cut off, too: its loads are then those of the next start.
    world.restart().await;
    let peer = world.owner().await;
    peer.call("first", "put", &[3]).await.expect("commits");
    world.stop().await;
    world.lose_store();
    let whole = world.keep_log(SEGMENT_BYTES, |_| true);
    let mut finished = 0;
    // Every other one: what is cut off differs little from one record to the next.
    for keep in (1..=whole).step_by(2) {
        let mut world = world.copy();
        let mut left = keep;
        world.keep_log(SEGMENT_BYTES, |_| {
            left = left.wrapping_sub(1);
            left != usize::MAX
        });
        let cut = agreed(&world, &format!("the first {keep} of {whole} records")).await;
        world.start_with(Some(2)).await;
        let peer = world.owner().await;
        // A module that is not there yet, or has lost its load, is no reason to stop.
        drop(peer.call("first", "put", &[2]).await);
        world.stop().await;
        let after = agreed(
            &world,
            &format!("after the first {keep} of {whole} records"),
        )
        .await;
        let own = u64::from(after.last_seq > cut.last_seq);
        finished += u64::from(after.steps - cut.steps > own + 1);
    }
    assert!(
        finished > 5,
        "{finished} of {whole} had something to finish"
    );
}
