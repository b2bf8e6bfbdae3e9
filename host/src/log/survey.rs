//! Looking through a log that may be damaged: what is whole in it, and what is broken. Changes
//! nothing.
//!
//! [`examine`](super::examine) ends at the first damage; this goes on behind it. A block carries
//! its position in its checksum, so one that is found by searching is one that was written there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::acknowledged;
use super::error::LogError;
use super::files::{Access, LogFiles};
use super::format::{Checksum, SEGMENT_HEADER_BYTES};
use super::scan::{ACKNOWLEDGED_LOST, MORE_THAN_A_BLOCK};
use super::window::Window;
use super::{Cut, Held, LogPosition, segment_position};

/// How much is looked at at once while zeros are passed.
const PIECE_BYTES: u64 = 64 << 10;

/// What a look through a log has found that may be damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What is whole, in order. Between two of them is damage.
    pub runs: Vec<Run>,
    /// What is broken, in order.
    pub damages: Vec<Damage>,
    /// What opening the log cuts off its end: no damage.
    pub cut: Option<Cut>,
    /// The segment files, by the position that their names say.
    pub segments: BTreeMap<LogPosition, PathBuf>,
    /// The greatest reserved seq bound in any header that is whole.
    pub reserved_seq: u64,
    /// How many of the damages, the last ones, come after the last whole block.
    pub(super) damages_at_end: usize,
    /// The end of what the log noted as acknowledged.
    pub(super) acknowledged: Option<LogPosition>,
}

/// Blocks that follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where its first block begins.
    pub start: LogPosition,
    /// Behind its last block.
    pub end: LogPosition,
    /// The segment that its first block is in.
    pub(super) segment: LogPosition,
    /// The checksum that its first block carries of the block before it.
    pub(super) previous: Checksum,
}

/// Something that no crash explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment file.
    pub file: PathBuf,
    /// Where in it the damage begins, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub reason: &'static str,
    /// How many bytes of the log it takes, up to the next whole block or to the end of what was
    /// written.
    pub bytes: u64,
}

/// Where the look is.
struct Surveyor {
    found: Survey,
    /// The checksum of the last whole block, where the next one must follow it.
    last: Option<Checksum>,
    /// Where the next block must begin; nothing is expected before the first.
    end: Option<LogPosition>,
    /// Whether the next block begins a run.
    fresh: bool,
}

/// Looks through the log in `directory`, which nobody has open.
///
/// # Errors
/// [`LogError::Io`] when something cannot be read, [`LogError::Version`] for another program's
/// log. Damage is no error here.
pub fn survey(directory: &Path, files: &dyn LogFiles) -> Result<Survey, LogError> {
    let acknowledged = acknowledged::read(directory, files)?;
    let names = files
        .list(directory)
        .map_err(|source| LogError::io("list", directory, source))?;
    let segments: BTreeMap<LogPosition, PathBuf> = names
        .iter()
        .filter_map(|name| Some((segment_position(name)?, directory.join(name))))
        .collect();
    let mut surveyor = Surveyor {
        found: Survey {
            segments: segments.clone(),
            acknowledged,
            ..Survey::default()
        },
        last: None,
        end: None,
        fresh: true,
    };
    let mut left = segments.len();
    for (first, path) in &segments {
        let file = files
            .open(path, Access::Read)
            .map_err(|source| LogError::io("open", path, source))?;
        left -= 1;
        surveyor.segment(&mut Window::new(file, path.clone())?, *first, left == 0)?;
    }
    surveyor.end(directory);
    Ok(surveyor.found)
}

impl Survey {
    /// Whether nothing is broken.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty()
    }

    /// The position behind the last whole block.
    #[must_use]
    pub fn end(&self) -> LogPosition {
        self.runs.last().map_or(LogPosition(0), |run| run.end)
    }

    /// The position behind everything that was written or acknowledged, as far as that is known.
    #[must_use]
    pub fn end_of_all(&self) -> LogPosition {
        self.end().max(self.acknowledged.unwrap_or_default())
    }

    /// Whether the log is damaged after its last whole block, so that it does not end there by
    /// itself.
    #[must_use]
    pub fn is_damaged_at_end(&self) -> bool {
        self.damages_at_end > 0
    }

    /// Whether all that is damaged comes after the last whole block.
    #[must_use]
    pub fn is_damaged_only_at_end(&self) -> bool {
        self.is_damaged_at_end() && self.damages_at_end == self.damages.len()
    }

    /// The damages, each with whether it comes after the last whole block.
    pub fn damages_in_place(&self) -> impl Iterator<Item = (&Damage, bool)> {
        let before = self.damages.len() - self.damages_at_end;
        let places = self.damages.iter().enumerate();
        places.map(move |(place, damage)| (damage, place >= before))
    }

    /// The whole blocks among which `position` is.
    #[must_use]
    pub fn run_at(&self, position: LogPosition) -> Option<&Run> {
        self.runs
            .iter()
            .rev()
            .find(|run| run.start <= position && position <= run.end)
    }
}

impl Surveyor {
    fn segment(
        &mut self,
        window: &mut Window,
        first: LogPosition,
        is_last: bool,
    ) -> Result<(), LogError> {
        self.header(window, first)?;
        let mut offset = SEGMENT_HEADER_BYTES;
        loop {
            let position = LogPosition(first.0 + (offset - SEGMENT_HEADER_BYTES));
            if let Some(header) = window.whole_block(first, offset)? {
                self.block(window, offset, position, first, header.previous);
                self.found.reserved_seq = self.found.reserved_seq.max(header.reserved_seq);
                offset += header.bytes;
                self.last = Some(header.checksum);
                let end = LogPosition(position.0 + header.bytes);
                self.end = Some(end);
                if let Some(run) = self.found.runs.last_mut() {
                    run.end = end;
                }
                continue;
            }
            let written = written(window, offset)?;
            if written == offset {
                return Ok(());
            }
            let resumes = next_block(window, first, offset, written)?;
            match resumes {
                // Not a tail but acknowledged blocks that are gone: see `end`.
                None if is_last && self.found.acknowledged > Some(position) => return Ok(()),
                None if is_last && torn_block_explains(window, first, offset, written)? => {
                    self.found.cut = Some(Cut {
                        file: window.path().to_owned(),
                        offset,
                        bytes: written - offset,
                        held: Held::by(self.found.acknowledged, position),
                    });
                    return Ok(());
                }
                None => {
                    let reason = if is_last {
                        MORE_THAN_A_BLOCK
                    } else {
                        "a block is broken"
                    };
                    self.damage(window, offset, reason, written - offset);
                    return Ok(());
                }
                Some(resumes) => {
                    let reason = "a block is broken, and whole ones come after it";
                    self.damage(window, offset, reason, resumes - offset);
                    offset = resumes;
                }
            }
        }
    }

    fn header(&mut self, window: &mut Window, first: LogPosition) -> Result<(), LogError> {
        match window.segment_header() {
            Ok(header) if header.first == first => {
                self.found.reserved_seq = self.found.reserved_seq.max(header.reserved_seq);
                match self.last {
                    // The log's first segment says what came before it.
                    None => self.last = Some(header.previous),
                    Some(last) if header.previous != last => {
                        self.damage(
                            window,
                            0,
                            "the segment does not follow the one before it",
                            0,
                        );
                    }
                    Some(_) => {}
                }
            }
            Ok(_) => {
                let reason = "the file's name is not the position in its header";
                self.damage(window, 0, reason, SEGMENT_HEADER_BYTES);
            }
            Err(LogError::Damaged { reason, .. }) => {
                self.damage(window, 0, reason, SEGMENT_HEADER_BYTES);
            }
            Err(other) => return Err(other),
        }
        if self.end.is_some_and(|end| end != first) && self.last.is_some() {
            let reason = "a part of the log is missing before this segment";
            self.damage(window, 0, reason, 0);
        }
        Ok(())
    }

    /// A whole block goes on with the last run, or begins one.
    fn block(
        &mut self,
        window: &Window,
        offset: u64,
        position: LogPosition,
        segment: LogPosition,
        previous: Checksum,
    ) {
        let follows = self.last == Some(previous);
        let continues = self.end.is_none_or(|end| end == position);
        if self.last.is_some() && !(follows && continues) {
            let reason = "the block does not follow the one before it";
            self.damage(window, offset, reason, 0);
        }
        self.found.damages_at_end = 0;
        if std::mem::take(&mut self.fresh) {
            self.found.runs.push(Run {
                start: position,
                end: position,
                segment,
                previous,
            });
        }
    }

    /// Notes damage: what comes next is another run.
    fn damage(&mut self, window: &Window, offset: u64, reason: &'static str, bytes: u64) {
        self.damage_of(window.path().to_owned(), offset, reason, bytes);
    }

    /// Acknowledged records that are not there are damage. A torn tail in their place is none.
    fn end(&mut self, directory: &Path) {
        let end = self.found.end();
        let acknowledged = self.found.acknowledged.unwrap_or_default();
        if acknowledged <= end {
            return;
        }
        let lost = acknowledged.0 - end.0;
        let cut = self.found.cut.take();
        let last = self.found.segments.range(..=end).next_back();
        let (file, offset) = match (cut, last) {
            (Some(cut), _) => (cut.file, cut.offset),
            (None, Some((first, path))) => (path.clone(), SEGMENT_HEADER_BYTES + (end.0 - first.0)),
            (None, None) => (directory.to_owned(), 0),
        };
        self.damage_of(file, offset, ACKNOWLEDGED_LOST, lost);
    }

    fn damage_of(&mut self, file: PathBuf, offset: u64, reason: &'static str, bytes: u64) {
        self.last = None;
        self.end = None;
        self.fresh = true;
        // One place is named once.
        let known = self.found.damages.last();
        if known.is_some_and(|known| known.file == file && known.offset == offset) {
            return;
        }
        self.found.damages_at_end += 1;
        self.found.damages.push(Damage {
            file,
            offset,
            reason,
            bytes,
        });
    }
}

/// Whether what was written from `offset` to `written` can be what a crash leaves of one block.
/// Its header, where that is whole, says how long the block was to be.
fn torn_block_explains(
    window: &mut Window,
    first: LogPosition,
    offset: u64,
    written: u64,
) -> Result<bool, LogError> {
    let header = window.block_header(first, offset)?;
    Ok(header.is_none_or(|header| written <= offset + header.bytes))
}

/// Behind the last byte at or after `offset` that is not zero.
fn written(window: &mut Window, offset: u64) -> Result<u64, LogError> {
    let (mut end, mut at) = (offset, offset);
    while at < window.length() {
        let bytes = window.bytes(at, PIECE_BYTES)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
        }
        at += (bytes.len() as u64).max(1);
    }
    Ok(end)
}

/// The first whole block behind `offset`.
fn next_block(
    window: &mut Window,
    first: LogPosition,
    offset: u64,
    end: u64,
) -> Result<Option<u64>, LogError> {
    for later in offset + 1..end {
        // Cheap first: rubbish seldom looks like the length of a block that fits in the file.
        let length = window.bytes(later, 8)?.first_chunk().copied();
        let fits = length.is_some_and(|length| {
            let length = u64::from_le_bytes(length);
            length > 0 && length <= window.length()
        });
        if fits && window.whole_block(first, later)?.is_some() {
            return Ok(Some(later));
        }
    }
    Ok(None)
}
