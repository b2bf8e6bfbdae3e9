//! Watches that resume over upgrades: wherever the log has the changes and rows can be read, with
//! the true reason elsewhere.

use interstice_abi::{
    failure::Code,
    id::{Position, Seq},
    types::{ColumnType, Field},
    wire::{OnConflict, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, must},
    peer::{Peer, SeenChange},
    world::World,
};

/// `store` with columns appended to its key and value, each with the default for older rows.
fn store(added: &[(&str, u8)], patch: u32) -> GuestModule {
    let mut table = GuestTable::new("Rows", &["value"]);
    for (name, value) in added {
        let mut field = Field::new(*name, ColumnType::U64);
        field.default = Some(vec![*value]);
        table = table.field(field);
    }
    let columns = added.iter().map(|_| 50.into());
    let row = || [arg(0), arg(1)].into_iter().chain(columns.clone());
    let put = must(Op::Insert {
        table: "rows".into(),
        row: row().collect(),
        into: 0,
    });
    let change = must(Op::Update {
        table: "rows".into(),
        row: row().collect(),
    });
    let mut store = GuestModule::new("store").version(0, 1, patch);
    if patch > 1 {
        // It moves `rows` to another place of the schema.
        store = store.table(GuestTable::new("Early", &[]));
    }
    store
        .table(table)
        .reducer("put", 2, vec![put])
        .reducer("change", 2, vec![change])
}

async fn put(peer: &Peer, key: u64) {
    peer.call("store", "put", &[key, key * 10])
        .await
        .expect("commits");
}

/// What a new watch from there is sent.
async fn missed(peer: &Peer, from: Position, count: usize) -> Vec<SeenChange> {
    let mut again = peer.watch("store", "rows", Some(from)).await;
    again.changes(count).await
}

fn afters(changes: &[SeenChange]) -> Vec<Vec<u64>> {
    let after = |change: &SeenChange| change.after.clone().expect("a row");
    changes.iter().map(after).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_over_a_deploy_of_the_same_binary() {
    let mut world = World::started().await;
    let owner = world.owner().await;
    owner.install(&store(&[], 0)).await;
    let mut watch = owner.watch("store", "rows", None).await;
    let (_, complete) = watch.rows().await;
    put(&owner, 1).await;
    put(&owner, 2).await;
    let seen = watch.changes(2).await;
    owner.install(&store(&[], 0)).await;
    put(&owner, 3).await;
    let all = missed(&owner, complete, 3).await;
    assert_eq!(all[..2], seen);
    assert_eq!(missed(&owner, seen[0].position, 2).await, all[1..]);
    world.restart().await;
    let owner = world.owner().await;
    assert_eq!(missed(&owner, complete, 3).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_over_upgrades_that_append_columns() {
    let mut world = World::started().await;
    let owner = world.owner().await;
    owner.install(&store(&[], 0)).await;
    let (_, complete) = owner.watch("store", "rows", None).await.rows().await;
    put(&owner, 1).await;
    owner.install(&store(&[("a", 7)], 1)).await;
    put(&owner, 2).await;
    // The default that a later version names is not what older rows have got.
    owner.install(&store(&[("a", 8), ("b", 9)], 2)).await;
    put(&owner, 3).await;
    let change = owner.call("store", "change", &[1, 11]).await;
    change.expect("commits");
    let expected = vec![
        vec![1, 10, 7, 9],
        vec![2, 20, 50, 9],
        vec![3, 30, 50, 50],
        vec![1, 11, 50, 50],
    ];
    let all = missed(&owner, complete, 4).await;
    assert_eq!(afters(&all), expected);
    assert_eq!(all[3].before, Some(vec![1, 10, 7, 9]));
    world.crash().await;
    let owner = world.owner().await;
    assert_eq!(missed(&owner, complete, 4).await, all);
    assert_eq!(missed(&owner, all[1].position, 2).await, all[2..]);
    let rows = owner.rows("store", "rows").await.expect("reads");
    assert_eq!(rows, [&expected[3..], &expected[1..3]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_cannot_resume_says_which_turn_stands_in_the_way() {
    let world = World::started().await;
    let owner = world.owner().await;
    let refused = async |from: Position, wanted: &str| {
        let watch = owner.watch("store", "rows", Some(from)).await;
        let failure = watch.failure().await;
        assert_eq!(failure.code, Code::NotFound, "{failure}");
        assert!(failure.message.contains(wanted), "{failure}");
    };
    let installed = owner.install(&store(&[], 0)).await.seq;
    refused(Position::default(), "was not installed at turn 0").await;
    let (_, complete) = owner.watch("store", "rows", None).await.rows().await;
    assert!(complete.seq > installed);
    put(&owner, 1).await;

    // Rows of another type: the column `value` is gone.
    let other = GuestModule::new("store")
        .version(0, 1, 1)
        .table(GuestTable::new("Rows", &["other"]));
    let wiped = owner.deploy(&other, OnConflict::Wipe).await;
    let wiped = wiped.expect("drops the rows").seq;
    let wanted = format!("at turn {wiped} has given table `rows` other rows");
    refused(complete, &wanted).await;
    let (_, complete) = owner.watch("store", "rows", None).await.rows().await;

    let remove = RequestBody::Remove {
        module: "store".into(),
    };
    owner.request(remove).await.expect("goes");
    let removed = owner.node().await.seq;
    owner.install(&other).await;
    refused(complete, &format!("was removed at turn {removed}")).await;
    let late = Position {
        seq: Seq(1 << 40),
        ..complete
    };
    let failure = owner
        .watch("store", "rows", Some(late))
        .await
        .failure()
        .await;
    assert_eq!(failure.code, Code::BadArguments, "{failure}");
}
