//! Large records: written and synced by their writer's own thread before they have a place in the
//! log.
//!
//! A record larger than a block goes into a segment of its own. Its bytes do not depend on that
//! segment's place, so they are written first, into a file without a segment's name, while the
//! log's thread goes on with other records. What is left for that thread are two headers and a
//! name ([`super::tail::Tail::adopt`]): nobody waits for megabytes of somebody else.
//!
//! The file begins with room for the headers of the segment and of the block, and ends with zeros
//! for the blocks that follow, until the next segment is made. A crash leaves it behind; opening
//! the log removes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::LogError;
use super::files::{LogFile, LogFiles, write_all_at};
use super::format::{BLOCK_HEADER_BYTES, Checksum, Hasher, SEGMENT_HEADER_BYTES, length_before};
use super::writer::Message;
use super::{Log, Shared, lock};

/// How the names of these files begin and end.
const NAME: (&str, &str) = ("large-", ".new");

/// Bytes that are written between two syncs: the disk never has so much to do for them that the
/// block of others has to wait for long.
const SYNCED_BYTES: usize = 8 << 20;

/// A record that is on the disk and has no place in the log yet. Dropped, it is removed.
pub struct Staged {
    files: Arc<dyn LogFiles>,
    path: PathBuf,
    /// `None` once it is a segment.
    file: Option<Box<dyn LogFile>>,
    /// Bytes of its block, with the header.
    pub(super) bytes: u64,
    /// The checksum of the block's records.
    pub(super) records: Checksum,
    /// Bytes of the file.
    pub(super) length: u64,
}

impl Log {
    /// Whether a record of `bytes` bytes is larger than a block, so that others would wait for it
    /// if it was not staged.
    #[must_use]
    pub fn is_large(&self, bytes: usize) -> bool {
        bytes as u64 > self.shared.block_bytes_max
    }

    /// Writes a large record to the disk and syncs it, on the caller's thread, while the log goes
    /// on. It is no part of the log before [`Log::append_staged`], and is removed when it is
    /// dropped. One at a time: others wait.
    ///
    /// # Errors
    /// [`LogError::Io`]; the log itself is not touched, and the record can be appended.
    pub fn stage(&self, record: &[u8]) -> Result<Staged, LogError> {
        let Shared {
            directory,
            files,
            staging,
            block_bytes_max,
            ..
        } = self.shared.as_ref();
        let mut number = lock(staging);
        *number += 1;
        Staged::write(directory, files, *number, record, *block_bytes_max)
    }

    /// Queues a record that is on the disk, as [`Log::append`] would. What was queued before is
    /// answered first.
    pub fn append_staged(&self, staged: Staged) {
        self.shared.appended.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Staged(staged));
    }
}

/// Whether a file of this name was left behind by a crash.
pub(super) fn is_left_behind(name: &str) -> bool {
    name.starts_with(NAME.0) && name.ends_with(NAME.1)
}

impl Staged {
    /// Writes `record` into a file in `directory`, with `room` bytes of zeros after it.
    pub(super) fn write(
        directory: &Path,
        files: &Arc<dyn LogFiles>,
        number: u64,
        record: &[u8],
        room: u64,
    ) -> Result<Self, LogError> {
        let path = directory.join(format!("{}{number}{}", NAME.0, NAME.1));
        let created = files.create(&path, 0);
        let file = created.map_err(|source| LogError::io("create", &path, source))?;
        let head = length_before(record.len());
        let records = (head.len() as u64) + (record.len() as u64);
        let bytes = BLOCK_HEADER_BYTES + records;
        let mut staged = Self {
            files: Arc::clone(files),
            path,
            file: Some(file),
            bytes,
            records: [0; 16],
            length: SEGMENT_HEADER_BYTES + bytes + room,
        };
        let mut hasher = Hasher::default();
        let mut at = SEGMENT_HEADER_BYTES + BLOCK_HEADER_BYTES;
        for part in std::iter::once(head.as_slice()).chain(record.chunks(SYNCED_BYTES)) {
            hasher.update(part);
            staged.put(at, part)?;
            at += part.len() as u64;
        }
        staged.records = hasher.finish();
        let mut left = room;
        while left > 0 {
            let part = left.min(SYNCED_BYTES as u64);
            staged.put(at, &vec![0; usize::try_from(part).unwrap_or_default()])?;
            at += part;
            left -= part;
        }
        Ok(staged)
    }

    /// Bytes that it takes in the log.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), LogError> {
        let file = self.file.as_mut().ok_or(LogError::Closed)?;
        write_all_at(file.as_mut(), at, bytes)
            .map_err(|source| LogError::io("write", &self.path, source))?;
        file.sync()
            .map_err(|source| LogError::io("sync", &self.path, source))
    }

    /// Writes the headers and gives it the name of a segment, which is durable when the directory
    /// is synced.
    pub(super) fn become_segment(
        &mut self,
        headers: &[u8],
        name: &Path,
    ) -> Result<Box<dyn LogFile>, LogError> {
        self.put(0, headers)?;
        self.files
            .rename(&self.path, name)
            .map_err(|source| LogError::io("rename", &self.path, source))?;
        self.file.take().ok_or(LogError::Closed)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What cannot be removed goes when the log is opened.
            let _ = self.files.remove(&self.path);
        }
    }
}
