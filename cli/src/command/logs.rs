//! `logs`: what a node and its modules have written.

use clap::Args;
use interstice_abi::wire::{LogLevel, LogLine, LogsMode};
use serde_json::json;

use crate::{
    app::App,
    clock, node_process,
    output::{plain_lines, reader_has_gone},
    problem::Outcome,
    session::{Answers, Session},
};

/// Kept lines that are shown when nobody says how many.
const TAIL_LINES: u32 = 200;

/// Before the further lines of a text: what a module writes cannot pass for an entry of its own.
const INDENT: &str = "\n    ";

/// Show the log of a node and its modules
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli logs local\n  \
    interstice-cli logs local --module bank --follow\n  \
    interstice-cli logs local --tail 10 --json\n  \
    interstice-cli logs local --from 1234 --follow")]
pub(crate) struct Logs {
    /// The node; without it, that of --node, or the local one where only one runs
    at: Option<String>,
    /// Only this module's lines
    #[arg(short, long)]
    module: Option<String>,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many kept lines to begin with
    #[arg(long, value_name = "N", default_value_t = TAIL_LINES)]
    tail: u32,
    /// Begin behind the line of this number instead, as `--json` and the notice of a follower that
    /// was cut off name it
    #[arg(long, value_name = "LINE", conflicts_with = "tail")]
    from: Option<u64>,
}

impl Logs {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, self.at.as_deref()).await?;
        let mode = if self.follow {
            LogsMode::Follow
        } else {
            LogsMode::Kept
        };
        let lines = session.logs(self.module.as_deref(), self.tail, self.from, mode)?;
        let end = node_process::end_signal();
        tokio::select! {
            signal = end => signal,
            () = reader_has_gone() => Ok(()),
            result = print_all(app, lines) => result,
        }
    }
}

async fn print_all(app: &App, mut lines: Answers<Vec<LogLine>>) -> Outcome<()> {
    while let Some(batch) = lines.next().await? {
        for line in &batch {
            print(app, line)?;
        }
    }
    Ok(())
}

/// Prints a line.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(app: &App, line: &LogLine) -> Outcome<()> {
    let module = line.module.as_ref().map(ToString::to_string);
    let level = match line.level {
        LogLevel::Message => "message",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    };
    if app.output.is_json() {
        return app.output.json_line(&json!({
            "line": line.number,
            "time": clock::timestamp(line.time_ms),
            "time_ms": line.time_ms,
            "level": level,
            "module": module,
            "seq": line.seq.map(|seq| seq.0),
            "text": line.text,
        }));
    }
    let level = match line.level {
        LogLevel::Message => String::new(),
        _ => format!(" {level}:"),
    };
    let seq = line.seq.map_or_else(String::new, |seq| format!(" [{seq}]"));
    let source = module.unwrap_or_else(|| "node".to_string());
    app.output.line(format!(
        "{} {source}{seq}{level} {}",
        clock::timestamp(line.time_ms),
        plain_lines(&line.text).replace('\n', INDENT)
    ))
}
