//! Backups: one file with everything that makes a node, consistent at one turn, written while the
//! node works.
//!
//! The file is an archive of a [`Head`], then [`Part`]s in the order of their variants:
//! configuration, key, the kept bases, every record of the kept log that belongs to turns up to
//! the head's, and the binaries that all of it names. Restoring it is in [`restore`].

pub(crate) mod restore;
pub(crate) mod serve;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::Path,
    sync::Arc,
};

use interstice_abi::id::{Epoch, ModuleName, NodeId, Seq};
use interstice_host::{
    archive::{ArchiveError, ArchiveWriter, Kind},
    log::LogPosition,
    table::Hashing,
};
use serde::{Deserialize, Serialize};

use crate::{base::Base, directory::Directory, record::Record, shared::Shared};

/// What a backup says of itself.
const KIND: Kind = Kind {
    name: "backup",
    format: 1,
};

/// Bytes of a base's file in one part.
const PIECE_BYTES: usize = 1 << 20;

/// What a backup holds, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The node.
    pub(crate) node: NodeId,
    /// Its name.
    pub(crate) name: String,
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// The last turn that is in the backup.
    pub(crate) seq: Seq,
    /// When it was made, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// What the modules' tables must come to behind that turn.
    pub(crate) digests: Vec<(ModuleName, [u64; 4])>,
}

/// A part of a backup.
#[derive(Serialize, Deserialize)]
enum Part {
    /// The text of `node.toml`.
    Config(String),
    /// The node's key, as its file has it.
    Key(Vec<u8>),
    /// A base begins.
    Base {
        seq: Seq,
        /// Its place among the positions of the records.
        position: LogPosition,
    },
    /// A piece of that base's file.
    BasePiece(Vec<u8>),
    /// A record of the log.
    Record {
        position: LogPosition,
        bytes: Vec<u8>,
    },
    /// A module's binary.
    Binary(Vec<u8>),
    /// That was all.
    End {
        /// How many records there are.
        records: u64,
    },
}

/// Why a backup was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something of the node that cannot be read.
    #[error("{0}")]
    Source(String),
}

/// What is written: the node at rest in the places that matter, with bases and log that nothing
/// drops meanwhile.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) directory: Arc<Directory>,
    /// Oldest first.
    pub(crate) bases: Vec<Base>,
    pub(crate) head: Head,
    /// What is installed.
    pub(crate) installed: BTreeSet<[u8; 32]>,
}

impl Writer {
    /// Works out the digests that the modules have handed over. Blocks.
    pub(crate) fn with_digests(mut self, digests: Vec<(ModuleName, Hashing)>) -> Self {
        let digests = digests.into_iter();
        let worked_out = digests.map(|(name, digest)| (name, digest.finish().0.0));
        self.head.digests = worked_out.collect();
        self
    }

    /// Writes the backup to `path`; its bytes. The log must be synced as far as the head says.
    /// Blocks.
    pub(crate) fn write(self, path: &Path) -> Result<u64, BackupError> {
        let mut archive = ArchiveWriter::create(path, KIND)?;
        archive.item(&self.head)?;
        let read = |name: &str| {
            let path = self.directory.path(name);
            fs::read(&path).map_err(|error| wrong(&path, &error))
        };
        let config = String::from_utf8(read("node.toml")?)
            .map_err(|error| BackupError::Source(format!("node.toml: {error}")))?;
        archive.item(&Part::Config(config))?;
        archive.item(&Part::Key(read("key")?))?;
        let mut named = self.installed.clone();
        for base in &self.bases {
            if let Some(head) = base.head()? {
                named.extend(head.modules.iter().map(|module| module.hash));
                add_base(&mut archive, base)?;
            }
        }
        let records = self.records(&mut archive, &mut named)?;
        for hash in named {
            let wasm = self.directory.module(&hash);
            let wasm = wasm.map_err(|failure| BackupError::Source(failure.message))?;
            archive.item(&Part::Binary(wasm))?;
        }
        archive.item(&Part::End { records })?;
        Ok(archive.finish()?)
    }

    /// The kept log, without what belongs to turns behind the head's.
    fn records(
        &self,
        archive: &mut ArchiveWriter,
        named: &mut BTreeSet<[u8; 32]>,
    ) -> Result<u64, BackupError> {
        let from = self
            .bases
            .first()
            .map_or(LogPosition(0), |base| base.position);
        let source = |problem: String| BackupError::Source(problem);
        let mut records = 0;
        for entry in self.shared.log.read(from) {
            let (position, bytes) = entry.map_err(|error| source(error.to_string()))?;
            let record = Record::decode(&bytes)
                .map_err(|problem| source(format!("record {position} is damaged: {problem}")))?;
            let belongs = match &record {
                Record::Step(step) => step.seq <= self.head.seq,
                Record::Base { seq } => *seq <= self.head.seq,
                Record::Restart { .. } | Record::Restarted { .. } => true,
            };
            if !belongs {
                continue;
            }
            if let Record::Step(step) = &record
                && let Some(input) = &step.input
            {
                named.extend(input.installs().map(|(_, hash)| hash));
            }
            archive.item(&Part::Record { position, bytes })?;
            records += 1;
        }
        Ok(records)
    }
}

fn add_base(archive: &mut ArchiveWriter, base: &Base) -> Result<(), BackupError> {
    let Some(path) = &base.path else {
        return Ok(());
    };
    let mut file = File::open(path).map_err(|error| wrong(path, &error))?;
    archive.item(&Part::Base {
        seq: base.seq,
        position: base.position,
    })?;
    loop {
        let mut piece = Vec::new();
        let limit = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        let read = file.by_ref().take(limit).read_to_end(&mut piece);
        read.map_err(|error| wrong(path, &error))?;
        if piece.is_empty() {
            return Ok(());
        }
        archive.item(&Part::BasePiece(piece))?;
    }
}

fn wrong(path: &Path, error: &std::io::Error) -> BackupError {
    BackupError::Source(format!("cannot read {}: {error}", path.display()))
}
