//! What a node promises for one call after another, seen from outside: a client, its answers,
//! rows, watches and log lines.
//!
//! The first test follows one call through all nine stages of the design; the others take one
//! promise each. Half-done turns are the kill test's, equal digests are `determinism.rs`'s.

#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

#[path = "stages/atomicity.rs"]
mod atomicity;
#[path = "stages/bad_input.rs"]
mod bad_input;
#[path = "stages/clocks.rs"]
mod clocks;
#[path = "stages/crashes.rs"]
mod crashes;
#[path = "stages/crimes.rs"]
mod crimes;
#[path = "stages/deploys.rs"]
mod deploys;
#[path = "stages/durability.rs"]
mod durability;
#[path = "stages/growth.rs"]
mod growth;
#[path = "stages/history.rs"]
mod history;
#[path = "stages/missed.rs"]
mod missed;
#[path = "stages/open_streams.rs"]
mod open_streams;
#[path = "stages/private.rs"]
mod private;
#[path = "stages/readings.rs"]
mod readings;
#[path = "stages/recurring.rs"]
mod recurring;
#[path = "stages/restarts.rs"]
mod restarts;
#[path = "stages/resumed.rs"]
mod resumed;
#[path = "stages/rights.rs"]
mod rights;
#[path = "stages/sets.rs"]
mod sets;
#[path = "stages/timers.rs"]
mod timers;
#[path = "stages/upgrades.rs"]
mod upgrades;
#[path = "stages/versions.rs"]
mod versions;
#[path = "stages/watches.rs"]
mod watches;
#[path = "stages/wipes.rs"]
mod wipes;

use common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, delete, insert, must, reg, update, upsert},
    world::World,
};
use interstice_abi::{
    event::RowEvent,
    failure::Code,
    id::{Position, StepIndex},
    schema::Access,
};

/// A shop that checks each stage as far as a guest can see it, and leaves what it saw in its rows.
fn shop() -> GuestModule {
    GuestModule::new("shop")
        .table(GuestTable::new("Orders", &["quantity", "price"]).auto_inc())
        .table(GuestTable::new("Notes", &["own_write", "refused", "time"]))
        .reducer(
            "buy",
            1,
            vec![
                Op::Log("somebody buys".into()),
                must(Op::Insert {
                    table: "orders".into(),
                    row: vec![0.into(), arg(0), 0.into()],
                    into: 0,
                }),
                Op::Get {
                    table: "orders".into(),
                    index: 0,
                    key: reg(0),
                    columns: 3,
                    into: 1,
                },
                must(update("orders", [reg(0), reg(3), reg(3).times(5)])),
                delete("orders", reg(0)),
                Op::Set(6, Value::Status),
                must(upsert("notes", [reg(0), reg(1), reg(6), Value::Time])),
            ],
        )
        .forged(&[("orders", Access(7)), ("notes", Access(6))])
        .query(
            "revenue",
            1,
            vec![
                Op::Get {
                    table: "orders".into(),
                    index: 0,
                    key: arg(0),
                    columns: 3,
                    into: 0,
                },
                Op::Return(reg(3)),
            ],
        )
}

fn books(shop: &GuestModule) -> GuestModule {
    GuestModule::new("books")
        .depends_on(shop)
        .table(GuestTable::new("Entries", &["order", "price"]).auto_inc())
        .on_row(
            "shop.orders",
            RowEvent::Insert,
            "enter",
            vec![must(insert("entries", [0.into(), arg(0), 0.into()]))],
        )
        .on_row(
            "shop.orders",
            RowEvent::Update,
            "enter_price",
            vec![must(insert("entries", [0.into(), arg(3), arg(5)]))],
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_passes_through_all_nine_stages() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&shop()).await;
    peer.install(&books(&shop())).await;
    let mut orders = peer.watch("shop", "orders", None).await;
    let mut entries = peer.watch("books", "entries", None).await;
    assert_eq!(orders.rows().await.0, Vec::<Vec<u64>>::new());
    assert_eq!(entries.rows().await.0, Vec::<Vec<u64>>::new());

    // 1: a frame that does not say what the schema asks for is refused before it is a turn.
    let before = peer.node().await;
    let wrong = peer
        .call("shop", "buy", &[])
        .await
        .expect_err("an argument is missing");
    assert_eq!(wrong.code, Code::BadArguments);
    let called = peer.call("shop", "buy", &[7]).await.expect("somebody buys");

    // 2: stamped with a number beyond all earlier ones. 3: the only turn in its module's queue, so
    // nothing waits.
    assert!(called.seq > before.seq, "{called:?} after {before:?}");
    assert_eq!((called.failed, called.dropped), (0, 0));
    assert_eq!(peer.status("shop").await.queue_depth, 0);

    // 4: the guest has run, and said so under the turn's number.
    let lines = peer.lines("shop").await;
    let line = lines
        .iter()
        .find(|line| line.text == "somebody buys")
        .expect("the line is kept");
    assert_eq!(line.seq, Some(called.seq));

    // 5: what the reducer does not declare is refused. 6: it has read its own write, and kept its
    // row.
    let notes = peer.rows("shop", "notes").await.expect("owners see it");
    let [note] = notes.as_slice() else {
        unreachable!("one note, not {notes:?}")
    };
    assert_eq!(note[..3], [1, 1, u64::from(Code::Denied as u16)]);
    assert_eq!(peer.rows("shop", "orders").await, Ok(vec![vec![1, 7, 35]]));

    // 7: the reactions to both changes have run in the same turn, in the order of the changes.
    assert_eq!(
        peer.rows("books", "entries").await,
        Ok(vec![vec![1, 1, 0], vec![2, 1, 35]])
    );

    // 9: the reply came; watchers are told with positions that say the turn, the step and the
    // change.
    let changes = orders.changes(2).await;
    let at = |step, index| Position {
        epoch: before.epoch,
        seq: called.seq,
        step: StepIndex(step),
        index,
    };
    assert_eq!(
        changes
            .iter()
            .map(|change| change.position)
            .collect::<Vec<_>>(),
        [at(0, 0), at(0, 1)]
    );
    assert_eq!(
        (&changes[0].before, &changes[0].after),
        (&None, &Some(vec![1, 7, 0]))
    );
    assert_eq!(
        (&changes[1].before, &changes[1].after),
        (&Some(vec![1, 7, 0]), &Some(vec![1, 7, 35]))
    );
    let steps: Vec<_> = entries
        .changes(2)
        .await
        .into_iter()
        .map(|change| change.position)
        .collect();
    assert_eq!(steps, [at(1, 0), at(2, 0)]);

    // 8: it was in the log before that: a node that is killed here still has it.
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.rows("shop", "orders").await, Ok(vec![vec![1, 7, 35]]));
    assert_eq!(
        peer.rows("books", "entries").await,
        Ok(vec![vec![1, 1, 0], vec![2, 1, 35]])
    );
    assert_eq!(peer.query("shop", "revenue", &[1]).await, Ok(35));
    let again = peer.call("shop", "buy", &[1]).await.expect("somebody buys");
    assert!(again.seq > called.seq, "numbers are not used twice");
    world.stop().await;
}
