//! Files and directories that nobody but the node's user may read: atomic writes, and the lock on
//! a node's directory.
//!
//! A file written here is, after a crash at any point, either as it was before or as it was meant
//! to be, never between. The log and sled write their own files; what they share with the rest
//! (private directories, syncing a directory) is here.
//!
//! Permissions (0600 for files, 0700 for directories) exist on Unix only; elsewhere files get what
//! their directory hands down.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file inside a directory that [`DirectoryLock`] locks. It stays behind when the lock is
/// gone, which is harmless.
pub const LOCK_FILE: &str = "lock";

/// Appended to a file's name while its successor is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Writes `bytes` to `path` so that after a crash the file is the old one or the new one, whole
/// and on the disk.
///
/// Written beside it as `<path>.tmp`, synced, renamed, and the directory synced. Two writers of
/// one path at a time are not supported.
///
/// # Errors
/// What the operating system said; `path` is then as it was, or (when only the last sync failed)
/// new but perhaps not yet on the disk.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_private_by_steps(path, bytes, &|_, _| Ok(()))
}

/// One step of writing a file atomically.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileStep {
    /// The bytes go into a file beside it.
    Write,
    /// That file is synced.
    Sync,
    /// It takes the name.
    Rename,
    /// The names in the directory are synced.
    SyncNames,
}

/// As [`write_private`]; `before` is told of each step and the file that it is about, and may
/// refuse it.
pub(crate) fn write_private_by_steps(
    path: &Path,
    bytes: &[u8],
    before: &dyn Fn(FileStep, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_path(path)?;
    let rename = || {
        before(FileStep::Rename, path)?;
        fs::rename(&temporary, path)
    };
    let before_whole = |step| before(step, path);
    if let Err(error) = write_synced(&temporary, bytes, &before_whole).and_then(|()| rename()) {
        // The write has failed already; a leftover is replaced by the next attempt.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    before(FileStep::SyncNames, directory)?;
    sync_dir(directory)
}

/// Gives a finished file its name, durably, and never that of a file that is there. The file must
/// be synced.
///
/// # Errors
/// `AlreadyExists` when the name is taken; what the operating system said otherwise. The file
/// keeps its old name then.
pub fn name_finished(unfinished: &Path, path: &Path) -> io::Result<()> {
    // A hard link fails where the name is taken, which a rename does not.
    match fs::hard_link(unfinished, path) {
        Ok(()) => {
            // Both names are good; the other one is only in the way.
            let _ = fs::remove_file(unfinished);
        }
        Err(_) if path.symlink_metadata().is_ok() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Not every file system has links.
        Err(_) => fs::rename(unfinished, path)?,
    }
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => sync_dir(directory),
        _ => sync_dir(Path::new(".")),
    }
}

/// Creates `path` and the missing directories above it, readable by the user alone. A directory
/// that exists is left as it is.
///
/// # Errors
/// What the operating system said.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Makes created, renamed and removed names in `directory` survive a power cut. Does nothing where
/// directories cannot be synced.
///
/// # Errors
/// What the operating system said.
pub fn sync_dir(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()
    } else {
        Ok(())
    }
}

/// Options that create a file readable by the user alone.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let mut name = path
        .file_name()
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} does not name a file", path.display()),
            )
        })?
        .to_owned();
    name.push(TEMPORARY_SUFFIX);
    Ok(path.with_file_name(name))
}

fn write_synced(
    path: &Path,
    bytes: &[u8],
    before: &dyn Fn(FileStep) -> io::Result<()>,
) -> io::Result<()> {
    before(FileStep::Write)?;
    // A leftover keeps the permissions that it was made with: never write secrets into one.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file().create_new(true).open(path)?;
    file.write_all(bytes)?;
    before(FileStep::Sync)?;
    file.sync_all()
}

/// The right of this process to a directory, until it is dropped or the process ends, however it
/// ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _locked: File,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryLockError {
    /// Another process, or another owner in this one, has the directory.
    #[error("another process has the directory {}: stop that node, or use another directory", directory.display())]
    AlreadyLocked {
        /// The directory that was asked for.
        directory: PathBuf,
    },
    /// The lock file could not be made or locked.
    #[error("cannot lock the directory {}: check that it exists and is writable", directory.display())]
    Io {
        /// The directory that was asked for.
        directory: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the directory, or says at once that it is taken.
    ///
    /// # Errors
    /// [`DirectoryLockError::AlreadyLocked`] when someone has it, [`DirectoryLockError::Io`] for
    /// everything else.
    pub fn acquire(directory: &Path) -> Result<Self, DirectoryLockError> {
        let failed = |source| DirectoryLockError::Io {
            directory: directory.to_owned(),
            source,
        };
        let file = private_file()
            .truncate(false)
            .open(directory.join(LOCK_FILE))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _locked: file }),
            Err(TryLockError::WouldBlock) => Err(DirectoryLockError::AlreadyLocked {
                directory: directory.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DirectoryLock, DirectoryLockError, create_private_dir, name_finished, write_private,
    };
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_private_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, b"first and longer").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_leftover_of_a_crashed_write_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(directory.path().join("key.tmp"), b"half").unwrap();
        write_private(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_into_a_missing_directory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write_private(&directory.path().join("no/key"), b"x").is_err());
        assert!(write_private(Path::new("/"), b"x").is_err());
    }

    #[test]
    fn a_finished_file_never_takes_the_name_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let (unfinished, path) = (directory.path().join("a.part"), directory.path().join("a"));
        fs::write(&unfinished, b"first").unwrap();
        name_finished(&unfinished, &path).unwrap();
        assert!(!unfinished.exists());
        fs::write(&unfinished, b"second").unwrap();
        let refused = name_finished(&unfinished, &path).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read(&unfinished).unwrap(), b"second");
    }

    #[cfg(unix)]
    #[test]
    fn files_and_directories_are_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        create_private_dir(&inner).unwrap();
        create_private_dir(&inner).unwrap();
        let path = inner.join("key");
        write_private(&path, b"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&directory.path().join("a")), 0o700);
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let second = DirectoryLock::acquire(directory.path());
        assert!(matches!(
            second,
            Err(DirectoryLockError::AlreadyLocked { .. })
        ));
        assert!(
            second
                .unwrap_err()
                .to_string()
                .contains("another process has")
        );
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
        assert!(matches!(
            DirectoryLock::acquire(&directory.path().join("missing")),
            Err(DirectoryLockError::Io { .. })
        ));
    }
}
