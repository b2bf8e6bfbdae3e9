//! A node's data directory: `node.toml`, `key`, `log/`, `db/`, `bases/`, `modules/`, `schemas/`,
//! `files/`, `node.log`.
//!
//! Private to the user: what is not when the node starts, is made so (`private.rs`). Locked by the
//! process that runs the node. Binaries are stored under their content's hash, so a module's name
//! never becomes a path.

mod binaries;
mod private;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use interstice_client::Identity;
use interstice_host::files;
use libp2p::{PeerId, identity::Keypair};

use self::binaries::Reservations;
pub(crate) use self::binaries::Reserved;
pub use self::private::keep_files_private;

use crate::node::NodeError;

/// The folders and files of one node.
pub(crate) struct Directory {
    root: PathBuf,
    mended: Vec<PathBuf>,
    /// Held as long as this is; `None` where a running node has it.
    lock: Option<files::DirectoryLock>,
    /// Whether files may be made in it.
    access: Access,
    /// Binaries that are about to be installed.
    reservations: Arc<Reservations>,
}

/// What a directory was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// To run the node, or to make one.
    Own,
    /// Only to be read.
    Look,
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
            access: Access::Own,
            reservations: Arc::default(),
        };
        for folder in [
            "log",
            "db",
            "modules",
            binaries::SCHEMAS,
            "files",
            crate::base::FOLDER,
        ] {
            directory.make(folder)?;
        }
        Ok(directory)
    }

    /// The directory of a node that may be running, only to be read: nothing in it is made or
    /// changed. Where the node does not run it is locked, so that it cannot start meanwhile.
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
            access: Access::Look,
            reservations: Arc::default(),
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
    /// When it is missing or damaged, or that of another node.
    pub(crate) fn key(&self) -> Result<Keypair, NodeError> {
        let path = self.path("key");
        let wrong = |problem: String| NodeError::Key {
            path: path.clone(),
            problem,
        };
        let identity = Identity::load(&path).map_err(|error| wrong(error.to_string()))?;
        // A folder that somebody has named otherwise says nothing of the node's id.
        let named = self.root.file_name().and_then(|name| name.to_str());
        let named = named.filter(|name| name.parse::<PeerId>().is_ok());
        if let Some(named) = named.filter(|named| *named != identity.id().as_str()) {
            return Err(wrong(format!(
                "it is the key of node {}, and this is the folder of node {named}: put the key of this node there",
                identity.id()
            )));
        }
        Ok(identity.keypair().clone())
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
