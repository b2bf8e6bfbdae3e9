//! Writing an archive: items into blocks, blocks into a temporary file, which gets its name at the
//! end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{ArchiveError, BLOCK_BYTES, CHECKSUM_BYTES, Kind, checksum};
use crate::files;

/// zstd's level: a base is written beside the load of the node, and the higher levels cost it more
/// than the disk gains.
const LEVEL: i32 = 1;

/// An archive that is being written. Dropping it unfinished removes what was written.
pub struct ArchiveWriter {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    content: Vec<u8>,
    previous: [u8; CHECKSUM_BYTES],
    bytes: u64,
    /// Whether the temporary file is to go.
    abandoned: bool,
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        if self.abandoned {
            // It may be gone already; a leftover is overwritten by nothing and named by nobody.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

impl ArchiveWriter {
    /// Begins an archive that will be called `path`, private to the user.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn create(path: &Path, kind: Kind) -> Result<Self, ArchiveError> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".unfinished");
        let unfinished = path.with_file_name(name);
        let wrong = |source| ArchiveError::Io {
            operation: "create",
            file: unfinished.clone(),
            source,
        };
        // A leftover of a process that has ended in the middle.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&unfinished).map_err(wrong)?;
        let header = kind.header();
        // From here on the file goes when something fails.
        let mut archive = Self {
            file,
            path: path.to_owned(),
            content: Vec::new(),
            previous: *blake3::hash(&header).as_bytes(),
            bytes: 0,
            abandoned: true,
            unfinished,
        };
        archive.write(&header)?;
        Ok(archive)
    }

    /// Adds an item in postcard.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn item<T: Serialize>(&mut self, item: &T) -> Result<(), ArchiveError> {
        let bytes = postcard::to_allocvec(item)
            .map_err(|error| self.wrong(io::Error::other(error.to_string())))?;
        self.bytes(&bytes)
    }

    /// Adds an item as it is.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn bytes(&mut self, item: &[u8]) -> Result<(), ArchiveError> {
        let length = (item.len() as u64).to_le_bytes();
        for mut rest in [length.as_slice(), item] {
            while !rest.is_empty() {
                let room = BLOCK_BYTES - self.content.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                self.content.extend_from_slice(now);
                rest = later;
                if self.content.len() == BLOCK_BYTES {
                    self.block()?;
                }
            }
        }
        Ok(())
    }

    /// Completes the archive, syncs it and gives it its name. Another file of that name is never
    /// overwritten. Its size in bytes.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Exists`].
    pub fn finish(mut self) -> Result<u64, ArchiveError> {
        if !self.content.is_empty() {
            self.block()?;
        }
        let end = checksum(&self.previous, [0, 0], &[]);
        self.write(&0_u32.to_le_bytes())?;
        self.write(&end)?;
        self.file.sync_all().map_err(|error| self.wrong(error))?;
        files::name_finished(&self.unfinished, &self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => ArchiveError::Exists {
                file: self.path.clone(),
            },
            _ => self.wrong(error),
        })?;
        Ok(self.bytes)
    }

    fn block(&mut self) -> Result<(), ArchiveError> {
        let compressed =
            zstd::bulk::compress(&self.content, LEVEL).map_err(|error| self.wrong(error))?;
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let lengths = [length(self.content.len()), length(compressed.len())];
        self.previous = checksum(&self.previous, lengths, &compressed);
        for length in lengths {
            self.write(&length.to_le_bytes())?;
        }
        let sum = self.previous;
        self.write(&sum)?;
        self.write(&compressed)?;
        self.content.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.wrong(error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn wrong(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Io {
            operation: "write",
            file: self.unfinished.clone(),
            source,
        }
    }
}
