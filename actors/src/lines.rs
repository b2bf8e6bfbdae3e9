//! What modules and the node say: the last lines in memory, all of them in `node.log`, and those who follow.
//!
//! Lines are kept when the step that wrote them is undone. `node.log` holds one line of text per line said and rotates
//! to `node.log.1`; a follower that does not keep up is cut off with a notice.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    wire::{LogLevel, LogLine, Response, ResponseBody},
};

use crate::ingress::Replies;

/// How many lines `logs` can look back on.
const KEPT_LINES: usize = 10_000;

/// Bytes of text that those lines may take in all: a module that says large things must not fill the memory.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Size at which `node.log` rotates.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Longest text of one line in bytes; what is longer is cut and says so. A guest can log megabytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The lines of a node.
pub(crate) struct Lines {
    state: Mutex<State>,
}

struct State {
    kept: VecDeque<LogLine>,
    /// Bytes of their texts.
    kept_bytes: usize,
    followers: Vec<Follower>,
    path: PathBuf,
    file: Option<BufWriter<File>>,
    written: u64,
}

struct Follower {
    replies: Replies,
    connection: u64,
    request: u64,
    module: Option<ModuleName>,
}

impl Lines {
    /// Lines that are also written to the file at `path`, private to the user.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let file = append_private(path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            state: Mutex::new(State {
                kept: VecDeque::new(),
                kept_bytes: 0,
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
        let line = LogLine {
            time_ms: now_ms(),
            level,
            module: module.cloned(),
            seq,
            text: cut(text),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write(&line);
        state.tell(&line);
        state.keep(line);
    }

    /// The last `tail` lines, of one module or of all.
    pub(crate) fn kept(&self, module: Option<&ModuleName>, tail: u32) -> Vec<LogLine> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tail(module, tail)
    }

    /// Sends the last `tail` lines and then every new one to `replies`.
    pub(crate) fn follow(
        &self,
        replies: Replies,
        connection: u64,
        request: u64,
        module: Option<ModuleName>,
        tail: u32,
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = state.tail(module.as_ref(), tail);
        replies.more(Response {
            id: request,
            body: Ok(ResponseBody::Log(lines)),
        });
        state.followers.push(Follower {
            replies,
            connection,
            request,
            module,
        });
    }

    /// Ends one follower, or all of a connection. Whether there was one.
    pub(crate) fn unfollow(&self, connection: u64, request: Option<u64>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.followers.len();
        state.followers.retain(|follower| {
            follower.connection != connection
                || request.is_some_and(|request| follower.request != request)
        });
        before != state.followers.len()
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut state.file {
            // A full disk must not stop the node for the sake of its log file.
            let _ = file.flush();
        }
    }
}

impl State {
    /// Keeps a line, and forgets the oldest ones beyond the limits.
    fn keep(&mut self, line: LogLine) {
        self.kept_bytes += line.text.len();
        self.kept.push_back(line);
        while self.kept.len() > KEPT_LINES || self.kept_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.kept_bytes -= oldest.text.len();
        }
    }

    fn tail(&self, module: Option<&ModuleName>, tail: u32) -> Vec<LogLine> {
        let wanted = usize::try_from(tail).unwrap_or(usize::MAX);
        let matching = |line: &&LogLine| module.is_none() || line.module.as_ref() == module;
        let mut lines: Vec<LogLine> = self
            .kept
            .iter()
            .rev()
            .filter(matching)
            .take(wanted)
            .cloned()
            .collect();
        lines.reverse();
        lines
    }

    fn tell(&mut self, line: &LogLine) {
        self.followers.retain(|follower| {
            if follower.module.is_some() && follower.module != line.module {
                return !follower.replies.is_closed();
            }
            let response = Response {
                id: follower.request,
                body: Ok(ResponseBody::Log(vec![line.clone()])),
            };
            let kept = follower.replies.stream(response).is_ok();
            if !kept {
                let failure = Failure::new(
                    Code::Busy,
                    "lines came faster than they were read; follow the log again",
                );
                follower.replies.send(Response {
                    id: follower.request,
                    body: Err(failure),
                });
            }
            kept
        });
    }

    fn write(&mut self, line: &LogLine) {
        let text = format_line(line);
        if self.written > FILE_BYTES_MAX {
            self.rotate();
        }
        if let Some(file) = &mut self.file {
            self.written += u64::try_from(text.len()).unwrap_or(0);
            // Neither may a failing disk: the line is in memory still.
            let _ = file.write_all(text.as_bytes()).and_then(|()| file.flush());
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        let old = self.path.with_extension("log.1");
        // Losing the older lines is better than losing the newer ones.
        let _ = fs::rename(&self.path, old);
        self.file = append_private(&self.path).ok().map(BufWriter::new);
        self.written = 0;
    }
}

fn append_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// `2026-01-31T12:00:00.000Z WARN module seq=7 text`, continued lines indented.
fn format_line(line: &LogLine) -> String {
    let level = match line.level {
        LogLevel::Message => "INFO",
        LogLevel::Warning => "WARN",
        LogLevel::Error => "ERROR",
    };
    let module = line.module.as_ref().map_or("-", ModuleName::as_str);
    let seq = line
        .seq
        .map_or_else(|| "-".to_string(), |seq| seq.to_string());
    let text: String = line
        .text
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    format!(
        "{} {level} {module} seq={seq} {}\n",
        timestamp(line.time_ms),
        text.replace('\n', "\n    ")
    )
}

/// RFC 3339 in UTC, by the civil-from-days algorithm of Howard Hinnant.
fn timestamp(time_ms: u64) -> String {
    let (seconds, millis) = (time_ms / 1000, time_ms % 1000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
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

/// The clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(timestamp(1_800_000_000_001), "2027-01-15T08:00:00.001Z");
    }

    #[test]
    fn a_line_can_not_forge_another_or_drive_a_terminal() {
        let line = LogLine {
            time_ms: 0,
            level: LogLevel::Message,
            module: None,
            seq: None,
            text: "a\n1970 ERROR forged \u{1b}[2J".to_string(),
        };
        let text = format_line(&line);
        assert!(text.contains("\n    1970"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = cut(&"ä".repeat(TEXT_BYTES_MAX));
        assert!(text.len() < TEXT_BYTES_MAX + 64);
        assert!(text.ends_with("bytes were cut)"));
    }

    #[test]
    fn what_is_kept_is_bounded_in_lines_and_in_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = Lines::open(&folder.path().join("node.log")).expect("opens");
        let kept = || lines.kept(None, u32::MAX);
        let large = "x".repeat(TEXT_BYTES_MAX);
        for _ in 0..=KEPT_BYTES_MAX / TEXT_BYTES_MAX {
            lines.message(None, None, &large);
        }
        assert_eq!(kept().len(), KEPT_BYTES_MAX / TEXT_BYTES_MAX);
        for _ in 0..=KEPT_LINES {
            lines.message(None, None, "y");
        }
        assert_eq!(kept().len(), KEPT_LINES);
        assert!(kept().iter().all(|line| line.text == "y"));
    }

    #[test]
    fn the_tail_is_of_the_wanted_module() {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = Lines::open(&folder.path().join("node.log")).expect("opens");
        let name = ModuleName::new("m").expect("a name");
        lines.message(None, None, "node");
        for number in 0..5 {
            lines.message(Some(&name), None, &number.to_string());
        }
        let texts: Vec<String> = lines
            .kept(Some(&name), 2)
            .into_iter()
            .map(|line| line.text)
            .collect();
        assert_eq!(texts, ["3", "4"]);
        assert_eq!(lines.kept(None, 100).len(), 6);
        let file = fs::read_to_string(folder.path().join("node.log")).expect("is there");
        assert_eq!(file.lines().count(), 6);
    }
}
