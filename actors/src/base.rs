//! Bases: consistent copies of everything that a node holds behind one turn, from which history is
//! replayed and tables come back.
//!
//! A base is a file `bases/<seq>-<position>.base` in the node's directory: an archive of a
//! [`Head`], then the modules' pages, ephemeral tables included. `position` is a place in the log
//! behind which every record of a later turn stands; it is part of the name because a restored
//! node has another log. Where the log reaches back to the node's creation, the empty base stands
//! there. When bases are taken and dropped is decided in [`history`].

pub(crate) mod history;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{Epoch, ModuleName, NodeId, Seq},
    schema::ModuleSchema,
};
use interstice_host::{
    archive::{ArchiveError, ArchiveReader, ArchiveWriter, Kind},
    limits::Limits,
    log::LogPosition,
    table::{PageWrite, RowLimits, Tables},
};
use serde::{Deserialize, Serialize};

use crate::{
    record::{NamedLimits, limits},
    recovery::of_module,
    supervisor::checkpoint::marker::MarkedModule,
};

/// The folder of a node's bases.
pub(crate) const FOLDER: &str = "bases";

/// What a base's file says of itself.
const KIND: Kind = Kind {
    name: "base",
    format: 1,
};

/// A file that says that the log of a restored node does not reach back to the node's creation,
/// though it begins at its very start.
pub(crate) const BEGINS_LATER: &str = "begins-later";

/// Bytes of pages that are held while the rows of one table are handed over.
const ROWS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The end of a base's file name.
const EXTENSION: &str = "base";

/// A base on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// The last turn that it holds.
    pub(crate) seq: Seq,
    /// Behind it in the log is every record of a later turn.
    pub(crate) position: LogPosition,
    /// The file; `None` for the empty one of the node's creation.
    pub(crate) path: Option<PathBuf>,
    /// Bytes of its pages; of its file, which is compressed, when it was taken before the node's
    /// start.
    pub(crate) bytes: u64,
}

/// What a base holds besides tables.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    /// The node's epoch.
    pub(crate) epoch: Epoch,
    /// The last turn that it holds.
    pub(crate) seq: Seq,
    /// When it was taken, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// What is installed, by name.
    pub(crate) modules: Vec<MarkedModule>,
    /// Whose connections were open.
    pub(crate) connected: Vec<NodeId>,
    /// The limits under which steps ran.
    pub(crate) limits: NamedLimits,
}

/// How a [`Head`] stands in the file: with the limits that every node has known. Behind it are all
/// of them by name, which older nodes did not write.
#[derive(Serialize, Deserialize)]
struct StoredHead {
    epoch: Epoch,
    seq: Seq,
    timestamp_ms: u64,
    modules: Vec<MarkedModule>,
    connected: Vec<NodeId>,
    #[serde(with = "limits::first")]
    limits: Limits,
}

/// A page of one of the head's modules.
#[derive(Serialize, Deserialize)]
struct Page {
    module: u32,
    tree: String,
    #[serde(with = "interstice_abi::wire::bytes")]
    key: Vec<u8>,
    #[serde(with = "interstice_abi::wire::bytes")]
    page: Vec<u8>,
}

/// What was read from a base.
pub(crate) struct Contents {
    /// What it holds besides tables.
    pub(crate) head: Head,
    /// The tables of the head's modules, ephemeral rows included.
    pub(crate) modules: BTreeMap<ModuleName, Tables>,
}

impl Base {
    /// The base of a node's creation.
    pub(crate) const EMPTY: Self = Self {
        seq: Seq(0),
        position: LogPosition(0),
        path: None,
        bytes: 0,
    };

    /// What a base's file is called.
    pub(crate) fn file_name(seq: Seq, position: LogPosition) -> String {
        format!("{seq}-{position}.{EXTENSION}")
    }

    fn of_file(path: &Path, bytes: u64) -> Option<Self> {
        let (seq, position) = path.file_stem()?.to_str()?.split_once('-')?;
        (path.extension()? == EXTENSION).then_some(())?;
        Some(Self {
            seq: Seq(seq.parse().ok()?),
            position: LogPosition(position.parse().ok()?),
            path: Some(path.to_owned()),
            bytes,
        })
    }

    /// What it holds besides tables. Nothing, for the empty one.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub(crate) fn head(&self) -> Result<Option<Head>, ArchiveError> {
        match &self.path {
            None => Ok(None),
            Some(path) => {
                let mut reader = ArchiveReader::open(path, KIND)?;
                head(&mut reader).map(Some)
            }
        }
    }

    /// Reads every byte of the file.
    ///
    /// # Errors
    /// What is damaged.
    pub(crate) fn check(&self) -> Result<(), ArchiveError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut reader = ArchiveReader::open(path, KIND)?;
        head(&mut reader)?;
        while reader.item::<Page>()?.is_some() {}
        Ok(())
    }

    /// All of it. `schema` finds a module's version by its hash.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged; those of `schema`.
    pub(crate) fn read(
        &self,
        rows: RowLimits,
        mut schema: impl FnMut(&[u8; 32]) -> Result<Arc<ModuleSchema>, Failure>,
    ) -> Result<Contents, Failure> {
        let Some(path) = &self.path else {
            return Ok(Contents {
                head: Head {
                    epoch: Epoch(0),
                    seq: Seq(0),
                    timestamp_ms: 0,
                    modules: Vec::new(),
                    connected: Vec::new(),
                    limits: NamedLimits(Limits::default()),
                },
                modules: BTreeMap::new(),
            });
        };
        let mut reader = ArchiveReader::open(path, KIND).map_err(corrupt)?;
        let head = head(&mut reader).map_err(corrupt)?;
        let mut modules = Vec::new();
        for module in &head.modules {
            let schema = schema(&module.hash);
            let schema = schema.map_err(|failure| of_module(&module.name, failure))?;
            modules.push((module.name.clone(), Tables::new(schema, rows)?));
        }
        while let Some(page) = reader.item::<Page>().map_err(corrupt)? {
            let place = usize::try_from(page.module).unwrap_or(usize::MAX);
            let (_, tables) = modules
                .get_mut(place)
                .ok_or_else(|| corrupt(reader.damaged("a page belongs to no module")))?;
            tables.restore_copy(&page.tree, &page.key, &page.page)?;
        }
        for (_, tables) in &mut modules {
            tables.finish_restore()?;
            // No store has any of it.
            tables.begin_new_trees();
        }
        Ok(Contents {
            head,
            modules: modules.into_iter().collect(),
        })
    }
}

impl Base {
    /// Hands the rows of one table to `each`, with their ordered keys, some pages at a time: never
    /// more than those are held. The module's hash, of the version that the rows are of; `None`
    /// when the base does not have the module. `schema` finds a version by its hash.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged; those of `schema`.
    pub(crate) fn rows_of(
        &self,
        module: &ModuleName,
        table: &str,
        rows: RowLimits,
        schema: impl FnOnce(&[u8; 32]) -> Result<Arc<ModuleSchema>, Failure>,
        mut each: impl FnMut(Box<[u8]>, Box<[u8]>),
    ) -> Result<Option<Arc<ModuleSchema>>, Failure> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let mut reader = ArchiveReader::open(path, KIND).map_err(corrupt)?;
        let head = head(&mut reader).map_err(corrupt)?;
        let mut places = (0_u32..).zip(&head.modules);
        let Some((place, marked)) = places.find(|(_, marked)| marked.name == *module) else {
            return Ok(None);
        };
        let schema = schema(&marked.hash)?;
        let Some((table, _)) = schema.table(table) else {
            return Ok(Some(schema));
        };
        let mut hand_over = |tables: &Tables| -> Result<(), Failure> {
            for (key, row) in tables.rows_after(table, None, usize::MAX, usize::MAX)? {
                each(key, row);
            }
            Ok(())
        };
        let mut tables = Tables::new(schema.clone(), rows)?;
        let mut bytes = 0;
        while let Some(page) = reader.item::<Page>().map_err(corrupt)? {
            if page.module != place {
                continue;
            }
            bytes += page.page.len();
            tables.restore_copy(&page.tree, &page.key, &page.page)?;
            if bytes > ROWS_BYTES_MAX {
                hand_over(&tables)?;
                tables = Tables::new(schema.clone(), rows)?;
                bytes = 0;
            }
        }
        hand_over(&tables)?;
        Ok(Some(schema))
    }
}

fn head(reader: &mut ArchiveReader) -> Result<Head, ArchiveError> {
    let bytes = reader.bytes()?;
    let bytes = bytes.ok_or_else(|| reader.damaged("it is empty"))?;
    let (stored, rest) =
        postcard::take_from_bytes::<StoredHead>(&bytes).map_err(|error| reader.damaged(error))?;
    let limits = if rest.is_empty() {
        NamedLimits(stored.limits)
    } else {
        let (limits, rest) =
            postcard::take_from_bytes(rest).map_err(|error| reader.damaged(error))?;
        if !rest.is_empty() {
            return Err(reader.damaged("bytes follow its head"));
        }
        limits
    };
    Ok(Head {
        epoch: stored.epoch,
        seq: stored.seq,
        timestamp_ms: stored.timestamp_ms,
        modules: stored.modules,
        connected: stored.connected,
        limits,
    })
}

/// A head as it is written.
fn stored(head: &Head) -> (StoredHead, &NamedLimits) {
    let stored = StoredHead {
        epoch: head.epoch,
        seq: head.seq,
        timestamp_ms: head.timestamp_ms,
        modules: head.modules.clone(),
        connected: head.connected.clone(),
        limits: head.limits.0.clone(),
    };
    (stored, &head.limits)
}

fn corrupt(error: ArchiveError) -> Failure {
    Failure::new(Code::Corrupt, error.to_string())
}

/// Makes the folder of the bases of the node in `directory`, and takes away what a crash has left
/// unfinished.
pub(crate) fn prepare(directory: &Path) -> io::Result<()> {
    let folder = directory.join(FOLDER);
    interstice_host::files::create_private_dir(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "unfinished") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The bases of the node in `directory` whose log begins at `log_start`, oldest first: the empty
/// one too, where the log reaches back to it. Those whose log is gone are left out.
pub(crate) fn list(directory: &Path, log_start: LogPosition) -> io::Result<Vec<Base>> {
    let mut bases = Vec::new();
    let entries = match fs::read_dir(directory.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry?;
        bases.extend(Base::of_file(&entry.path(), entry.metadata()?.len()));
    }
    let begins_later = directory.join(FOLDER).join(BEGINS_LATER).exists();
    if log_start == Base::EMPTY.position && !begins_later {
        bases.push(Base::EMPTY);
    }
    bases.retain(|base| base.position >= log_start);
    bases.sort_by_key(|base| base.seq);
    Ok(bases)
}

/// Writes a base into the directory of a node and syncs it. `pages` are those of the head's
/// modules, by name.
///
/// # Errors
/// When the disk is full or refuses; nothing is left of the file then.
pub(crate) fn write(
    directory: &Path,
    head: &Head,
    position: LogPosition,
    pages: &BTreeMap<ModuleName, Vec<PageWrite>>,
) -> Result<Base, ArchiveError> {
    let path = directory
        .join(FOLDER)
        .join(Base::file_name(head.seq, position));
    let mut writer = ArchiveWriter::create(&path, KIND)?;
    writer.item(&stored(head))?;
    let mut bytes = 0;
    for (module, place) in head.modules.iter().zip(0..) {
        for write in pages.get(&module.name).into_iter().flatten() {
            let Some(page) = &write.page else { continue };
            let page = page.encode();
            bytes += page.len() as u64;
            writer.item(&Page {
                module: place,
                tree: write.tree.to_string(),
                key: write.key.to_vec(),
                page,
            })?;
        }
    }
    writer.finish()?;
    Ok(Base {
        seq: head.seq,
        position,
        path: Some(path),
        bytes,
    })
}

#[cfg(test)]
mod tests;
