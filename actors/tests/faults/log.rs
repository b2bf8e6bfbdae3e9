//! The log's files fail: each kind of operation at each place, once or for good, with and without
//! a power cut behind it.

use std::sync::Arc;

use interstice_abi::failure::Code;
use interstice_actors::node::Ground;
use interstice_host::log::{LogFiles, LogOptions, StdFiles};

use crate::{
    bank::{self, Ledger},
    common::{peer::Peer, world::World},
    shaky::{Fault, Kind, Shaky},
    stride,
};

/// Segments so small that a life has several.
const SEGMENT_BYTES: u64 = 8 << 10;

/// Bytes of records after which a checkpoint is taken: several in a life.
const CHECKPOINT_BYTES: u64 = 6 << 10;

const KINDS: [Kind; 7] = [
    Kind::Create,
    Kind::Write,
    Kind::PartOfWrite,
    Kind::Sync,
    Kind::Rename,
    Kind::Remove,
    Kind::SyncDir,
];

pub(crate) fn ground(files: impl LogFiles + 'static) -> Ground {
    Ground {
        log_files: Arc::new(files),
        log_options: LogOptions {
            segment_bytes: SEGMENT_BYTES,
            ..LogOptions::default()
        },
        ..Ground::default()
    }
}

/// A stopped node with a bank that has been in use.
pub(crate) async fn prepared() -> (World, Ledger) {
    let mut world = World::configured(|config| {
        config.workers = 1;
        config.checkpoint_bytes = CHECKPOINT_BYTES;
    });
    world.start_on(ground(StdFiles)).await.expect("it starts");
    let peer = world.owner().await;
    bank::install(&peer).await;
    let mut ledger = Ledger::default();
    ledger.check(&peer, "the beginning").await;
    ledger.put(&peer, 10).await.expect("they are put");
    world.end().await.expect("it ends in order");
    (world, ledger)
}

/// A life on shaky ground; what a client hears once the log has failed.
async fn life(world: &mut World, ledger: &mut Ledger, files: &Shaky) {
    if let Err(error) = world.start_on(ground(files.clone())).await {
        let text = error.to_string();
        assert!(text.contains("log") && text.contains("on order"), "{text}");
        return;
    }
    let peer = world.owner().await;
    let mut failed = None;
    for round in 0..8 {
        let done = ledger.put(&peer, 1 + round % 3 * 4).await;
        let done = match done {
            Ok(()) if round % 3 == 2 => ledger.take_newest(&peer).await,
            other => other,
        };
        if let Err(failure) = done {
            assert_eq!(failure.code, Code::Unavailable, "{failure}");
            failed = Some(failure);
            break;
        }
    }
    if failed.is_some() {
        says_so(world, ledger, &peer).await;
    }
    // With an error where the log has failed: that is what it is for.
    let ended = world.end().await;
    assert!(failed.is_none() || ended.is_err(), "{failed:?}");
}

/// A poisoned node refuses, and its status, its log and its answers say why.
async fn says_so(world: &World, ledger: &mut Ledger, peer: &Peer) {
    let again = ledger.put(peer, 1).await.expect_err("it takes no more");
    assert_eq!(again.code, Code::Unavailable);
    assert!(again.message.contains("takes no more turns"), "{again}");
    assert!(again.message.contains("on order"), "{again}");
    let poisoned = peer.node().await.poisoned.expect("the status says so");
    assert!(poisoned.contains("log could not be written"), "{poisoned}");
    let said = std::fs::read_to_string(world.directory().join("node.log")).expect("reads");
    assert!(said.contains("the node stops taking turns"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_below_the_log_the_next_start_keeps_every_promise() {
    let (image, begun) = prepared().await;
    let (mut lives, mut failed, mut acknowledged) = (0, 0, 0);
    for kind in KINDS {
        for lasting in [false, true] {
            // Another first place for each kind, so that a sample has them all.
            let mut place = lives % stride(9);
            loop {
                let files = Shaky::failing(Fault {
                    kind,
                    place,
                    lasting,
                });
                let about = format!("{kind:?} {place} {lasting}");
                let mut world = image.copy();
                let mut ledger = begun.clone();
                life(&mut world, &mut ledger, &files).await;
                lives += 1;
                if files.failed() == 0 {
                    break;
                }
                failed += files.failed();
                acknowledged += ledger.acknowledged();
                if place.is_multiple_of(2) {
                    files.lose_power(place as u64);
                }
                let healthy = world.start_on(ground(StdFiles)).await;
                healthy.unwrap_or_else(|error| unreachable!("{about}: {error}"));
                let peer = world.owner().await;
                ledger.check(&peer, &about).await;
                world.end().await.expect("it ends in order");
                place += stride(9);
            }
        }
    }
    println!(
        "{lives} lives, {failed} operations failed, {acknowledged} acknowledged calls looked for"
    );
    assert!(failed > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_said_at_the_start() {
    let (mut world, mut ledger) = prepared().await;
    world.start_on(ground(StdFiles)).await.expect("it starts");
    let peer = world.owner().await;
    ledger.put(&peer, 3).await.expect("they are put");
    let mut killed = world.copy();
    world.end().await.expect("it ends in order");
    // A block that was begun when the process was killed.
    let end = killed.log_end();
    killed.write_log(end, &[0xa5; 40]);
    killed.start_on(ground(StdFiles)).await.expect("it starts");
    let peer = killed.owner().await;
    ledger.check(&peer, "torn").await;
    let said = std::fs::read_to_string(killed.directory().join("node.log")).expect("reads");
    let line = said.lines().find(|line| line.contains("cut off"));
    let line = line.expect("the cut is said");
    assert!(
        line.contains("40 bytes") && line.contains(&format!("offset {end}")),
        "{line}"
    );
    killed.end().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_the_checkpoint_is_refused() {
    let (mut world, _) = prepared().await;
    let end = world.log_end();
    world.cut_log(end - 40);
    let error = world
        .start_on(ground(StdFiles))
        .await
        .expect_err("it is damaged");
    let text = error.to_string();
    assert!(
        text.contains("but the checkpoint was taken at") && text.contains("doctor"),
        "{text}"
    );
}
