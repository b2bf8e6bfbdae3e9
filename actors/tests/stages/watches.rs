//! Watches: rows at a position, then every change once, in order, from wherever one resumes.

use std::collections::BTreeMap;

use interstice_abi::{failure::Code, id::Position, schema::Persistence};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, delete, insert, must, update},
    peer::{Order, SeenChange},
    world::World,
};

fn market() -> GuestModule {
    GuestModule::new("market")
        .table(GuestTable::new("Prices", &["value"]))
        .table(
            GuestTable::new("Passing", &["value"])
                .auto_inc()
                .kept(Persistence::Ephemeral),
        )
        .reducer(
            "put",
            2,
            vec![
                must(insert("prices", [arg(0), arg(1)])),
                must(insert("passing", [0.into(), arg(1)])),
            ],
        )
        .reducer("change", 2, vec![must(update("prices", [arg(0), arg(1)]))])
        .reducer("end", 1, vec![must(delete("prices", arg(0)))])
        .reducer(
            "sweep",
            0,
            vec![must(Op::Clear {
                table: "prices".into(),
            })],
        )
}

/// Calls whose effect depends on their order.
fn orders(from: u64, count: u64) -> Vec<Order> {
    (from..from + count)
        .map(|number| match number % 4 {
            0 | 1 => Order::new("market", "put", &[number, number * 10]),
            2 => Order::new("market", "change", &[number - 1, number * 10]),
            _ => Order::new("market", "end", &[number - 3]),
        })
        .collect()
}

/// Plays changes onto rows; each must fit what is there.
fn play(rows: &mut BTreeMap<u64, Vec<u64>>, changes: &[SeenChange]) {
    for change in changes {
        let key = change
            .after
            .as_ref()
            .or(change.before.as_ref())
            .map(|row| row[0])
            .expect("a change has a row");
        let before = match &change.after {
            Some(after) => rows.insert(key, after.clone()),
            None => rows.remove(&key),
        };
        assert_eq!(before, change.before, "at {}", change.position);
    }
}

fn in_order(changes: &[SeenChange]) -> bool {
    changes
        .windows(2)
        .all(|pair| pair[0].position < pair[1].position)
}

fn keyed(rows: Vec<Vec<u64>>) -> BTreeMap<u64, Vec<u64>> {
    rows.into_iter().map(|row| (row[0], row)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_changes_fit_together_while_calls_run() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market()).await;
    let calls = orders(0, 400);
    let watching = async {
        let watcher = world.stranger().await;
        let mut watches = Vec::new();
        for _ in 0..4 {
            let mut watch = watcher.watch("market", "prices", None).await;
            let (rows, complete) = watch.rows().await;
            watches.push((watch, keyed(rows), complete));
        }
        (watcher, watches)
    };
    let (answers, (_watcher, watches)) = tokio::join!(peer.calls(&calls), watching);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    peer.call("market", "put", &[1_000_000, 1])
        .await
        .expect("commits");
    let expected = keyed(peer.rows("market", "prices").await.expect("is there"));
    for (mut watch, mut rows, complete) in watches {
        let changes = watch
            .changes_until(|change| change.after.as_ref().is_some_and(|row| row[0] == 1_000_000))
            .await;
        assert!(
            in_order(&changes)
                && changes
                    .first()
                    .is_none_or(|first| first.position > complete)
        );
        play(&mut rows, &changes);
        assert_eq!(rows, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_a_position_gives_exactly_what_was_missed() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market()).await;
    let mut watch = peer.watch("market", "prices", None).await;
    let (rows, complete) = watch.rows().await;
    assert_eq!(rows, Vec::<Vec<u64>>::new());
    peer.calls(&orders(0, 100)).await;
    let all = watch.changes(100).await;
    assert!(in_order(&all));
    drop(watch);

    // From everywhere: exactly what came behind.
    for from in [
        complete,
        all[0].position,
        all[42].position,
        all[98].position,
    ] {
        let mut again = peer.watch("market", "prices", Some(from)).await;
        let wanted: Vec<SeenChange> = all
            .iter()
            .filter(|change| change.position > from)
            .cloned()
            .collect();
        assert_eq!(again.changes(wanted.len()).await, wanted);
        drop(again);
    }

    // Over a crash, and while more comes in at the same time.
    world.crash().await;
    let peer = world.owner().await;
    let watcher = world.stranger().await;
    let from = all[49].position;
    let more = orders(100, 200);
    let resumed = async {
        let mut again = watcher.watch("market", "prices", Some(from)).await;
        again.changes(250).await
    };
    let (answers, missed) = tokio::join!(peer.calls(&more), resumed);
    assert!(answers.iter().all(Result::is_ok));
    assert!(in_order(&missed), "no change comes twice");
    assert_eq!(
        missed[..50],
        all[50..],
        "what was before the crash is the same after it"
    );
    let mut rows = BTreeMap::new();
    play(&mut rows, &all[..50]);
    play(&mut rows, &missed);
    assert_eq!(
        rows,
        keyed(peer.rows("market", "prices").await.expect("is there"))
    );

    let swept = rows.len();
    let mut last = watcher
        .watch(
            "market",
            "prices",
            missed.last().map(|change| change.position),
        )
        .await;
    peer.call("market", "sweep", &[]).await.expect("commits");
    let changes = last.changes(swept).await;
    assert!(
        in_order(&changes) && changes.iter().all(|change| change.after.is_none()),
        "a clear is a change per row"
    );
    // From inside that step, too.
    let from = Some(changes[2].position);
    let mut inside = watcher.watch("market", "prices", from).await;
    assert_eq!(inside.changes(swept - 3).await, changes[3..]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_watched_says_why() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market()).await;
    let mut passing = peer.watch("market", "passing", None).await;
    assert_eq!(passing.rows().await.0.len(), 0);
    peer.calls(&orders(0, 2)).await;
    let seen = passing.changes(2).await;
    assert_eq!(
        seen[1].after,
        Some(vec![2, 10]),
        "ephemeral tables are watched like others"
    );
    let failure = peer
        .watch("market", "passing", Some(seen[0].position))
        .await
        .failure()
        .await;
    assert_eq!(failure.code, Code::BadArguments);
    let failure = peer
        .watch("market", "prices", Some(Position::default()))
        .await
        .failure()
        .await;
    assert_eq!(failure.code, Code::NotFound, "before the module was there");
    let failure = peer.watch("market", "nothing", None).await.failure().await;
    assert_eq!(failure.code, Code::NotFound);
}
