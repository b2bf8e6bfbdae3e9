//! What a node leaves on the disk, and how few open files it gets along with.
#![cfg(unix)]

#[path = "../../actors/tests/common/emit.rs"]
mod emit;
#[path = "../../actors/tests/common/guest.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod guest;
#[path = "overload/load.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod load;
#[path = "../../actors/tests/common/op.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod op;
#[path = "overload/process.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod process;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use interstice_abi::wire::{DeployOptions, LogsMode};
use interstice_client::{Client, ConnectOptions, Identity, Target};
use process::Running;

async fn connect(address: &str, identity: &Identity) -> Client {
    let target: Target = address.parse().expect("an address");
    Client::connect(identity, &target, &ConnectOptions::default())
        .await
        .expect("the node answers")
}

/// Everything below a folder and the folder itself that others may do anything with, and how many
/// there are in all.
fn exposed(path: &Path, found: &mut Vec<PathBuf>) -> usize {
    let metadata = fs::symlink_metadata(path).expect("is there");
    let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
    if metadata.permissions().mode() & 0o777 & !wanted != 0 {
        found.push(path.to_path_buf());
    }
    if !metadata.is_dir() {
        return 1;
    }
    let entries = fs::read_dir(path).expect("a folder").flatten();
    1 + entries
        .map(|entry| exposed(&entry.path(), found))
        .sum::<usize>()
}

/// The folder of the only node.
fn node_folder(home: &Path) -> PathBuf {
    let mut nodes = fs::read_dir(home.join("nodes"))
        .expect("a folder")
        .flatten();
    nodes.next().expect("`up` has made a node").path()
}

/// A node that has done all that makes files: calls, checkpoints, deploys, restarts.
async fn busy_home(umask: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    let mut node = Running::up_with(&home, &format!("umask {umask}"));
    node.kill();
    let path = node_folder(&home).join("node.toml");
    let text = fs::read_to_string(&path).expect("it is text");
    let mut config: toml::Table = text.parse().expect("it is valid");
    config.insert("checkpoint_bytes".into(), 4096.into());
    fs::write(&path, config.to_string()).expect("it is written");
    let mut node = Running::up_with(&home, &format!("umask {umask}"));
    let key = Identity::load(&home.join("key")).expect("`up` has made a key");
    let owner = connect(&node.address, &key).await;
    let wasm = load::counters().wasm();
    owner
        .deploy(&wasm, DeployOptions::default(), |_| {})
        .await
        .expect("it is deployed");
    load::closed(&node.address, 2, 8, Duration::from_secs(1)).await;
    owner.unload("counters").await.expect("it is unloaded");
    owner.load("counters").await.expect("it is loaded");
    drop(owner);
    node.kill();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_a_busy_node_leaves_is_private_whatever_the_umask() {
    for umask in ["000", "077"] {
        let folder = busy_home(umask).await;
        let home = folder.path().join("home");
        let mut found = Vec::new();
        let all = exposed(&home, &mut found);
        assert!(all > 10, "{all} files");
        assert_eq!(found, Vec::<PathBuf>::new(), "umask {umask}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_can_read_is_made_private_and_reported() {
    let folder = busy_home("077").await;
    let home = folder.path().join("home");
    let node = node_folder(&home);
    let wide = |path: PathBuf, mode: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("is changed");
        path
    };
    let widened = [
        wide(node.join("key"), 0o644),
        wide(node.join("log"), 0o755),
        wide(node.join("node.toml"), 0o666),
    ];
    let key = wide(home.join("key"), 0o640);
    let mut running = Running::up_with(&home, "umask 022");
    let owner = connect(&running.address, &Identity::load(&key).expect("is read")).await;
    let mut found = Vec::new();
    exposed(&home, &mut found);
    assert_eq!(found, Vec::<PathBuf>::new());
    let mut lines = owner.logs(None, 1000, LogsMode::Kept).expect("is sent");
    let mut said = String::new();
    while let Some(some) = futures::StreamExt::next(&mut lines).await {
        for line in some.expect("owners may read") {
            said.push_str(&line.text);
        }
    }
    for path in widened {
        assert!(
            said.contains(&path.display().to_string()),
            "{}: {said}",
            path.display()
        );
    }
    drop((lines, owner));
    running.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_may_open_few_files_serves_on_when_more_connect_than_it_can_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("home");
    let mut node = Running::up_with(&home, "ulimit -n 256");
    let key = Identity::load(&home.join("key")).expect("`up` has made a key");
    let owner = connect(&node.address, &key).await;
    let wasm = load::counters().wasm();
    owner
        .deploy(&wasm, DeployOptions::default(), |_| {})
        .await
        .expect("it is deployed");
    let target: Target = node.address.parse().expect("an address");
    let mut crowd = Vec::new();
    for _ in 0..600 {
        crowd
            .push(std::net::TcpStream::connect(("127.0.0.1", target.port())).expect("is accepted"));
    }
    let (rate, _) = load::closed(&node.address, 4, 4, Duration::from_secs(1)).await;
    assert!(rate > 0.0);
    // Greeted ones, too, are more than fit: some are told so, and the owner goes on.
    let (mut guests, mut refused) = (Vec::new(), 0);
    for _ in 0..150 {
        match Client::connect(&Identity::generate(), &target, &ConnectOptions::default()).await {
            Ok(guest) => guests.push(guest),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "{} guests were taken", guests.len());
    owner.ping().await.expect("the owner is served");
    connect(&node.address, &key)
        .await
        .ping()
        .await
        .expect("and again");
    node.kill();
}
