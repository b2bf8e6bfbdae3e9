//! Owners see the turns that hold modules and drop one, whatever the node is busy with. What a
//! dropped turn has committed stays, and its end is the same after a restart and in a replay.
//!
//! A step that loops here would run for ten minutes: a test that ends has seen it cut short.

use std::time::Duration;

use interstice_abi::{
    event::RowEvent,
    failure::{Code, Failure},
    id::Seq,
    wire::{RequestBody, TurnBegan, TurnDrop, TurnUnderWay},
};
use interstice_client::{Error, Identity};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, call, insert, must, when_less},
    peer::Peer,
    world::World,
};

/// Longer than anything takes here on a machine under load, and far shorter than a step that
/// loops.
const SOON: Duration = Duration::from_secs(45);

const LONG_MS: u64 = 600_000;

/// `feed` starts a reaction that loops, `cascade` one that feeds itself in slow steps; `hang`
/// loops in its first step.
fn victim() -> GuestModule {
    let spin = Op::Repeat {
        register: 3,
        times: 3_000_000.into(),
        body: vec![Op::Set(4, arg(1))],
    };
    let again = insert("chain", [0.into(), arg(1).plus(1)]);
    GuestModule::new("victim")
        .table(GuestTable::new("Links", &["depth"]).auto_inc())
        .table(GuestTable::new("Chain", &["depth"]).auto_inc())
        .table(GuestTable::new("Marks", &["value"]))
        .reducer("mark", 2, vec![must(insert("marks", [arg(0), arg(1)]))])
        .reducer("hang", 0, vec![Op::LoopForever])
        .reducer("feed", 1, vec![must(insert("links", [0.into(), arg(0)]))])
        .reducer(
            "cascade",
            0,
            vec![must(insert("chain", [0.into(), 0.into()]))],
        )
        .on_row("links", RowEvent::Insert, "stuck", vec![Op::LoopForever])
        .on_row(
            "chain",
            RowEvent::Insert,
            "grow",
            vec![when_less(arg(1), 1_000_000, vec![spin, must(again)])],
        )
}

fn neighbour() -> GuestModule {
    GuestModule::new("neighbour")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

async fn world() -> (World, Peer) {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = LONG_MS;
        config.turn_ms = LONG_MS;
        config.drain_ms = LONG_MS;
    });
    world.start().await;
    let owner = world.owner().await;
    owner.install(&victim()).await;
    (world, owner)
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it does not wait for a step that loops")
}

/// The turn that is as wanted, once there is one.
async fn turn_when(owner: &Peer, wanted: impl Fn(&TurnUnderWay) -> bool) -> TurnUnderWay {
    soon(async {
        loop {
            let all = owner.client().turns().await.expect("owners may see them");
            if let Some(found) = all.turns.into_iter().find(&wanted) {
                return found;
            }
        }
    })
    .await
}

async fn drop_turn(owner: &Peer, seq: Seq) -> Result<TurnDrop, Failure> {
    match soon(owner.client().drop_turn(seq)).await {
        Ok(dropped) => Ok(dropped),
        Err(Error::Failed(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    }
}

/// The digest of the victim is the same after a crash, and the log replays to it.
async fn comes_back(mut world: World) {
    let digest = world.owner().await.status("victim").await.digest;
    assert!(digest.is_some());
    for _ in 0..2 {
        world.crash().await;
        let owner = world.owner().await;
        assert_eq!(owner.status("victim").await.digest, digest);
        let left = owner.client().turns().await.unwrap();
        assert!(left.turns.is_empty(), "{left:?}");
    }
    soon(world.stop()).await;
    let replayed = world.replay().await.expect("the log replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_sees_the_turn_that_holds_a_module_and_drops_it() {
    let (world, owner) = world().await;
    let key = Identity::generate();
    let stranger = world.client(&key).await;
    let feeding = tokio::spawn(async move { stranger.call("victim", "feed", &[7]).await });
    let turn = turn_when(&owner, |turn| turn.runs && turn.reducer == "stuck").await;
    let began = TurnBegan::Call {
        caller: key.id().clone(),
        module: turn.module.clone(),
        reducer: "feed".into(),
    };
    assert_eq!(turn.began, began);
    assert_eq!((turn.steps, turn.waiting), (1, 0));
    assert_eq!(
        (&turn.holds, turn.holds_count),
        (&vec![turn.module.clone()], 1)
    );
    assert!(!turn.resumed && !turn.dropped);
    let behind = world.stranger().await;
    let marking = tokio::spawn(async move { behind.call("victim", "mark", &[1, 1]).await });
    let dropped = drop_turn(&owner, turn.seq).await.unwrap();
    let expected = TurnDrop::Dropped {
        steps: 1,
        dropped: 1,
    };
    assert_eq!(dropped, expected);
    let called = soon(feeding).await.unwrap().unwrap();
    assert_eq!(
        (called.seq, called.failed, called.dropped),
        (turn.seq, 0, 1)
    );
    soon(marking).await.unwrap().unwrap();
    for seq in [turn.seq, Seq(1_000_000)] {
        let failure = drop_turn(&owner, seq).await.unwrap_err();
        assert_eq!(failure.code, Code::NotFound, "{failure}");
    }
    let lines = owner.lines("victim").await;
    let said = |line: &&interstice_abi::wire::LogLine| line.text.contains("has dropped the turn");
    assert!(lines.iter().any(|line| said(&line)), "{lines:?}");
    assert_eq!(owner.rows("victim", "links").await.unwrap(), [[1, 7]]);
    comes_back(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_of_a_call_that_is_dropped_in_its_first_step_is_told() {
    let (world, owner) = world().await;
    let stranger = world.stranger().await;
    let hanging = tokio::spawn(async move { stranger.call("victim", "hang", &[]).await });
    let turn = turn_when(&owner, |turn| turn.runs && turn.reducer == "hang").await;
    let expected = TurnDrop::Dropped {
        steps: 0,
        dropped: 1,
    };
    assert_eq!(drop_turn(&owner, turn.seq).await.unwrap(), expected);
    let failure = soon(hanging).await.unwrap().unwrap_err();
    assert_eq!(failure.code, Code::Deadline);
    assert!(
        failure.message.contains("an owner of the node"),
        "{failure}"
    );
    soon(owner.call("victim", "mark", &[1, 1])).await.unwrap();
    comes_back(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_behind_a_cascade_is_seen_and_dropped_once_and_never_runs() {
    let (world, owner) = world().await;
    let feeder = world.stranger().await;
    let feeding = tokio::spawn(async move { feeder.call("victim", "cascade", &[]).await });
    let cascade = turn_when(&owner, |turn| turn.steps > 2).await;
    let waiter = world.stranger().await;
    let marking = tokio::spawn(async move { waiter.call("victim", "mark", &[1, 1]).await });
    let waiting = turn_when(&owner, |turn| turn.reducer == "mark").await;
    assert!(!waiting.runs && waiting.seq > cascade.seq, "{waiting:?}");
    assert_eq!((waiting.steps, waiting.waiting), (0, 1));
    let twice = [world.owner().await, world.owner().await];
    let [first, second] = &twice;
    let first = std::pin::pin!(drop_turn(first, waiting.seq));
    let second = std::pin::pin!(drop_turn(second, waiting.seq));
    let (refused, other) = futures::future::select(first, second).await.factor_first();
    assert_eq!(refused.unwrap_err().code, Code::Rejected);
    let dropped = drop_turn(&owner, cascade.seq).await.unwrap();
    assert!(
        matches!(dropped, TurnDrop::Dropped { steps, dropped: 1 } if steps > 2),
        "{dropped:?}"
    );
    // On a machine that is slow enough it was answered before.
    let expected = TurnDrop::Dropped {
        steps: 0,
        dropped: 1,
    };
    let dropped = other.await.unwrap();
    assert!(
        dropped == expected || dropped == TurnDrop::Ordered,
        "{dropped:?}"
    );
    soon(feeding).await.unwrap().unwrap();
    let failure = soon(marking).await.unwrap().unwrap_err();
    assert_eq!(failure.code, Code::Deadline, "{failure}");
    assert!(owner.rows("victim", "marks").await.unwrap().is_empty());
    comes_back(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_modules_that_waits_for_a_turn_goes_on_when_the_turn_is_dropped() {
    let (world, owner) = world().await;
    owner.install(&neighbour()).await;
    let stranger = world.stranger().await;
    let feeding = tokio::spawn(async move { stranger.call("victim", "feed", &[7]).await });
    let turn = turn_when(&owner, |turn| turn.runs).await;
    let unloading = owner.request(RequestBody::Unload {
        module: "neighbour".into(),
    });
    let dropping = async {
        // Answered behind the order to unload, which has come before on the same connection.
        owner.node().await;
        owner.node().await;
        drop_turn(&owner, turn.seq).await
    };
    let (unloaded, dropped) = soon(futures::future::join(unloading, dropping)).await;
    unloaded.unwrap();
    dropped.unwrap();
    soon(feeding).await.unwrap().unwrap();
    comes_back(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_whose_load_starts_an_endless_reaction_ends_when_that_is_dropped() {
    let (mut world, owner) = world().await;
    let greedy = GuestModule::new("greedy")
        .table(GuestTable::new("Links", &["depth"]).auto_inc())
        .on(
            interstice_abi::event::Event::Load,
            "begin",
            vec![must(insert("links", [0.into(), 0.into()]))],
        )
        .on_row("links", RowEvent::Insert, "stuck", vec![Op::LoopForever]);
    let second = world.owner().await;
    let deploying = tokio::spawn(async move { second.install(&greedy).await });
    let turn = turn_when(&owner, |turn| turn.runs && turn.reducer == "stuck").await;
    assert_eq!(turn.began, TurnBegan::Node);
    drop_turn(&owner, turn.seq).await.unwrap();
    let report = soon(deploying).await.unwrap();
    assert_eq!(report.load_failure, None);
    soon(owner.call("victim", "mark", &[1, 1])).await.unwrap();
    soon(world.stop()).await;
    let replayed = world.replay().await.expect("the log replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_ends_when_the_turn_that_it_waits_for_is_dropped() {
    let (mut world, owner) = world().await;
    let stranger = world.stranger().await;
    let feeding = tokio::spawn(async move { stranger.call("victim", "feed", &[7]).await });
    let turn = turn_when(&owner, |turn| turn.runs).await;
    let dropping = async {
        // Until the node has begun to stop.
        while owner.schema("victim").await.is_ok() && owner.node().await.poisoned.is_none() {}
        drop_turn(&owner, turn.seq).await
    };
    let ((), dropped) = soon(futures::future::join(world.stop(), dropping)).await;
    dropped.unwrap();
    let called = soon(feeding).await.unwrap().unwrap();
    assert_eq!(called.dropped, 1);
    world.start().await;
    let owner = world.owner().await;
    assert_eq!(owner.rows("victim", "links").await.unwrap(), [[1, 7]]);
    comes_back(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_is_dropped_does_not_fire_again() {
    let (world, owner) = world().await;
    let clock = GuestModule::new("clock")
        .table(GuestTable::new("Marks", &["value"]))
        .reducer("set", 0, vec![must(crate::common::op::schedule("tick", 1))])
        .reducer("tick", 0, vec![Op::LoopForever]);
    owner.install(&clock).await;
    owner.call("clock", "set", &[]).await.unwrap();
    let turn = turn_when(&owner, |turn| turn.runs).await;
    assert!(matches!(turn.began, TurnBegan::Timer { .. }), "{turn:?}");
    drop_turn(&owner, turn.seq).await.unwrap();
    let pending = owner.client().timers("clock", None, 10).await.unwrap();
    assert!(pending.timers.is_empty(), "{pending:?}");
    comes_back(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_hangs_in_a_module_that_it_calls_is_undone_in_both_when_its_turn_is_dropped() {
    let (world, owner) = world().await;
    let asker = GuestModule::new("asker")
        .depends_on(&victim())
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer(
            "ask",
            1,
            vec![
                must(insert("rows", [0.into(), arg(0)])),
                must(call("victim", "mark", [arg(0), arg(0)])),
                call("victim", "hang", []),
            ],
        );
    owner.install(&asker).await;
    let stranger = world.stranger().await;
    let asking = tokio::spawn(async move { stranger.call("asker", "ask", &[7]).await });
    let turn = turn_when(&owner, |turn| turn.runs && turn.reducer == "ask").await;
    assert_eq!(turn.holds_count, 2, "{turn:?}");
    drop_turn(&owner, turn.seq).await.unwrap();
    let failure = soon(asking).await.unwrap().unwrap_err();
    assert_eq!(failure.code, Code::Deadline, "{failure}");
    assert!(owner.rows("asker", "rows").await.unwrap().is_empty());
    assert!(owner.rows("victim", "marks").await.unwrap().is_empty());
    soon(owner.call("victim", "mark", &[1, 1])).await.unwrap();
    comes_back(world).await;
}
