//! Backups of empty nodes, of nodes that are being changed, for clients that go, on disks that
//! take no more, for strangers.

use std::fs;

use interstice_abi::{
    id::Epoch,
    wire::{GrantChange, GrantTarget, ModuleState, RequestBody},
};

use interstice_actors::node::Adopt;

use super::{backups::fetched, installed, modules, often, put, state};
use crate::common::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_is_backed_up_and_restored() {
    let mut world = World::configured(|_| {});
    world.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = fetched(&world.owner().await, folder.path(), "a").await;
    world.stop().await;
    let mut restored = world.restored(&file).expect("it is restored");
    restored.start().await;
    let owner = restored.owner().await;
    assert_eq!(owner.modules().await.len(), 0);
    assert_eq!(owner.node().await.epoch, Epoch(1));
    installed(&restored).await;
    put(&restored, 0, 3).await;
    restored.stop().await;
    assert!(restored.replay().await.expect("replays").agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_the_states_of_modules_are_restored() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 40).await;
    let owner = world.owner().await;
    let revoked = RequestBody::ChangeGrant {
        module: "first".into(),
        target: GrantTarget::Calls {
            module: "second".into(),
        },
        change: GrantChange::Revoke,
    };
    owner.request(revoked).await.expect("it is revoked");
    let unload = RequestBody::UnloadNeeded {
        module: "second".into(),
    };
    owner.request(unload).await.expect("it is unloaded");
    let grants = owner.client().grants("first").await.expect("grants");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = fetched(&owner, folder.path(), "a").await;
    let mut restored = world.restored(&file).expect("it is restored");
    restored.start().await;
    let again = restored.owner().await;
    let found = again.client().grants("first").await.expect("grants");
    assert_eq!(found, grants);
    assert_eq!(again.status("second").await.state, ModuleState::Unloaded);
    assert_eq!(again.status("first").await.state, ModuleState::Loaded);
    restored.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_at_once_while_modules_come_and_go_are_both_whole() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 50).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (world.owner().await, world.owner().await);
    let changes = async {
        let owner = world.owner().await;
        let [second, first] = modules();
        for _ in 0..6 {
            let remove = RequestBody::Unload {
                module: "first".into(),
            };
            owner.request(remove).await.expect("it is unloaded");
            let load = RequestBody::Load {
                module: "first".into(),
            };
            owner.request(load).await.expect("it is loaded");
            owner.install(&second).await;
            owner.install(&first).await;
        }
    };
    let patient = async |owner, name: &str| {
        for round in 0..3 {
            let name = format!("{name}{round}");
            let file = fetched(owner, folder.path(), &name).await.0;
            let restored = world.restored(&file);
            restored.expect("what it says is what it comes to");
        }
    };
    futures::join!(changes, patient(&one, "one"), patient(&two, "two"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_written_is_said_and_leaves_nothing_behind() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 50).await;
    // No folder can be made where a file is.
    let path = world.directory().join("backups");
    fs::write(&path, b"in the way").expect("writes");
    let owner = world.owner().await;
    for _ in 0..3 {
        let refused = owner.client().begin_backup().await;
        let refused = refused.expect_err("there is no room").to_string();
        assert!(refused.contains("could not be written"), "{refused}");
    }
    fs::remove_file(&path).expect("it goes");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = fetched(&owner, folder.path(), "a").await;
    assert!(world.restored(&file).is_ok());
    assert_eq!(fs::read_dir(&path).expect("a folder").count(), 0);
    let before = state(&world).await;
    world.restart().await;
    assert_eq!(state(&world).await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_backups_is_gone_after_the_next_start() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 30).await;
    let owner = world.owner().await;
    owner.client().begin_backup().await.expect("it is written");
    let mut copy = world.copy();
    let left = copy.directory().join("backups");
    fs::write(left.join("2.backup.unfinished"), b"half").expect("writes");
    copy.start().await;
    let gone = fs::read_dir(&left).map_or(0, Iterator::count);
    assert_eq!(gone, 0);
    copy.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_backup() {
    let mut world = World::configured(|_| {});
    world.start().await;
    let stranger = world.stranger().await;
    let refused = stranger.client().begin_backup().await;
    let refused = refused.expect_err("it has the key in it").to_string();
    assert!(refused.contains("owner"), "{refused}");
    assert!(!world.directory().join("backups").exists());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_restore_has_left_is_in_nobodys_way() {
    let mut world = World::configured(often);
    world.start().await;
    installed(&world).await;
    put(&world, 0, 30).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = fetched(&world.owner().await, folder.path(), "a").await;
    world.stop().await;
    let nodes = folder.path().join("nodes");
    let id = world.directory().file_name().expect("the node's id");
    let half = nodes.join(".restoring").join(id);
    fs::create_dir_all(half.join("log")).expect("a folder");
    fs::write(half.join("node.toml"), b"half").expect("writes");
    fs::write(half.join("log/00000000000000000000.log"), b"half").expect("writes");
    let restored = interstice_actors::node::restore(&file, &nodes, Adopt::default());
    restored.expect("it is restored");
    let left: Vec<_> = fs::read_dir(&nodes).expect("reads").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
