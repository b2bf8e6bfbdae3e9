//! Syncing all files below a directory ourselves, where the one who wrote them does not.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::error::StoreError;
use super::steps::{Step, Steps};
use crate::files;

/// Makes the content and the names of everything below `directory` durable. A file that vanishes
/// meanwhile was not needed.
pub(super) fn sync_below(directory: &Path, steps: &dyn Steps) -> Result<(), StoreError> {
    let entries =
        fs::read_dir(directory).map_err(|source| StoreError::io("list", directory, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::io("list", directory, source))?;
        let path = entry.path();
        let kind = entry
            .file_type()
            .map_err(|source| StoreError::io("look at", &path, source))?;
        if kind.is_dir() {
            sync_below(&path, steps)?;
        } else if kind.is_file() {
            match sync_file(&path, steps) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("sync", path, error));
                }
                _ => {}
            }
        }
    }
    let synced = steps.before(Step::SyncNames, directory);
    synced
        .and_then(|()| files::sync_dir(directory))
        .map_err(|source| StoreError::io("sync", directory, source))
}

/// Opened for writing, because some systems sync nothing through a handle that only reads.
fn sync_file(path: &Path, steps: &dyn Steps) -> io::Result<()> {
    steps.before(Step::Sync, path)?;
    File::options().write(true).open(path)?.sync_data()
}
