//! The log: an append-only run of records with one writer thread and group commit. Stage 8 of a
//! call's way: commit and sync.
//!
//! A record is bytes; what they mean is known to the actors. Its number is its [`LogPosition`].
//! What is durable is a position too: everything before [`Log::durable`] survives a killed process
//! and a power cut, and nobody is told `Ok` before that.
//!
//! - The thread (`writer`) waits for something to do, takes everything that is queued, writes it
//!   as one block (several when it is more than [`LogOptions::block_bytes_max`]), syncs, publishes
//!   the position, and answers who waited. Idle, it does nothing. Records for which nobody waits
//!   are left to grow into a larger block for a moment ([`LogOptions::unwaited_for`]).
//! - Blocks go into segment files `<position>.log`, the position as 20 digits (`tail` makes and
//!   fills them, `format` has the bytes).
//! - A record larger than a block is written beforehand, by its writer's own thread (`staged`):
//!   nobody else waits for its bytes.
//! - The file `acknowledged` says up to where somebody was answered, so that damage is not taken
//!   for a torn tail.
//! - Opening (`scan`) checks all of it, cuts a torn tail and refuses damage. Reading (`reader`)
//!   goes along while the log is written.
//! - A failed write or sync *poisons* the log: that block's waiters and all later ones get the
//!   error, later records are dropped, and only opening the log again (a restart) helps. What had
//!   been answered with `Ok` is not touched.
//!
//! The directory's lock is the caller's business ([`crate::files::DirectoryLock`]).

mod acknowledged;
mod error;
mod files;
mod format;
mod mend;
mod opened;
mod reader;
mod records;
mod scan;
mod staged;
mod survey;
mod tail;
#[cfg(test)]
mod tests;
mod wakes;
mod window;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error::LogError;
pub use files::{Access, LogFile, LogFiles, StdFiles};
pub use format::FORMAT;
pub use opened::{Cut, Held, Opened};
pub use reader::LogReader;
pub use records::Records;
pub use scan::{Examination, SegmentSummary, examine};
pub use staged::Staged;
pub use survey::{Damage, Run, Survey, survey};
pub use wakes::Wakes;
pub use writer::WakingAnswer;

use format::SEGMENT_HEADER_BYTES;
use tail::Tail;
use writer::{Message, Waiter, Writer};

/// Default length of a segment: history is dropped in these steps, and an empty node has one.
const SEGMENT_BYTES: u64 = 64 << 20;
/// The least length of a segment: two headers and something to say.
const SEGMENT_BYTES_MIN: u64 = 1 << 10;
/// Default bound of a block: enough to hide the sync, little enough that whoever waits for its
/// first record waits milliseconds.
const BLOCK_BYTES_MAX: u64 = 8 << 20;
/// Default time for which records lie unsynced that nobody waits for: a moment for people, dozens
/// of syncs for a disk.
const UNWAITED_FOR: Duration = Duration::from_millis(5);
/// What a segment file's name ends with.
const SEGMENT_SUFFIX: &str = ".log";

/// A place in the log: it grows with every record, over all segments, and is never used twice.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogPosition(pub u64);

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the log is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of a segment file, at least 1 KiB. A block that does not fit gets a segment of its
    /// own size.
    pub segment_bytes: u64,
    /// A block takes no further record when it would grow beyond this many bytes. A single record
    /// may.
    pub block_bytes_max: u64,
    /// How long at most a record lies unsynced when nobody waits for it: a sync costs the same for
    /// one record as for thousands.
    pub unwaited_for: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            block_bytes_max: BLOCK_BYTES_MAX,
            unwaited_for: UNWAITED_FOR,
        }
    }
}

/// A handle on an open log. Clones are the same log; when all are dropped, what is queued is
/// written and the thread ends.
#[derive(Clone)]
pub struct Log {
    messages: mpsc::Sender<Message>,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// The same thread, to be woken up when it waits for more while somebody waits for it.
    sleeper: Thread,
}

/// What handles and the thread both see.
struct Shared {
    directory: PathBuf,
    files: Arc<dyn LogFiles>,
    durable: AtomicU64,
    appended: AtomicU64,
    /// Bytes of records that are queued or not synced yet.
    queued_bytes: AtomicU64,
    /// How long the last write and sync took, in microseconds.
    sync_us: AtomicU64,
    poison: OnceLock<LogError>,
    /// Who is told when that happens.
    on_poison: Mutex<Option<Waiter>>,
    /// The first positions of the segments, in order, the one being written last.
    segments: Mutex<VecDeque<LogPosition>>,
    /// How many large records have been staged; held while one is.
    staging: Mutex<u64>,
    /// Bytes of the largest block.
    block_bytes_max: u64,
    /// Held while old segments are removed, so that it is done by one at a time.
    truncation: Mutex<()>,
}

impl Log {
    /// Opens the log in `directory`, which is made when it is missing. Reads all of it once.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when something is wrong that no crash explains, [`LogError::Version`]
    /// for another program's log, [`LogError::Io`] when the operating system refuses. A torn tail
    /// is no error: see [`Opened::cut`].
    pub fn open(
        directory: &Path,
        files: Arc<dyn LogFiles>,
        options: LogOptions,
    ) -> Result<(Self, Opened), LogError> {
        files
            .create_dir(directory)
            .map_err(|source| LogError::io("create", directory, source))?;
        let found = examine(directory, files.as_ref())?;
        let segment_bytes = options.segment_bytes.max(SEGMENT_BYTES_MIN);
        let tail = Tail::open(
            directory.to_owned(),
            Arc::clone(&files),
            segment_bytes,
            &found,
        )?;
        let opened = Opened {
            cut: found.cut.clone(),
            reserved_seq: found.reserved_seq,
            start: found.start(),
            end: found.end(),
        };
        let mut segments: VecDeque<_> = found.segments.iter().map(|one| one.first).collect();
        if segments.is_empty() {
            segments.push_back(opened.end);
        }
        let block_bytes_max = options
            .block_bytes_max
            .min(segment_bytes - SEGMENT_HEADER_BYTES);
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            files,
            durable: AtomicU64::new(opened.end.0),
            appended: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            sync_us: AtomicU64::new(0),
            poison: OnceLock::new(),
            on_poison: Mutex::default(),
            segments: Mutex::new(segments),
            staging: Mutex::new(0),
            block_bytes_max,
            truncation: Mutex::new(()),
        });
        let (messages, receiver) = mpsc::channel();
        let writer = Writer::new(
            receiver,
            Arc::clone(&shared),
            tail,
            LogOptions {
                segment_bytes,
                block_bytes_max,
                unwaited_for: options.unwaited_for,
            },
            opened.reserved_seq,
        );
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| LogError::io("start the thread of", directory, source))?;
        let log = Self {
            messages,
            shared,
            sleeper: thread.thread().clone(),
            thread: Arc::new(Mutex::new(Some(thread))),
        };
        Ok((log, opened))
    }

    /// Queues a record. The order of calls is the order in the log. Costs a push: nothing is
    /// written by the caller.
    ///
    /// When the log is poisoned or closed the record is dropped, which [`Log::when_durable`] and
    /// [`Log::is_poisoned`] tell.
    pub fn append(&self, record: Vec<u8>) {
        self.shared.appended.fetch_add(1, Ordering::Relaxed);
        self.shared.queue(record.len());
        self.send(Message::Record(record));
    }

    /// Queues records, as [`Log::append`] one after the other would.
    pub fn append_all(&self, records: Records) {
        self.count(&records);
        self.send(Message::Records(records));
    }

    /// [`Log::append_all`] and [`Log::when_durable`] at once: cheaper, and no block can come
    /// between. `then` may name tasks that are to be woken once all the others have run, too, who
    /// wait for the same block.
    pub fn append_all_then(&self, records: Records, then: WakingAnswer) {
        self.count(&records);
        self.send_now(Message::RecordsThen(records, Waiter::waking(then)));
    }

    fn count(&self, records: &Records) {
        let count = u64::try_from(records.count()).unwrap_or(u64::MAX);
        self.shared.appended.fetch_add(count, Ordering::Relaxed);
        self.shared.queue(records.bytes());
    }

    /// Runs `then` once everything queued before is durable, with the durable end; or with the
    /// reason why that cannot be.
    ///
    /// It runs exactly once, on the log's thread, so it must be quick and must not wait for the
    /// log; or on the caller's, when the log is closed.
    pub fn when_durable(&self, then: Box<dyn FnOnce(Result<LogPosition, LogError>) + Send>) {
        self.send_now(Message::WhenDurable(Waiter::new(then)));
    }

    /// Runs `then` with a position that is above that of every record queued before and not above
    /// that of any queued later. For where and how often it runs see [`Log::when_durable`]; the
    /// position is not durable yet.
    pub fn mark(&self, then: Box<dyn FnOnce(Result<LogPosition, LogError>) + Send>) {
        self.send_now(Message::Mark(Waiter::new(then)));
    }

    /// Notes that seqs below `bound` may be given out: [`Opened::reserved_seq`] is at least that
    /// after a restart, once [`Log::when_durable`] has answered. Costs a block when no record
    /// comes along; a bound below the last one does nothing.
    pub fn reserve_seq(&self, bound: u64) {
        self.send(Message::ReserveSeq(bound));
    }

    /// The position before which everything is durable.
    #[must_use]
    pub fn durable(&self) -> LogPosition {
        self.shared.durable()
    }

    /// The position of the oldest record that is kept.
    #[must_use]
    pub fn start(&self) -> LogPosition {
        self.shared.start()
    }

    /// How many records have been queued since the log was opened.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.shared.appended.load(Ordering::Relaxed)
    }

    /// Bytes of records that are queued or not synced yet: what the log holds in memory.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// How long the last block took to be written and synced, in microseconds; 0 before the first.
    #[must_use]
    pub fn last_sync_us(&self) -> u64 {
        self.shared.sync_us.load(Ordering::Relaxed)
    }

    /// Why the log takes nothing any more; `None` while it does.
    #[must_use]
    pub fn is_poisoned(&self) -> Option<LogError> {
        self.shared.poison.get().cloned()
    }

    /// Runs `then` when the log becomes poisoned, on its thread; at once when it is so already.
    /// Only the last `then` is kept.
    pub fn when_poisoned(&self, then: Box<dyn FnOnce(LogError) + Send>) {
        let waiter = Waiter::new(Box::new(move |result| match result {
            // The log has ended without being poisoned.
            Ok(_) | Err(LogError::Closed) => {}
            Err(error) => then(error),
        }));
        let mut place = lock(&self.shared.on_poison);
        match self.is_poisoned() {
            Some(error) => waiter.answer(Err(error)),
            None => *place = Some(waiter),
        }
    }

    /// The records at and after `from` that are durable now, with their positions. May be used
    /// while the log is written.
    ///
    /// The iterator's first item is [`LogError::Truncated`] when the log starts later. Opening the
    /// first segment and finding the place costs a look at the headers of the blocks before it.
    #[must_use]
    pub fn read(&self, from: LogPosition) -> LogReader {
        // The end first: the segments listed after that reach at least as far.
        let end = self.durable();
        let segments = self.shared.segments().clone();
        LogReader::new(
            self.shared.directory.clone(),
            Arc::clone(&self.shared.files),
            segments,
            from,
            end,
        )
    }

    /// Removes the segments all of whose records are before `position`; the one being written
    /// stays. Blocks on the file system.
    ///
    /// # Errors
    /// [`LogError::Io`]; what was not removed can be removed by another call.
    pub fn truncate_before(&self, position: LogPosition) -> Result<(), LogError> {
        self.shared.truncate_before(position)
    }

    /// Writes and syncs what is queued, then ends the thread and waits for it. Other handles'
    /// later calls are answered with [`LogError::Closed`]. Must not be called on the log's thread.
    ///
    /// # Errors
    /// [`LogError::Poisoned`] when the log was, or has become so on the way.
    pub fn close(self) -> Result<(), LogError> {
        self.send_now(Message::Close);
        let thread = lock(&self.thread).take();
        let ended = thread.is_none_or(|thread| thread.join().is_ok());
        match self.is_poisoned() {
            Some(poison) => Err(poison),
            None if ended => Ok(()),
            None => Err(LogError::Closed),
        }
    }

    /// A message that nobody takes any more is dropped, and a waiter in it answers for itself.
    fn send(&self, message: Message) {
        drop(self.messages.send(message));
    }

    /// The same, for what somebody waits for.
    fn send_now(&self, message: Message) {
        self.send(message);
        self.sleeper.unpark();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("directory", &self.shared.directory)
            .field("durable", &self.durable())
            .field("poison", &self.shared.poison)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn durable(&self) -> LogPosition {
        LogPosition(self.durable.load(Ordering::Acquire))
    }

    fn queue(&self, bytes: usize) {
        self.queued_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn start(&self) -> LogPosition {
        self.segments().front().copied().unwrap_or_default()
    }

    fn segments(&self) -> MutexGuard<'_, VecDeque<LogPosition>> {
        lock(&self.segments)
    }

    fn truncate_before(&self, position: LogPosition) -> Result<(), LogError> {
        let _one_at_a_time = lock(&self.truncation);
        loop {
            let first = {
                let segments = self.segments();
                match (segments.front(), segments.get(1)) {
                    (Some(first), Some(second)) if *second <= position => *first,
                    _ => return Ok(()),
                }
            };
            let path = self.directory.join(segment_name(first));
            self.files
                .remove(&path)
                .map_err(|source| LogError::io("remove", &path, source))?;
            self.segments().pop_front();
            // One by one, so that a power cut leaves no gap between segments.
            self.files
                .sync_dir(&self.directory)
                .map_err(|source| LogError::io("sync", &self.directory, source))?;
        }
    }
}

/// What a panic under a lock could have left half done here is nothing: every change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file name of the segment that begins at `first`.
fn segment_name(first: LogPosition) -> String {
    format!("{first:020}{SEGMENT_SUFFIX}")
}

/// The position that a segment's file name says; `None` for other files.
fn segment_position(name: &str) -> Option<LogPosition> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let position = LogPosition(digits.parse().ok()?);
    (segment_name(position) == name).then_some(position)
}
