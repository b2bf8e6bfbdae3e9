//! Reading durable records back, also while the log is being written. Everything read is checked;
//! nothing is read past the end that was durable when the reader was made, so what it has buffered
//! cannot change under it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::LogError;
use super::files::{Access, LogFiles};
use super::format::{BLOCK_HEADER_BYTES, Checksum, SEGMENT_HEADER_BYTES, first_record};
use super::window::Window;
use super::{LogPosition, segment_name};

/// An iterator over the records from a position up to the end that was durable when it was made.
/// Ends after its first error.
pub struct LogReader {
    directory: PathBuf,
    files: Arc<dyn LogFiles>,
    /// The first positions of the segments that are still to be opened.
    segments: VecDeque<LogPosition>,
    from: LogPosition,
    end: LogPosition,
    place: Place,
    /// The records of the block being read, and how far they have been given out.
    records: Vec<u8>,
    taken: usize,
    /// The position of the first of `records`.
    records_at: LogPosition,
}

enum Place {
    /// Between segments; the checksum of the last block, unless nothing has been read.
    Between(Option<Checksum>),
    /// In a segment: the next block is at `offset` of the file and follows the block with checksum
    /// `previous`.
    Inside {
        window: Window,
        first: LogPosition,
        offset: u64,
        previous: Checksum,
    },
    /// Nothing comes any more.
    Over,
}

impl LogReader {
    /// `segments` are the first positions of all segments, in order.
    pub(super) fn new(
        directory: PathBuf,
        files: Arc<dyn LogFiles>,
        mut segments: VecDeque<LogPosition>,
        from: LogPosition,
        end: LogPosition,
    ) -> Self {
        if segments.front().is_some_and(|start| *start <= from) {
            while segments.get(1).is_some_and(|second| *second <= from) {
                segments.pop_front();
            }
        }
        Self {
            directory,
            files,
            segments,
            from,
            end,
            place: Place::Between(None),
            records: Vec::new(),
            taken: 0,
            records_at: LogPosition(0),
        }
    }

    /// The next record of the block at hand.
    fn record(&mut self) -> Result<Option<(LogPosition, Vec<u8>)>, LogError> {
        loop {
            let rest = self.records.get(self.taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            let position = LogPosition(self.records_at.0 + self.taken as u64);
            let Some((record, bytes)) = first_record(rest) else {
                return Err(self.damaged("a record is longer than its block"));
            };
            self.taken += bytes;
            if position >= self.from {
                return Ok(Some((position, record.to_vec())));
            }
        }
    }

    /// Opens the next segment.
    fn open(&mut self, previous: Option<Checksum>) -> Result<(), LogError> {
        let Some(first) = self.segments.pop_front() else {
            return Ok(());
        };
        if previous.is_none() && first > self.from {
            return Err(self.truncated(first));
        }
        let path = self.directory.join(segment_name(first));
        let file = match self.files.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let start = self.segments.front().copied().unwrap_or(self.end);
                return Err(self.truncated(start));
            }
            Err(error) => return Err(LogError::io("open", path, error)),
        };
        let mut window = Window::new(file, path)?;
        let header = window.segment_header()?;
        if header.first != first || previous.is_some_and(|previous| previous != header.previous) {
            return Err(window.damaged(0, "the segment does not follow the one before it"));
        }
        self.place = Place::Inside {
            window,
            first,
            offset: SEGMENT_HEADER_BYTES,
            previous: header.previous,
        };
        Ok(())
    }

    /// Reads the next block, or skips it when nothing in it was asked for.
    fn block(&mut self) -> Result<(), LogError> {
        let Place::Inside {
            window,
            first,
            offset,
            previous,
        } = &mut self.place
        else {
            return Ok(());
        };
        let position = LogPosition(first.0 + (*offset - SEGMENT_HEADER_BYTES));
        if position >= self.end {
            self.place = Place::Over;
            return Ok(());
        }
        if self.segments.front().is_some_and(|next| *next <= position) {
            self.place = Place::Between(Some(*previous));
            return Ok(());
        }
        let header = match window.block_header(*first, *offset)? {
            Some(header) if header.previous == *previous => header,
            _ => return Err(window.damaged(*offset, "a block is broken or missing")),
        };
        if position.0 + header.bytes > self.from.0 {
            let records = window.records(*offset, &header)?;
            if !header.fits(records) {
                return Err(window.damaged(*offset, "a block's records are broken"));
            }
            self.records.clear();
            self.records.extend_from_slice(records);
            self.taken = 0;
            self.records_at = LogPosition(position.0 + BLOCK_HEADER_BYTES);
        }
        *offset += header.bytes;
        *previous = header.checksum;
        Ok(())
    }

    fn step(&mut self) -> Result<Option<(LogPosition, Vec<u8>)>, LogError> {
        loop {
            if let Some(record) = self.record()? {
                return Ok(Some(record));
            }
            match &self.place {
                Place::Over => return Ok(None),
                Place::Between(_) if self.segments.is_empty() => return Ok(None),
                Place::Between(previous) => self.open(*previous)?,
                Place::Inside { .. } => self.block()?,
            }
        }
    }

    fn truncated(&self, start: LogPosition) -> LogError {
        LogError::Truncated {
            wanted: self.from,
            start,
        }
    }

    fn damaged(&self, reason: &'static str) -> LogError {
        match &self.place {
            Place::Inside { window, offset, .. } => window.damaged(*offset, reason),
            Place::Between(_) | Place::Over => LogError::Damaged {
                file: self.directory.clone(),
                offset: 0,
                reason,
            },
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<(LogPosition, Vec<u8>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step();
        if next.is_err() {
            self.place = Place::Over;
            self.records.clear();
            self.taken = 0;
        }
        next.transpose()
    }
}
