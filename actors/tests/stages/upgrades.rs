//! Upgrades and checkpoints together: whichever of them came first, rows, counters and digests stay.

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{arg, insert, must},
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
    // A stop in order writes a checkpoint; so the upgrade finds rows that are in no log that is read again.
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
