//! Checksums of wasmtime's compile cache: machine code is run as it is found, so an entry that is
//! not as it was written must not be used.
//!
//! wasmtime looks for an entry by the hash of its module and does not check its content. The file
//! `<cache>.sums` beside the cache has a line `<BLAKE3 as hex> <path in the cache>` for every
//! entry. Entries that differ from it, or are not in it, are removed before the engine sees the
//! cache, and their modules are compiled again. An entry of which a crash has kept the line from
//! being written is compiled again, too.

use std::collections::{BTreeMap, btree_map::Entry};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::files;

/// What is appended to the name of the cache's folder.
const SUMS_SUFFIX: &str = ".sums";

/// Hashes by path in the cache.
type Sums = BTreeMap<PathBuf, blake3::Hash>;

/// The checksums of a cache that is in use.
pub(super) struct CacheSums {
    directory: PathBuf,
    sums: Mutex<Sums>,
}

impl CacheSums {
    /// Removes every entry that is not as it was written.
    ///
    /// # Errors
    /// When the folder cannot be read, or an entry cannot be removed; the cache must not be used
    /// then.
    pub(super) fn verify(directory: &Path) -> io::Result<Self> {
        let mut sums = read_sums(directory);
        for (entry, found) in entries(directory)? {
            if sums.get(&entry) != Some(&found) {
                if sums.remove(&entry).is_some() {
                    tracing::warn!(
                        "{} in the compile cache is damaged; its module is compiled again",
                        entry.display()
                    );
                }
                fs::remove_file(directory.join(&entry))?;
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            sums: Mutex::new(sums),
        })
    }

    /// Notes the entries that have come since the last look. What cannot be noted is compiled
    /// again by the next process.
    pub(super) fn note(&self) {
        // What a panic under the lock leaves is a whole map.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.note_into(&mut sums) {
            tracing::warn!(
                "the checksums of the compile cache {} cannot be written: {error}",
                self.directory.display()
            );
        }
    }

    fn note_into(&self, sums: &mut Sums) -> io::Result<()> {
        let names = names(&self.directory)?;
        if names.iter().all(|entry| sums.contains_key(entry)) {
            return Ok(());
        }
        // wasmtime drops those that were not used for long.
        sums.retain(|entry, _| names.contains(entry));
        for entry in names {
            let path = self.directory.join(&entry);
            if let Entry::Vacant(unknown) = sums.entry(entry) {
                unknown.insert(blake3::hash(&fs::read(path)?));
            }
        }
        let lines: String = sums
            .iter()
            .filter_map(|(entry, sum)| Some(format!("{} {}\n", sum.to_hex(), entry.to_str()?)))
            .collect();
        files::write_private(&sums_path(&self.directory), lines.as_bytes())
    }
}

/// The entries of a compile cache that are not as they were written. Changes nothing; a missing
/// cache has none.
///
/// # Errors
/// What the operating system says of the folder or of an entry.
pub fn damaged_entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let sums = read_sums(directory);
    let mut damaged = Vec::new();
    for (entry, found) in entries(directory)? {
        if sums.get(&entry).is_some_and(|written| *written != found) {
            damaged.push(directory.join(entry));
        }
    }
    Ok(damaged)
}

fn sums_path(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(SUMS_SUFFIX);
    directory.with_file_name(name)
}

/// What the file says. One that is missing or damaged says nothing, so that everything is compiled
/// again.
fn read_sums(directory: &Path) -> Sums {
    let text = fs::read_to_string(sums_path(directory)).unwrap_or_default();
    let line = |line: &str| {
        let (sum, entry) = line.split_once(' ')?;
        Some((PathBuf::from(entry), blake3::Hash::from_hex(sum).ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn entries(directory: &Path) -> io::Result<Vec<(PathBuf, blake3::Hash)>> {
    let mut found = Vec::new();
    for entry in names(directory)? {
        let bytes = fs::read(directory.join(&entry))?;
        found.push((entry, blake3::hash(&bytes)));
    }
    Ok(found)
}

/// The paths of all compiled modules in the cache. Files with an extension are wasmtime's notes on
/// how often they were used.
fn names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(folder) = ahead.pop() {
        let listed = match fs::read_dir(directory.join(&folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            listed => listed?,
        };
        for entry in listed {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                ahead.push(path);
            } else if path.extension().is_none() {
                found.push(path);
            }
        }
    }
    Ok(found)
}
