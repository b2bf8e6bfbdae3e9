//! `replay`: does again what a node's log says, and compares.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::ProgressBar;
use interstice_actors::replay::{
    Difference, ModuleReplayed, Replayed, RowDifference, What, replay,
};
use interstice_host::table::Change;
use serde_json::{Value as Json, json};

use super::{modules::digest, table::row};
use crate::{
    app::App,
    output::Output,
    problem::{Outcome, Problem},
    target::Target,
};

/// A replay that is over sooner shows no bar.
const SHOWS_AFTER: Duration = Duration::from_secs(1);

/// Do again what a node's log says, and compare
#[derive(Debug, Args)]
#[command(
    long_about = "Do again what a node of this machine has in its log, away from the node, and compare: every step's changes, \
        calls, reactions and outcome with its record, and at the end the digests of all tables.\n\n\
        Time, random numbers and answers of other nodes come from the log. Steps that a limit ended are taken from their \
        records. Nothing in the node's folder is changed; a running node goes on.",
    after_help = "Examples:\n  \
        interstice-cli replay hello-example\n  \
        interstice-cli replay garden --json\n\n\
        Exit codes: 0 all agrees, 1 something differs or cannot be replayed."
)]
pub(crate) struct Replay {
    /// The node; without it, that of --node, or the local one where only one runs
    name: Option<String>,
}

impl Replay {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let target = Target::chosen(app, self.name.as_deref())?;
        let Some(folder) = target.folder.clone() else {
            let text = format!(
                "node `{}` is not one of this machine, and a replay needs its folder",
                target.label
            );
            return Err(Problem::failed(text).advise("run `replay` where the node runs"));
        };
        let output = app.output;
        let work = move || {
            let mut bar = Bar::new(output);
            let replayed = replay(&folder, |progress| bar.show(progress.done, progress.bytes));
            bar.end();
            replayed
        };
        let replayed = tokio::task::spawn_blocking(work).await;
        let replayed = replayed
            .map_err(|panic| Problem::failed(format!("the replay ended badly: {panic}")))?
            .map_err(|error| {
                Problem::failed(error).about(format!("replay of node `{}`", target.label))
            })?;
        if output.is_json() {
            output.json(&report(&target, &replayed)?)?;
        } else if replayed.agrees() {
            output.line(format!(
                "{} turns and {} steps of {} modules replayed up to turn {}: records and digests agree",
                replayed.turns,
                replayed.steps,
                replayed.modules.len(),
                replayed.last_seq
            ))?;
            if replayed.taken > 0 {
                output.say(format!(
                    "{} steps that a limit had ended were taken from their records",
                    replayed.taken
                ));
            }
        }
        match first_difference(&replayed)? {
            None => Ok(()),
            Some(text) => Err(Problem::failed(format!(
                "node `{}` does not come out as it was: {text}",
                target.label
            ))
            .advise(
                "either the log or a binary was changed, or the module does not do the same twice; `--json` has all of it",
            )),
        }
    }
}

/// A bar that comes when the replay takes its time.
struct Bar {
    output: Output,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn new(output: Output) -> Self {
        Self {
            output,
            begun: Instant::now(),
            bar: None,
        }
    }

    fn show(&mut self, done: u64, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.begun.elapsed() > SHOWS_AFTER {
            self.bar = Some(self.output.bar("replaying", bytes));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What differs first, in words.
fn first_difference(replayed: &Replayed) -> Outcome<Option<String>> {
    if let Some(difference) = &replayed.difference {
        let mut text = difference.to_string();
        if let What::Row(row) = &difference.what {
            text.push_str(&sides(row)?);
        }
        return Ok(Some(text));
    }
    let Some(module) = replayed.modules.iter().find(|module| !module.agrees()) else {
        return Ok(None);
    };
    let mut text = format!(
        "all records agree, but the tables of module `{}` differ",
        module.module
    );
    if let Some(row) = &module.row {
        let _ = write!(text, ", first in table `{}`", row.table_name());
        text.push_str(&sides(row)?);
    }
    Ok(Some(text))
}

/// Both sides of a row, each on a line of its own.
fn sides(difference: &RowDifference) -> Outcome<String> {
    let mut text = String::new();
    for (name, change) in [
        ("recorded", &difference.recorded),
        ("replayed", &difference.replayed),
    ] {
        let _ = write!(text, "\n  {name}: ");
        match change {
            None => text.push_str("nothing"),
            Some(change) => {
                let [before, after] = rows(difference, change)?;
                let _ = match (before, after) {
                    (None, Some(row)) => write!(text, "{row}"),
                    (Some(row), None) => write!(text, "{row} goes"),
                    (before, after) => write!(
                        text,
                        "{} becomes {}",
                        before.unwrap_or_default(),
                        after.unwrap_or_default()
                    ),
                };
            }
        }
    }
    Ok(text)
}

/// A change's rows before and after.
fn rows(difference: &RowDifference, change: &Change) -> Outcome<[Option<Json>; 2]> {
    let side = |bytes: &Option<Arc<[u8]>>| -> Outcome<Option<Json>> {
        let Some(bytes) = bytes else { return Ok(None) };
        match difference.table_schema() {
            // A row that was tampered with may not be one any more.
            Some(table) => Ok(Some(
                row(bytes, table, &difference.schema).unwrap_or_else(|_| json!(hex(bytes))),
            )),
            None => Ok(Some(json!(hex(bytes)))),
        }
    };
    Ok([side(&change.before)?, side(&change.after)?])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn report(target: &Target, replayed: &Replayed) -> Outcome<Json> {
    let difference = replayed.difference.as_ref().map(difference).transpose()?;
    let modules: Vec<Json> = replayed
        .modules
        .iter()
        .map(module)
        .collect::<Outcome<_>>()?;
    Ok(json!({
        "node": target.label,
        "agrees": replayed.agrees(),
        "turns": replayed.turns,
        "steps": replayed.steps,
        "taken_from_record": replayed.taken,
        "last_turn": replayed.last_seq.0,
        "was_running": replayed.was_running,
        "elapsed_ms": u64::try_from(replayed.elapsed.as_millis()).unwrap_or(u64::MAX),
        "difference": difference,
        "modules": modules,
    }))
}

fn module(module: &ModuleReplayed) -> Outcome<Json> {
    Ok(json!({
        "module": module.module.as_str(),
        "agrees": module.agrees(),
        "replayed": module.replayed.map(|found| digest(found.0)),
        "expected": module.expected.map(|found| digest(found.0)),
        "row": module.row.as_ref().map(row_json).transpose()?,
    }))
}

fn difference(found: &Difference) -> Outcome<Json> {
    let what = match &found.what {
        What::Row(row) => json!({ "what": "a row", "row": row_json(row)? }),
        What::Other {
            name,
            recorded,
            replayed,
        } => json!({ "what": name, "recorded": recorded, "replayed": replayed }),
    };
    Ok(json!({
        "turn": found.seq.0,
        "step": found.step.0,
        "module": found.module.as_ref().map(|module| module.as_str()),
        "reducer": found.reducer,
        "difference": what,
    }))
}

fn row_json(difference: &RowDifference) -> Outcome<Json> {
    let side = |change: &Option<Change>| -> Outcome<Json> {
        match change {
            None => Ok(Json::Null),
            Some(change) => {
                let [before, after] = rows(difference, change)?;
                Ok(json!({ "before": before, "after": after }))
            }
        }
    };
    Ok(json!({
        "module": difference.schema.name.as_str(),
        "table": difference.table_name(),
        "key": difference
            .recorded
            .as_ref()
            .or(difference.replayed.as_ref())
            .map(|change| hex(&change.key)),
        "recorded": side(&difference.recorded)?,
        "replayed": side(&difference.replayed)?,
    }))
}
