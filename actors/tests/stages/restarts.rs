//! The start of a node whose last end has cut off a turn: modules that the turn cannot reach
//! serve at once, the others as soon as it has ended, and modules begin in an order in which no
//! reaction meets one that has not begun.

use std::time::Duration;

use interstice_abi::{
    event::{Event, RowEvent},
    schema::Persistence,
    wire::{TurnDrop, TurnUnderWay},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, call, insert, must, reg, when_equal, when_less},
    peer::Peer,
    world::World,
};

/// Longer than anything takes here on a machine under load, and far shorter than the cascade.
const SOON: Duration = Duration::from_secs(45);

/// `feed` begins a cascade of slow steps that feeds itself: minutes of it fit into a turn.
fn victim() -> GuestModule {
    let spin = Op::Repeat {
        register: 3,
        times: 3_000_000.into(),
        body: vec![Op::Set(4, arg(1))],
    };
    let again = insert("links", [0.into(), arg(1).plus(1)]);
    GuestModule::new("victim")
        .table(GuestTable::new("Links", &["depth"]).auto_inc())
        .table(GuestTable::new("Marks", &["value"]))
        .reducer("mark", 2, vec![must(insert("marks", [arg(0), arg(1)]))])
        .reducer("feed", 1, vec![must(insert("links", [0.into(), arg(0)]))])
        .on_row(
            "links",
            RowEvent::Insert,
            "grow",
            vec![when_less(arg(1), 1_000_000, vec![spin, must(again)])],
        )
}

fn neighbour(name: &str) -> GuestModule {
    GuestModule::new(name)
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

/// Has a reducer that needs the victim, and one that does not.
fn asker() -> GuestModule {
    neighbour("asker").depends_on(&victim()).reducer(
        "ask",
        2,
        vec![must(call("victim", "mark", [arg(0), arg(1)]))],
    )
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it does not wait for the cascade")
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_a_stop_cut_off_holds_only_the_modules_that_it_reaches_and_can_be_dropped() {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = 10_000;
        config.turn_ms = 600_000;
        config.drain_ms = 300;
    });
    world.start().await;
    let owner = world.owner().await;
    for module in [victim(), neighbour("neighbour"), asker()] {
        owner.install(&module).await;
    }
    let feeder = world.stranger().await;
    let feeding = tokio::spawn(async move { feeder.call("victim", "feed", &[0]).await });
    let before = turn_when(&owner, |turn| turn.steps > 2).await;
    soon(world.stop()).await;
    soon(feeding).await.unwrap().unwrap_err();

    world.start().await;
    let owner = world.owner().await;
    soon(owner.call("neighbour", "put", &[1])).await.unwrap();
    soon(owner.call("asker", "put", &[1])).await.unwrap();
    let turn = turn_when(&owner, |turn| turn.resumed).await;
    assert_eq!((turn.seq, &turn.began), (before.seq, &before.began));
    assert!(turn.steps > before.steps, "{before:?} {turn:?}");
    let lines = owner.lines_of_node().await;
    let says = |text: &str| lines.iter().any(|line| line.text.contains(text));
    assert!(says("was cut off by the last stop"), "{lines:?}");
    let (marker, asking) = (world.stranger().await, world.stranger().await);
    let marking = tokio::spawn(async move { marker.call("victim", "mark", &[1, 1]).await });
    let asking = tokio::spawn(async move { asking.call("asker", "ask", &[2, 2]).await });
    turn_when(&owner, |waiting| {
        waiting.seq > turn.seq && waiting.reducer == "mark"
    })
    .await;
    let dropped = soon(owner.client().drop_turn(turn.seq)).await.unwrap();
    assert!(matches!(dropped, TurnDrop::Dropped { .. }), "{dropped:?}");
    soon(marking).await.unwrap().unwrap();
    soon(asking).await.unwrap().unwrap();
    let marks = owner.rows("victim", "marks").await.unwrap();
    assert_eq!(marks, [[1, 1], [2, 2]]);
    let lines = owner.lines("victim").await;
    let says = |text: &str| lines.iter().any(|line| line.text.contains(text));
    assert!(says("had cut off has ended"), "{lines:?}");

    let digest = owner.status("victim").await.digest;
    world.crash().await;
    let owner = world.owner().await;
    assert_eq!(owner.status("victim").await.digest, digest);
    soon(world.stop()).await;
    let replayed = world.replay().await.expect("the log replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

/// `source` says at each load that it is there; `subscriber` reacts, if it has begun, and says
/// how often; `caller` calls `source` in its load. `lone` has nothing to do with them. All count
/// connections that have ended.
fn starting() -> [GuestModule; 4] {
    let gone = |module: GuestModule| {
        module
            .table(GuestTable::new("Gone", &["value"]).auto_inc())
            .on_connection(
                Event::Disconnect,
                "goes",
                vec![must(insert("gone", [0.into(), 1.into()]))],
            )
    };
    let beats = || must(insert("beats", [0.into(), 1.into()]));
    let source = gone(GuestModule::new("source"))
        .table(GuestTable::new("Beats", &["value"]).auto_inc())
        .table(GuestTable::new("Ready", &["value"]).kept(Persistence::Ephemeral))
        .reducer(
            "beat",
            0,
            vec![
                Op::Count {
                    table: "ready".into(),
                    into: 5,
                },
                when_equal(reg(5), 0, vec![Op::Fail("it has not begun".into())]),
                beats(),
            ],
        )
        .on(
            Event::Load,
            "begin",
            vec![beats(), must(insert("ready", [1.into(), 1.into()]))],
        );
    let subscriber = gone(GuestModule::new("a_subscriber").depends_on(&source))
        .table(GuestTable::new("Heard", &["ready"]).auto_inc())
        .table(GuestTable::new("Ready", &["value"]).kept(Persistence::Ephemeral))
        .on_row(
            "source.beats",
            RowEvent::Insert,
            "hears",
            vec![
                Op::Count {
                    table: "ready".into(),
                    into: 5,
                },
                must(insert("heard", [0.into(), reg(5)])),
            ],
        )
        .on(
            Event::Load,
            "begin",
            vec![must(insert("ready", [1.into(), 1.into()]))],
        );
    let caller = gone(GuestModule::new("a_caller").depends_on(&source)).on(
        Event::Load,
        "begin",
        vec![must(call("source", "beat", []))],
    );
    let lone = gone(GuestModule::new("lone"));
    [source, subscriber, caller, lone]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_start_modules_begin_before_others_reach_them_and_hear_once_of_connections_that_ended()
{
    let mut world = World::started().await;
    let owner = world.owner().await;
    let modules = starting();
    for module in &modules {
        owner.install(module).await;
    }
    let heard = owner.rows("a_subscriber", "heard").await.unwrap();
    assert_eq!(heard, [[1, 1]], "the load of the caller");
    // Its connection is the only one of which somebody has heard; the call says that the log has
    // it.
    let other = world.stranger().await;
    other.call("source", "beat", &[]).await.unwrap();
    world.crash().await;
    let owner = world.owner().await;
    for module in &modules {
        let status = owner.status(&module.name).await;
        assert_eq!(
            status.counters.faults + status.counters.rejected,
            0,
            "{status:?}"
        );
    }
    let heard = owner.rows("a_subscriber", "heard").await.unwrap();
    assert_eq!(
        heard,
        [[1, 1], [2, 1], [3, 1], [4, 1]],
        "each time it had begun"
    );
    for module in &modules {
        let gone = owner.rows(&module.name, "gone").await.unwrap();
        assert_eq!(gone.len(), 1, "{}", module.name);
    }
    soon(world.stop()).await;
    let replayed = world.replay().await.expect("the log replays");
    assert!(replayed.agrees(), "{replayed:?}");
}
