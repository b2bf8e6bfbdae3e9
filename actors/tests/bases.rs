//! Bases: copies from which a node comes back without its store, taken while it works, and no more
//! history than was asked for. Backups: the same in one file, for another place.

#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

#[path = "bases/backups.rs"]
mod backups;

#[path = "bases/moments.rs"]
mod moments;

#[path = "bases/unlucky.rs"]
mod unlucky;

use std::{fs, path::PathBuf};

use interstice_abi::{event::RowEvent, schema::Persistence};
use interstice_actors::config::Config;

use common::{
    guest::{GuestModule, GuestTable},
    op::{arg, call, insert, must, schedule},
    peer::Order,
    world::World,
};

/// `first.put` makes a logged, a stateful and an ephemeral row and a timer far away; `second`
/// reacts and is called.
fn modules() -> [GuestModule; 2] {
    let second = GuestModule::new("second")
        .table(GuestTable::new("Seen", &["value"]).auto_inc())
        .reducer("add", 1, vec![must(insert("seen", [0.into(), arg(0)]))]);
    let first = GuestModule::new("first")
        .depends_on(&second)
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .table(
            GuestTable::new("Blobs", &["value"])
                .auto_inc()
                .kept(Persistence::Stateful),
        )
        .table(
            GuestTable::new("Ticks", &["value"])
                .auto_inc()
                .kept(Persistence::Ephemeral),
        )
        .reducer(
            "put",
            1,
            vec![
                must(insert("rows", [0.into(), arg(0)])),
                must(insert("blobs", [0.into(), arg(0)])),
                must(insert("ticks", [0.into(), arg(0)])),
                schedule("ring", 1_000_000_000),
                must(call("second", "add", [arg(0)])),
            ],
        )
        .on_row(
            "rows",
            RowEvent::Insert,
            "again",
            vec![must(call("second", "add", [arg(1)]))],
        )
        .reducer("ring", 0, vec![]);
    [second, first]
}

/// A base with every checkpoint, a checkpoint after every few records.
fn often(config: &mut Config) {
    config.checkpoint_bytes = 2000;
    config.base_bytes = 1;
}

fn bases(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.directory().join("bases")).expect("there is a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("reads").path()).collect();
    paths.sort();
    paths
}

async fn installed(world: &World) {
    let owner = world.owner().await;
    for module in modules() {
        owner.install(&module).await;
    }
}

async fn put(world: &World, from: u64, count: u64) {
    let owner = world.owner().await;
    let orders: Vec<Order> = (from..from + count)
        .map(|value| Order::new("first", "put", &[value]))
        .collect();
    for outcome in owner.calls(&orders).await {
        outcome.expect("it is put");
    }
}

/// Digests and rows of everything that is kept.
async fn state(world: &World) -> Vec<(String, Option<[u64; 4]>, Vec<Vec<u64>>)> {
    let owner = world.owner().await;
    let mut state = Vec::new();
    for (module, table) in [("first", "rows"), ("first", "blobs"), ("second", "seen")] {
        let digest = owner.status(module).await.digest;
        let rows = owner.rows(module, table).await.expect("a table");
        state.push((format!("{module}.{table}"), digest, rows));
    }
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_store_comes_back_from_the_newest_base_and_the_log() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 200).await;
    put(&world, 200, 50).await;
    let before = state(&world).await;
    world.stop().await;
    assert_eq!(bases(&world).len(), 1, "by default one base is kept");
    world.lose_store();
    world.start().await;
    assert_eq!(state(&world).await, before);
    // What was given out is not given out again.
    put(&world, 1000, 1).await;
    let rows = world
        .owner()
        .await
        .rows("first", "rows")
        .await
        .expect("rows");
    assert_eq!(rows.len(), 251);
    assert_eq!(rows.last().map(Vec::as_slice), Some([251, 1000].as_slice()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_comes_back_from_the_newest_base_and_the_log() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 100).await;
    let before = state(&world).await;
    let mut copy = world.copy();
    copy.lose_store();
    copy.start().await;
    assert_eq!(state(&copy).await, before);
    copy.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_keeps_what_was_asked_for() {
    for (history, kept) in [
        ("forever", 0..=0),
        ("1000000 turns", 2..=1000),
        ("1 turns", 1..=3),
    ] {
        let mut world = World::configured(|config| {
            often(config);
            config.history = history.parse().expect("a span");
        });
        world.start().await;
        installed(&world).await;
        for round in 0..5 {
            put(&world, round * 50, 50).await;
        }
        world.restart().await;
        put(&world, 500, 50).await;
        world.stop().await;
        let found = bases(&world).len();
        assert!(kept.contains(&found), "{history}: {found} bases");
        // Whatever is kept is enough.
        let replayed = world.replay().await.expect("replays");
        assert!(replayed.agrees(), "{history}: {replayed:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_base_and_a_lost_store_are_refused_by_name() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 100).await;
    world.stop().await;
    world.lose_store();
    let base = bases(&world).pop().expect("a base");
    let mut bytes = fs::read(&base).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&base, bytes).expect("writes");
    let directory = world.directory().to_owned();
    let started = tokio::task::spawn_blocking(move || {
        let options = interstice_actors::node::StartOptions {
            listen: interstice_actors::node::Listen::Loopback,
            port: Some(0),
            workers: None,
        };
        interstice_actors::node::Node::start(&directory, options)
            .err()
            .map(|error| error.to_string())
    });
    let error = started
        .await
        .expect("does not panic")
        .expect("it is refused");
    assert!(error.contains(".base is damaged at offset"), "{error}");
}
