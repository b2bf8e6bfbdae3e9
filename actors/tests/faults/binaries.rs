//! Stored binaries that are damaged or missing when their node starts: the node serves the other
//! modules, says what is wrong, and the module comes back with all of its data.

use std::{fs, path::PathBuf};

use interstice_abi::{
    event::RowEvent,
    failure::{Code, Failure},
    wire::{ModuleState, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must},
    peer::{Order, Peer},
    world::World,
};

/// A row of the till that its timer makes.
const RING: u64 = 4242;

fn shop() -> GuestModule {
    GuestModule::new("shop")
        .table(GuestTable::new("Sales", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("sales", [0.into(), arg(0)]))])
}

/// Reacts to the shop, is called by the clerk, and has a timer.
fn till() -> GuestModule {
    let add = |value: Value| must(insert("rows", [0.into(), value]));
    GuestModule::new("till")
        .depends_on(&shop())
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .on_row("shop.sales", RowEvent::Insert, "enter", vec![add(arg(1))])
        .reducer("note", 1, vec![add(arg(0))])
        .reducer("ring", 0, vec![add(RING.into())])
        .reducer(
            "later",
            1,
            vec![must(Op::Schedule {
                reducer: "ring".into(),
                delay_ms: arg(0),
                into: 0,
            })],
        )
}

/// Reacts to the shop with a call of the till, and notes how that went.
fn clerk() -> GuestModule {
    GuestModule::new("clerk")
        .depends_on(&shop())
        .depends_on(&till())
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .on_row(
            "shop.sales",
            RowEvent::Insert,
            "pass",
            vec![
                call("till", "note", [arg(1).plus(1000)]),
                must(insert("rows", [0.into(), Value::Status])),
            ],
        )
}

async fn installed(world: &mut World) -> Peer {
    world.start().await;
    let peer = world.owner().await;
    for module in [shop(), till(), clerk()] {
        peer.install(&module).await;
    }
    peer
}

async fn put(peer: &Peer, values: std::ops::Range<u64>) {
    let orders: Vec<Order> = values
        .map(|value| Order::new("shop", "put", &[value]))
        .collect();
    for answer in peer.calls(&orders).await {
        answer.expect("the shop serves");
    }
}

async fn values(peer: &Peer) -> Vec<u64> {
    let rows = peer.rows("till", "rows").await.expect("they can be read");
    rows.into_iter().map(|row| row[1]).collect()
}

fn binary(world: &World, module: &GuestModule) -> PathBuf {
    let hash = blake3::hash(&module.wasm()).to_hex();
    world.directory().join(format!("modules/{hash}.wasm"))
}

/// Flips a bit of the stored binary; the file as it was.
fn damage(world: &World, module: &GuestModule) -> Vec<u8> {
    let path = binary(world, module);
    let whole = fs::read(&path).expect("is stored");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).expect("writes");
    lose_cache(world);
    whole
}

/// Removes what was compiled. The cache of a node that has just stopped may still note what was
/// used of it, on a thread of its own: a folder to which a file comes while it is removed stays.
fn lose_cache(world: &World) {
    let cache = world.directory().join("cache");
    let mut tries = 0..10_000;
    let gone = tries.any(|_| fs::remove_dir_all(&cache).is_ok() || !cache.exists());
    assert!(gone, "{} stays", cache.display());
}

async fn is_out(peer: &Peer, module: &str) {
    let state = peer.status(module).await.state;
    assert!(
        matches!(&state, ModuleState::Quarantined { reason } if reason.contains("binary is missing or damaged")),
        "{module}: {state:?}"
    );
}

async fn load(peer: &Peer) -> Result<(), Failure> {
    let module = "till".into();
    peer.request(RequestBody::Load { module }).await
}

async fn serves(peer: &Peer, module: &str) {
    peer.status_when(module, |status| status.state == ModuleState::Loaded)
        .await;
}

async fn replays(world: &World) {
    let replayed = world.replay().await.expect("the log replays");
    assert!(replayed.agrees(), "{replayed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_with_a_damaged_binary_is_named_keeps_its_data_and_is_healed_by_a_deploy() {
    let mut world = World::configured(|config| {
        config.checkpoint_bytes = 4000;
        config.base_bytes = 4000;
    });
    let peer = installed(&mut world).await;
    put(&peer, 0..3).await;
    peer.call("till", "later", &[2000]).await.expect("is set");
    world.stop().await;
    damage(&world, &till());
    world.start().await;
    let peer = world.owner().await;
    is_out(&peer, "till").await;
    let before = values(&peer).await;
    let failure = peer.call("till", "note", &[7]).await;
    let failure = failure.expect_err("it has no code");
    assert_eq!(failure.code, Code::Quarantined);
    assert!(failure.message.contains("binary"), "{failure}");
    assert!(!failure.message.contains(".wasm"), "{failure}");
    let said = peer.lines("till").await;
    assert!(
        said.iter().any(|line| line.text.contains(".wasm")
            && line.text.contains("deploy the same binary again")),
        "{said:?}"
    );
    // Checkpoints and bases are taken meanwhile, and the node starts from them.
    put(&peer, 3..60).await;
    let failure = load(&peer).await.expect_err("is damaged");
    assert_eq!(failure.code, Code::Corrupt);
    assert_eq!(values(&peer).await, before);
    world.restart().await;
    let peer = world.owner().await;
    is_out(&peer, "till").await;
    assert_eq!(values(&peer).await, before);
    let report = peer.install(&till()).await;
    assert_eq!(report.load_failure, None);
    put(&peer, 60..61).await;
    let mut rows = peer.watch("till", "rows", None).await;
    let (there, _) = rows.rows().await;
    if !there.iter().any(|row| row[1] == RING) {
        let rings = |change: &crate::common::peer::SeenChange| {
            change.after.as_ref().is_some_and(|row| row[1] == RING)
        };
        rows.changes_until(rings).await;
    }
    let after = values(&peer).await;
    assert_eq!(after[..before.len()], before);
    assert!(after.contains(&60) && after.contains(&1060), "{after:?}");
    assert_eq!(after.iter().filter(|value| **value == RING).count(), 1);
    world.stop().await;
    replays(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_that_is_put_back_serves_after_a_load_or_with_the_next_start() {
    let mut world = World::configured(|_| {});
    let peer = installed(&mut world).await;
    put(&peer, 0..3).await;
    let before = values(&peer).await;
    world.stop().await;
    let whole = damage(&world, &till());
    world.start().await;
    let peer = world.owner().await;
    is_out(&peer, "till").await;
    fs::write(binary(&world, &till()), &whole).expect("writes");
    load(&peer).await.expect("it is whole again");
    serves(&peer, "till").await;
    assert_eq!(values(&peer).await, before);
    world.stop().await;
    fs::remove_file(binary(&world, &till())).expect("goes");
    world.start().await;
    let peer = world.owner().await;
    is_out(&peer, "till").await;
    world.stop().await;
    fs::write(binary(&world, &till()), &whole).expect("writes");
    world.start().await;
    let peer = world.owner().await;
    serves(&peer, "till").await;
    put(&peer, 3..4).await;
    let after = values(&peer).await;
    assert_eq!(after[..before.len()], before);
    assert!(after.contains(&3), "{after:?}");
    world.stop().await;
    replays(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_a_crash_cut_off_ends_the_same_with_a_damaged_binary_and_in_a_replay() {
    let mut world = World::configured(|_| {});
    let peer = installed(&mut world).await;
    // One after the other, so that the last records are those of the second sale.
    put(&peer, 0..1).await;
    put(&peer, 1..2).await;
    world.stop().await;
    world.lose_store();
    let whole = world.keep_log(64 * 1024, |_| true);
    let mut left = whole;
    // Both reactions to the last sale are missing.
    world.keep_log(64 * 1024, |_| {
        left -= 1;
        left >= 2
    });
    damage(&world, &till());
    world.start().await;
    let peer = world.owner().await;
    is_out(&peer, "till").await;
    let notes = peer.rows("clerk", "rows").await.expect("it serves");
    assert_eq!(notes.len(), 2, "both sales were passed on");
    assert_ne!(notes[0][1], notes[1][1], "the second to nobody");
    world.stop().await;
    world.start().await;
    let peer = world.owner().await;
    peer.install(&till()).await;
    world.stop().await;
    replays(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_lost_the_folder_of_its_binaries_starts_and_has_its_tables() {
    let mut world = World::configured(|_| {});
    let peer = installed(&mut world).await;
    put(&peer, 0..3).await;
    let before = values(&peer).await;
    for stopped_in_order in [true, false] {
        let mut copy = world.copy();
        if stopped_in_order {
            copy.start().await;
            copy.stop().await;
        }
        fs::remove_dir_all(copy.directory().join("modules")).expect("goes");
        lose_cache(&copy);
        copy.start().await;
        let peer = copy.owner().await;
        for module in [shop(), till(), clerk()] {
            is_out(&peer, module.name.as_str()).await;
            peer.install(&module).await;
        }
        assert_eq!(values(&peer).await, before);
        put(&peer, 3..4).await;
        copy.stop().await;
        replays(&copy).await;
    }
    world.stop().await;
}
