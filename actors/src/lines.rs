//! What modules and the node say: the last lines in memory, all of them in `node.log`, and those
//! who follow.
//!
//! Lines are numbered, across restarts, and kept when the step that wrote them is undone.
//! `node.log` holds them as text (`text.rs`) and rotates to `node.log.1`; a start reads its end. A
//! follower that does not keep up is cut off with the number to resume from. A module that says
//! more than its allowance (`allowance.rs`) is dropped for a while, and that is said.

mod allowance;

mod file;

mod text;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    wire::{LogLevel, LogLine, Response, ResponseBody},
};

use self::{
    allowance::{Allowances, BYTES_PER_SECOND, Verdict},
    file::{append_private, end_of, rotated},
    text::{format_line, parse_lines},
};
use crate::ingress::Replies;

/// How many lines `logs` can look back on.
const KEPT_LINES: usize = 10_000;

/// How many bytes those may have, and how much of `node.log` is read at the start.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Size at which `node.log` rotates.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest text of one line in bytes; what is longer is cut and says so. A guest can log megabytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The lines of a node.
pub(crate) struct Lines {
    state: Mutex<State>,
}

struct State {
    kept: Kept,
    allowances: Allowances,
    /// The number of the next line.
    next: u64,
    followers: Vec<Follower>,
    path: PathBuf,
    file: Option<BufWriter<File>>,
    written: u64,
}

/// The last lines.
#[derive(Default)]
struct Kept {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, line: LogLine) {
        self.bytes += size(&line);
        self.lines.push_back(Arc::new(line));
        while self.lines.len() > KEPT_LINES || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= size(&oldest);
        }
    }
}

fn size(line: &LogLine) -> usize {
    size_of::<LogLine>() + line.text.len()
}

/// Where lines begin that somebody wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Begin {
    /// The last ones, so many.
    Tail(u32),
    /// Behind the line of this number.
    After(u64),
}

struct Follower {
    replies: Replies,
    connection: u64,
    request: u64,
    module: Option<ModuleName>,
    /// The last line that it was told, or that was not for it.
    last: u64,
}

impl Lines {
    /// Lines that are also written to the file at `path`, private to the user; those at its end
    /// are there already.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut kept = Kept::default();
        let mut next = 1;
        for path in [rotated(path), path.to_path_buf()] {
            for line in parse_lines(&end_of(&path)?) {
                next = next.max(line.number.saturating_add(1));
                kept.push(line);
            }
        }
        let file = append_private(path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            state: Mutex::new(State {
                kept,
                allowances: Allowances::default(),
                next,
                followers: Vec::new(),
                path: path.to_path_buf(),
                file: Some(BufWriter::new(file)),
                written,
            }),
        })
    }

    /// A line of a module or of the node.
    pub(crate) fn message(&self, module: Option<&ModuleName>, seq: Option<Seq>, text: &str) {
        self.say(LogLevel::Message, module, seq, text);
    }

    /// Something was refused or undone.
    pub(crate) fn warn(&self, module: Option<&ModuleName>, seq: Option<Seq>, text: &str) {
        self.say(LogLevel::Warning, module, seq, text);
    }

    /// Something broke.
    pub(crate) fn error(&self, module: Option<&ModuleName>, seq: Option<Seq>, text: &str) {
        self.say(LogLevel::Error, module, seq, text);
    }

    fn say(&self, level: LogLevel, module: Option<&ModuleName>, seq: Option<Seq>, text: &str) {
        let mut state = self.state();
        let verdict = module.map_or(Verdict::Said, |module| {
            let bytes = text.len().min(TEXT_BYTES_MAX);
            state.allowances.ask(module, bytes, Instant::now())
        });
        match verdict {
            Verdict::Said => {}
            Verdict::SaidAfter(dropped) => {
                let text = format!("{dropped} lines of this module were dropped");
                state.say(LogLevel::Warning, module, None, &text);
            }
            Verdict::FirstDropped => {
                let text = format!(
                    "the module says more than {} KiB a second; what it says is dropped until it says less",
                    BYTES_PER_SECOND / 1024
                );
                return state.say(LogLevel::Warning, module, seq, &text);
            }
            Verdict::Dropped => return,
        }
        state.say(level, module, seq, text);
    }

    /// Lines that are kept, of one module or of all.
    ///
    /// # Errors
    /// `NotFound` when there were more behind the wanted number than are kept.
    pub(crate) fn kept(
        &self,
        module: Option<&ModuleName>,
        begin: Begin,
    ) -> Result<Vec<LogLine>, Failure> {
        let (found, _) = self.state().select(module, begin, u64::MAX)?;
        Ok(copied(&found))
    }

    /// The number of the last line.
    pub(crate) fn last(&self) -> u64 {
        self.state().next - 1
    }

    /// Sends lines that are kept, those after line `asked_at` in any case, and then every new one
    /// to `replies`, as answers to `request` of `connection`.
    ///
    /// # Errors
    /// That of [`Lines::kept`]; nobody follows then.
    pub(crate) fn follow(
        &self,
        (replies, connection, request): (Replies, u64, u64),
        module: Option<ModuleName>,
        begin: Begin,
        asked_at: u64,
    ) -> Result<(), Failure> {
        let send = |found: &[Arc<LogLine>]| {
            let body = Ok(ResponseBody::Log(copied(found)));
            replies.more(Response { id: request, body });
        };
        let (found, last) = self.state().select(module.as_ref(), begin, asked_at)?;
        // These may be megabytes, and modules write lines under the lock.
        send(&found);
        let mut state = self.state();
        let begin = Begin::After(last);
        let (found, last) = state.select(module.as_ref(), begin, u64::MAX)?;
        if !found.is_empty() {
            send(&found);
        }
        state.followers.push(Follower {
            replies,
            connection,
            request,
            module,
            last,
        });
        Ok(())
    }

    /// Ends one follower, or all of a connection. Whether there was one.
    pub(crate) fn unfollow(&self, connection: u64, request: Option<u64>) -> bool {
        let mut state = self.state();
        let before = state.followers.len();
        state.followers.retain(|follower| {
            follower.connection != connection
                || request.is_some_and(|request| follower.request != request)
        });
        before != state.followers.len()
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&self) {
        if let Some(file) = &mut self.state().file {
            // A full disk must not stop the node for the sake of its log file.
            let _ = file.flush();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn say(&mut self, level: LogLevel, module: Option<&ModuleName>, seq: Option<Seq>, text: &str) {
        let line = LogLine {
            number: self.next,
            time_ms: now_ms(),
            level,
            module: module.cloned(),
            seq,
            text: cut(text),
        };
        self.next += 1;
        self.write(&line);
        self.tell(&line);
        self.kept.push(line);
    }

    /// The wanted lines, and the number of the last line. Those after `all_after` are wanted in
    /// any case and are no part of a tail.
    fn select(
        &self,
        module: Option<&ModuleName>,
        begin: Begin,
        all_after: u64,
    ) -> Result<(Vec<Arc<LogLine>>, u64), Failure> {
        let lines = &self.kept.lines;
        let (after, mut tail) = match begin {
            Begin::Tail(tail) => (0, tail),
            Begin::After(after) => (after, u32::MAX),
        };
        let needed_after = match begin {
            Begin::Tail(_) => all_after,
            Begin::After(after) => after,
        };
        let oldest = lines.front().map_or(self.next, |line| line.number);
        if needed_after.saturating_add(1) < oldest {
            let text = format!(
                "lines from {} on are wanted, and only those from {oldest} on are at hand; older ones are in the node's node.log",
                needed_after + 1
            );
            return Err(Failure::new(Code::NotFound, text));
        }
        let newest_first = lines.iter().rev();
        let wanted = newest_first
            .take_while(|line| line.number > after)
            .filter(|line| module.is_none() || line.module.as_ref() == module)
            .take_while(|line| {
                let is_later = line.number > all_after;
                let fits = is_later || tail > 0;
                tail -= u32::from(fits && !is_later);
                fits
            });
        let mut found: Vec<Arc<LogLine>> = wanted.cloned().collect();
        found.reverse();
        Ok((found, self.next - 1))
    }

    fn tell(&mut self, line: &LogLine) {
        self.followers.retain_mut(|follower| {
            if follower.module.is_some() && follower.module != line.module {
                follower.last = line.number;
                return !follower.replies.is_closed();
            }
            let response = Response {
                id: follower.request,
                body: Ok(ResponseBody::Log(vec![line.clone()])),
            };
            let kept = follower.replies.stream(response).is_ok();
            if kept {
                follower.last = line.number;
            } else {
                let text = format!(
                    "lines came faster than they were read; resume with --from {}",
                    follower.last
                );
                follower.replies.send(Response {
                    id: follower.request,
                    body: Err(Failure::new(Code::Busy, text)),
                });
            }
            kept
        });
    }

    fn write(&mut self, line: &LogLine) {
        let text = format_line(line);
        if self.written > FILE_BYTES_MAX {
            self.rotate();
        } else if self.file.is_none() {
            self.open();
        }
        if let Some(file) = &mut self.file {
            self.written += u64::try_from(text.len()).unwrap_or(0);
            // Neither may a failing disk: the line is in memory still.
            let _ = file.write_all(text.as_bytes()).and_then(|()| file.flush());
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        // Losing the older lines is better than losing the newer ones.
        let _ = fs::rename(&self.path, rotated(&self.path));
        self.open();
    }

    /// Opens the file, to write behind what is in it. Where that fails, the next line tries again.
    fn open(&mut self) {
        let file = append_private(&self.path);
        self.file = file.ok().map(BufWriter::new);
        let length = fs::metadata(&self.path).map(|metadata| metadata.len());
        self.written = length.unwrap_or(0);
    }
}

/// The lines, to be sent.
fn copied(lines: &[Arc<LogLine>]) -> Vec<LogLine> {
    lines.iter().map(|line| line.as_ref().clone()).collect()
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_string();
    }
    let mut end = TEXT_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}… ({} bytes were cut)", text.len() - end)
}

/// The system's clock, in milliseconds since 1970: what lines say. Turns and timers go by
/// [`crate::clock`].
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
