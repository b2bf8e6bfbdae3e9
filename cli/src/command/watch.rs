//! `watch`: a table's rows, then its changes as they happen.

use clap::Args;
use futures::StreamExt as _;
use interstice_abi::{
    id::Position,
    schema::{ModuleSchema, TableSchema},
    wire::{WatchEvent, WatchedChange},
};
use interstice_client::Followed;
use serde_json::{Value as Json, json};

use super::table;
use crate::{
    app::App,
    node_process,
    output::reader_has_gone,
    problem::{Outcome, Problem},
    session::Session,
};

/// Show the rows of a table, then every change as it happens
#[derive(Debug, Args)]
#[command(
    long_about = "Show the rows of a table with the position at which they are valid, then every insert, update and delete \
        as it happens, until Ctrl-C. With --from, the rows are skipped and the changes start after that position.\n\n\
        When an upgrade gives the table rows of another type, the rows are shown again in their new form. Columns that are \
        appended are not shown until the watch is begun again.",
    after_help = "Examples:\n  \
        interstice-cli watch bank account\n  \
        interstice-cli watch bank account --from 0.17.0.2 --json"
)]
pub(crate) struct Watch {
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its table
    table: String,
    /// Skip the rows and start behind this position
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
}

impl Watch {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open(app, None).await?;
        let mut events = session.follow(&self.module, &self.table, self.from);
        let (end, left) = (node_process::end_signal(), reader_has_gone());
        tokio::pin!(end, left);
        let mut schema: Option<Box<ModuleSchema>> = None;
        loop {
            let next = tokio::select! {
                signal = &mut end => return signal,
                () = &mut left => return Ok(()),
                next = events.next() => next,
            };
            match (next.transpose()?, &schema) {
                (None, _) => return Ok(()),
                (Some(Followed::Schema(new)), before) => {
                    table::find(&new, &self.table)?;
                    if before.is_some() {
                        app.output
                            .warn("the module was upgraded; the rows of the table follow in their new form");
                    }
                    schema = Some(new);
                }
                (Some(Followed::Event(event)), Some(schema)) => {
                    print(app, &event, table::find(schema, &self.table)?, schema)?;
                }
                (Some(Followed::Event(_)), None) => {
                    return Err(Problem::failed("rows came before their schema"));
                }
            }
        }
    }
}

fn print(app: &App, event: &WatchEvent, table: &TableSchema, schema: &ModuleSchema) -> Outcome<()> {
    match event {
        WatchEvent::Rows { rows, complete } => {
            for row in rows {
                let row = table::known_columns(row, table, schema)?;
                line(app, "row", None, &row)?;
            }
            match complete {
                Some(position) if app.output.is_json() => app
                    .output
                    .json_line(&json!({"event": "complete", "position": position.to_string()})),
                Some(position) => app.output.line(format!("position {position}")),
                None => Ok(()),
            }
        }
        WatchEvent::Changes(changes) => changes
            .iter()
            .try_for_each(|change| print_change(app, change, table, schema)),
    }
}

fn print_change(
    app: &App,
    change: &WatchedChange,
    table: &TableSchema,
    schema: &ModuleSchema,
) -> Outcome<()> {
    let read = |bytes: &Option<Vec<u8>>| {
        bytes
            .as_ref()
            .map(|bytes| table::known_columns(bytes, table, schema))
            .transpose()
    };
    let position = Some(change.position);
    match (read(&change.before)?, read(&change.after)?) {
        (None, Some(after)) => line(app, "insert", position, &after),
        (Some(before), None) => line(app, "delete", position, &before),
        (Some(before), Some(after)) if app.output.is_json() => app.output.json_line(&json!({
            "event": "update", "position": change.position.to_string(), "before": before, "row": after
        })),
        (Some(before), Some(after)) => app.output.line(format!("update {before} to {after} at {}", change.position)),
        (None, None) => Ok(()),
    }
}

fn line(app: &App, event: &str, position: Option<Position>, row: &Json) -> Outcome<()> {
    let position = position.map(|position| position.to_string());
    match (app.output.is_json(), position) {
        (true, Some(position)) => app
            .output
            .json_line(&json!({"event": event, "position": position, "row": row})),
        (true, None) => app.output.json_line(&json!({"event": event, "row": row})),
        (false, Some(position)) => app.output.line(format!("{event} {row} at {position}")),
        (false, None) => app.output.line(format!("{event} {row}")),
    }
}
