//! More slow work than a node can do, asked for by a stranger: whoever owns the node can still change, save and stop it.
//!
//! Where a test would hang without the promise, what hangs is an answer or the end of the node, and the deadline that is
//! missed is minutes shorter than the flood.

use std::time::Duration;

use interstice_abi::{
    event::{Event, RowEvent},
    failure::{Code, Failure},
    wire::{Ack, RequestBody},
};
use interstice_client::Identity;

use crate::{
    common::{
        guest::{GuestModule, GuestTable},
        op::{Op, arg, insert, must, when_less},
        peer::Peer,
        world::World,
    },
    raw::Raw,
};

/// Requests of a flood: at the deadline of [`DEADLINE_MS`] each, they keep a module busy for two minutes.
const FLOOD: u64 = 1200;

const DEADLINE_MS: u64 = 100;

/// Longer than anything takes here on a machine under load, and far shorter than the flood.
const SOON: Duration = Duration::from_secs(45);

/// `spin` and `slow` run until their deadline. `feed` begins a cascade of slow steps that feeds itself.
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
        .reducer("slow", 0, vec![Op::LoopForever])
        .reducer("mark", 2, vec![must(insert("marks", [arg(0), arg(1)]))])
        .reducer("feed", 1, vec![must(insert("links", [0.into(), arg(0)]))])
        .on_row(
            "links",
            RowEvent::Insert,
            "grow",
            vec![when_less(arg(1), 1_000_000, vec![spin, must(again)])],
        )
        .query("spin", 0, vec![Op::LoopForever])
}

fn neighbour() -> GuestModule {
    GuestModule::new("neighbour")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

async fn world(drain_ms: u64) -> (World, Peer) {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = DEADLINE_MS;
        config.drain_ms = drain_ms;
    });
    world.start().await;
    let owner = world.owner().await;
    owner.install(&victim()).await;
    (world, owner)
}

/// A stranger that asks for as much as it can.
async fn flood(world: &World, body: RequestBody) -> Raw {
    flood_of(world, &Identity::generate(), body).await
}

/// The same, of a key that may have other connections.
async fn flood_of(world: &World, key: &Identity, body: RequestBody) -> Raw {
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port())
        .parse()
        .unwrap();
    let mut raw = Raw::greeted_at(&address, key).await;
    for id in 0..FLOOD {
        raw.ask(2 + id, body.clone()).await;
    }
    raw
}

fn spin() -> RequestBody {
    RequestBody::Query {
        module: "victim".into(),
        query: "spin".into(),
        arguments: Vec::new(),
        ack: Ack::Durable,
    }
}

fn slow() -> RequestBody {
    RequestBody::Call {
        module: "victim".into(),
        reducer: "slow".into(),
        arguments: Vec::new(),
        ack: Ack::Durable,
    }
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(SOON, what)
        .await
        .expect("it does not wait for the flood")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_of_a_client_that_has_gone_do_not_run() {
    let (mut world, owner) = world(10_000).await;
    // The first answer says that the flood has arrived.
    let mut raw = flood(&world, spin()).await;
    raw.answer().await.unwrap();
    drop(raw);
    soon(owner.call("victim", "mark", &[1, 1])).await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_fills_its_share_of_a_module_leaves_room_for_others() {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = DEADLINE_MS;
        config.admission.turns_per_module_max = 16;
    });
    world.start().await;
    let owner = world.owner().await;
    owner.install(&victim()).await;
    let key = Identity::generate();
    let mut greedy = flood_of(&world, &key, slow()).await;
    // It gets 7 of the 14 places for guests, and a few more as some end.
    let busy =
        |failure: &Failure| failure.code == Code::Busy && failure.message.contains("of this key");
    for _ in 0..FLOOD / 2 {
        let failure = loop {
            let failure = soon(greedy.answer()).await.unwrap().body.unwrap_err();
            if failure.code != Code::Deadline {
                break failure;
            }
        };
        assert!(busy(&failure), "{failure}");
    }
    let mut second = flood_of(&world, &key, slow()).await;
    let failure = soon(second.answer()).await.unwrap().body.unwrap_err();
    assert!(busy(&failure), "a second connection of the key: {failure}");
    let other = world.stranger().await;
    let (of_other, of_owner) = tokio::join!(
        soon(other.call("victim", "mark", &[1, 1])),
        soon(owner.call("victim", "mark", &[2, 2])),
    );
    of_other.unwrap();
    of_owner.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_and_go_take_their_share_of_the_module_that_hears_of_them() {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = DEADLINE_MS;
        config.admission.turns_per_module_max = 16;
    });
    world.start().await;
    let owner = world.owner().await;
    let porter = GuestModule::new("porter")
        .table(GuestTable::new("Marks", &["value"]))
        .reducer("mark", 2, vec![must(insert("marks", [arg(0), arg(1)]))])
        .on_connection(Event::Connect, "greets", vec![Op::LoopForever]);
    owner.install(&porter).await;
    let key = Identity::generate();
    let mut connections = Vec::new();
    for _ in 0..60 {
        connections.push(world.client(&key).await);
    }
    let in_flight = owner.node().await.turns_in_flight;
    assert!(in_flight <= 8, "{in_flight} turns for one key");
    soon(owner.call("porter", "mark", &[1, 1])).await.unwrap();
    drop(connections);
    soon(world.stop()).await;
    world.replay().await.expect("the log replays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_modules_and_a_backup_do_not_wait_for_queries() {
    let (mut world, owner) = world(10_000).await;
    let mut first = flood(&world, spin()).await;
    first.answer().await.unwrap();
    soon(owner.install(&neighbour())).await;
    soon(owner.call("neighbour", "put", &[1])).await.unwrap();
    // Some were answered before the change, and the others are told what to do.
    let answer = soon(async {
        loop {
            let answer = first.answer().await.unwrap().body.unwrap_err();
            if answer.code != Code::Deadline {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(answer.code, Code::Busy, "{answer}");
    let mut second = flood(&world, spin()).await;
    second.answer().await.unwrap();
    soon(owner.client().begin_backup()).await.unwrap();
    drop((first, second));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_module_ends_its_query_that_would_run_for_minutes() {
    let mut world = World::configured(|config| config.limits.deadline_ms = 300_000);
    world.start().await;
    let owner = world.owner().await;
    owner.install(&victim()).await;
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port());
    let mut raw = Raw::greeted_at(&address.parse().unwrap(), &Identity::generate()).await;
    raw.ask(2, spin()).await;
    // Requests of a connection are taken up in their order.
    raw.ask(3, RequestBody::NodeStatus).await;
    assert_eq!(soon(raw.answer()).await.unwrap().id, 3);
    soon(owner.install(&victim())).await;
    let failure = soon(raw.answer()).await.unwrap().body.unwrap_err();
    assert_eq!(failure.code, Code::Busy, "{failure}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_modules_waits_for_slow_calls_for_a_bounded_time() {
    let (mut world, owner) = world(10_000).await;
    let mut flood = flood(&world, slow()).await;
    flood.answer().await.unwrap();
    soon(owner.install(&neighbour())).await;
    let mut refused = 0;
    for _ in 1..FLOOD {
        let failure = soon(flood.answer()).await.unwrap().body.unwrap_err();
        match failure.code {
            Code::Busy => refused += 1,
            Code::Deadline => {}
            _ => panic!("{failure}"),
        }
    }
    assert!(refused > FLOOD / 2, "{refused} were refused");
    owner.call("victim", "mark", &[1, 1]).await.unwrap();
    world.stop().await;
    world.replay().await.expect("the log replays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stops_in_the_middle_of_slow_calls_and_queries() {
    let (mut world, owner) = world(2_000).await;
    owner.call("victim", "mark", &[1, 1]).await.unwrap();
    let mut calls = flood(&world, slow()).await;
    let mut queries = flood(&world, spin()).await;
    calls.answer().await.unwrap();
    soon(world.stop()).await;
    drop(queries.answer().await);
    world.replay().await.expect("the log replays");
    world.start().await;
    let owner = world.owner().await;
    assert_eq!(owner.rows("victim", "marks").await.unwrap(), [[1, 1]]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stops_in_the_middle_of_a_cascade_and_its_next_start_goes_on_with_it() {
    let (mut world, owner) = world(1_000).await;
    let feeding = tokio::spawn(async move { owner.call("victim", "feed", &[0]).await });
    soon(async { while world_is_quiet(&world).await {} }).await;
    soon(world.stop()).await;
    feeding.await.unwrap().unwrap_err();
    world.replay().await.expect("the log replays");
    world.start().await;
    soon(world.stop()).await;
    world.replay().await.expect("the log replays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_ends_when_its_time_is_used_up_and_the_log_says_which_steps_were_dropped() {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = 10_000;
        config.turn_ms = 500;
    });
    world.start().await;
    world.owner().await.install(&victim()).await;
    let stranger = world.stranger().await;
    let called = soon(stranger.call("victim", "feed", &[0])).await.unwrap();
    assert!(called.dropped > 0, "{called:?}");
    assert_eq!(called.failed, 0, "{called:?}");
    stranger.call("victim", "mark", &[1, 1]).await.unwrap();
    let links = stranger.rows("victim", "links").await.unwrap();
    world.crash().await;
    let stranger = world.stranger().await;
    assert_eq!(stranger.rows("victim", "links").await.unwrap(), links);
    world.stop().await;
    world.replay().await.expect("the log replays");
}

/// Whether no turn is under way.
async fn world_is_quiet(world: &World) -> bool {
    world.owner().await.node().await.turns_in_flight == 0
}
