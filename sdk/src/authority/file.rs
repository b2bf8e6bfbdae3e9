//! Types of the authority `File`. Paths are relative to what the module may see.

use crate::interstice_type;

/// Something happened to a file or folder that is watched.
#[interstice_type]
#[derive(Debug)]
pub enum FileEvent {
    /// It came to be.
    Created {
        /// Where.
        path: String,
    },
    /// Its content changed.
    Modified {
        /// Where.
        path: String,
    },
    /// It went.
    Deleted {
        /// Where it was.
        path: String,
    },
    /// It got another name.
    Renamed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
}

/// One entry of a folder.
#[interstice_type]
#[derive(Debug)]
pub struct DirEntry {
    /// Its name in the folder.
    pub name: String,
    /// Its path.
    pub path: String,
    /// What it is.
    pub file_type: FileType,
}

/// What is known of a file without reading it.
#[interstice_type]
#[derive(Debug)]
pub struct FileMetadata {
    /// What it is.
    pub file_type: FileType,
    /// Its size in bytes.
    pub len: u64,
    /// Whether it cannot be written.
    pub readonly: bool,
    /// When it came to be, in seconds since 1970, where the system knows.
    pub created: Option<u64>,
    /// When its content last changed, in seconds since 1970, where the system knows.
    pub modified: Option<u64>,
}

/// What an entry of a folder is.
#[interstice_type]
#[derive(Debug, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A file.
    File,
    /// A folder.
    Directory,
    /// A link to something else.
    Symlink,
    /// A device, a socket, or the like.
    Other,
}
