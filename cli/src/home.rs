//! Where everything of this user lies: `INTERSTICE_HOME`, or `interstice` under the operating
//! system's data directory.
//!
//! Files are written atomically and are private to the user (0600, folders 0700). What is inside
//! `nodes/<node id>/` belongs to the node; only its `node.toml` is read and written here, in
//! `registry`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::problem::{Outcome, Problem};

/// The environment variable that names another place.
pub const HOME_VARIABLE: &str = "INTERSTICE_HOME";

/// The folder of this user's nodes, keys, sources and builds.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The folder that the environment names, or the default one. It need not exist.
    ///
    /// # Errors
    /// When the system does not say where its users keep data.
    pub fn find() -> Outcome<Self> {
        let named = std::env::var_os(HOME_VARIABLE).filter(|value| !value.is_empty());
        if let Some(named) = named {
            let root = std::path::absolute(PathBuf::from(named)).map_err(|error| {
                Problem::failed(format!("{HOME_VARIABLE} is not a path: {error}"))
            })?;
            return Ok(Self { root });
        }
        directories::ProjectDirs::from("", "", "interstice")
            .map(|folders| Self {
                root: folders.data_dir().to_path_buf(),
            })
            .ok_or_else(|| {
                Problem::failed("the home directory of this user is not known").advise(format!(
                    "set {HOME_VARIABLE} to a folder for Interstice's files"
                ))
            })
    }

    /// A home in this folder.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The registry of nodes.
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.root.join("nodes.toml")
    }

    /// This command line's own identity.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.root.join("key")
    }

    /// The folder of the local nodes' folders.
    #[must_use]
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes")
    }

    /// The folder of a local node, whether it is there or not.
    #[must_use]
    pub fn node(&self, id: &str) -> PathBuf {
        self.nodes().join(id)
    }

    /// The folder of the carried sources, one folder per version of them.
    #[must_use]
    pub fn sources(&self) -> PathBuf {
        self.root.join("sdk")
    }

    /// The folder in which modules are built. It may be deleted at any time.
    #[must_use]
    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    /// Removes the folder into which versions up to 0.5.0 built all crates. Nothing reads it.
    pub fn remove_common_build(&self) {
        // It takes room and does no harm.
        let _ = fs::remove_dir_all(self.root.join("build"));
    }

    /// Makes the folder itself, private to the user.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self) -> Outcome<()> {
        make_private_folder(&self.root)
    }
}

/// Makes a folder and those above it, private to the user. One that is there stays as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_folder(path: &Path) -> Outcome<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
        .create(path)
        .map_err(|error| Problem::file("make the folder", path, &error))
}

/// Writes a file that is, after a crash at any point, the old one or the new one.
///
/// # Errors
/// When it cannot be written; the file is then as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // The write has failed already; a leftover is in nobody's way.
        let _ = fs::remove_file(&temporary);
        Problem::file("write", path, &error)
    })
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_options().truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Waits for the sole use of `path`, a file that exists for nothing else, until the result is
/// dropped.
///
/// # Errors
/// When the file cannot be made or locked.
pub fn lock(path: &Path) -> Outcome<File> {
    let wrong = |error: io::Error| Problem::file("lock", path, &error);
    let file = private_options()
        .truncate(false)
        .open(path)
        .map_err(wrong)?;
    file.lock().map_err(wrong)?;
    Ok(file)
}

/// As [`lock`], without waiting: `None` when another process has it.
///
/// # Errors
/// When the file cannot be made or locked.
pub fn try_lock(path: &Path) -> Outcome<Option<File>> {
    let wrong = |error: io::Error| Problem::file("lock", path, &error);
    let file = private_options()
        .truncate(false)
        .open(path)
        .map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path().join("a/b"));
        home.make().expect("is made");
        write_private(&home.registry(), b"x").expect("is written");
        write_private(&home.registry(), b"y").expect("is written again");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(home.root()), 0o700);
        assert_eq!(mode(&home.registry()), 0o600);
        assert_eq!(fs::read(home.registry()).expect("reads"), b"y");
        assert_eq!(
            fs::read_dir(home.root()).expect("lists").count(),
            1,
            "nothing is left over"
        );
    }
}
