//! Readers that are slower than what they watch, and tables larger than what may wait for them.

use std::{collections::BTreeMap, time::Duration};

use interstice_abi::{
    codec::{Column as _, Input},
    failure::Code,
    id::Position,
    wire::{RequestBody, ResponseBody, WatchEvent},
};
use interstice_client::Identity;

use crate::{
    common::{
        guest::{GuestModule, GuestTable},
        op::{Op, Value, arg, insert, must, reg, upsert},
        world::World,
    },
    raw::Raw,
};

/// Columns of ten bytes each.
const WIDE: usize = 40;

/// Rows of one call.
pub(crate) const ROWS: u64 = 2000;

/// What may wait unsent in this node.
const UNSENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn row(key: Value, value: Value) -> [Value; WIDE + 1] {
    let wide = |place: usize| match place {
        0 => key.clone(),
        1 => value.clone(),
        _ => u64::MAX.into(),
    };
    std::array::from_fn(wide)
}

/// `fill(first, value)` writes [`ROWS`] rows of 400 bytes.
pub(crate) fn warehouse() -> GuestModule {
    let columns: Vec<String> = (0..WIDE).map(|place| format!("c{place}")).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let write = must(upsert("goods", row(arg(0).plus(reg(0)), arg(1))));
    GuestModule::new("warehouse")
        .table(GuestTable::new("Goods", &columns))
        .table(GuestTable::new("Marks", &["value"]))
        .reducer(
            "fill",
            2,
            vec![Op::Repeat {
                register: 0,
                times: ROWS.into(),
                body: vec![write],
            }],
        )
        .reducer("mark", 2, vec![must(insert("marks", [arg(0), arg(1)]))])
}

async fn world() -> World {
    let mut world = World::configured(|config| {
        config.admission.unsent_bytes_max = UNSENT_BYTES_MAX;
        config.limits.deadline_ms = 30_000;
    });
    world.start().await;
    world.owner().await.install(&warehouse()).await;
    world
}

async fn watch(world: &World, from: Option<Position>) -> Raw {
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port())
        .parse()
        .unwrap();
    let mut raw = Raw::greeted_at(&address, &Identity::generate()).await;
    let watch = RequestBody::Watch {
        module: "warehouse".into(),
        table: "goods".into(),
        from,
    };
    raw.ask(2, watch).await;
    raw
}

fn keyed(bytes: &[u8]) -> (u64, u64) {
    let mut input = Input::new(bytes);
    let mut number = || u64::decode(&mut input).unwrap();
    (number(), number())
}

/// Reads until the position of the rows; the rows, and where they are valid.
async fn rows(raw: &mut Raw) -> (BTreeMap<u64, u64>, Position) {
    let mut found = BTreeMap::new();
    loop {
        match raw.answer().await.unwrap().body.unwrap() {
            ResponseBody::Watch(WatchEvent::Rows { rows, complete }) => {
                found.extend(rows.iter().map(|bytes| keyed(bytes)));
                if let Some(position) = complete {
                    return (found, position);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Changes up to `expected` of them, with a new watch wherever one is cut off; how often that was.
async fn follow(
    world: &World,
    raw: &mut Raw,
    (found, mut last): (&mut BTreeMap<u64, u64>, Position),
    expected: u64,
) -> u64 {
    let (mut seen, mut cut) = (0, 0);
    while seen < expected {
        let answer = tokio::time::timeout(Duration::from_secs(60), raw.answer()).await;
        match answer.expect("changes come").unwrap().body {
            Ok(ResponseBody::Watch(WatchEvent::Changes(changes))) => {
                for change in changes {
                    assert!(change.position > last, "in order, each once");
                    let before = change.before.as_deref().map(keyed);
                    let (key, value) = keyed(change.after.as_deref().unwrap());
                    let known = found.insert(key, value);
                    assert_eq!(known, before.map(|(_, value)| value), "none is missing");
                    last = change.position;
                    seen += 1;
                }
            }
            Err(failure) => {
                assert_eq!(failure.code, Code::Busy);
                let (_, named) = failure
                    .message
                    .split_once("--from ")
                    .expect("it says where");
                assert_eq!(named.parse::<Position>().unwrap(), last, "{failure}");
                cut += 1;
                *raw = watch(world, Some(last)).await;
            }
            other => panic!("{other:?}"),
        }
    }
    cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_larger_than_what_may_wait_is_watched_by_a_client_that_reads() {
    let world = world().await;
    let owner = world.owner().await;
    for call in 0..20 {
        owner
            .call("warehouse", "fill", &[call * ROWS, 1])
            .await
            .unwrap();
    }
    let bytes = owner.status("warehouse").await.tables[0].bytes;
    assert!(bytes > 3 * UNSENT_BYTES_MAX, "{bytes}");
    let mut raw = watch(&world, None).await;
    // Begun and not read yet: what changes from here on is not in the rows, and comes behind them,
    // in spite of being more than what waits for a watch.
    let first = raw.answer().await.unwrap();
    for call in 0..8 {
        owner
            .call("warehouse", "fill", &[call % 3 * ROWS, 2 + call])
            .await
            .unwrap();
    }
    let Ok(ResponseBody::Watch(WatchEvent::Rows {
        rows: some,
        complete: None,
    })) = first.body
    else {
        panic!("{first:?}")
    };
    let (mut found, complete) = rows(&mut raw).await;
    found.extend(some.iter().map(|bytes| keyed(bytes)));
    assert_eq!(found.len() as u64, 20 * ROWS);
    assert!(
        found.values().all(|value| *value == 1),
        "as they were at its place in the queue"
    );
    let cut = follow(&world, &mut raw, (&mut found, complete), 8 * ROWS).await;
    assert_eq!(cut, 1, "the changes were more than may wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_cut_off_and_resumes_where_the_notice_says() {
    let world = world().await;
    let owner = world.owner().await;
    let mut raw = watch(&world, None).await;
    let (mut found, complete) = rows(&mut raw).await;
    // More than the system's buffers and the bound hold together.
    let calls = 60;
    for call in 0..calls {
        owner
            .call("warehouse", "fill", &[(call % 7) * ROWS, call])
            .await
            .unwrap();
    }
    let cut = follow(&world, &mut raw, (&mut found, complete), calls * ROWS).await;
    assert!(cut > 0, "it was not cut off");
    let stored = owner.status("warehouse").await.tables[0].rows;
    assert_eq!(found.len() as u64, stored);
}
