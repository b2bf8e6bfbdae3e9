//! The end of the log, where blocks are written: the segment at hand, and the making of the next
//! one.
//!
//! A segment is made as [`SPARE_FILE`]: filled with zeros and synced (slow, so a thread does it
//! ahead of need), then given its header, synced, renamed, and the directory synced. So a file
//! with a segment's name is always whole, and a leftover spare is rubbish. A block is in one
//! segment; where it does not fit, the next begins. A segment grows for a block that is larger
//! than it: filling it with zeros first would write as much again, while all later blocks wait. A
//! record that was staged (`staged`) comes with its segment.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::acknowledged::Acknowledged;
use super::error::LogError;
use super::files::{Access, LogFile, LogFiles, write_all_at};
use super::format::{Block, Checksum, SEGMENT_HEADER_BYTES, SegmentHeader, block_header};
use super::scan::Examination;
use super::staged::{Staged, is_left_behind};
use super::window::Window;
use super::{LogPosition, segment_name};

/// The name of a segment that is being made.
const SPARE_FILE: &str = "next.new";

/// Bytes of zeros written at once over a torn tail.
const ZEROS_BYTES: u64 = 64 << 10;

pub(super) struct Tail {
    directory: PathBuf,
    files: Arc<dyn LogFiles>,
    segment_bytes: u64,
    segment: Option<Segment>,
    end: LogPosition,
    previous: Checksum,
    acknowledged: Acknowledged,
    spare: Option<JoinHandle<std::io::Result<Box<dyn LogFile>>>>,
}

struct Segment {
    file: Box<dyn LogFile>,
    path: PathBuf,
    /// Where the next block goes.
    offset: u64,
    length: u64,
}

impl Tail {
    /// Takes up the log that `found` describes: finishes what a crash has left behind, and makes
    /// the first segment of an empty log.
    pub(super) fn open(
        directory: PathBuf,
        files: Arc<dyn LogFiles>,
        segment_bytes: u64,
        found: &Examination,
    ) -> Result<Self, LogError> {
        let acknowledged = Acknowledged::open(&directory, files.as_ref())?;
        let mut tail = Self {
            directory,
            files,
            segment_bytes,
            segment: None,
            end: found.end(),
            previous: found.last_checksum,
            acknowledged,
            spare: None,
        };
        tail.remove_spare()?;
        tail.remove_left_behind()?;
        // Names may have been in the directory's memory only.
        tail.files
            .sync_dir(&tail.directory)
            .map_err(|source| LogError::io("sync", &tail.directory, source))?;
        match found.segments.last() {
            None => tail.roll(SEGMENT_HEADER_BYTES, 0)?,
            Some(last) => {
                let mut file = tail
                    .files
                    .open(&last.file, Access::Write)
                    .map_err(|source| LogError::io("open", &last.file, source))?;
                tail.settle(file.as_mut(), found)?;
                tail.segment = Some(Segment {
                    file,
                    path: last.file.clone(),
                    offset: SEGMENT_HEADER_BYTES + (last.end.0 - last.first.0),
                    length: last.bytes,
                });
            }
        }
        // All that is left is durable, and the caller may be answered from it.
        tail.acknowledged.write(tail.end)?;
        tail.acknowledged.sync()?;
        Ok(tail)
    }

    /// The position behind the last block.
    pub(super) fn end(&self) -> LogPosition {
        self.end
    }

    /// Whether a block of `bytes` bytes begins another segment. One without blocks takes any.
    pub(super) fn is_full_for(&self, bytes: u64) -> bool {
        self.segment.as_ref().is_none_or(|segment| {
            segment.offset > SEGMENT_HEADER_BYTES
                && segment.offset.saturating_add(bytes) > segment.length
        })
    }

    /// Begins the next segment, with room for a block of `bytes` bytes.
    pub(super) fn roll(&mut self, bytes: u64, reserved_seq: u64) -> Result<(), LogError> {
        self.acknowledged.sync()?;
        let spare = self.directory.join(SPARE_FILE);
        let prepared = self.spare.take().and_then(|thread| thread.join().ok());
        let is_large = SEGMENT_HEADER_BYTES.saturating_add(bytes) > self.segment_bytes;
        let (mut file, length) = match prepared {
            Some(Ok(file)) => (file, self.segment_bytes),
            _ => {
                // A large block makes its file as long as it needs it.
                let length = if is_large {
                    SEGMENT_HEADER_BYTES
                } else {
                    self.segment_bytes
                };
                let file = self.files.create(&spare, length);
                let file = file.map_err(|source| LogError::io("create", &spare, source))?;
                (file, length)
            }
        };
        let header = SegmentHeader {
            first: self.end,
            previous: self.previous,
            reserved_seq,
        };
        write_all_at(file.as_mut(), 0, &header.encode())
            .map_err(|source| LogError::io("write", &spare, source))?;
        file.sync()
            .map_err(|source| LogError::io("sync", &spare, source))?;
        let path = self.directory.join(segment_name(self.end));
        self.files
            .rename(&spare, &path)
            .map_err(|source| LogError::io("rename", &spare, source))?;
        self.files
            .sync_dir(&self.directory)
            .map_err(|source| LogError::io("sync", &self.directory, source))?;
        self.segment = Some(Segment {
            file,
            path,
            offset: SEGMENT_HEADER_BYTES,
            length,
        });
        Ok(())
    }

    /// Writes a block, for which the segment has room, and syncs it. When this returns the block
    /// is durable, and it is noted that its records may be acknowledged.
    pub(super) fn write(&mut self, block: &mut Block, reserved_seq: u64) -> Result<(), LogError> {
        let segment = self.segment.as_mut().ok_or(LogError::Closed)?;
        let (bytes, checksum) = block.seal(self.end, reserved_seq, self.previous);
        write_all_at(segment.file.as_mut(), segment.offset, bytes)
            .map_err(|source| LogError::io("write", &segment.path, source))?;
        segment
            .file
            .sync()
            .map_err(|source| LogError::io("sync", &segment.path, source))?;
        segment.offset += bytes.len() as u64;
        segment.length = segment.length.max(segment.offset);
        self.end.0 += bytes.len() as u64;
        self.previous = checksum;
        self.acknowledged.write(self.end)
    }

    /// Makes a segment of a large record that is on the disk, behind everything that was written.
    /// When this returns the record is durable, as with [`Tail::write`].
    pub(super) fn adopt(
        &mut self,
        mut staged: Staged,
        reserved_seq_written: u64,
        reserved_seq: u64,
    ) -> Result<(), LogError> {
        self.acknowledged.sync()?;
        let header = SegmentHeader {
            first: self.end,
            previous: self.previous,
            reserved_seq: reserved_seq_written,
        };
        let (block, checksum) = block_header(
            self.end,
            staged.bytes,
            reserved_seq,
            self.previous,
            staged.records,
        );
        let path = self.directory.join(segment_name(self.end));
        // A segment without blocks has the same name, and is replaced.
        self.segment = None;
        let headers = [header.encode(), block].concat();
        let file = staged.become_segment(&headers, &path)?;
        self.files
            .sync_dir(&self.directory)
            .map_err(|source| LogError::io("sync", &self.directory, source))?;
        self.segment = Some(Segment {
            file,
            path,
            offset: SEGMENT_HEADER_BYTES + staged.bytes,
            length: staged.length,
        });
        self.end.0 += staged.bytes;
        self.previous = checksum;
        self.acknowledged.write(self.end)
    }

    /// Starts making the next segment once this one is more than a quarter full. Its failure shows
    /// when the segment is needed.
    pub(super) fn prepare(&mut self) {
        let begun = self
            .segment
            .as_ref()
            .is_some_and(|segment| segment.offset > segment.length / 4);
        if self.spare.is_some() || !begun {
            return;
        }
        let (files, path) = (Arc::clone(&self.files), self.directory.join(SPARE_FILE));
        let bytes = self.segment_bytes;
        self.spare = thread::Builder::new()
            .name("log-segment".to_owned())
            .spawn(move || files.create(&path, bytes))
            .ok();
    }

    /// Leaves the directory without a spare. A spare that cannot be removed is removed when the
    /// log is opened again.
    pub(super) fn finish(mut self) {
        if let Err(error) = self.acknowledged.sync() {
            tracing::warn!("{error}");
        }
        if let Some(thread) = self.spare.take() {
            drop(thread.join());
            if let Err(error) = self.remove_spare() {
                tracing::warn!("{error}");
            }
        }
    }

    fn remove_left_behind(&self) -> Result<(), LogError> {
        let names = self.files.list(&self.directory);
        let names = names.map_err(|source| LogError::io("list", &self.directory, source))?;
        for name in names.iter().filter(|name| is_left_behind(name)) {
            let path = self.directory.join(name);
            self.files
                .remove(&path)
                .map_err(|source| LogError::io("remove", &path, source))?;
        }
        Ok(())
    }

    fn remove_spare(&self) -> Result<(), LogError> {
        let spare = self.directory.join(SPARE_FILE);
        match self.files.remove(&spare) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(LogError::io("remove", spare, error))
            }
            _ => Ok(()),
        }
    }

    /// Zeroes the torn tail, and writes the last block once more: after a failed sync or a killed
    /// process it may be in the system's memory only, marked as written, so that a sync alone
    /// would not bring it to the disk.
    fn settle(&self, file: &mut dyn LogFile, found: &Examination) -> Result<(), LogError> {
        let Some(last) = found.segments.last() else {
            return Ok(());
        };
        let failed = |source| LogError::io("write", &last.file, source);
        if let Some(cut) = &found.cut {
            let mut left = cut.bytes;
            let mut offset = cut.offset;
            while left > 0 {
                let part = left.min(ZEROS_BYTES);
                let zeros = vec![0; usize::try_from(part).unwrap_or_default()];
                write_all_at(file, offset, &zeros).map_err(failed)?;
                offset += part;
                left -= part;
            }
        }
        if let Some((offset, bytes)) = found.last_block {
            let reading = self
                .files
                .open(&last.file, Access::Read)
                .map_err(|source| LogError::io("open", &last.file, source))?;
            let mut window = Window::new(reading, last.file.clone())?;
            write_all_at(file, offset, window.bytes(offset, bytes)?).map_err(failed)?;
        }
        file.sync()
            .map_err(|source| LogError::io("sync", &last.file, source))
    }
}
