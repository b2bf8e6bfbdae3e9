//! Upgrades and checkpoints together: whichever of them came first, rows, counters and digests
//! stay.

use interstice_abi::{
    failure::Code,
    wire::{OnConflict, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{arg, call, insert, must},
    world::World,
};

/// `store.put(value)`, the same but for its version.
fn store(patch: u32) -> GuestModule {
    GuestModule::new("store")
        .version(0, 1, patch)
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_keeps_the_rows_that_an_earlier_checkpoint_holds() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&store(0)).await;
    for value in 10..13 {
        peer.call("store", "put", &[value]).await.expect("commits");
    }
    // A stop in order writes a checkpoint; so the upgrade finds rows that are in no log that is
    // read again.
    world.restart().await;
    let peer = world.owner().await;
    peer.install(&store(1)).await;
    let expected = vec![vec![1, 10], vec![2, 11], vec![3, 12]];
    assert_eq!(peer.rows("store", "rows").await, Ok(expected.clone()));
    let digest = peer.status("store").await.digest;

    world.restart().await;
    let peer = world.owner().await;
    assert_eq!(peer.rows("store", "rows").await, Ok(expected));
    assert_eq!(peer.status("store").await.digest, digest);
    peer.call("store", "put", &[13]).await.expect("commits");
    let last = peer.rows("store", "rows").await.expect("reads").pop();
    assert_eq!(last, Some(vec![4, 13]), "the counter went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_behind_the_last_checkpoint_is_redone_after_a_crash() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&store(0)).await;
    peer.call("store", "put", &[10]).await.expect("commits");
    world.restart().await;
    let peer = world.owner().await;
    peer.install(&store(1)).await;
    peer.call("store", "put", &[11]).await.expect("commits");
    let digest = peer.status("store").await.digest;

    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.status("store").await.digest, digest);
    world.restart().await;
    let peer = world.owner().await;
    let expected = vec![vec![1, 10], vec![2, 11]];
    assert_eq!(peer.rows("store", "rows").await, Ok(expected));
    assert_eq!(peer.status("store").await.digest, digest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_of_a_binding_can_move_to_another_line_of_versions() {
    let world = World::started().await;
    let peer = world.owner().await;
    let user = |bound: &GuestModule, patch: u32| {
        GuestModule::new("user")
            .version(0, 1, patch)
            .table(GuestTable::new("Own", &["value"]).auto_inc())
            .depends_on(bound)
            .reducer(
                "go",
                0,
                vec![
                    must(insert("own", [0.into(), 5.into()])),
                    call("store", "put", [1.into()]),
                ],
            )
    };
    let next = store(0).version(0, 2, 0);
    peer.install(&store(0)).await;
    peer.install(&user(&store(0), 0)).await;
    peer.call("user", "go", &[]).await.expect("commits");
    let failure = peer.deploy(&next, OnConflict::Refuse).await;
    let failure = failure.expect_err("`user` runs and needs the old one");
    assert!(failure.message.contains("unload `user`"), "{failure}");

    let order = |body| peer.request(body);
    order(RequestBody::Unload {
        module: "user".into(),
    })
    .await
    .expect("stops");
    peer.install(&next).await;
    let load = RequestBody::Load {
        module: "user".into(),
    };
    let failure = order(load).await.expect_err("it was made for the old one");
    assert_eq!(failure.code, Code::SchemaConflict);
    peer.install(&user(&next, 1)).await;
    peer.call("user", "go", &[]).await.expect("commits");
    let rows = peer.rows("user", "own").await.expect("reads");
    assert_eq!(rows, [[1, 5], [2, 5]], "its data stayed");
}
