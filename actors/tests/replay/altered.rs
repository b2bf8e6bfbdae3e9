//! A log, or what it names, that is not what it was: replay says where, and refuses what it cannot
//! use.

use std::{fs, path::PathBuf};

use interstice_abi::event::RowEvent;
use interstice_actors::replay::{Difference, ReplayError, What};

use super::agreed;
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must, when_equal},
    peer::Order,
    world::World,
};

/// As long as what takes its place in its encoding.
const VALUE: u64 = 300_001;
const OTHER_VALUE: u64 = 300_002;

fn shop() -> GuestModule {
    GuestModule::new("shop")
        .table(GuestTable::new("Orders", &["value"]).auto_inc())
        .table(GuestTable::new("Notes", &["value"]).auto_inc())
        .reducer(
            "buy",
            1,
            vec![
                must(insert("orders", [0.into(), arg(0)])),
                when_equal(arg(0), 7, vec![Op::Fail("not sold".into())]),
            ],
        )
        .on_row(
            "orders",
            RowEvent::Insert,
            "react",
            vec![must(insert(
                "notes",
                [0.into(), arg(1).plus(Value::Memory)],
            ))],
        )
}

/// A stopped node that has sold, and not sold.
async fn stopped() -> World {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&shop()).await;
    for value in [1, VALUE, 2] {
        peer.call("shop", "buy", &[value]).await.expect("commits");
    }
    peer.call("shop", "buy", &[7]).await.expect_err("not sold");
    world.stop().await;
    world
}

/// The first difference after `old` was replaced in the first record that has all of `marks`.
async fn altered(world: &World, marks: &[&[u8]], old: &[u8], new: &[u8]) -> Difference {
    let world = world.copy();
    let mut left = 1;
    world.rewrite_log(64 * 1024 * 1024, |record| {
        let has = |part: &[u8]| find(record, part).is_some();
        if left > 0 && marks.iter().all(|mark| has(mark)) {
            left -= 1;
            let place = record
                .windows(old.len())
                .rposition(|window| window == old)
                .expect("it is there");
            record.splice(place..place + old.len(), new.iter().copied());
        }
    });
    assert_eq!(left, 0, "there is such a record");
    let replayed = world.replay().await.expect("it is read to its end");
    assert!(!replayed.agrees());
    replayed.difference.expect("there is one")
}

fn find(record: &[u8], part: &[u8]) -> Option<usize> {
    record.windows(part.len()).position(|window| window == part)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(u8::try_from(value % 128 + 128).expect("fits"));
        value /= 128;
    }
    bytes.push(u8::try_from(value).expect("fits"));
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_altered_in_the_log_is_found_with_turn_step_table_and_key() {
    let world = stopped().await;
    agreed(&world, "as it was").await;
    let (value, other) = (varint(VALUE), varint(OTHER_VALUE));
    let found = altered(&world, &[b"buy", &value], &value, &other).await;
    assert_eq!(found.step.0, 0, "{found}");
    assert_eq!(found.reducer.as_deref(), Some("buy"), "{found}");
    let What::Row(row) = &found.what else {
        unreachable!("a row, not {found:?}");
    };
    assert_eq!(row.table_name(), "orders");
    let bytes = |number: u64| [vec![2], varint(number)].concat();
    let after = |change: &Option<interstice_host::table::Change>| {
        let change = change.as_ref().expect("both have a change");
        assert_eq!(*change.key, 2_u64.to_be_bytes());
        change.after.as_ref().expect("a row").to_vec()
    };
    assert_eq!(after(&row.recorded), bytes(OTHER_VALUE));
    assert_eq!(after(&row.replayed), bytes(VALUE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_a_reaction_and_an_input_that_were_altered_are_found() {
    let world = stopped().await;
    let found = altered(&world, &[b"not sold"], b"not sold", b"was sold").await;
    assert!(
        found.to_string().contains("the outcome is recorded as"),
        "{found}"
    );
    assert!(found.to_string().contains("was sold"), "{found}");
    let first_order = [b"shop".as_slice(), b"react", b"buy"];
    let found = altered(&world, &first_order, b"react", b"raect").await;
    assert!(
        found.to_string().contains("a reaction is recorded as"),
        "{found}"
    );
    assert_eq!((found.step.0, found.reducer.as_deref()), (0, Some("buy")));
    // What is altered in an input comes out as what follows from it.
    let value = varint(VALUE);
    let marks = [b"buy".as_slice(), &value];
    let world = world.copy();
    let other = varint(OTHER_VALUE);
    world.rewrite_log(64 * 1024 * 1024, |record| {
        if marks.iter().all(|mark| find(record, mark).is_some()) {
            let place = find(record, &value).expect("it is there");
            record.splice(place..place + value.len(), other.iter().copied());
        }
    });
    let replayed = world.replay().await.expect("it is read to its end");
    let found = replayed.difference.expect("there is one");
    assert!(matches!(found.what, What::Row(_)), "{found}");
}

fn binary(world: &World) -> PathBuf {
    let folder = fs::read_dir(world.directory().join("modules")).expect("a folder");
    let mut paths = folder.map(|entry| entry.expect("it is read").path());
    let binary = paths.find(|path| path.extension().is_some_and(|end| end == "wasm"));
    binary.expect("a binary")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_that_was_exchanged_or_is_missing_is_refused_by_name() {
    let world = stopped().await;
    let exchanged = world.copy();
    let path = binary(&exchanged);
    fs::write(&path, shop().version(0, 1, 9).wasm()).expect("it is written");
    let error = exchanged.replay().await.expect_err("it is another binary");
    let text = error.to_string();
    assert!(matches!(error, ReplayError::At { .. }), "{error:?}");
    assert!(
        text.contains(&path.display().to_string()) && text.contains("is damaged"),
        "{text}"
    );
    fs::remove_file(&path).expect("it goes");
    let text = exchanged
        .replay()
        .await
        .expect_err("it is gone")
        .to_string();
    assert!(
        text.contains(&path.display().to_string()) && text.contains("cannot be read"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_log_is_refused_with_its_place() {
    let mut world = stopped().await;
    for _ in 0..4 {
        world.start().await;
        world.stop().await;
    }
    world.rewrite_log(1024, |_| {});
    agreed(&world, "in many segments").await;
    let segments = |world: &World| {
        let folder = fs::read_dir(world.directory().join("log")).expect("a folder");
        let mut all: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
        all.sort();
        all
    };
    let all = segments(&world);
    assert!(all.len() > 2, "{all:?}");
    let gap = world.copy();
    let missing = segments(&gap);
    fs::remove_file(&missing[1]).expect("it goes");
    let text = gap
        .replay()
        .await
        .expect_err("a segment is missing")
        .to_string();
    assert!(text.contains("a block is broken or missing"), "{text}");
    assert!(text.contains(&missing[0].display().to_string()), "{text}");
    let headless = world.copy();
    fs::remove_file(&segments(&headless)[0]).expect("it goes");
    let error = headless
        .replay()
        .await
        .expect_err("the beginning is missing");
    assert!(matches!(error, ReplayError::Beginning { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_changes_nothing_in_the_nodes_directory() {
    let world = stopped().await;
    let before = picture(world.directory());
    let replayed = agreed(&world, "a stopped node").await;
    assert!(!replayed.was_running);
    assert_eq!(picture(world.directory()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_is_replayed_up_to_this_moment_and_goes_on() {
    let mut world = stopped().await;
    world.start().await;
    let peer = world.owner().await;
    let orders: Vec<Order> = (0..400)
        .map(|value| Order::new("shop", "buy", &[value * 1000]))
        .collect();
    let under_load = async {
        let mut last = 0;
        for _ in 0..4 {
            let replayed = agreed(&world, "under load").await;
            assert!(replayed.was_running && replayed.turns >= last);
            last = replayed.turns;
        }
    };
    let (answers, ()) = futures::join!(peer.calls(&orders), under_load);
    assert!(answers.iter().all(Result::is_ok));
    let replayed = agreed(&world, "at rest").await;
    let digest = peer.status("shop").await.digest;
    let came_to = &replayed.modules[0];
    assert_eq!(came_to.replayed.map(|digest| digest.0), digest);
    world.stop().await;
}

/// Every file below `folder` and a hash of what is in it.
fn picture(folder: &std::path::Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.file_type().expect("a type").is_dir() {
            all.push((entry.path(), String::new()));
            all.extend(picture(&entry.path()));
        } else {
            let bytes = fs::read(entry.path()).expect("a file");
            all.push((entry.path(), blake3::hash(&bytes).to_string()));
        }
    }
    all.sort();
    all
}
