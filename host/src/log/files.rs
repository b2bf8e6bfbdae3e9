//! The seam between the log and the file system: what the log asks of files, and the real ones.
//!
//! Tests put a failing disk behind these traits. What a power cut may do to files is part of the
//! contract: bytes are durable after [`LogFile::sync`], names after [`LogFiles::sync_dir`], and
//! nothing before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::files;

/// How much is written at once when a segment is filled with zeros: one page. Linux keeps what one
/// call has written in one piece, and later counts the whole piece as written, also against the
/// limits on unwritten memory, for each byte in it that changes. The disk gets the changed pages
/// only, in either case.
const ZEROS_BYTES: usize = 4 << 10;

/// After how many zeros they are synced: the disk then never has so much to do for a segment to
/// come that a block has to wait for it.
const ZEROS_SYNCED_BYTES: u64 = 1 << 20;

/// One open segment file.
pub trait LogFile: Send {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the operating system said.
    fn length(&self) -> io::Result<u64>;
    /// Writes some of `bytes` at `offset`; how many. May be fewer than given.
    ///
    /// # Errors
    /// What the operating system said; any part may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Reads some bytes from `offset` into `bytes`; how many, 0 at the end of the file.
    ///
    /// # Errors
    /// What the operating system said.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// Makes everything written durable.
    ///
    /// # Errors
    /// What the operating system said; what was written since the last success is then unknown for
    /// good.
    fn sync(&mut self) -> io::Result<()>;
}

/// The directory operations that the log needs.
pub trait LogFiles: Send + Sync {
    /// Creates `directory` and those above it, for the user alone; succeeds when it exists.
    ///
    /// # Errors
    /// What the operating system said.
    fn create_dir(&self, directory: &Path) -> io::Result<()>;
    /// The names in `directory`, in no order.
    ///
    /// # Errors
    /// What the operating system said.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Creates `path`, replacing what is there, with `bytes` zeros that are allocated on the disk
    /// and synced. The name is not.
    ///
    /// # Errors
    /// What the operating system said; a part of the file may remain.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>>;
    /// Opens a file for reading and, where `Access` says so, writing.
    ///
    /// # Errors
    /// What the operating system said.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn LogFile>>;
    /// Renames a file within its directory.
    ///
    /// # Errors
    /// What the operating system said.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system said.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in `directory` durable.
    ///
    /// # Errors
    /// What the operating system said.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdFiles;

impl LogFiles for StdFiles {
    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        files::create_private_dir(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(directory)?
            .filter_map(|entry| {
                entry
                    .map(|entry| entry.file_name().into_string().ok())
                    .transpose()
            })
            .collect()
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let mut file = files::private_file().read(true).truncate(true).open(path)?;
        let zeros = vec![0; ZEROS_BYTES];
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
            let (part, _) = zeros.split_at(part);
            file.write_all(part)?;
            left -= part.len() as u64;
            if left.is_multiple_of(ZEROS_SYNCED_BYTES) {
                file.sync_data()?;
            }
        }
        file.sync_all()?;
        Ok(Box::new(StdFile(file)))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(path)?;
        Ok(Box::new(StdFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        files::sync_dir(directory)
    }
}

struct StdFile(File);

impl LogFile for StdFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        // One call of the system where there is one for both.
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset);
        #[cfg(not(unix))]
        {
            self.0.seek(SeekFrom::Start(offset))?;
            self.0.write(bytes)
        }
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Writes all of `bytes` at `offset`, however the file chops it up.
pub(super) fn write_all_at(
    file: &mut dyn LogFile,
    mut offset: u64,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
