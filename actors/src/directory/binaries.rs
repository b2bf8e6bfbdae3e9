//! The binaries of modules and what they say of themselves: `modules/<hash>.wasm` and, beside it,
//! `modules/<hash>.schema`, of which `schemas/<hash>.schema` is a copy.
//!
//! A binary is made durable before anything names it. Until it is named or refused it is
//! *reserved*, so that the checkpoint that looks for binaries which nothing names leaves it alone.
//!
//! A schema is made once, at deploy, and read after that. One that is missing or damaged is made
//! again from its copy, or from the binary. The copy is in another folder because the tables of a
//! module can be read with its schema alone: a node that has lost `modules/` loses no data, and
//! starts. A schema's file has 8 bytes `ISTCESCH`, the ABI version as a little-endian `u32`, the
//! BLAKE3 hash of the binary's hash and the rest, and the schema in postcard.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use interstice_abi::{
    ABI_VERSION,
    failure::{Code, Failure},
    schema::ModuleSchema,
};
use interstice_host::files;

use super::{Access, Directory};

const MAGIC: [u8; 8] = *b"ISTCESCH";

/// The folder of copies of schemas.
pub(super) const SCHEMAS: &str = "schemas";

/// Which binaries are reserved, and how often. Held while one is written, too: two deploys may
/// store the same one.
#[derive(Default)]
pub(super) struct Reservations(Mutex<BTreeMap<[u8; 32], u32>>);

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], u32>> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A binary that is not dropped as long as this is there.
pub(crate) struct Reserved {
    hash: [u8; 32],
    reservations: Arc<Reservations>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut reservations = self.reservations.lock();
        if let Some(count) = reservations.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                reservations.remove(&self.hash);
            }
        }
    }
}

impl Directory {
    /// Stores a module's binary under its hash, synced, and its schema. One that is there and
    /// damaged is replaced.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written.
    pub(crate) fn store_module(
        &self,
        hash: &[u8; 32],
        wasm: &[u8],
        schema: &ModuleSchema,
    ) -> Result<Reserved, Failure> {
        let mut reservations = self.reservations.lock();
        if self.module(hash).is_err() {
            let path = self.module_path(hash);
            files::write_private(&path, wasm).map_err(|error| {
                Failure::new(
                    Code::Unavailable,
                    format!(
                        "the module could not be stored in {}: {error}",
                        path.display()
                    ),
                )
            })?;
        }
        self.store_schema(hash, schema);
        *reservations.entry(*hash).or_default() += 1;
        Ok(Reserved {
            hash: *hash,
            reservations: self.reservations.clone(),
        })
    }

    /// A stored binary.
    ///
    /// # Errors
    /// `Corrupt` when it is missing or damaged.
    pub(crate) fn module(&self, hash: &[u8; 32]) -> Result<Vec<u8>, Failure> {
        let path = self.module_path(hash);
        let corrupt = |problem: String| {
            Failure::new(
                Code::Corrupt,
                format!(
                    "the module's binary {} {problem}; deploy it again or restore a backup",
                    path.display()
                ),
            )
        };
        let wasm =
            std::fs::read(&path).map_err(|error| corrupt(format!("cannot be read: {error}")))?;
        if blake3::hash(&wasm).as_bytes() == hash {
            Ok(wasm)
        } else {
            Err(corrupt("is damaged".to_string()))
        }
    }

    /// The stored schema of a binary; `None` when both files are missing, damaged or of another
    /// version of the ABI.
    pub(crate) fn schema(&self, hash: &[u8; 32]) -> Option<ModuleSchema> {
        let paths = self.schema_paths(hash);
        paths.iter().find_map(|path| read_schema(hash, path))
    }

    /// Stores the schema of a binary in each place where it is not there yet. Without it the next
    /// start makes it again.
    pub(crate) fn store_schema(&self, hash: &[u8; 32], schema: &ModuleSchema) {
        if self.access == Access::Look {
            return;
        }
        for path in self.schema_paths(hash) {
            if read_schema(hash, &path).is_some() {
                continue;
            }
            let written = encode(hash, schema)
                .map_err(io::Error::other)
                .and_then(|bytes| files::write_private(&path, &bytes));
            if let Err(error) = written {
                tracing::warn!("{} cannot be written: {error}", path.display());
            }
        }
    }

    /// The hashes of stored binaries, but those that are reserved.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn settled_modules(&self) -> io::Result<Vec<[u8; 32]>> {
        let reservations = self.reservations.lock();
        let mut settled = Vec::new();
        for entry in std::fs::read_dir(self.root.join("modules"))? {
            let name = entry?.file_name();
            let hash = name
                .to_str()
                .and_then(|name| name.strip_suffix(".wasm"))
                .and_then(|name| blake3::Hash::from_hex(name).ok());
            settled.extend(hash.map(|hash| *hash.as_bytes()));
        }
        settled.retain(|hash| !reservations.contains_key(hash));
        Ok(settled)
    }

    /// Removes a stored binary and its schema, unless it is reserved. Whether it was removed.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn drop_module(&self, hash: &[u8; 32]) -> io::Result<bool> {
        // A deploy that stores it again waits, and finds it gone.
        let reservations = self.reservations.lock();
        if reservations.contains_key(hash) {
            return Ok(false);
        }
        for path in self.schema_paths(hash) {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::remove_file(self.module_path(hash))?;
        Ok(true)
    }

    /// Whether the node has had modules, or bases: it has run before, and its log is not empty by
    /// itself.
    pub(crate) fn has_a_past(&self) -> bool {
        let ends_with = |folder: &str, end: &str| {
            let entries = std::fs::read_dir(self.root.join(folder));
            let mut entries = entries.into_iter().flatten().flatten();
            entries.any(|entry| entry.path().extension().is_some_and(|found| found == end))
        };
        ends_with("modules", "wasm") || ends_with(crate::base::FOLDER, "base")
    }

    /// Where a binary is stored.
    pub(crate) fn module_path(&self, hash: &[u8; 32]) -> PathBuf {
        self.in_folder("modules", hash, "wasm")
    }

    fn schema_paths(&self, hash: &[u8; 32]) -> [PathBuf; 2] {
        ["modules", SCHEMAS].map(|folder| self.in_folder(folder, hash, "schema"))
    }

    fn in_folder(&self, folder: &str, hash: &[u8; 32], end: &str) -> PathBuf {
        let name = blake3::Hash::from_bytes(*hash).to_hex();
        self.root.join(folder).join(format!("{name}.{end}"))
    }
}

fn encode(hash: &[u8; 32], schema: &ModuleSchema) -> postcard::Result<Vec<u8>> {
    let schema = postcard::to_allocvec(schema)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(ABI_VERSION.to_le_bytes());
    bytes.extend(sum(hash, &schema));
    bytes.extend(schema);
    Ok(bytes)
}

fn read_schema(hash: &[u8; 32], path: &Path) -> Option<ModuleSchema> {
    decode(hash, &std::fs::read(path).ok()?)
}

fn decode(hash: &[u8; 32], bytes: &[u8]) -> Option<ModuleSchema> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (stored, schema) = rest.split_first_chunk()?;
    let is_whole = *magic == MAGIC
        && u32::from_le_bytes(*version) == ABI_VERSION
        && *stored == sum(hash, schema);
    if !is_whole {
        return None;
    }
    let (schema, rest) = postcard::take_from_bytes(schema).ok()?;
    rest.is_empty().then_some(schema)
}

fn sum(hash: &[u8; 32], schema: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new()
        .update(hash)
        .update(schema)
        .finalize()
        .as_bytes()
}

#[cfg(test)]
mod tests;
