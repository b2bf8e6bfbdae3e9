//! The file `acknowledged` beside the segments: up to where the log has answered that records are
//! durable.
//!
//! A block that a crash has torn and a damaged block that was acknowledged look alike. This file
//! tells them apart: everything before its position was synced before anybody was answered, so
//! what is broken there is damage.
//!
//! The position is written after the sync of each block and before the answers, without a sync of
//! its own. After a killed process it is exact. After a power cut it may be some seconds old. It
//! is never ahead of what is durable. It is synced when the log is opened and closed and when a
//! segment begins. A log without this file was written by an older version.
//!
//! The file has two slots of 32 bytes, at bytes 0 and 512, which are written in turn, so that a
//! torn write leaves one of them.
//!
//! | slot, at byte | bytes | |
//! | --- | --- | --- |
//! | 0 | 8 | `ISTCEACK` |
//! | 8 | 8 | log position, little-endian |
//! | 16 | 16 | checksum of bytes 0 to 16, as of blocks |

use std::io;
use std::path::{Path, PathBuf};

use super::LogPosition;
use super::error::LogError;
use super::files::{Access, LogFile, LogFiles, write_all_at};
use super::format::checksum;

/// The file's name in the log's directory.
const FILE: &str = "acknowledged";
/// The slots lie in different sectors.
const SLOTS_AT: [u64; 2] = [0, 512];
/// Bytes of the file.
const FILE_BYTES: u64 = 1024;
const SLOT_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"ISTCEACK";

/// The file of an open log.
pub(super) struct Acknowledged {
    file: Box<dyn LogFile>,
    path: PathBuf,
    /// How often it was written, for the next slot.
    writes: usize,
}

/// Where the file lies.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// The position in the file of a log that need not be open; `None` when there is no file or no
/// slot of it is whole.
pub(super) fn read(
    directory: &Path,
    files: &dyn LogFiles,
) -> Result<Option<LogPosition>, LogError> {
    let path = path(directory);
    let failed = |source| LogError::io("read", &path, source);
    let mut file = match files.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut found = None;
    for at in SLOTS_AT {
        let slot = read_slot(file.as_mut(), at).map_err(failed)?;
        found = found.max(slot.and_then(|slot| decode(&slot)));
    }
    Ok(found)
}

impl Acknowledged {
    /// Opens the file, which is made where it is missing; its name is not synced then.
    pub(super) fn open(directory: &Path, files: &dyn LogFiles) -> Result<Self, LogError> {
        let path = path(directory);
        let opened = match files.open(&path, Access::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files.create(&path, FILE_BYTES)
            }
            opened => opened,
        };
        let file = opened.map_err(|source| LogError::io("open", &path, source))?;
        Ok(Self {
            file,
            path,
            writes: 0,
        })
    }

    /// Notes that everything before `end` is durable, which it must be.
    pub(super) fn write(&mut self, end: LogPosition) -> Result<(), LogError> {
        let [even, odd] = SLOTS_AT;
        let at = if self.writes.is_multiple_of(2) {
            even
        } else {
            odd
        };
        self.writes = self.writes.wrapping_add(1);
        write_all_at(self.file.as_mut(), at, &encode(end))
            .map_err(|source| LogError::io("write", &self.path, source))
    }

    /// Makes the position outlast a power cut.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.file
            .sync()
            .map_err(|source| LogError::io("sync", &self.path, source))
    }
}

fn encode(end: LogPosition) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    let (fields, stored) = slot.split_at_mut(16);
    let (magic, position) = fields.split_at_mut(8);
    magic.copy_from_slice(&MAGIC);
    position.copy_from_slice(&end.0.to_le_bytes());
    stored.copy_from_slice(&checksum(&[fields]));
    slot
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<LogPosition> {
    let (fields, stored) = slot.split_first_chunk::<16>()?;
    let (magic, position) = fields.split_first_chunk::<8>()?;
    let position = u64::from_le_bytes(*position.first_chunk()?);
    (*magic == MAGIC && checksum(&[fields]) == *stored).then_some(LogPosition(position))
}

/// The bytes of the slot at `at`; `None` when the file ends before.
fn read_slot(file: &mut dyn LogFile, at: u64) -> io::Result<Option<[u8; SLOT_BYTES]>> {
    let mut slot = [0; SLOT_BYTES];
    let mut filled = 0;
    while let Some(rest) = slot.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(at + filled as u64, rest) {
            Ok(0) => return Ok(None),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(slot))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::log::tests::disk::Disk;

    #[test]
    fn a_position_comes_back_and_one_torn_slot_costs_one_write() {
        let disk = Disk::default();
        let directory = Path::new("/log");
        assert_eq!(read(directory, &disk).unwrap(), None);
        let mut note = Acknowledged::open(directory, &disk).unwrap();
        assert_eq!(read(directory, &disk).unwrap(), None);
        for end in [5, 9, 70] {
            note.write(LogPosition(end)).unwrap();
            assert_eq!(read(directory, &disk).unwrap(), Some(LogPosition(end)));
        }
        let mut files = disk.files();
        for (at, left) in [(0, Some(LogPosition(9))), (512, None)] {
            files.get_mut(&path(directory)).unwrap()[at + 9] ^= 1;
            let torn = Arc::new(Disk::of(&files));
            assert_eq!(read(directory, torn.as_ref()).unwrap(), left);
        }
    }
}
