//! Standard output is data, standard error is talk.
//!
//! Every write is checked: a closed standard output ends the command quietly, a closed standard
//! error is passed over. Nothing that others wrote (rows, logs, names) can drive a terminal or
//! look like something else on it (`escape`): all data for a terminal and all talk go through one
//! function each. Data for a file or pipe keep what a terminal would be spared.

mod escape;
mod reader;

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

pub use self::{
    escape::{clean, clean_lines, plain_line, plain_lines},
    reader::reader_has_gone,
};
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
        let mut text = text.to_string();
        if self.out_is_terminal {
            text = clean_lines(&text);
        }
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
            self.line(escape::json(format!("{value:#}")))
        } else {
            self.json_line(value)
        }
    }

    /// A JSON document in one line.
    ///
    /// # Errors
    /// When standard output is closed or full.
    pub fn json_line(&self, value: &Json) -> Outcome<()> {
        self.line(escaped_json(value))
    }

    /// A table for people: columns under `header`, a line per row. Of a very long cell only the
    /// beginning is shown.
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
        table.set_header(header.iter().map(|name| self.cell(name)));
        for row in rows {
            table.add_row(row.iter().map(|cell| self.cell(&shortened(cell))));
        }
        if let Some(last) = table.column_count().checked_sub(1) {
            for (place, column) in table.column_iter_mut().enumerate() {
                column.set_padding((0, if place == last { 0 } else { 2 }));
            }
        }
        self.line(table.trim_fmt())
    }

    /// What a cell shows: widths are measured before the whole is printed.
    fn cell(&self, text: &str) -> String {
        if self.out_is_terminal {
            clean(text)
        } else {
            plain_line(text)
        }
    }

    /// A sentence for the person at the terminal.
    pub fn say(&self, text: impl Display) {
        talk(&clean_lines(&text.to_string()));
    }

    /// A sentence about something that is not as it should be.
    pub fn warn(&self, text: impl Display) {
        let label = self.paint("warning:", "33");
        talk(&format!("{label} {}", clean_lines(&text.to_string())));
    }

    /// The end of a command that failed.
    pub fn problem(&self, problem: &Problem) {
        if problem.kind() == Kind::NobodyListens {
            return;
        }
        if self.is_json() {
            talk(&escaped_json(&problem.to_json()));
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
        bar.set_message(clean(what));
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
        spinner.set_message(clean(&what.to_string()));
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }
}

/// A JSON document in a line, in which everything that does not show as itself is escaped.
#[must_use]
pub fn escaped_json(value: &Json) -> String {
    escape::json(value.to_string())
}

/// A line on standard error, which must be clean.
pub(crate) fn talk(text: &str) {
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
}
