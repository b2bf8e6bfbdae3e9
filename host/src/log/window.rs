//! Reading a segment file through a window: one large read serves many small blocks. Nothing is
//! trusted, and nothing is written.

use std::io;
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::files::LogFile;
use super::format::{
    BLOCK_HEADER_BYTES, BlockHeader, HeaderBytes, SEGMENT_HEADER_BYTES, SegmentHeader,
    SegmentHeaderError,
};
use super::{FORMAT, LogPosition};

/// The greatest position of a segment: centuries of writing, and far enough from the end of the
/// numbers that adding the length of a file never passes it.
const FIRST_MAX: u64 = u64::MAX / 2;
/// Bytes read at once: enough to hide the calls, little enough to keep one per reader.
const WINDOW_BYTES: u64 = 256 << 10;

/// One segment file, being read.
pub(super) struct Window {
    file: Box<dyn LogFile>,
    path: PathBuf,
    length: u64,
    /// Where in the file `bytes` begin.
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(file: Box<dyn LogFile>, path: PathBuf) -> Result<Self, LogError> {
        let length = file
            .length()
            .map_err(|source| LogError::io("get the length of", &path, source))?;
        Ok(Self {
            file,
            path,
            length,
            start: 0,
            bytes: Vec::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length in bytes when it was opened.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads and checks the segment's header.
    pub(super) fn segment_header(&mut self) -> Result<SegmentHeader, LogError> {
        let bytes = self
            .header(0)?
            .ok_or_else(|| self.damaged(0, "the file is shorter than a segment's header"))?;
        let header = SegmentHeader::decode(&bytes).map_err(|error| match error {
            SegmentHeaderError::Damaged => self.damaged(0, "the segment's header is not whole"),
            SegmentHeaderError::Version(found) => LogError::Version {
                file: self.path.clone(),
                found,
                supported: FORMAT,
            },
        })?;
        if header.first.0 > FIRST_MAX {
            return Err(self.damaged(0, "the segment's position is one that no log reaches"));
        }
        Ok(header)
    }

    /// The header of the block at `offset` in a segment that begins at `first`, when there is one
    /// and the file is long enough for its block. The records are not looked at.
    pub(super) fn block_header(
        &mut self,
        first: LogPosition,
        offset: u64,
    ) -> Result<Option<BlockHeader>, LogError> {
        let position = LogPosition(first.0 + (offset - SEGMENT_HEADER_BYTES));
        let length = self.length;
        Ok(self
            .header(offset)?
            .and_then(|bytes| BlockHeader::decode(&bytes, position))
            .filter(|header| header.bytes <= length - offset))
    }

    /// The same, when the records are whole too.
    pub(super) fn whole_block(
        &mut self,
        first: LogPosition,
        offset: u64,
    ) -> Result<Option<BlockHeader>, LogError> {
        let Some(header) = self.block_header(first, offset)? else {
            return Ok(None);
        };
        let records = self.records(offset, &header)?;
        Ok(header.fits(records).then_some(header))
    }

    /// The bytes after the header of the block at `offset`; fewer when the file ends before.
    pub(super) fn records(&mut self, offset: u64, header: &BlockHeader) -> Result<&[u8], LogError> {
        self.bytes(
            offset + BLOCK_HEADER_BYTES,
            header.bytes - BLOCK_HEADER_BYTES,
        )
    }

    /// `length` bytes at `offset`; fewer when the file ends before.
    pub(super) fn bytes(&mut self, offset: u64, length: u64) -> Result<&[u8], LogError> {
        let end = offset.saturating_add(length).min(self.length);
        let offset = offset.min(end);
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let wanted = (end - offset).max(WINDOW_BYTES.min(self.length - offset));
            self.fill(offset, wanted)
                .map_err(|source| LogError::io("read", &self.path, source))?;
        }
        let from = index(offset - self.start);
        let to = index(end - self.start).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }

    pub(super) fn damaged(&self, offset: u64, reason: &'static str) -> LogError {
        LogError::Damaged {
            file: self.path.clone(),
            offset,
            reason,
        }
    }

    fn header(&mut self, offset: u64) -> Result<Option<HeaderBytes>, LogError> {
        let bytes = self.bytes(offset, BLOCK_HEADER_BYTES)?;
        Ok(bytes.first_chunk().copied())
    }

    fn fill(&mut self, offset: u64, wanted: u64) -> io::Result<()> {
        self.start = offset;
        self.bytes.clear();
        self.bytes.shrink_to(index(wanted.max(WINDOW_BYTES)));
        self.bytes.resize(index(wanted), 0);
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(offset + filled as u64, rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// Lengths here are of parts of a file that is read into memory: on a machine where they do not
/// fit, neither would the memory.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
