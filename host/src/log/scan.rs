//! Looking through a whole log: what is there, where it ends, and whether a crash can explain what
//! is wrong. Changes nothing.
//!
//! Every block of every segment is read and its checksums, its position and its link to the block
//! before are checked. At most one block is unsynced at a time, so a crash can leave one broken
//! block, at the end of the last segment, with zeros or rubbish after it: that is a *cut*. A
//! broken block with a whole one after it, in an earlier segment, or before the end of what was
//! acknowledged (`acknowledged`) is damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acknowledged;
use super::error::LogError;
use super::files::{Access, LogFiles};
use super::format::{Checksum, SEGMENT_HEADER_BYTES};
use super::reader::LogReader;
use super::window::Window;
use super::{Cut, Held, LogPosition, segment_position};

/// How much is looked at at once behind the last block.
const REST_BYTES: u64 = 64 << 10;

/// What is said of a log that ends before the end of what it acknowledged.
pub(super) const ACKNOWLEDGED_LOST: &str =
    "records that were acknowledged are broken or missing from here on";

/// What is said of a broken block with bytes after it that no crash explains.
pub(super) const MORE_THAN_A_BLOCK: &str = "a block is broken, and the space after it is not empty";

/// What a look through a log has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The segment files, oldest first; none in a directory without a log.
    pub segments: Vec<SegmentSummary>,
    /// What opening the log would cut off the end of the last segment.
    pub cut: Option<Cut>,
    /// The greatest reserved seq bound in any header.
    pub reserved_seq: u64,
    /// The end of what the log noted as acknowledged.
    pub(super) acknowledged: Option<LogPosition>,
    /// The checksum of the last block, zeros when there is none.
    pub(super) last_checksum: Checksum,
    /// The last block of the last segment: its offset in the file and its bytes.
    pub(super) last_block: Option<(u64, u64)>,
}

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The file.
    pub file: PathBuf,
    /// The file's length, in bytes.
    pub bytes: u64,
    /// The log position of its first block.
    pub first: LogPosition,
    /// The log position behind its last whole block.
    pub end: LogPosition,
    /// How many whole blocks it has.
    pub blocks: u64,
}

impl Examination {
    /// The position of the oldest block.
    #[must_use]
    pub fn start(&self) -> LogPosition {
        self.segments
            .first()
            .map_or(LogPosition(0), |segment| segment.first)
    }

    /// The position behind the last whole block.
    #[must_use]
    pub fn end(&self) -> LogPosition {
        self.segments
            .last()
            .map_or(LogPosition(0), |segment| segment.end)
    }

    /// The records at and after `from` of the log that was looked through, without opening it for
    /// writing.
    #[must_use]
    pub fn read(&self, directory: &Path, files: Arc<dyn LogFiles>, from: LogPosition) -> LogReader {
        let segments = self.segments.iter().map(|segment| segment.first).collect();
        LogReader::new(directory.to_owned(), files, segments, from, self.end())
    }
}

/// Looks through the log in `directory` without changing anything; for a log that is not open.
///
/// # Errors
/// [`LogError::Damaged`] at the first damage that no crash explains, [`LogError::Version`] for
/// another program's log, [`LogError::Io`] when something cannot be read.
pub fn examine(directory: &Path, files: &dyn LogFiles) -> Result<Examination, LogError> {
    // First: the log may grow while it is looked through.
    let acknowledged = acknowledged::read(directory, files)?;
    let names = files
        .list(directory)
        .map_err(|source| LogError::io("list", directory, source))?;
    let segments: BTreeMap<LogPosition, PathBuf> = names
        .iter()
        .filter_map(|name| Some((segment_position(name)?, directory.join(name))))
        .collect();
    let mut found = Examination {
        segments: Vec::with_capacity(segments.len()),
        cut: None,
        reserved_seq: 0,
        acknowledged,
        last_checksum: [0; 16],
        last_block: None,
    };
    let nexts = segments.keys().skip(1).map(|first| Some(*first));
    let nexts = nexts.chain([None]);
    for ((first, path), next) in segments.iter().zip(nexts) {
        let file = files
            .open(path, Access::Read)
            .map_err(|source| LogError::io("open", path, source))?;
        found.segment(Window::new(file, path.clone())?, *first, next)?;
    }
    found.reaches_what_was_acknowledged(directory)?;
    Ok(found)
}

impl Examination {
    /// Goes through the segment at `first`, which ends where the `next` one begins.
    fn segment(
        &mut self,
        mut window: Window,
        first: LogPosition,
        next: Option<LogPosition>,
    ) -> Result<(), LogError> {
        self.segment_header(&mut window, first)?;
        let mut offset = SEGMENT_HEADER_BYTES;
        let mut blocks = 0;
        self.last_block = None;
        while let Some(header) = window.whole_block(first, offset)? {
            if header.previous != self.last_checksum {
                return Err(window.damaged(offset, "the block does not follow the one before it"));
            }
            self.reserved_seq = self.reserved_seq.max(header.reserved_seq);
            self.last_checksum = header.checksum;
            self.last_block = Some((offset, header.bytes));
            offset += header.bytes;
            blocks += 1;
        }
        let end = LogPosition(first.0 + (offset - SEGMENT_HEADER_BYTES));
        match next {
            Some(next) if next > end => {
                return Err(window.damaged(offset, "a block is broken or missing"));
            }
            Some(next) if next < end => {
                return Err(window.damaged(offset, "the next segment begins before this one ends"));
            }
            Some(_) => {}
            // Not a tail but acknowledged blocks that are gone.
            None if self.acknowledged.is_some_and(|position| position > end) => {}
            None => self.cut = cut(&mut window, first, offset, Held::by(self.acknowledged, end))?,
        }
        self.segments.push(SegmentSummary {
            file: window.path().to_owned(),
            bytes: window.length(),
            first,
            end,
            blocks,
        });
        Ok(())
    }

    /// What was acknowledged is whole: otherwise the end is no torn tail.
    fn reaches_what_was_acknowledged(&self, directory: &Path) -> Result<(), LogError> {
        let end = self.end();
        if self.acknowledged.is_none_or(|position| position <= end) {
            return Ok(());
        }
        let last = self.segments.last();
        Err(LogError::Damaged {
            file: last.map_or(directory, |last| &last.file).to_owned(),
            offset: last.map_or(0, |last| SEGMENT_HEADER_BYTES + (end.0 - last.first.0)),
            reason: ACKNOWLEDGED_LOST,
        })
    }

    fn segment_header(&mut self, window: &mut Window, first: LogPosition) -> Result<(), LogError> {
        let header = window.segment_header()?;
        if header.first != first {
            return Err(window.damaged(0, "the file's name is not the position in its header"));
        }
        if self.segments.is_empty() {
            self.last_checksum = header.previous;
        } else if header.previous != self.last_checksum {
            return Err(window.damaged(0, "the segment does not follow the one before it"));
        }
        self.reserved_seq = self.reserved_seq.max(header.reserved_seq);
        Ok(())
    }
}

/// What is behind the last whole block: nothing but zeros (`None`), or a torn tail. Damage when a
/// whole block comes later.
fn cut(
    window: &mut Window,
    first: LogPosition,
    offset: u64,
    held: Held,
) -> Result<Option<Cut>, LogError> {
    let mut end = offset;
    let mut at = offset;
    while at < window.length() {
        let bytes = window.bytes(at, REST_BYTES)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
        }
        at += (bytes.len() as u64).max(1);
    }
    if end == offset {
        return Ok(None);
    }
    // The header of a torn block says how long the block was to be. After it the segment has zeros.
    if let Some(header) = window.block_header(first, offset)?
        && end > offset + header.bytes
    {
        return Err(window.damaged(offset, MORE_THAN_A_BLOCK));
    }
    for later in offset + 1..end {
        // Cheap first: rubbish seldom looks like the length of a block that fits in the file.
        let length = window.bytes(later, 8)?.first_chunk().copied();
        let fits = length.is_some_and(|length| u64::from_le_bytes(length) <= window.length());
        if fits && window.whole_block(first, later)?.is_some() {
            return Err(window.damaged(offset, "a block is broken, and whole ones come after it"));
        }
    }
    Ok(Some(Cut {
        file: window.path().to_owned(),
        offset,
        bytes: end - offset,
        held,
    }))
}
