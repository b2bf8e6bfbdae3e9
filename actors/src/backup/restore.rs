//! From a backup to a node: unpacked under another name, brought back once to compare digests, and
//! only then given its name.
//!
//! A node that is there is never overwritten. The restored one has the same key, and begins a new
//! epoch: what it and its older self have numbered since cannot be confused. Records are appended
//! to a log of its own, so the positions of bases are mapped.

mod adopt;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use interstice_abi::id::{Epoch, NodeId, Seq};
use interstice_host::{
    archive::{ArchiveError, ArchiveReader},
    files,
    log::{Log, LogOptions, LogPosition, StdFiles, examine},
    store::Store,
    wasm::Engine,
};

pub use self::adopt::Adopt;
use super::{Head, KIND, Part};
use crate::{
    base::{self, Base},
    config::Config,
    directory::Directory,
    node::NodeError,
    record::{NamedLimits, Record},
    recovery::recover,
    supervisor::install::{compiling::Compiles, installer::Installer},
};

/// A node that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The port in its configuration.
    pub port: u16,
    /// The last turn that it holds.
    pub seq: Seq,
    /// The epoch that it begins.
    pub epoch: Epoch,
    /// How many modules it has, whose digests were compared.
    pub modules: usize,
    /// Its directory.
    pub directory: PathBuf,
}

/// Why a backup was not restored. Nothing is left of it then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is damaged, foreign or cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The node is there.
    #[error("node {id} is on this machine already, in {}, and is not overwritten: move its folder away or remove the node first", directory.display())]
    Exists {
        /// The node.
        id: NodeId,
        /// Its directory.
        directory: PathBuf,
    },
    /// Another process restores at this moment.
    #[error("another restore into {} is under way; try again when it has ended", nodes.display())]
    UnderWay {
        /// Where nodes are.
        nodes: PathBuf,
    },
    /// What was restored is not what the backup says.
    #[error("the backup does not come to what it says: {problem}; use another backup")]
    Differs {
        /// What differs.
        problem: String,
    },
    /// The node's folder cannot be made.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Configuration, key, log, store or modules.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// The greatest epoch of a backup; no node is started, or has as many turns, as often as its
/// square.
const NUMBERS_MAX: u32 = u32::MAX / 2;

/// Where nodes are unpacked until they are whole, below the folder of nodes.
const WORKSHOP: &str = ".restoring";

/// The folder under which a node is unpacked goes, whatever happens.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next restore.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a node below the folder `nodes` from the backup `file`, with a name and an owner of its
/// own if `adopt` has them. Blocks.
///
/// # Errors
/// What is wrong with the file or the folder; nothing is there then that was not before.
pub fn restore(file: &Path, nodes: &Path, adopt: Adopt<'_>) -> Result<Restored, RestoreError> {
    let mut archive = ArchiveReader::open(file, KIND)?;
    let head: Head = match archive.item()? {
        Some(head) => head,
        None => return Err(archive.damaged("it is empty").into()),
    };
    let directory = nodes.join(head.node.as_str());
    // The id becomes a path only once it is one.
    if head.node.as_str().parse::<libp2p::PeerId>().is_err() {
        return Err(archive.damaged("it names no node").into());
    }
    // Both go on from here: what leaves them no room was made up.
    if head.epoch.0 > NUMBERS_MAX || head.seq.0 > u64::from(NUMBERS_MAX) << 31 {
        let problem = format!("it claims epoch {} and turn {}", head.epoch, head.seq);
        return Err(archive.damaged(problem).into());
    }
    if directory.exists() {
        return Err(RestoreError::Exists {
            id: head.node,
            directory,
        });
    }
    make(nodes)?;
    let workshop = nodes.join(WORKSHOP);
    make(&workshop)?;
    // Held until the workshop is gone: locals end in reverse order.
    let _lock = files::DirectoryLock::acquire(&workshop).map_err(|error| match error {
        files::DirectoryLockError::AlreadyLocked { directory } => RestoreError::UnderWay {
            nodes: directory.with_file_name(""),
        },
        files::DirectoryLockError::Io { source, .. } => io(&workshop, source),
    })?;
    let unfinished = Unfinished(workshop);
    let folder = unfinished.0.join(head.node.as_str());
    // A restore that was killed has left it half made, with the node's key in it.
    remove(&folder)?;
    let mut unpacking = Unpacking::new(&folder, head.epoch, adopt)?;
    let mut ended = false;
    while let Some(part) = archive.item::<Part>()? {
        if ended {
            return Err(archive.damaged("parts follow its end").into());
        }
        ended = unpacking.take(part, &archive)?;
    }
    if !ended {
        return Err(archive.damaged("its end is missing").into());
    }
    let config = unpacking.finish(head.seq)?;
    verify(&folder, &config, &head)?;
    fs::rename(&folder, &directory).map_err(|source| io(&directory, source))?;
    files::sync_dir(nodes).map_err(|source| io(nodes, source))?;
    Ok(Restored {
        id: head.node,
        name: config.name,
        port: config.port,
        seq: head.seq,
        epoch: Epoch(head.epoch.0 + 1),
        modules: head.digests.len(),
        directory,
    })
}

/// A backup on its way into a folder.
struct Unpacking<'a> {
    folder: &'a Path,
    epoch: Epoch,
    adopt: Adopt<'a>,
    config: Option<Config>,
    /// Bases whose place in the new log is not known yet, by their place in the old one.
    bases: BTreeMap<LogPosition, Seq>,
    base: Option<File>,
    log: Log,
    records: u64,
}

impl<'a> Unpacking<'a> {
    fn new(folder: &'a Path, epoch: Epoch, adopt: Adopt<'a>) -> Result<Self, RestoreError> {
        for part in ["", "log", "db", "modules", "files", base::FOLDER] {
            make(&folder.join(part))?;
        }
        let options = LogOptions::default();
        let (log, _) = Log::open(&folder.join("log"), Arc::new(StdFiles), options)
            .map_err(|error| log_error(&error))?;
        Ok(Self {
            folder,
            epoch,
            adopt,
            config: None,
            bases: BTreeMap::new(),
            base: None,
            log,
            records: 0,
        })
    }

    /// Takes in a part; whether it was the last.
    fn take(&mut self, part: Part, archive: &ArchiveReader) -> Result<bool, RestoreError> {
        match part {
            Part::Config(text) => {
                let path = self.folder.join("node.toml");
                write(&path, text.as_bytes())?;
                let mut config = Config::read(&path)?;
                if let Some(changed) = self.adopt.changed(&config) {
                    write(&path, changed.to_toml()?.as_bytes())?;
                    config = Config::read(&path)?;
                }
                self.config = Some(config);
            }
            Part::Key(key) => write(&self.folder.join("key"), &key)?,
            Part::Base { seq, position } => {
                self.end_base()?;
                let path = self.base_part(position);
                self.base = Some(create(&path)?);
                self.bases.insert(position, seq);
            }
            Part::BasePiece(bytes) => {
                let Some(file) = &mut self.base else {
                    return Err(archive.damaged("a piece belongs to no base").into());
                };
                file.write_all(&bytes)
                    .map_err(|source| io(self.folder, source))?;
            }
            Part::Record { position, bytes } => {
                if let Err(problem) = Record::decode(&bytes) {
                    return Err(archive
                        .damaged(format!("a record is damaged: {problem}"))
                        .into());
                }
                self.place_bases(Some(position))?;
                self.log.append(bytes);
                self.records += 1;
            }
            Part::Binary(wasm) => {
                let name = blake3::hash(&wasm).to_hex();
                write(
                    &self.folder.join("modules").join(format!("{name}.wasm")),
                    &wasm,
                )?;
            }
            Part::End { records } if records == self.records => return Ok(true),
            Part::End { records } => {
                let problem = format!("it has {} records and should have {records}", self.records);
                return Err(archive.damaged(problem).into());
            }
        }
        Ok(false)
    }

    /// Where a base lies until its place in the log is known.
    fn base_part(&self, old: LogPosition) -> PathBuf {
        self.folder.join(base::FOLDER).join(format!("{old}.part"))
    }

    fn end_base(&mut self) -> Result<(), RestoreError> {
        match self.base.take() {
            Some(file) => file.sync_all().map_err(|source| io(self.folder, source)),
            None => Ok(()),
        }
    }

    /// Gives their names to the bases that belong in front of the record that was at `position`;
    /// to all, behind the last.
    fn place_bases(&mut self, position: Option<LogPosition>) -> Result<(), RestoreError> {
        while let Some((old, seq)) = self.bases.first_key_value().map(|(old, seq)| (*old, *seq)) {
            if position.is_some_and(|position| position < old) {
                break;
            }
            self.bases.remove(&old);
            let place = if self.records == 0 {
                let path = self.folder.join(base::FOLDER).join(base::BEGINS_LATER);
                write(&path, &[])?;
                LogPosition(0)
            } else {
                self.mark()?
            };
            let path = self
                .folder
                .join(base::FOLDER)
                .join(Base::file_name(seq, place));
            fs::rename(self.base_part(old), &path).map_err(|source| io(&path, source))?;
        }
        Ok(())
    }

    fn mark(&self) -> Result<LogPosition, RestoreError> {
        let (tell, told) = mpsc::channel();
        self.log.mark(Box::new(move |position| {
            // Whoever asks waits below.
            let _ = tell.send(position);
        }));
        match told.recv() {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(error)) => Err(log_error(&error).into()),
            Err(_) => Err(NodeError::Log {
                problem: "it has ended".to_string(),
            }
            .into()),
        }
    }

    /// Ends the log with the beginning of a new epoch.
    fn finish(mut self, last_seq: Seq) -> Result<Config, RestoreError> {
        self.end_base()?;
        self.place_bases(None)?;
        let Some(config) = self.config else {
            return Err(RestoreError::Differs {
                problem: "it has no node.toml".to_string(),
            });
        };
        self.log.reserve_seq(last_seq.0);
        let restart = Record::Restarted {
            epoch: Epoch(self.epoch.0 + 1),
            limits: NamedLimits(config.limits.clone()),
        };
        let restart = restart.encode().map_err(NodeError::Recovery)?;
        self.log.append(restart);
        self.log.close().map_err(|error| log_error(&error))?;
        Ok(config)
    }
}

/// Brings the node back once, away from its name, and compares what it comes to with what the
/// backup says.
fn verify(folder: &Path, config: &Config, head: &Head) -> Result<(), RestoreError> {
    let directory = Arc::new(Directory::open(folder)?);
    let differs = |problem: String| RestoreError::Differs { problem };
    // The folder is called as the head says, and takes no other node's key.
    directory
        .key()
        .map_err(|error| differs(error.to_string()))?;
    let log = directory.path("log");
    let found = examine(&log, &StdFiles).map_err(|error| log_error(&error))?;
    let opened = interstice_host::log::Opened {
        cut: None,
        reserved_seq: found.reserved_seq,
        start: found.start(),
        end: found.end(),
    };
    let scratch = folder.join("db");
    let store =
        Store::open(&scratch, config.store_cache_bytes).map_err(|error| NodeError::Store {
            problem: error.to_string(),
        })?;
    let installer = Installer {
        engine: Engine::new(None).map_err(NodeError::Recovery)?,
        directory: directory.clone(),
        arbiters: Arc::default(),
        compiles: Compiles::default(),
    };
    let read = |from| found.read(&log, Arc::new(StdFiles), from);
    let mut recovered = recover(&installer, config, &store, &opened, read)?;
    for (name, expected) in &head.digests {
        let Some(module) = recovered.modules.get_mut(name) else {
            return Err(differs(format!("module `{name}` is missing")));
        };
        if module.tables.digest().0 != *expected {
            return Err(differs(format!("the tables of module `{name}` differ")));
        }
    }
    if recovered.modules.len() != head.digests.len() {
        return Err(differs("it has modules that it does not name".to_string()));
    }
    drop(store);
    fs::remove_dir_all(&scratch).map_err(|source| io(&scratch, source))?;
    make(&scratch)
}

fn io(path: &Path, source: std::io::Error) -> RestoreError {
    RestoreError::Io {
        path: path.to_owned(),
        source,
    }
}

fn log_error(error: &interstice_host::log::LogError) -> NodeError {
    NodeError::Log {
        problem: error.to_string(),
    }
}

fn make(path: &Path) -> Result<(), RestoreError> {
    files::create_private_dir(path).map_err(|source| io(path, source))
}

fn remove(folder: &Path) -> Result<(), RestoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(folder, error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RestoreError> {
    files::write_private(path, bytes).map_err(|source| io(path, source))
}

fn create(path: &Path) -> Result<File, RestoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| io(path, source))
}

#[cfg(test)]
mod tests;
