//! Mending a damaged log that nobody has open: it is made to begin behind the damage, or to end
//! before it.
//!
//! Every file that is changed or taken away is in the folder aside first, as it was. Both repairs
//! may be interrupted and done again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::acknowledged;
use super::error::LogError;
use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::survey::{Run, Survey};
use super::{LogPosition, segment_name};
use crate::files;

/// A segment that has no name yet.
const REBUILT_FILE: &str = "rebuilt.tmp";

/// How much is copied at once.
const PIECE_BYTES: u64 = 1 << 20;

impl Survey {
    /// Makes the log in `directory` begin with `run`, which must be the last one. What was before
    /// it is in `aside` afterwards.
    ///
    /// # Errors
    /// [`LogError::Io`] when the operating system refuses; nothing is lost then, and the repair
    /// can be done again.
    pub fn begin_with(&self, run: &Run, directory: &Path, aside: &Path) -> Result<(), LogError> {
        let target = directory.join(segment_name(run.start));
        let Some(origin) = self.segments.get(&run.segment) else {
            return Ok(());
        };
        let rebuilt = directory.join(REBUILT_FILE);
        let header = SegmentHeader {
            first: run.start,
            previous: run.previous,
            reserved_seq: self.reserved_seq,
        };
        let from = SEGMENT_HEADER_BYTES + (run.start.0 - run.segment.0);
        let written = rebuild(origin, from, &header, &rebuilt);
        at(&rebuilt, "write", written)?;
        let old = self.segments.range(..=run.segment).map(|(_, path)| path);
        self.replace_all(old, &rebuilt, &target, directory, aside)
    }

    /// Makes the log in `directory` an empty one that begins at `start`, behind everything that
    /// was ever written to it. What it was is in `aside` afterwards. Seqs below `reserved_seq`,
    /// and below the bounds in what is left of it, count as given out.
    ///
    /// # Errors
    /// As [`Survey::begin_with`].
    pub fn begin_anew(
        &self,
        start: LogPosition,
        reserved_seq: u64,
        directory: &Path,
        aside: &Path,
    ) -> Result<(), LogError> {
        let target = directory.join(segment_name(start));
        let rebuilt = directory.join(REBUILT_FILE);
        let header = SegmentHeader {
            first: start,
            previous: [0; 16],
            reserved_seq: self.reserved_seq.max(reserved_seq),
        };
        at(&rebuilt, "write", begin(&header, &rebuilt).map(drop))?;
        self.replace_all(self.segments.values(), &rebuilt, &target, directory, aside)?;
        forget_acknowledged(directory, aside)
    }

    /// Keeps `old` aside, gives the rebuilt segment its name, and removes `old`.
    fn replace_all<'a>(
        &self,
        old: impl Iterator<Item = &'a PathBuf> + Clone,
        rebuilt: &Path,
        target: &Path,
        directory: &Path,
        aside: &Path,
    ) -> Result<(), LogError> {
        for path in old.clone() {
            at(path, "keep", keep(path, aside))?;
        }
        at(aside, "sync", files::sync_dir(aside))?;
        at(rebuilt, "rename", fs::rename(rebuilt, target))?;
        at(directory, "sync", files::sync_dir(directory))?;
        for path in old.filter(|path| *path != target) {
            at(path, "remove", fs::remove_file(path))?;
        }
        at(directory, "sync", files::sync_dir(directory))
    }

    /// Makes the log in `directory` end at `end`, which must be where one of its runs ends. What
    /// was behind it is in `aside` afterwards.
    ///
    /// # Errors
    /// As [`Survey::begin_with`].
    pub fn end_at(&self, end: LogPosition, directory: &Path, aside: &Path) -> Result<(), LogError> {
        // A segment that begins where the log is to end has nothing that is kept.
        let last = self.segments.range(..end).next_back();
        let later: Vec<&PathBuf> = self.segments.range(end..).map(|(_, path)| path).collect();
        for path in later.iter().copied().chain(last.map(|(_, path)| path)) {
            at(path, "keep", keep(path, aside))?;
        }
        at(aside, "sync", files::sync_dir(aside))?;
        // The last one first: what is left is always a beginning.
        for path in later.into_iter().rev() {
            at(path, "remove", fs::remove_file(path))?;
        }
        at(directory, "sync", files::sync_dir(directory))?;
        if let Some((first, path)) = last {
            let offset = SEGMENT_HEADER_BYTES + (end.0 - first.0);
            at(path, "write", blank(path, offset))?;
        }
        // Last: until then an interrupted repair is seen to be one.
        forget_acknowledged(directory, aside)
    }
}

/// What was acknowledged behind the end of the log is given up, so the note of it goes, too.
fn forget_acknowledged(directory: &Path, aside: &Path) -> Result<(), LogError> {
    let path = acknowledged::path(directory);
    if !path.exists() {
        return Ok(());
    }
    at(&path, "keep", keep(&path, aside))?;
    at(aside, "sync", files::sync_dir(aside))?;
    at(&path, "remove", fs::remove_file(&path))?;
    at(directory, "sync", files::sync_dir(directory))
}

fn at<T>(path: &Path, operation: &'static str, result: io::Result<T>) -> Result<T, LogError> {
    result.map_err(|source| LogError::io(operation, path, source))
}

/// A copy of `path` in `aside`, synced. One that is there already, from an interrupted repair, is
/// the older and stays.
fn keep(path: &Path, aside: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Ok(());
    };
    let (copy, unfinished) = (aside.join(name), aside.join("unfinished.tmp"));
    if copy.exists() {
        return Ok(());
    }
    // Not a link: the file may be changed in its place.
    fs::copy(path, &unfinished)?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, &copy)
}

/// A segment with another header and the bytes of `origin` from `from` on.
fn rebuild(origin: &Path, from: u64, header: &SegmentHeader, to: &Path) -> io::Result<()> {
    let mut origin = File::open(origin)?;
    origin.seek(SeekFrom::Start(from))?;
    let mut rebuilt = begin(header, to)?;
    io::copy(&mut origin, &mut rebuilt)?;
    rebuilt.sync_all()
}

/// A file with a segment's header, synced.
fn begin(header: &SegmentHeader, to: &Path) -> io::Result<File> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut rebuilt = files::private_file().create_new(true).open(to)?;
    rebuilt.write_all(&header.encode())?;
    rebuilt.sync_all()?;
    Ok(rebuilt)
}

/// Zeros from `offset` to the end, synced.
fn blank(path: &Path, offset: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(offset))?;
    let mut left = io::repeat(0).take(length.saturating_sub(offset));
    let mut piece = Vec::new();
    while left.limit() > 0 {
        piece.clear();
        left.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)?;
        file.write_all(&piece)?;
    }
    file.sync_all()
}
