//! `benchmark table`: what other runs have written with `--output`, as a table for a document.

use std::path::PathBuf;

use clap::Args;

use crate::{
    app::App,
    benchmark::{markdown, report::Entry},
    problem::{Outcome, Problem},
};

/// Print reports as a table in Markdown
#[derive(Debug, Args)]
#[command(
    long_about = "Print what `profile`, `run` and `scenario` have written with --output as one table in Markdown: medians over the runs of each \
        load, the slowest and the fastest, shares of the floor where one was measured, and what it ran on.",
    after_help = "Examples:\n  \
        interstice-cli benchmark scenario scenarios/limit.toml scenarios/durable.toml --node benchmark-example --output results.json\n  \
        interstice-cli benchmark table results.json"
)]
pub(crate) struct Table {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Table {
    pub(super) fn run(self, app: &App) -> Outcome<()> {
        let mut entries = Vec::new();
        for file in &self.files {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Problem::file("read", file, &error))?;
            let read: Vec<Entry> = serde_json::from_str(&text).map_err(|error| {
                Problem::failed(format!(
                    "{} is no report: {error}; `profile`, `run` and `scenario` write one with `--output`",
                    file.display()
                ))
            })?;
            entries.extend(read);
        }
        if app.output.is_json() {
            return app.output.json(&serde_json::json!(entries));
        }
        app.output.line(markdown::table(&entries))
    }
}
