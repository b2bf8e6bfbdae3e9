//! A key of one's own: who a program is towards nodes, and who a node is.
//!
//! A key file holds libp2p's protobuf encoding of an Ed25519 key pair and nothing else (68 bytes),
//! readable by its owner alone; one that others may read is made private when it is loaded. It is
//! written beside its place and then put there whole, so that nobody reads half a key.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use interstice_abi::id::NodeId;
use libp2p::identity::Keypair;

use crate::read_small_file;

/// Largest key file that is read: a key of any kind fits.
const FILE_BYTES_MAX: u64 = 4096;

/// An Ed25519 key pair and the id that follows from it.
#[derive(Clone, Debug)]
pub struct Identity {
    keypair: Keypair,
    id: NodeId,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not readable.
    #[error("the key file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not writable.
    #[error("the key file {} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it, and that cannot be changed.
    #[error("the key file {} can be read by others, and cannot be made private: {source}; `chmod 600` it, or remove it to be somebody new", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("the key file {} holds no Ed25519 key ({problem}); restore it, or remove it to be somebody new", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        problem: String,
    },
}

impl Identity {
    /// A new one, kept nowhere.
    #[must_use]
    pub fn generate() -> Self {
        Self::from(Keypair::generate_ed25519())
    }

    /// The one in the file `path`, which is private afterwards.
    ///
    /// # Errors
    /// All of [`IdentityError`] but `Write`.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let encoded =
            read_small_file(path, FILE_BYTES_MAX).map_err(|source| IdentityError::Read {
                path: path.into(),
                source,
            })?;
        make_private(path).map_err(|source| IdentityError::Exposed {
            path: path.into(),
            source,
        })?;
        Keypair::from_protobuf_encoding(&encoded)
            .map(Self::from)
            .map_err(|error| IdentityError::Damaged {
                path: path.into(),
                problem: error.to_string(),
            })
    }

    /// The one in the file `path`, which is created with a new one (mode 0600) where there is
    /// none. The folder must exist.
    ///
    /// # Errors
    /// All of [`IdentityError`].
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        match Self::load(path) {
            Err(IdentityError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            }
            loaded => return loaded,
        }
        let identity = Self::generate();
        match identity.create(path) {
            Ok(()) => Ok(identity),
            // Another process was quicker: both are that one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(IdentityError::Write {
                path: path.into(),
                source,
            }),
        }
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let encoded = self
            .keypair
            .to_protobuf_encoding()
            .map_err(io::Error::other)?;
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&beside).and_then(|mut file| {
            file.write_all(&encoded)?;
            file.sync_all()
        });
        // A link, other than a renaming, never replaces a key that is there.
        let placed = written.and_then(|()| fs::hard_link(&beside, path));
        let removed = fs::remove_file(&beside);
        placed.and(removed)
    }

    /// The id: the same text everywhere.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The key pair.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }
}

/// Takes from everybody else what they may do with the file.
#[cfg(unix)]
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = fs::metadata(path)?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    permissions.set_mode(0o600);
    fs::set_permissions(path, permissions)
}

/// Elsewhere files are as private as their folder.
#[cfg(not(unix))]
fn make_private(_: &Path) -> io::Result<()> {
    Ok(())
}

impl From<Keypair> for Identity {
    fn from(keypair: Keypair) -> Self {
        let id = NodeId::from(keypair.public().to_peer_id().to_string());
        Self { keypair, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_created_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let created = Identity::load_or_create(&path).unwrap();
        assert_eq!(Identity::load_or_create(&path).unwrap().id(), created.id());
        assert_eq!(Identity::load(&path).unwrap().id(), created.id());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap().len(), 68);
    }

    #[test]
    fn a_damaged_key_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let whole = Identity::generate().keypair.to_protobuf_encoding().unwrap();
        for content in [&b"nonsense"[..], b"", &whole[..40], &[7; 68]] {
            fs::write(&path, content).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }));
            let told = error.to_string();
            assert!(told.contains(&path.display().to_string()), "{told}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn what_is_no_file_or_too_long_is_not_read_as_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let refused = |wanted: &str| {
            let told = Identity::load_or_create(&path).unwrap_err().to_string();
            assert!(told.contains("key") && told.contains(wanted), "{told}");
        };
        fs::File::create(&path)
            .unwrap()
            .set_len(100_000_000)
            .unwrap();
        refused("100000000 bytes");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("not a file");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_made_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let id = Identity::load_or_create(&path).unwrap().id().clone();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(*Identity::load(&path).unwrap().id(), id);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_key_file_in_no_folder_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = Identity::load_or_create(&folder.path().join("none").join("key")).unwrap_err();
        assert!(matches!(error, IdentityError::Write { .. }));
        assert!(error.to_string().contains("none"), "{error}");
    }
}
