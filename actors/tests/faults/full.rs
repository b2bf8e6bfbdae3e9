//! A full disk below the log, below the store, and below both: small file systems in memory,
//! mounted where the test may.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use interstice_abi::failure::Code;
use interstice_host::log::StdFiles;

use crate::{
    bank::Ledger,
    common::world::World,
    log::{ground, prepared},
};

/// A file system in memory over a folder; gone when it is dropped.
struct Small(PathBuf);

impl Small {
    /// Mounts one over a folder, with what is in it and `room` kilobytes more; `None` where this
    /// process may not.
    fn over(folder: PathBuf, room: u64) -> Option<Self> {
        let aside = folder.with_extension("aside");
        let copy = |from: &Path, to: &Path| {
            let from = format!("{}/.", from.display());
            let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
            copied.expect("cp runs").success()
        };
        fs::create_dir(&aside).expect("a folder");
        assert!(copy(&folder, &aside));
        let size = format!("size={}k,mode=0700", used_kilobytes(&aside) + room);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&folder)
            .output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            return None;
        }
        let small = Self(folder);
        assert!(copy(&aside, &small.0), "there is room for what was there");
        Some(small)
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.0.join("ballast")).expect("a file");
        let full = std::io::copy(&mut std::io::repeat(7), &mut ballast).expect_err("it is small");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    }

    /// There is room again.
    fn grow(&self) {
        let grown = Command::new("mount")
            .args(["-o", "remount,size=512m"])
            .arg(&self.0)
            .status();
        assert!(grown.expect("mount runs").success());
    }
}

fn used_kilobytes(folder: &Path) -> u64 {
    let used = Command::new("du")
        .arg("-sk")
        .arg(folder)
        .output()
        .expect("du runs");
    let text = String::from_utf8(used.stdout).expect("is text");
    let first = text.split_whitespace().next();
    first
        .and_then(|first| first.parse().ok())
        .expect("a number")
}

impl Drop for Small {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the folder then outlives the test.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Works until the disk below `part` of the node is full, then mends it.
async fn check(part: &str, room: u64) {
    let (mut world, mut ledger) = prepared().await;
    let Some(small) = Small::over(world.directory().join(part), room) else {
        println!("skipped: file systems can be mounted by root only");
        return;
    };
    let starts = world.start_on(ground(StdFiles)).await;
    starts.unwrap_or_else(|error| unreachable!("{part}: {error}"));
    let failure = fill(&world, &mut ledger).await;
    assert_eq!(failure.code, Code::Unavailable, "{failure}");
    assert!(
        failure.message.contains("No space left on device"),
        "{part}: {failure}"
    );
    let peer = world.owner().await;
    let poisoned = peer.node().await.poisoned.expect("the status says so");
    assert!(poisoned.contains("No space left on device"), "{poisoned}");
    drop(world.end().await);
    small.grow();
    let starts = world.start_on(ground(StdFiles)).await;
    starts.unwrap_or_else(|error| unreachable!("{part} with room: {error}"));
    let peer = world.owner().await;
    ledger.check(&peer, part).await;
    world.end().await.expect("it ends in order");
    println!(
        "full {part}: {} acknowledged calls were there",
        ledger.acknowledged()
    );
}

/// Puts deposits until one fails for want of space; the refusal that says so.
async fn fill(world: &World, ledger: &mut Ledger) -> interstice_abi::failure::Failure {
    let peer = world.owner().await;
    for _ in 0..4000 {
        if ledger.put(&peer, 40).await.is_err() {
            return ledger.put(&peer, 1).await.expect_err("it takes no more");
        }
    }
    unreachable!("the disk never fills")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_full_when_it_stops_ends_and_says_what_is_not_on_disk() {
    let (mut world, mut ledger) = prepared().await;
    // Nothing goes to the store before the end.
    world.configure(|config| config.checkpoint_bytes = 1 << 30);
    let Some(small) = Small::over(world.directory().join("db"), 3000) else {
        println!("skipped: file systems can be mounted by root only");
        return;
    };
    world.start_on(ground(StdFiles)).await.expect("it starts");
    let peer = world.owner().await;
    for _ in 0..10 {
        ledger.put(&peer, 40).await.expect("they are put");
    }
    small.fill();
    let ended = tokio::time::timeout(Duration::from_secs(120), world.end()).await;
    let error = ended.expect("it ends").expect_err("not in order");
    let text = error.to_string();
    assert!(
        text.contains("No space left on device")
            && text.contains("nothing that was acknowledged is lost"),
        "{text}"
    );
    // Elsewhere: sled may still hold its file.
    let mut elsewhere = world.copy();
    fs::remove_file(elsewhere.directory().join("db/ballast")).expect("it goes");
    elsewhere
        .start_on(ground(StdFiles))
        .await
        .expect("it starts");
    ledger
        .check(&elsewhere.owner().await, "full at the end")
        .await;
    elsewhere.end().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_the_log_takes_nothing_back() {
    check("log", 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_the_store_takes_nothing_back() {
    check("db", 3000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_below_all_of_the_node_takes_nothing_back() {
    check("", 3000).await;
}
