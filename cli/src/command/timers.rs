//! `timers`: what a module will run by itself, and the end of one such timer.

use clap::{Args, Subcommand};
use interstice_abi::{
    id::TimerId,
    period::show_period,
    schema::ModuleSchema,
    wire::{HistoryBytes, PendingTimer, TIMERS_PER_PAGE_MAX, TimerLife},
};
use serde_json::{Value as Json, json};

use crate::{
    app::App,
    clock,
    problem::{Outcome, Problem},
    session::Session,
    signature,
};

/// List the pending timers of a module, or cancel one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
    interstice-cli timers hello-example\n  \
    interstice-cli timers hello-example --json\n  \
    interstice-cli timers cancel hello-example 7\n\n\
    A timer is kept until it has fired (durable), until the module's next load (of load: it was set from `load`), or as long as \
    the module has it (every: `#[reducer(every = \"10s\")]`). One of the last kind that is cancelled comes back with the next load."
)]
pub(crate) struct Timers {
    /// The module
    #[arg(required = true)]
    module: Option<String>,
    #[command(subcommand)]
    command: Option<TimersCommand>,
}

/// What can be done to a timer.
#[derive(Debug, Subcommand)]
enum TimersCommand {
    Cancel(Cancel),
}

/// Cancel a pending timer
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  interstice-cli timers cancel hello-example 7")]
struct Cancel {
    /// The module
    module: String,
    /// The timer's number, as `timers` lists it
    timer: u64,
}

impl Timers {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        match (self.command, self.module) {
            (Some(TimersCommand::Cancel(cancel)), _) => cancel.run(app).await,
            (None, Some(module)) => list(app, &module).await,
            (None, None) => Err(Problem::usage("name a module: `timers MODULE`")),
        }
    }
}

impl Cancel {
    async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, None).await?;
        let cancelled = session
            .client()
            .cancel_timer(&self.module, TimerId(self.timer))
            .await;
        let seq = cancelled.map_err(|error| session.problem(error))?;
        if app.output.is_json() {
            return app
                .output
                .json(&json!({ "module": self.module, "timer": self.timer, "seq": seq.0 }));
        }
        app.output.say(format!(
            "timer {} of {} was cancelled in turn {seq}",
            self.timer, self.module
        ));
        Ok(())
    }
}

async fn list(app: &App, module: &str) -> Outcome<()> {
    let session = Session::open(app, None).await?;
    let schema = session.schema(module).await?;
    let (mut timers, mut after) = (Vec::new(), None);
    let now_ms = loop {
        let page = session
            .client()
            .timers(module, after, TIMERS_PER_PAGE_MAX)
            .await
            .map_err(|error| session.problem(error))?;
        timers.extend(page.timers);
        match page.next {
            Some(next) => after = Some(next),
            None => break page.now_ms,
        }
    };
    timers.sort_by_key(|timer| (timer.due_ms, timer.timer));
    if app.output.is_json() {
        let all = timers.iter().map(|timer| to_json(timer, &schema));
        return app.output.json(&Json::Array(all.collect()));
    }
    let header = [
        "timer",
        "reducer",
        "arguments",
        "due",
        "in",
        "every",
        "kept",
    ];
    let rows = timers.iter().map(|timer| row(timer, &schema, now_ms));
    app.output.table(&header, rows)
}

fn row(timer: &PendingTimer, schema: &ModuleSchema, now_ms: u64) -> Vec<String> {
    let arguments = match arguments(timer, schema) {
        Json::Array(values) => values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    vec![
        timer.timer.to_string(),
        timer.reducer.clone(),
        arguments,
        clock::timestamp(timer.due_ms),
        clock::duration(timer.due_ms.saturating_sub(now_ms)),
        timer.period_ms.map_or("-".to_string(), show_period),
        kept(timer.life).to_string(),
    ]
}

fn to_json(timer: &PendingTimer, schema: &ModuleSchema) -> Json {
    json!({
        "timer": timer.timer.0,
        "reducer": timer.reducer,
        "arguments": arguments(timer, schema),
        "due": clock::timestamp(timer.due_ms),
        "due_ms": timer.due_ms,
        "period_ms": timer.period_ms,
        "kept": kept(timer.life),
    })
}

const fn kept(life: TimerLife) -> &'static str {
    match life {
        TimerLife::Durable => "durable",
        TimerLife::OfLoad => "of load",
        TimerLife::OfSchema => "every",
    }
}

/// The arguments as a list, or a text that says why they are not shown.
fn arguments(timer: &PendingTimer, schema: &ModuleSchema) -> Json {
    match (&timer.arguments, schema.reducer(&timer.reducer)) {
        (HistoryBytes::Whole(bytes), Some(reducer)) => {
            signature::decode_arguments(bytes, &reducer.arguments, &schema.types)
                .map_or_else(|damaged| Json::from(damaged.to_string()), Json::Array)
        }
        (HistoryBytes::Whole(_), None) => Json::from("the reducer is not there any more"),
        (HistoryBytes::LeftOut { bytes }, _) => Json::from(clock::bytes(*bytes)),
    }
}
