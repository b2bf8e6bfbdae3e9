//! What is found when a log is opened: its bounds, and the torn tail that a crash has left.

use std::path::PathBuf;

use super::LogPosition;

/// What was found when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The torn tail that a crash had left and that has been cut off.
    pub cut: Option<Cut>,
    /// The greatest reserved seq bound that is durable; 0 when none ever was.
    pub reserved_seq: u64,
    /// The position of the oldest record that is kept.
    pub start: LogPosition,
    /// The position behind the last record, where the next goes.
    pub end: LogPosition,
}

/// A torn tail: what a crash leaves of the one block that was not synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment file.
    pub file: PathBuf,
    /// Where in the file the last whole block ends, in bytes.
    pub offset: u64,
    /// How many bytes behind that were not zero, up to the last one.
    pub bytes: u64,
    /// What the log's note says of it.
    pub held: Held,
}

/// What is known of a torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The log's note of what it acknowledged ends where the tail begins. The note is exact after a
    /// killed process. After a power cut it may be some seconds old. A crash leaves nothing
    /// acknowledged in a torn tail either way; a disk that has damaged synced blocks as well may.
    NothingNoted,
    /// The log's note ends earlier, as after a power cut, or there is none, as in a log of an older
    /// version. A crash leaves nothing acknowledged in a torn tail; a damaged disk may.
    Unknown,
}

impl Held {
    /// By the log's note and the position where the tail begins.
    pub(super) fn by(acknowledged: Option<LogPosition>, begins: LogPosition) -> Self {
        match acknowledged {
            Some(end) if end == begins => Self::NothingNoted,
            _ => Self::Unknown,
        }
    }
}
