//! A node in a folder of its own, started and stopped at will, and the keys of its owner and of strangers.

use std::{
    fs,
    io::{ErrorKind, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use interstice_abi::id::NodeId;
use interstice_actors::{
    config::Config,
    node::{self, Ground, Inside, Listen, Node, NodeError, RestoreError, StartOptions},
    remote::Remote,
    replay::{ReplayError, Replayed, replay},
};
use interstice_client::Identity;
use interstice_host::log::{Log, LogFiles, LogOptions, StdFiles, examine};
use tempfile::TempDir;

use super::peer::Peer;

/// Where the first block of a segment begins.
const SEGMENT_HEADER_BYTES: usize = 64;

/// One node.
pub(crate) struct World {
    _folder: TempDir,
    directory: PathBuf,
    owner: Identity,
    node: Option<Node>,
}

impl World {
    /// A node with the given configuration, not started.
    pub(crate) fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let owner = Identity::generate();
        let (_, directory) = node::create(folder.path(), "tested", 0, vec![owner.id().clone()])
            .expect("the node is made");
        let world = Self {
            _folder: folder,
            directory,
            owner,
            node: None,
        };
        world.configure(change);
        world
    }

    /// Changes the configuration of the stopped node.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Config)) {
        let path = self.directory.join("node.toml");
        let mut config = Config::read(&path).expect("the configuration is valid");
        change(&mut config);
        fs::write(&path, config.to_toml().expect("it prints")).expect("it is written");
    }

    /// A node as it comes, running.
    pub(crate) async fn started() -> Self {
        let mut world = Self::configured(|_| {});
        world.start().await;
        world
    }

    /// What a process that was killed at this moment would leave behind, as another node of the same key. Nothing may be
    /// under way: a copy is not made at one instant.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder
            .path()
            .join(self.directory.file_name().expect("the node's id"));
        copy_folder(&self.directory, &directory);
        Self {
            _folder: folder,
            directory,
            owner: self.owner.clone(),
            node: None,
        }
    }

    /// The node that a backup of this one makes, in a folder of its own, not started.
    ///
    /// # Errors
    /// What is wrong with the backup.
    pub(crate) fn restored(&self, backup: &Path) -> Result<Self, RestoreError> {
        let folder = tempfile::tempdir().expect("a folder");
        let restored = node::restore(backup, folder.path(), node::Adopt::default());
        if restored.is_err() {
            let left = fs::read_dir(folder.path()).expect("it reads").count();
            assert_eq!(left, 0, "a refused backup leaves something behind");
        }
        Ok(Self {
            directory: restored?.directory,
            _folder: folder,
            owner: self.owner.clone(),
            node: None,
        })
    }

    pub(crate) async fn start(&mut self) {
        self.start_with(None).await;
    }

    pub(crate) async fn start_with(&mut self, workers: Option<usize>) {
        self.start_beside(workers, None).await;
    }

    /// Starts the node with somebody who answers for other nodes.
    pub(crate) async fn start_beside(
        &mut self,
        workers: Option<usize>,
        remote: Option<Arc<dyn Remote>>,
    ) {
        let directory = self.directory.clone();
        let options = StartOptions {
            listen: Listen::Loopback,
            port: Some(0),
            workers,
        };
        let start = move || match remote {
            None => Node::start(&directory, options),
            Some(remote) => Node::start_with(&directory, options, remote),
        };
        let started = tokio::task::spawn_blocking(start).await;
        self.node = Some(started.expect("does not panic").expect("the node starts"));
    }

    /// Starts the node on another ground; it may not start.
    pub(crate) async fn start_on(&mut self, ground: Ground) -> Result<(), NodeError> {
        let directory = self.directory.clone();
        let options = StartOptions {
            listen: Listen::Loopback,
            port: Some(0),
            workers: None,
        };
        let start = move || Node::start_on(&directory, options, ground);
        let started = tokio::task::spawn_blocking(start).await;
        self.node = Some(started.expect("does not panic")?);
        Ok(())
    }

    /// Stops a node that may not be able to end in order.
    pub(crate) async fn end(&mut self) -> Result<(), NodeError> {
        let node = self.node.take().expect("the node runs");
        node.stop();
        let stopped = tokio::task::spawn_blocking(move || node.wait()).await;
        stopped.expect("does not panic")
    }

    /// A node whose folder is somewhere else, not started, with the same owner.
    pub(crate) fn at(&self, folder: TempDir, directory: PathBuf) -> Self {
        Self {
            _folder: folder,
            directory,
            owner: self.owner.clone(),
            node: None,
        }
    }

    /// Replays the log of the stopped node.
    pub(crate) async fn replay(&self) -> Result<Replayed, ReplayError> {
        let directory = self.directory.clone();
        let replay = move || replay(&directory, |_| {});
        let replayed = tokio::task::spawn_blocking(replay).await;
        replayed.expect("does not panic")
    }

    /// Writes the log of the stopped node again, in segments of this many bytes, with records as `change` leaves them.
    pub(crate) fn rewrite_log(&self, segment_bytes: u64, mut change: impl FnMut(&mut Vec<u8>)) {
        self.keep_log(segment_bytes, |record| {
            change(record);
            true
        });
    }

    /// As [`World::rewrite_log`]; the log ends in front of the first record for which `keep` is false. How many records it has.
    pub(crate) fn keep_log(
        &self,
        segment_bytes: u64,
        mut keep: impl FnMut(&mut Vec<u8>) -> bool,
    ) -> usize {
        let old = self.directory.join("log");
        let new = self.directory.join("log-again");
        let files: Arc<dyn LogFiles> = Arc::new(StdFiles);
        let found = examine(&old, files.as_ref()).expect("the log is whole");
        let options = LogOptions {
            segment_bytes,
            ..LogOptions::default()
        };
        let (log, _) = Log::open(&new, files.clone(), options).expect("a log");
        log.reserve_seq(found.reserved_seq);
        let synced = || {
            let (synced, wait) = std::sync::mpsc::channel();
            log.when_durable(Box::new(move |_| {
                let _ = synced.send(());
            }));
            wait.recv().expect("it is synced");
        };
        let (mut kept, mut whole) = (0, true);
        for record in found.read(&old, files, found.start()) {
            let (_, mut record) = record.expect("it reads");
            if !keep(&mut record) {
                whole = false;
                break;
            }
            kept += 1;
            log.append(record);
            if segment_bytes < LogOptions::default().segment_bytes {
                // One record per block, so that there are several segments.
                synced();
            }
        }
        // The old one may have had more blocks, and no node takes a log that ends before its checkpoint.
        let mut reserved_seq = found.reserved_seq;
        synced();
        while whole && log.durable() < found.end() {
            reserved_seq += 1;
            log.reserve_seq(reserved_seq);
            synced();
        }
        log.close().expect("it is written");
        fs::remove_dir_all(&old).expect("it goes");
        fs::rename(new, old).expect("it takes its place");
        kept
    }

    /// The stopped node's store is lost: all there is is the log.
    pub(crate) fn lose_store(&self) {
        fs::remove_dir_all(self.directory.join("db")).expect("it goes");
    }

    /// Drains and stops.
    pub(crate) async fn stop(&mut self) {
        let node = self.node.take().expect("the node runs");
        node.stop();
        let stopped = tokio::task::spawn_blocking(move || node.wait()).await;
        stopped
            .expect("does not panic")
            .expect("the node stops in order");
    }

    /// The node starts again from what a killed process would have left behind.
    pub(crate) async fn crash(&mut self) {
        let mut copy = self.copy();
        self.stop().await;
        copy.start().await;
        *self = copy;
    }

    /// A way in that is not the network's.
    pub(crate) fn inside(&self) -> Inside {
        self.node.as_ref().expect("the node runs").inside()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn port(&self) -> u16 {
        self.node.as_ref().expect("the node runs").port()
    }

    /// Where the newest byte of the log ends.
    pub(crate) fn log_end(&self) -> u64 {
        let (_, end) = written(&self.directory).pop().expect("there is a log");
        end
    }

    /// Writes rubbish into the newest segment of the log.
    pub(crate) fn write_log(&self, offset: u64, bytes: &[u8]) {
        let (path, _) = written(&self.directory).pop().expect("there is a log");
        let file = fs::OpenOptions::new().write(true).open(path);
        let mut file = file.expect("a file");
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.write_all(bytes))
            .expect("it is written");
    }

    /// Whatever the log says from `offset` of its newest segment on was never written, and so never acknowledged.
    pub(crate) fn cut_log(&self, offset: u64) {
        fs::remove_file(self.directory.join("log/acknowledged")).expect("it goes");
        let (path, end) = written(&self.directory).pop().expect("there is a log");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("a file");
        let zeros = vec![0; usize::try_from(end.saturating_sub(offset)).expect("fits")];
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.write_all(&zeros))
            .expect("it is written");
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub(crate) fn owner_id(&self) -> &NodeId {
        self.owner.id()
    }

    /// The key of the owner.
    pub(crate) fn owner_key(&self) -> &Identity {
        &self.owner
    }

    /// A client with the owner's key.
    pub(crate) async fn owner(&self) -> Peer {
        self.client(&self.owner).await
    }

    /// A client with a key that the node has never seen.
    pub(crate) async fn stranger(&self) -> Peer {
        self.client(&Identity::generate()).await
    }

    /// A client with this key.
    pub(crate) async fn client(&self, identity: &Identity) -> Peer {
        let node = self.node.as_ref().expect("the node runs");
        let address = node
            .addresses()
            .into_iter()
            .next()
            .expect("the node listens");
        Peer::connect(&address, identity).await
    }
}

/// The log's segments, oldest first, and where the last written byte of each ends.
fn written(directory: &Path) -> Vec<(PathBuf, u64)> {
    let folder = fs::read_dir(directory.join("log")).expect("a folder");
    let mut segments: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    segments.sort();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    // Block by block: a record may end in zeros.
    let end = |path: &PathBuf| {
        let bytes = fs::read(path).expect("a file");
        let mut end = SEGMENT_HEADER_BYTES;
        while let Some(length) = bytes.get(end..).and_then(<[u8]>::first_chunk) {
            match usize::try_from(u64::from_le_bytes(*length)).expect("fits") {
                0 => break,
                length => end = bytes.len().min(end.saturating_add(length)),
            }
        }
        u64::try_from(end).expect("fits")
    };
    segments
        .iter()
        .map(|path| (path.clone(), end(path)))
        .collect()
}

/// A copy of a folder as a kill would leave it: of what is renamed or removed while it is copied,
/// nothing is there.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => unreachable!("{} cannot be listed: {error}", from.display()),
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    // What the log notes as acknowledged is never ahead of what it holds.
    entries.sort_by_key(|entry| entry.file_name() != "acknowledged");
    for entry in entries {
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_folder(&entry.path(), &target),
            _ => match fs::copy(entry.path(), target) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    unreachable!("{} cannot be copied: {error}", entry.path().display())
                }
                _ => {}
            },
        }
    }
}
