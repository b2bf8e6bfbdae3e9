//! Bases are what the node was at one moment, whatever went on; and what a crash leaves of one
//! does no harm.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{bases, installed, often, put, state};
use crate::common::{peer::Order, world::World};

/// The last turn that a base holds, by its name.
fn seq_of(base: &Path) -> u64 {
    let name = base.file_stem().and_then(|name| name.to_str());
    let seq = name
        .and_then(|name| name.split_once('-'))
        .map(|(seq, _)| seq);
    seq.and_then(|seq| seq.parse().ok()).expect("a base's name")
}

/// A stopped node that has been called by several clients at once while it took one base after the
/// other, all of them kept.
async fn busy() -> World {
    let mut world = World::configured(|config| {
        often(config);
        config.checkpoint_bytes = 20_000;
        config.history = "1000000 turns".parse().expect("a span");
    });
    world.start().await;
    installed(&world).await;
    let clients = (0..4).map(|client| {
        let world = &world;
        async move {
            for round in 0..8 {
                put(world, client * 1000 + round * 30, 30).await;
            }
        }
    });
    futures::future::join_all(clients).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_base_that_was_taken_under_load_comes_to_the_node_with_the_log_behind_it() {
    let mut world = busy().await;
    let before = state(&world).await;
    world.stop().await;
    let count = bases(&world).len();
    assert!(count > 2, "{count} bases");
    for place in [0, count / 2, count - 1] {
        let mut copy = world.copy();
        let mut all = bases(&copy);
        all.sort_by_key(|base| seq_of(base));
        // Behind the node's creation and the other bases there is nothing to begin from but this
        // one.
        fs::write(copy.directory().join("bases/begins-later"), []).expect("writes");
        for (other, base) in all.iter().enumerate() {
            if other != place {
                fs::remove_file(base).expect("it goes");
            }
        }
        // Replay runs every later step again from it, and would run into whatever it has too much
        // or too little.
        let replayed = copy.replay().await.expect("replays");
        assert!(replayed.agrees(), "{:?}: {replayed:#?}", all.get(place));
        copy.lose_store();
        copy.start().await;
        assert_eq!(state(&copy).await, before);
        copy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_base_is_written_leaves_the_older_one_and_the_log_that_it_needs() {
    let mut world = busy().await;
    let before = state(&world).await;
    world.stop().await;
    let mut all = bases(&world);
    all.sort_by_key(|base| seq_of(base));
    let newest = all.pop().expect("a base");
    let bytes = fs::read(&newest).expect("reads");
    for written in [0, 1, 16, bytes.len() / 2, bytes.len()] {
        let mut copy = world.copy();
        let folder = copy.directory().join("bases");
        let name = newest.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        fs::remove_file(folder.join(name)).expect("it goes");
        let half = folder.join(format!("{name}.unfinished"));
        fs::write(&half, &bytes[..written]).expect("writes");
        copy.lose_store();
        copy.start().await;
        assert_eq!(state(&copy).await, before, "{written} bytes");
        // Another base is taken, of all that there is.
        put(&copy, 9000, 200).await;
        copy.stop().await;
        assert!(!half.exists(), "what was left half written is gone");
        assert!(copy.replay().await.expect("replays").agrees());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn binaries_that_nothing_names_go_with_the_history_whatever_their_age() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    let folder = world.directory().join("modules");
    let stray = |content: &[u8], age: u64| {
        let path = folder.join(format!("{}.wasm", blake3::hash(content).to_hex()));
        fs::write(&path, content).expect("writes");
        let then = SystemTime::now() - Duration::from_secs(age);
        let file = fs::File::options().write(true).open(&path);
        file.and_then(|file| file.set_modified(then))
            .expect("it is as old as that");
        path
    };
    let (old, fresh) = (stray(b"old", 3600), stray(b"fresh", 1));
    put(&world, 0, 200).await;
    world.restart().await;
    put(&world, 200, 200).await;
    let before = state(&world).await;
    world.restart().await;
    assert!(!old.exists() && !fresh.exists(), "nothing names them");
    assert_eq!(state(&world).await, before);
    let owner = world.owner().await;
    let orders = [Order::new("first", "put", &[1])];
    for outcome in owner.calls(&orders).await {
        outcome.expect("the installed ones are there");
    }
    world.stop().await;
}
