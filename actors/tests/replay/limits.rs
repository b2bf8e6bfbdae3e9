//! Steps that a limit ended are taken from the record: another machine has other limits of time
//! and stack. What comes behind them depends on which instances were renewed, and agrees all the
//! same.

use interstice_abi::failure::Code;
use interstice_actors::config::Placement;

use super::agreed;
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must, query, reg, when_equal, when_less},
    world::World,
};

fn crimes() -> Vec<Op> {
    vec![
        when_equal(arg(0), 1, vec![Op::LoopForever]),
        when_equal(arg(0), 2, vec![Op::EatMemory]),
        when_equal(arg(0), 3, vec![Op::Recurse]),
        when_equal(arg(0), 4, vec![Op::Trap]),
        when_equal(arg(0), 5, vec![Op::Fail("no".into())]),
    ]
}

/// Each module writes how often its instance has run; `front` calls `middle`, that calls `back`,
/// and asks `side`.
fn modules() -> [GuestModule; 4] {
    let rows = || GuestTable::new("Rows", &["memory", "status"]).auto_inc();
    let here = || must(insert("rows", [0.into(), Value::Memory, Value::Status]));
    let mut body = vec![here()];
    body.extend(crimes());
    let back = GuestModule::new("back")
        .table(rows())
        .reducer("go", 1, body);
    let side = GuestModule::new("side").query("runs", 0, vec![Op::Return(Value::Memory)]);
    let middle = GuestModule::new("middle")
        .depends_on(&back)
        .depends_on(&side)
        .table(rows())
        .reducer(
            "go",
            1,
            vec![
                query("side", "runs", [], 0),
                call("back", "go", [arg(0)]),
                here(),
                must(insert("rows", [0.into(), reg(0), 77.into()])),
                when_equal(arg(0), 6, vec![Op::Fail("after all".into())]),
            ],
        )
        .reducer("only_here", 0, vec![here()]);
    let front = GuestModule::new("front")
        .depends_on(&middle)
        .table(rows())
        .reducer(
            "go",
            1,
            vec![
                call("middle", "go", [arg(0)]),
                here(),
                call("middle", "go", [0.into()]),
                when_less(6.into(), arg(0), vec![Op::Trap]),
            ],
        );
    [back, side, middle, front]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_a_limit_ended_are_taken_from_the_record_and_what_follows_agrees() {
    let mut world = World::configured(|config| {
        config.placement = Placement::Spread;
        config.limits.deadline_ms = 150;
        config.limits.memory_bytes = 8 * 1024 * 1024;
    });
    world.start_with(Some(4)).await;
    let peer = world.owner().await;
    for module in modules() {
        peer.install(&module).await;
    }
    let ends = [Code::Deadline, Code::OutOfMemory, Code::StackOverflow];
    let mut limited = 0;
    for kind in [0, 1, 0, 0, 2, 0, 3, 0, 4, 5, 0, 6, 0, 7, 0, 1, 2, 3, 0] {
        for module in ["front", "middle", "back"] {
            let answer = peer.call(module, "go", &[kind]).await;
            if let Err(failure) = answer {
                limited += u64::from(ends.contains(&failure.code));
            }
            // The instance of a module in the middle of the chain lives on or begins again, which
            // its rows show.
            peer.call("middle", "only_here", &[])
                .await
                .expect("it only writes");
        }
    }
    let rows = peer.rows("middle", "rows").await.expect("owners read");
    let lives = rows.iter().filter(|row| row[1] == 1 && row[2] == 0);
    assert!(limited > 9 && lives.count() > 9, "{limited}: {rows:?}");
    world.stop().await;
    let replayed = agreed(&world, "limits").await;
    assert_eq!(replayed.taken, limited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_has_the_limits_of_each_start() {
    let mut world = World::configured(|config| config.limits.row_bytes_max = 4);
    world.start().await;
    let module = GuestModule::new("rows")
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("put", 2, vec![must(insert("rows", [arg(0), arg(1)]))]);
    let peer = world.owner().await;
    peer.install(&module).await;
    let large = 1 << 40;
    let refused = peer.call("rows", "put", &[1, large]).await;
    assert!(refused.is_err(), "{refused:?}");
    world.stop().await;
    world.configure(|config| config.limits.row_bytes_max = 100);
    world.start().await;
    let peer = world.owner().await;
    peer.call("rows", "put", &[1, large])
        .await
        .expect("it fits");
    world.stop().await;
    world.configure(|config| config.limits.row_bytes_max = 4);
    world.start().await;
    let refused = world.owner().await.call("rows", "put", &[2, large]).await;
    assert!(refused.is_err(), "{refused:?}");
    world.stop().await;
    agreed(&world, "limits of three starts").await;
}
