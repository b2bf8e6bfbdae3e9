//! Standard output is data, standard error is talk.
//!
//! Every write is checked: a closed standard output ends the command quietly, a closed standard error is passed over.
//! Text that others wrote (rows, logs, names) is printed without its control characters, which could drive the terminal.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

use crate::problem::{Kind, Outcome, Problem};

/// How much of a cell a table shows, in characters: a row may hold megabytes.
const CELL_CHARACTERS_MAX: usize = 1000;

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON document, or one per line where there are many.
    Json,
}

/// The way to the two output streams.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    out_is_terminal: bool,
    colours: bool,
}

/// Set once standard error has failed, so that talk does not try again.
static TALK_IS_CLOSED: AtomicBool = AtomicBool::new(false);

impl Output {
    /// The output of this process in this format. Colours need a terminal, and no `NO_COLOR`.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            out_is_terminal: io::stdout().is_terminal(),
            colours: io::stderr().is_terminal() && !plain,
        }
    }

    /// Whether `--json` was given.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A line of data.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub fn line(&self, text: impl Display) -> Outcome<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|error| Problem::output(&error))
    }

    /// A JSON document: over several lines on a terminal, else in one.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub fn json(&self, value: &Json) -> Outcome<()> {
        if self.out_is_terminal && (value.is_object() || value.is_array()) {
            self.line(format!("{value:#}"))
        } else {
            self.line(value)
        }
    }

    /// A table for people: columns under `header`, a line per row. Of a very long cell only the beginning is shown.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub fn table(
        &self,
        header: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Outcome<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // Files and pipes get cells in one line; a terminal gets cells that wrap.
        table.set_content_arrangement(if self.out_is_terminal {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        table.set_header(header.iter().map(|name| clean(name)));
        for row in rows {
            table.add_row(row.iter().map(|cell| clean(shortened(cell).as_ref())));
        }
        if let Some(last) = table.column_count().checked_sub(1) {
            for (place, column) in table.column_iter_mut().enumerate() {
                column.set_padding((0, if place == last { 0 } else { 2 }));
            }
        }
        self.line(table.trim_fmt())
    }

    /// A sentence for the person at the terminal.
    pub fn say(&self, text: impl Display) {
        talk(&text.to_string());
    }

    /// A sentence about something that is not as it should be.
    pub fn warn(&self, text: impl Display) {
        let label = self.paint("warning:", "33");
        talk(&format!("{label} {text}"));
    }

    /// The end of a command that failed.
    pub fn problem(&self, problem: &Problem) {
        if problem.kind() == Kind::NobodyListens {
            return;
        }
        if self.is_json() {
            talk(&problem.to_json().to_string());
            return;
        }
        let label = self.paint("error:", "31");
        talk(&format!("{label} {}", clean_lines(&problem.to_string())));
        if let Some(advice) = problem.advice() {
            let label = self.paint("help:", "36");
            talk(&format!("{label} {}", clean_lines(advice)));
        }
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colours {
            format!("\u{1b}[1;{colour}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }

    /// A bar for something of which `total` bytes are to be done. It shows on a terminal only.
    #[must_use]
    pub fn bar(&self, what: &str, total: u64) -> ProgressBar {
        let bar = if self.is_json() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(total)
        };
        if let Ok(style) = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_string());
        bar
    }

    /// A sign of life for something whose length is not known. It shows on a terminal only.
    #[must_use]
    pub fn spinner(&self, what: impl Display) -> ProgressBar {
        let spinner = if self.is_json() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        spinner.set_message(what.to_string());
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }
}

fn talk(text: &str) {
    if TALK_IS_CLOSED.load(Ordering::Relaxed) {
        return;
    }
    if writeln!(io::stderr().lock(), "{text}").is_err() {
        TALK_IS_CLOSED.store(true, Ordering::Relaxed);
    }
}

/// The beginning of a cell that no person reads to its end.
fn shortened(cell: &str) -> Cow<'_, str> {
    match cell.char_indices().nth(CELL_CHARACTERS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", cell.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(cell),
    }
}

/// `text` in one line: control characters and line breaks are escaped.
#[must_use]
pub fn clean(text: &str) -> String {
    escape(text, |_| false)
}

/// `text` in as many lines as it has, without other control characters.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    escape(text, |c| c == '\n' || c == '\t')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && !keep(c)) || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that turn the direction of text around, with which one line can be made to look like another.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_very_long_cell_is_shown() {
        assert_eq!(shortened("ä"), "ä");
        let long = "ä".repeat(CELL_CHARACTERS_MAX + 1);
        let shown = shortened(&long);
        assert_eq!(shown.chars().count(), CELL_CHARACTERS_MAX + 1);
        assert!(shown.ends_with('…'), "{shown}");
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(clean_lines("a\nb\u{7}"), "a\nb\\u{7}");
        assert_eq!(clean("Grüße, 世界"), "Grüße, 世界");
        assert_eq!(clean("a\u{202e}b"), "a\\u{202e}b");
    }
}
