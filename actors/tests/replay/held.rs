//! A turn's waiting reactions share the rows that they are handed, up to a bound; the reactions
//! beyond it are dropped in the node, after a crash and in a replay alike.

use interstice_abi::event::RowEvent;
use interstice_abi::schema::Persistence;
use interstice_abi::types::{ColumnType, Field};

use super::agreed;
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, clear, insert, must, reg, update},
    peer::Peer,
    world::World,
};

/// Bytes of a large row; with its key and its length it has three more.
const TEXT_BYTES: u32 = 1000;
const ROW_BYTES: u64 = TEXT_BYTES as u64 + 3;

/// Reactions to each change.
const SUBSCRIBERS: u64 = 3;

/// Small, because the log is copied again and again; large enough for all of it.
const SEGMENT_BYTES: u64 = 256 * 1024;

const TABLES: [&str; 2] = ["kept", "ephemeral"];

/// `source` has a kept and an ephemeral table of large rows; each of their changes starts
/// reactions of `listener`, which write a small row, to which `listener` reacts again.
fn modules() -> [GuestModule; 2] {
    let large = |name: &str| {
        GuestTable::new(name, &[])
            .auto_inc()
            .field(Field::new("text", ColumnType::String))
    };
    let repeat = |op: Op| {
        vec![Op::Repeat {
            register: 0,
            times: arg(0),
            body: vec![must(op)],
        }]
    };
    let mut source = GuestModule::new("source")
        .table(large("Kept"))
        .table(large("Ephemeral").kept(Persistence::Ephemeral));
    for table in TABLES {
        source = source
            .reducer(
                &format!("fill_{table}"),
                1,
                repeat(insert(table, [0.into(), Value::Bytes(TEXT_BYTES)])),
            )
            .reducer(
                &format!("change_{table}"),
                1,
                repeat(update(table, [reg(0).plus(1), Value::Bytes(TEXT_BYTES)])),
            )
            .reducer(&format!("clear_{table}"), 0, vec![must(clear(table))]);
    }
    let mut listener = GuestModule::new("listener")
        .depends_on(&source)
        .table(GuestTable::new("Seen", &["key"]).auto_inc())
        .table(GuestTable::new("Again", &["key"]).auto_inc());
    let events = [
        ("insert", RowEvent::Insert),
        ("update", RowEvent::Update),
        ("delete", RowEvent::Delete),
    ];
    for table in TABLES {
        for (word, event) in events {
            for number in 0..SUBSCRIBERS {
                listener = listener.on_row(
                    &format!("source.{table}"),
                    event,
                    &format!("on_{table}_{word}_{number}"),
                    vec![must(insert("seen", [0.into(), arg(0)]))],
                );
            }
        }
    }
    let listener = listener.on_row(
        "seen",
        RowEvent::Insert,
        "again",
        vec![must(insert("again", [0.into(), arg(1)]))],
    );
    [source, listener]
}

async fn count(peer: &Peer, table: &str) -> u64 {
    let rows = peer.rows("listener", table).await.expect("it is public");
    rows.len() as u64
}

async fn started(turn_bytes_max: u64) -> World {
    let mut world = World::configured(|config| {
        config.limits.turn_bytes_max = turn_bytes_max;
        config.limits.step_bytes_max = 64 * 1024;
    });
    world.start_with(Some(2)).await;
    let peer = world.owner().await;
    for module in modules() {
        peer.install(&module).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactions_share_their_rows_and_those_beyond_the_bound_of_a_turn_are_dropped() {
    // Room for nine rows, and for both rows of four updates.
    let mut world = started(9 * ROW_BYTES + 500).await;
    let peer = world.owner().await;
    let mut seen = 0;
    for table in TABLES {
        for (reducer, rows, fitting) in [
            ("fill", 9, 9),
            ("change", 4, 4),
            ("fill", 11, 9),
            ("change", 7, 4),
        ] {
            let reducer = format!("{reducer}_{table}");
            let called = peer.call("source", &reducer, &[rows]).await;
            let called = called.expect("it commits");
            let dropped = (rows - fitting) * SUBSCRIBERS;
            assert_eq!(
                (called.failed, called.dropped.into()),
                (0, dropped),
                "{reducer}"
            );
            seen += fitting * SUBSCRIBERS;
            assert_eq!(
                (count(&peer, "seen").await, count(&peer, "again").await),
                (seen, seen)
            );
        }
        let called = peer.call("source", &format!("clear_{table}"), &[]).await;
        assert_eq!(
            u64::from(called.expect("it commits").dropped),
            11 * SUBSCRIBERS
        );
        seen += 9 * SUBSCRIBERS;
    }
    let lines = peer.lines("source").await;
    let said =
        |line: &&interstice_abi::wire::LogLine| line.text.contains("turn_bytes_max in node.toml");
    assert_eq!(lines.iter().filter(said).count(), 6, "{lines:?}");
    world.restart().await;
    let peer = world.owner().await;
    assert_eq!(count(&peer, "seen").await, seen);
    world.stop().await;
    agreed(&world, "shared rows").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_a_crash_cut_off_drops_the_same_reactions_when_it_is_finished() {
    let mut world = started(4 * ROW_BYTES + 20).await;
    let peer = world.owner().await;
    for table in TABLES {
        let called = peer.call("source", &format!("fill_{table}"), &[5]).await;
        let called = called.expect("it commits");
        assert_eq!(u64::from(called.dropped), SUBSCRIBERS);
    }
    let expected = (count(&peer, "seen").await, count(&peer, "again").await);
    world.stop().await;
    world.lose_store();
    let whole = world.keep_log(SEGMENT_BYTES, |_| true);
    for keep in (1..=whole).step_by(5) {
        let mut world = world.copy();
        let mut left = keep;
        world.keep_log(SEGMENT_BYTES, |_| {
            left = left.wrapping_sub(1);
            left != usize::MAX
        });
        world.start_with(Some(2)).await;
        let peer = world.owner().await;
        let modules = peer.modules().await;
        if modules
            .iter()
            .any(|module| module.name.as_str() == "listener")
        {
            let found = (count(&peer, "seen").await, count(&peer, "again").await);
            // Either turn has happened whole, or not at all.
            let whole = expected.0 / 2;
            assert!(
                [0, whole, 2 * whole].contains(&found.0) && found.0 == found.1,
                "{found:?} of {expected:?} after {keep} records"
            );
        }
        world.stop().await;
        agreed(&world, &format!("after {keep} of {whole} records")).await;
    }
}
