//! What an upgrade drops is dropped row by row: everybody who watches, reacts or looks back sees
//! it.

use interstice_abi::{
    event::RowEvent,
    failure::Code,
    schema::IndexKind,
    types::{ColumnType, Field},
    wire::{HistoryInput, HistoryOrder, OnConflict, RequestBody, TableFate},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, delete, insert, must, reg, schedule, when_equal},
    peer::Peer,
    world::World,
};

/// More rows than are dropped in one turn.
const ROWS: u64 = 600;

/// `bank` with accounts that share a balance; `next` allows each balance once, and has no `tick`.
fn bank(next: bool) -> GuestModule {
    let accounts = GuestTable::new("Account", &["balance"]).auto_inc();
    let open = Op::Repeat {
        register: 0,
        times: arg(0),
        body: vec![must(insert("account", [0.into(), 5.into()]))],
    };
    let bank = GuestModule::new("bank")
        .version(0, 1, u32::from(next))
        .table(accounts.index(1, IndexKind::Hash, next))
        .reducer("open", 1, vec![open])
        .reducer("wait", 0, vec![must(schedule("tick", 1_000_000_000))]);
    if next {
        bank
    } else {
        bank.reducer("tick", 0, vec![])
    }
}

/// Notes every account that is gone.
fn audit() -> GuestModule {
    GuestModule::new("audit")
        .depends_on(&bank(false).without_reducers())
        .table(GuestTable::new("Gone", &["balance"]))
        .on_row(
            "bank.account",
            RowEvent::Delete,
            "note",
            vec![must(insert("gone", [arg(0), arg(1)]))],
        )
}

async fn drops(peer: &Peer) -> usize {
    let page = peer.history("bank", None, HistoryOrder::Reverse, 20).await;
    let steps = page.expect("is kept").steps;
    let drops = |input: &Option<HistoryInput>| matches!(input, Some(HistoryInput::Drop { .. }));
    steps.iter().filter(|step| drops(&step.input)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_rows_are_deletes_for_subscribers_watchers_and_history() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&bank(false)).await;
    peer.install(&audit()).await;
    peer.call("bank", "open", &[ROWS]).await.expect("commits");
    peer.call("bank", "wait", &[]).await.expect("commits");
    let before = peer.node().await.seq;
    let mut watch = peer.watch("bank", "account", None).await;
    assert_eq!(watch.rows().await.0.len(), 600);

    let next = bank(true);
    let refused = peer.deploy(&next, OnConflict::Refuse).await;
    let refused = refused.expect_err("balances are shared");
    assert_eq!(refused.code, Code::SchemaConflict);
    assert!(refused.message.contains("account (600 rows)"), "{refused}");
    let plan = peer
        .plan(std::slice::from_ref(&next), OnConflict::Wipe)
        .await;
    let plan = plan.expect("it is planned");
    assert_eq!(plan.refused, None);
    let table = &plan.modules[0].tables[0];
    assert_eq!((table.rows, table.fate), (ROWS, TableFate::Dropped));
    assert_eq!(plan.modules[0].timers.len(), 1);
    assert_eq!(plan.modules[0].used_by.len(), 1);
    assert_eq!(peer.node().await.seq, before, "nothing has happened so far");

    let report = peer.deploy(&next, OnConflict::Wipe).await;
    let changes = report.expect("it fits once they are gone").changes;
    let said = |line: &str| changes.iter().any(|change| change.starts_with(line));
    assert!(said("dropped table account: 600 rows"), "{changes:?}");
    assert!(said("dropped timer"), "{changes:?}");

    let deletes = watch.changes(600).await;
    assert!(deletes.iter().all(|change| change.after.is_none()));
    assert_eq!(peer.rows("bank", "account").await, Ok(vec![]));
    assert_eq!(
        peer.rows("audit", "gone").await.map(|rows| rows.len()),
        Ok(600)
    );
    assert_eq!(
        drops(&peer).await,
        4,
        "the timer, and three parts of the rows"
    );
    let rows_then = peer.rows_at("bank", "account", before).await;
    assert_eq!(rows_then.map(|rows| rows.len()), Ok(600));
    peer.call("bank", "open", &[1]).await.expect("commits");
    let rows = peer.rows("bank", "account").await;
    assert_eq!(rows, Ok(vec![vec![601, 5]]), "no number is used twice");

    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.rows("bank", "account").await, rows);
    assert_eq!(
        peer.rows("audit", "gone").await.map(|rows| rows.len()),
        Ok(600)
    );
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_puts_dropped_rows_back_is_not_upgraded() {
    let world = World::started().await;
    let peer = world.owner().await;
    let stubborn = bank(false).on_row(
        "account",
        RowEvent::Delete,
        "again",
        vec![must(insert("account", [0.into(), arg(1)]))],
    );
    peer.install(&stubborn).await;
    peer.call("bank", "open", &[3]).await.expect("commits");
    let refused = peer.deploy(&bank(true), OnConflict::Wipe).await;
    let refused = refused.expect_err("there are always rows");
    assert!(refused.message.contains("`unload`"), "{refused}");
    peer.request(RequestBody::Unload {
        module: "bank".into(),
    })
    .await
    .expect("stops");
    let report = peer.deploy(&bank(true), OnConflict::Wipe).await;
    report.expect("nothing reacts any more");
    assert_eq!(peer.rows("bank", "account").await, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_table_may_change_as_it_likes() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let table = |ty: ColumnType| {
        GuestTable::new("Rows", &[])
            .auto_inc()
            .field(Field::new("value", ty))
    };
    let module = |patch, ty| {
        GuestModule::new("store")
            .version(0, 1, patch)
            .table(table(ty))
    };
    let put = |module: GuestModule| {
        module.reducer(
            "put",
            0,
            vec![
                Op::Insert {
                    table: "rows".into(),
                    row: vec![0.into(), 1.into()],
                    into: 0,
                },
                when_equal(reg(0), 1, vec![delete("rows", reg(0))]),
            ],
        )
    };
    peer.install(&put(module(0, ColumnType::U64))).await;
    peer.call("store", "put", &[]).await.expect("commits");
    peer.install(&put(module(1, ColumnType::U32))).await;
    peer.call("store", "put", &[]).await.expect("commits");
    assert_eq!(peer.rows("store", "rows").await, Ok(vec![vec![2, 1]]));
    let refused = peer
        .deploy(&module(2, ColumnType::U8), OnConflict::Refuse)
        .await;
    refused.expect_err("there is a row");
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.rows("store", "rows").await, Ok(vec![vec![2, 1]]));
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
}
