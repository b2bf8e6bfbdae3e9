//! A module that grows under those that were compiled against its older self: they go on and see
//! what they know.

use interstice_abi::{
    codec::Column,
    event::RowEvent,
    schema::IndexKind,
    types::{ColumnType, Field},
    wire::OnConflict,
};
use interstice_host::log::LogOptions;

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must, reg, update},
    world::World,
};

/// `chat` with messages of (id, text, mark), indexed by mark; `grown` has a column more and an
/// index before the other one.
fn chat(grown: bool) -> GuestModule {
    let mut message = GuestTable::new("Message", &["text", "mark"]).auto_inc();
    if grown {
        let likes = Field {
            default: Some(70_u64.to_bytes()),
            ..Field::new("likes", ColumnType::U64)
        };
        message =
            message
                .index(1, IndexKind::Hash, false)
                .field(likes)
                .index(3, IndexKind::Btree, false);
    }
    let row = |id: Value| {
        let mut row = vec![id, arg(0), arg(1)];
        row.extend(grown.then(|| 900.into()));
        row
    };
    let mut module = GuestModule::new("chat")
        .version(0, 1, u32::from(grown))
        .table(message.index(2, IndexKind::Hash, false));
    let put = Op::Insert {
        table: "message".into(),
        row: row(0.into()),
        into: 0,
    };
    let change = Op::Update {
        table: "message".into(),
        row: row(1.into()),
    };
    module = module
        .reducer("put", 2, vec![must(put)])
        .reducer("change", 2, vec![must(change)]);
    if grown {
        module = module.reducer("like", 1, vec![]);
    }
    module
}

/// `mentions` notes each message that it hears of, and looks at what is there.
fn mentions() -> GuestModule {
    let get = Op::Get {
        table: "chat.message".into(),
        index: 0,
        key: 1.into(),
        columns: 3,
        into: 0,
    };
    let scan = Op::Scan {
        table: "chat.message".into(),
        columns: 3,
        into: 4,
    };
    let equal = Op::ScanEqual {
        table: "chat.message".into(),
        index: 1,
        value: 5.into(),
        into: 5,
    };
    GuestModule::new("mentions")
        .depends_on(&chat(false))
        .table(GuestTable::new("Seen", &["text", "mark"]).auto_inc())
        .table(GuestTable::new("Looks", &["text", "all", "marked"]).auto_inc())
        .on_row(
            "chat.message",
            RowEvent::Insert,
            "hear",
            vec![must(insert("seen", [0.into(), arg(1), arg(2)]))],
        )
        .on_row(
            "chat.message",
            RowEvent::Update,
            "hear_change",
            // The old row's text and the new row's mark: both rows are cut.
            vec![must(insert("seen", [0.into(), arg(1), arg(5)]))],
        )
        .reducer(
            "look",
            0,
            vec![
                get,
                scan,
                equal,
                must(insert("looks", [0.into(), reg(2), reg(4), reg(5)])),
            ],
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_goes_on_with_the_columns_that_it_knows() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    peer.call("chat", "put", &[10, 5]).await.expect("commits");
    peer.call("mentions", "look", &[]).await.expect("commits");
    peer.install(&chat(true)).await;
    peer.call("mentions", "look", &[]).await.expect("commits");
    let put = peer.call("chat", "put", &[20, 6]).await.expect("commits");
    assert_eq!((put.failed, put.dropped), (0, 0));
    peer.call("chat", "change", &[30, 7])
        .await
        .expect("commits");
    peer.call("chat", "put", &[40, 5]).await.expect("commits");
    let seen = vec![
        vec![1, 10, 5],
        vec![2, 20, 6],
        vec![3, 10, 7],
        vec![4, 40, 5],
    ];
    assert_eq!(peer.rows("mentions", "seen").await, Ok(seen.clone()));
    let looks = peer.rows("mentions", "looks").await.expect("reads");
    let seen_of = |look: &Vec<u64>| look[1..].to_vec();
    assert_eq!(looks.len(), 2);
    assert_eq!(seen_of(&looks[0]), seen_of(&looks[1]), "nothing changed");
    assert_eq!(looks[0][1..2], [10]);
    assert_eq!(looks[0][3], 1, "one row has mark 5");

    // Replay and a crash agree, also where the last reaction was not recorded.
    let image = world.copy();
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
    let mut world = image;
    let segment_bytes = LogOptions::default().segment_bytes;
    let records = world.keep_log(segment_bytes, |_| true);
    let mut left = records;
    world.keep_log(segment_bytes, |_| {
        left -= 1;
        left > 0
    });
    world.start().await;
    let peer = world.owner().await;
    let mut watch = peer.watch("mentions", "seen", None).await;
    let (mut rows, _) = watch.rows().await;
    while rows.len() < seen.len() {
        rows.extend(
            watch
                .changes(1)
                .await
                .into_iter()
                .filter_map(|change| change.after),
        );
    }
    assert_eq!(rows, seen);
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_reader_knows_cannot_go() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    let shorter = GuestModule::new("chat")
        .version(0, 1, 9)
        .table(GuestTable::new("Message", &["text"]).auto_inc())
        .reducer("put", 2, vec![])
        .reducer(
            "change",
            2,
            vec![must(update("message", [1.into(), 1.into()]))],
        );
    let failure = peer.deploy(&shorter, OnConflict::Wipe).await;
    let failure = failure.expect_err("`mentions` reads it");
    assert!(
        failure.message.contains("column `mark` is gone"),
        "{failure}"
    );
}
