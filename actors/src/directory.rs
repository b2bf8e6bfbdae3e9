//! A node's data directory: `node.toml`, `key`, `log/`, `db/`, `bases/`, `modules/`, `files/`, `node.log`.
//!
//! Private to the user: what is not when the node starts, is made so (`private.rs`). Locked by the process that runs the
//! node. Binaries are stored under their content's hash, so a
//! module's name never becomes a path.

mod private;

use std::path::{Path, PathBuf};

use interstice_abi::failure::{Code, Failure};
use interstice_client::Identity;
use interstice_host::files;
use libp2p::identity::Keypair;

pub use self::private::keep_files_private;

use crate::node::NodeError;

/// How old a stored binary must be to be dropped: a deploy stores it some moments before anything names it.
const BINARY_AGE_MIN: std::time::Duration = std::time::Duration::from_secs(600);

/// The folders and files of one node.
pub(crate) struct Directory {
    root: PathBuf,
    mended: Vec<PathBuf>,
    /// Held as long as this is; `None` where a running node has it.
    lock: Option<files::DirectoryLock>,
}

impl Directory {
    /// Locks the directory of a node.
    ///
    /// # Errors
    /// When it is not there, or another process has it.
    pub(crate) fn open(root: &Path) -> Result<Self, NodeError> {
        if !root.join("node.toml").is_file() {
            return Err(NodeError::NotANode {
                path: root.to_path_buf(),
            });
        }
        let lock = files::DirectoryLock::acquire(root).map_err(|error| NodeError::Directory {
            path: root.to_path_buf(),
            problem: error.to_string(),
        })?;
        let mended = private::make_private(root).map_err(|(path, error)| NodeError::Directory {
            path,
            problem: format!("it cannot be made private: {error}"),
        })?;
        let directory = Self {
            root: root.to_path_buf(),
            mended,
            lock: Some(lock),
        };
        for folder in ["log", "db", "modules", "files", crate::base::FOLDER] {
            directory.make(folder)?;
        }
        Ok(directory)
    }

    /// The directory of a node that may be running, only to be read: nothing in it is made or changed. Where the node does not
    /// run it is locked, so that it cannot start meanwhile.
    ///
    /// # Errors
    /// When it is not there, or cannot be locked for another reason than a running node.
    pub(crate) fn look(root: &Path) -> Result<Self, NodeError> {
        if !root.join("node.toml").is_file() {
            return Err(NodeError::NotANode {
                path: root.to_path_buf(),
            });
        }
        let lock = match files::DirectoryLock::acquire(root) {
            Ok(lock) => Some(lock),
            Err(files::DirectoryLockError::AlreadyLocked { .. }) => None,
            Err(error) => {
                return Err(NodeError::Directory {
                    path: root.to_path_buf(),
                    problem: error.to_string(),
                });
            }
        };
        Ok(Self {
            root: root.to_path_buf(),
            mended: Vec::new(),
            lock,
        })
    }

    /// Whether nobody else has it.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    fn make(&self, folder: &str) -> Result<(), NodeError> {
        let path = self.root.join(folder);
        files::create_private_dir(&path).map_err(|error| NodeError::Directory {
            path,
            problem: error.to_string(),
        })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What others could read or write until the node was started.
    pub(crate) fn mended(&self) -> &[PathBuf] {
        &self.mended
    }

    /// A file or folder of the node.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The node's key.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub(crate) fn key(&self) -> Result<Keypair, NodeError> {
        let path = self.path("key");
        let wrong = |problem: String| NodeError::Key {
            path: path.clone(),
            problem,
        };
        let identity = Identity::load(&path).map_err(|error| wrong(error.to_string()))?;
        Ok(identity.keypair().clone())
    }

    /// Stores a module's binary under its hash, synced.
    pub(crate) fn store_module(&self, hash: &[u8; 32], wasm: &[u8]) -> Result<(), Failure> {
        let path = self.module_path(hash);
        if let Ok(file) = std::fs::File::open(&path) {
            // Nothing names it yet: see [`Directory::settled_modules`]. When the time cannot be set, it is as old as it looks.
            let _ = file.set_modified(std::time::SystemTime::now());
            return Ok(());
        }
        files::write_private(&path, wasm).map_err(|error| {
            Failure::new(
                Code::Unavailable,
                format!(
                    "the module could not be stored in {}: {error}",
                    path.display()
                ),
            )
        })
    }

    /// A stored binary.
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

    /// The hashes of stored binaries, but those that a deploy may be about to name.
    pub(crate) fn settled_modules(&self) -> std::io::Result<Vec<[u8; 32]>> {
        let mut settled = Vec::new();
        for entry in std::fs::read_dir(self.root.join("modules"))? {
            let entry = entry?;
            let name = entry.file_name();
            let hash = name
                .to_str()
                .and_then(|name| name.strip_suffix(".wasm"))
                .and_then(|name| blake3::Hash::from_hex(name).ok());
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age >= BINARY_AGE_MIN {
                settled.extend(hash.map(|hash| *hash.as_bytes()));
            }
        }
        Ok(settled)
    }

    /// Removes a stored binary.
    pub(crate) fn drop_module(&self, hash: &[u8; 32]) -> std::io::Result<()> {
        std::fs::remove_file(self.module_path(hash))
    }

    fn module_path(&self, hash: &[u8; 32]) -> PathBuf {
        let name = blake3::Hash::from_bytes(*hash).to_hex();
        self.root.join("modules").join(format!("{name}.wasm"))
    }
}

/// Makes the directory of a new node below `nodes`, which is made where it is missing.
pub(crate) fn create(
    nodes: &Path,
    key: &Keypair,
    config: &crate::config::Config,
) -> Result<PathBuf, NodeError> {
    let root = nodes.join(key.public().to_peer_id().to_string());
    let wrong = |error: std::io::Error| NodeError::Directory {
        path: root.clone(),
        problem: error.to_string(),
    };
    files::create_private_dir(&root).map_err(wrong)?;
    let encoded = key.to_protobuf_encoding().map_err(|error| NodeError::Key {
        path: root.join("key"),
        problem: error.to_string(),
    })?;
    files::write_private(&root.join("key"), &encoded).map_err(wrong)?;
    // Last: a directory with a configuration is a node.
    files::write_private(&root.join("node.toml"), config.to_toml()?.as_bytes()).map_err(wrong)?;
    Ok(root)
}
