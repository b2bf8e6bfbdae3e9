//! Backups of a node that works, and what they make.

use std::{fs, path::PathBuf};

use interstice_abi::{failure::Code, id::Epoch};

use super::{installed, often, put, state};
use interstice_actors::node::Adopt;

use crate::common::{
    peer::{Order, Peer},
    world::World,
};

/// Has the node write a backup and fetches it; the file, and the last turn that it holds.
pub(super) async fn fetched(owner: &Peer, folder: &std::path::Path, name: &str) -> (PathBuf, u64) {
    let client = owner.client();
    let backup = client.begin_backup().await.expect("it is written");
    let mut bytes = Vec::new();
    loop {
        let offset = u64::try_from(bytes.len()).expect("a length");
        let piece = client.backup_piece(&backup, offset).await;
        let piece = piece.expect("a piece");
        if piece.is_empty() {
            break;
        }
        bytes.extend(piece);
    }
    client.end_backup(&backup).await.expect("it ends");
    assert_eq!(u64::try_from(bytes.len()), Ok(backup.bytes));
    let path = folder.join(name);
    fs::write(&path, bytes).expect("writes");
    (path, backup.seq.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_makes_the_same_node_with_its_history_in_a_new_epoch() {
    for (bases, history) in [(1, "default"), (1, "1000000 turns"), (1 << 40, "default")] {
        let mut world = World::configured(|config| {
            often(config);
            config.base_bytes = bases;
            config.history = history.parse().expect("a span");
        });
        world.start().await;
        installed(&world).await;
        put(&world, 0, 120).await;
        let owner = world.owner().await;
        let folder = tempfile::tempdir().expect("a folder");
        let (file, _) = fetched(&owner, folder.path(), "a").await;
        let before = state(&world).await;
        let mut restored = world.restored(&file).expect("it is restored");
        restored.start().await;
        assert_eq!(state(&restored).await, before);
        assert_eq!(restored.owner().await.node().await.epoch, Epoch(1));
        // Both go on, each for itself.
        put(&restored, 1000, 1).await;
        put(&world, 2000, 1).await;
        let rows = restored
            .owner()
            .await
            .rows("first", "rows")
            .await
            .expect("rows");
        assert_eq!(rows.last().map(Vec::as_slice), Some([121, 1000].as_slice()));
        restored.stop().await;
        let replayed = restored.replay().await;
        let replayed = replayed.unwrap_or_else(|error| {
            unreachable!("{bases} {history}: {error}: {:?}", super::bases(&restored))
        });
        assert!(replayed.agrees(), "{history}: {replayed:#?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_holds_every_turn_up_to_its_own_and_none_behind() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 20).await;
    let writer = world.owner().await;
    let load = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for round in 0..20 {
            let values = 100 + round * 20..120 + round * 20;
            let orders: Vec<Order> = values
                .clone()
                .map(|value| Order::new("first", "put", &[value]))
                .collect();
            let outcomes = writer.calls(&orders).await;
            for (value, outcome) in values.zip(outcomes) {
                acknowledged.push((outcome.expect("it is put").seq.0, value));
            }
        }
        acknowledged
    });
    let owner = world.owner().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut backups = Vec::new();
    for name in ["a", "b", "c"] {
        backups.push(fetched(&owner, folder.path(), name).await);
    }
    let acknowledged = load.await.expect("does not panic");
    for (file, seq) in backups {
        let mut restored = world.restored(&file).expect("it is restored");
        restored.start().await;
        let rows = restored
            .owner()
            .await
            .rows("first", "rows")
            .await
            .expect("rows");
        let mut found: Vec<u64> = rows
            .iter()
            .map(|row| row[1])
            .filter(|value| *value >= 100)
            .collect();
        let mut expected: Vec<u64> = acknowledged
            .iter()
            .filter(|(at, _)| *at <= seq)
            .map(|(_, value)| *value)
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        // The call and the reaction, once each.
        let seen = restored
            .owner()
            .await
            .rows("second", "seen")
            .await
            .expect("rows");
        assert_eq!(seen.len(), 2 * rows.len());
        restored.stop().await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_file_is_refused_and_leaves_nothing() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 30).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = fetched(&world.owner().await, folder.path(), "a").await;
    world.stop().await;
    let whole = fs::read(&file).expect("reads");
    let refused = |bytes: &[u8]| {
        let damaged = folder.path().join("damaged");
        fs::write(&damaged, bytes).expect("writes");
        let restored = world.restored(&damaged);
        restored.err().expect("it is refused").to_string()
    };
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[place] ^= 4;
        refused(&bytes);
        assert!(!refused(&whole[..place]).is_empty());
    }
    assert!(refused(b"hello").contains("is no backup"));
    assert!(refused(&[]).contains("is no backup"));
    assert!(world.restored(&file).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_there_is_not_overwritten() {
    let mut world = World::configured(often);
    world.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = fetched(&world.owner().await, folder.path(), "a").await;
    world.stop().await;
    let nodes = world.directory().parent().expect("a folder").to_owned();
    let refused = interstice_actors::node::restore(&file, &nodes, Adopt::default());
    let error = refused.expect_err("it is there").to_string();
    assert!(error.contains("is not overwritten"), "{error}");
    world.start().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_bounded_and_go_with_their_connection() {
    let mut world = World::configured(|_| {});
    world.start().await;
    let owner = world.owner().await;
    let first = owner.client().begin_backup().await.expect("one");
    owner.client().begin_backup().await.expect("two");
    let third = owner
        .client()
        .begin_backup()
        .await
        .expect_err("three are too many");
    assert!(
        third.to_string().contains("2 backups are under way"),
        "{third}"
    );
    let other = world.owner().await;
    let foreign = other
        .client()
        .backup_piece(&first, 0)
        .await
        .expect_err("not theirs");
    assert!(foreign.to_string().contains("no backup 1"), "{foreign}");
    drop(owner);
    // The node hears of the end of a connection a moment later.
    let backup = loop {
        match other.client().begin_backup().await {
            Ok(backup) => break backup,
            Err(interstice_client::Error::Failed(failure)) => assert_eq!(failure.code, Code::Busy),
            Err(error) => unreachable!("{error}"),
        }
        tokio::task::yield_now().await;
    };
    other.client().end_backup(&backup).await.expect("it ends");
    let left = fs::read_dir(world.directory().join("backups"))
        .expect("a folder")
        .count();
    assert_eq!(left, 0);
    world.stop().await;
}
