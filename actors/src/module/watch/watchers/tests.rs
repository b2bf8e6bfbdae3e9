//! Which watches a node keeps, and what they get of a large step.

use std::time::Duration;

use interstice_abi::{
    id::{Seq, StepIndex},
    wire::{FRAME_BYTES_MAX, Response},
};
use interstice_client::{frame::Decoder, parts::Joiner};

use super::*;
use crate::ingress::Replies;

const CHANGES: u32 = 70;

fn at(index: u32) -> Position {
    Position {
        seq: Seq(9),
        step: StepIndex(1),
        index,
        ..Position::default()
    }
}

/// Changes of one step that no frame holds, of a mebibyte each.
fn published(replies: &Replies) {
    let change = |index| WatchedChange {
        position: at(index),
        before: None,
        after: Some(vec![7; 1024 * 1024]),
    };
    let watched = Watched {
        module: ModuleName::new("any").expect("a name"),
        table: TableId(0),
        watchers: Arc::new(vec![Arc::new(Watcher::live(replies.clone()))]),
        changes: (0..CHANGES).map(change).collect(),
    };
    watched.publish();
    replies.outbox().finish();
}

/// The positions of the changes that a client gets, and why its watch has ended.
async fn received(replies: &Replies) -> (Vec<Position>, Option<Failure>) {
    let (changes, failure) = all_received(replies).await;
    let positions = changes.iter().map(|change| change.position);
    (positions.collect(), failure)
}

async fn all_received(replies: &Replies) -> (Vec<WatchedChange>, Option<Failure>) {
    let mut written = Vec::new();
    let stall = Duration::from_secs(30);
    replies
        .outbox()
        .write_to(&mut written, stall)
        .await
        .expect("is written");
    let mut decoder = Decoder::<Response>::new(FRAME_BYTES_MAX);
    let (mut received, mut failure) = (Vec::new(), None);
    let mut joiner = Joiner::default();
    for part in written.chunks(1 << 20) {
        decoder.extend(part);
        while let Some((response, bytes)) = decoder.message().expect("is a frame") {
            let Some((response, _)) = joiner.take(response, bytes).expect("fits") else {
                continue;
            };
            match response.body {
                Ok(ResponseBody::Watch(WatchEvent::Changes(changes))) => {
                    received.extend(changes);
                }
                Ok(other) => unreachable!("{other:?}"),
                Err(why) => failure = Some(why),
            }
        }
    }
    (received, failure)
}

/// A change of the largest row into another one.
fn largest(index: u32) -> WatchedChange {
    let row = |byte| Some(vec![byte; FRAME_BYTES_MAX as usize]);
    WatchedChange {
        position: at(index),
        before: row(1),
        after: row(2),
    }
}

#[tokio::test]
async fn a_change_between_two_of_the_largest_rows_arrives() {
    let replies = Replies::new(1 << 30, 4 << 20);
    let watched = Watched {
        module: ModuleName::new("any").expect("a name"),
        table: TableId(0),
        watchers: Arc::new(vec![Arc::new(Watcher::live(replies.clone()))]),
        changes: vec![largest(0)],
    };
    watched.publish();
    replies.outbox().finish();
    let (changes, failure) = all_received(&replies).await;
    assert_eq!(failure, None);
    assert!(changes == [largest(0)]);
}

#[tokio::test]
async fn a_watch_that_resumes_gets_past_a_change_between_two_of_the_largest_rows() {
    let replies = Replies::new(1 << 30, 4 << 20);
    let watcher = Watcher::live(replies.clone());
    assert!(watcher.earlier_changes(vec![largest(0)]));
    replies.outbox().finish();
    let (changes, failure) = all_received(&replies).await;
    assert_eq!(failure, None);
    assert!(changes == [largest(0)]);
}

#[tokio::test]
async fn a_step_that_changes_more_than_a_frame_holds_is_published_in_frames() {
    let replies = Replies::new(1 << 30, 1 << 30);
    published(&replies);
    let (positions, failure) = received(&replies).await;
    assert_eq!(failure, None);
    assert_eq!(positions, (0..CHANGES).map(at).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_watch_that_cannot_keep_up_with_a_step_is_shown_where_in_it_to_resume() {
    let replies = Replies::new(1 << 30, 5 << 20);
    published(&replies);
    let (positions, failure) = received(&replies).await;
    let last = positions.last().expect("it got some").to_string();
    assert!(positions.len() < 20, "{positions:?}");
    let failure = failure.expect("the watch has ended");
    assert!(
        failure.message.ends_with(&format!("--from {last}")),
        "{failure}"
    );
}

const MODULE: &str = "any";

/// A watch of `table` for request `request` of `connection`.
fn begun(watchers: &Watchers, connection: u64, request: u64, table: &str) -> Arc<Watcher> {
    let mut watcher = Watcher::live(Replies::new(1 << 20, 1 << 20));
    (watcher.connection, watcher.request) = (connection, request);
    let watcher = Arc::new(watcher);
    let module = ModuleName::new(MODULE).expect("a name");
    watchers.add(&module, table, watcher.clone());
    watcher
}

fn of_table(watchers: &Watchers, table: &str) -> usize {
    let module = ModuleName::new(MODULE).expect("a name");
    let list = watchers.tables.get(&(module, table.to_string()));
    list.map_or(0, |list| list.len())
}

#[test]
fn the_end_of_a_watch_ends_it_alone_and_that_of_a_connection_all_of_its_watches() {
    let watchers = Watchers::default();
    let first = begun(&watchers, 1, 1, "a");
    let others = [(1, 2, "a"), (1, 3, "b"), (2, 1, "a"), (2, 2, "c")];
    let others = others.map(|(of, request, table)| begun(&watchers, of, request, table));
    assert!(watchers.end(1, Some(1)));
    assert!(!watchers.end(1, Some(1)), "it has ended");
    assert!(first.has_ended() && others.iter().all(|other| !other.has_ended()));
    assert_eq!(of_table(&watchers, "a"), 2);
    assert!(watchers.end(1, None));
    assert_eq!(
        others.map(|other| other.has_ended()),
        [true, true, false, false]
    );
    assert_eq!((of_table(&watchers, "a"), of_table(&watchers, "b")), (1, 0));
    let gone = Failure::new(Code::NotFound, "the module is gone");
    watchers.end_module(&ModuleName::new(MODULE).expect("a name"), &gone);
    assert!(watchers.is_empty());
    assert!(!watchers.end(2, None), "nothing of it is left");
}

#[test]
fn the_end_of_a_watch_looks_at_no_other_table() {
    let watchers = Watchers::default();
    let ended = begun(&watchers, 1, 1, "other");
    // By itself: its table still lists it, and whoever looks at the table removes it.
    assert!(ended.end());
    begun(&watchers, 2, 1, "own");
    assert!(watchers.end(2, Some(1)));
    assert_eq!(
        (of_table(&watchers, "other"), of_table(&watchers, "own")),
        (1, 0)
    );
    assert!(!watchers.end(1, None));
    assert_eq!(of_table(&watchers, "other"), 0);
    assert!(watchers.is_empty());
}
