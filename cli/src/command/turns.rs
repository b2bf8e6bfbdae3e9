//! `turns`: the turns that hold a node's modules, and the end of one of them.

use clap::{Args, Subcommand};
use interstice_abi::{
    id::{NodeId, Seq},
    wire::{TurnBegan, TurnDrop, TurnUnderWay},
};
use serde_json::{Value as Json, json};

use crate::{
    app::App,
    clock,
    problem::{Outcome, Problem},
    session::Session,
};

/// Characters of a key in the list; `--json` has all.
const KEY_CHARACTERS: usize = 7;

/// Modules in a row of the list; `--json` has more.
const HOLDS_SHOWN: usize = 2;

/// List the turns that run or wait on a node, or drop one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    interstice-cli turns local\n  \
    interstice-cli turns local --json\n  \
    interstice-cli turns drop local 4711\n\n\
    A turn is one call, timer or connection and all reactions to it. The modules that it holds run nothing else until it has ended there; \
    the oldest turn is listed first, at most 100. STEP is the reducer that runs or waits, STEPS how many steps have ended, FOR how long the \
    turn is under way. A turn that was under way when its node stopped goes on after the next start."
)]
pub(crate) struct Turns {
    /// The node; without it, that of --node, or the local one where only one runs
    at: Option<String>,
    #[command(subcommand)]
    command: Option<TurnsCommand>,
}

/// What can be done to a turn.
#[derive(Debug, Subcommand)]
enum TurnsCommand {
    Drop(DropTurn),
}

/// End a turn: what its steps have done stays, the rest of it is dropped
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  interstice-cli turns drop local 4711\n\n\
    The step that runs is ended like one that ran too long, and undone. Reactions that wait are not run; the log of their module says so. \
    Where the first step is dropped, the caller gets a failure; otherwise it gets the number of dropped reactions. A `load` is never dropped.")]
struct DropTurn {
    /// The node
    at: String,
    /// The turn's number, as `turns` lists it
    turn: u64,
}

impl Turns {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        match self.command {
            Some(TurnsCommand::Drop(drop)) => drop.run(app).await,
            None => list(app, self.at.as_deref()).await,
        }
    }
}

impl DropTurn {
    async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, Some(&self.at)).await?;
        let dropped = session.client().drop_turn(Seq(self.turn)).await;
        let dropped = dropped.map_err(|error| session.problem(error))?;
        let (ended, steps, count) = match dropped {
            TurnDrop::Dropped { steps, dropped } => (true, steps, dropped),
            TurnDrop::Ordered => (false, 0, 0),
        };
        if app.output.is_json() {
            let counts = |count: u32| ended.then_some(count);
            return app.output.json(&json!({
                "seq": self.turn,
                "ended": ended,
                "steps": counts(steps),
                "dropped": counts(count),
            }));
        }
        app.output.line(if ended {
            format!(
                "turn {} has ended: {steps} steps had run and stay, {count} were dropped",
                self.turn
            )
        } else {
            format!(
                "turn {} waits for other turns; its next step is dropped when these have ended, unless the node stops before",
                self.turn
            )
        })
    }
}

async fn list(app: &App, at: Option<&str>) -> Outcome<()> {
    let session = Session::open(app, at).await?;
    let found = session.client().turns().await;
    let found = found.map_err(|error| -> Problem { session.problem(error) })?;
    if app.output.is_json() {
        let all = found.turns.iter().map(to_json);
        app.output.json(&Json::Array(all.collect()))?;
    } else {
        let header = [
            "turn",
            "began with",
            "by",
            "step",
            "state",
            "steps",
            "for",
            "holds",
        ];
        app.output.table(&header, found.turns.iter().map(row))?;
        for turn in found.turns.iter().filter(|turn| turn.resumed) {
            app.output.say(format!(
                "turn {} was cut off by the last stop of the node and goes on since its start",
                turn.seq
            ));
        }
    }
    for module in &found.silent {
        app.output.warn(format!(
            "{module} is in the middle of a step; turns that wait there are not listed"
        ));
    }
    Ok(())
}

fn row(turn: &TurnUnderWay) -> Vec<String> {
    let (began, by) = match &turn.began {
        TurnBegan::Call {
            caller,
            module,
            reducer,
        } => (format!("{module}.{reducer}"), shortened(caller)),
        TurnBegan::Timer { module } => (format!("timer of {module}"), String::new()),
        TurnBegan::Connection { node } => ("connection".to_string(), shortened(node)),
        TurnBegan::Node => ("the node".to_string(), String::new()),
    };
    let step = if turn.reducer.is_empty() {
        turn.module.to_string()
    } else {
        format!("{}.{}", turn.module, turn.reducer)
    };
    let mut holds: Vec<String> = turn.holds.iter().map(ToString::to_string).collect();
    holds.truncate(HOLDS_SHOWN);
    let mut holds_text = holds.join(", ");
    let others = usize::try_from(turn.holds_count).unwrap_or(usize::MAX);
    let others = others.saturating_sub(holds.len());
    if others > 0 {
        holds_text.push_str(&format!(" +{others}"));
    }
    vec![
        turn.seq.to_string(),
        began,
        by,
        step,
        state(turn).to_string(),
        turn.steps.to_string(),
        clock::duration(turn.age_ms),
        holds_text,
    ]
}

const fn state(turn: &TurnUnderWay) -> &'static str {
    match (turn.dropped, turn.runs) {
        (true, _) => "ends",
        (false, true) => "runs",
        (false, false) => "waits",
    }
}

/// The end of a key, which differs where the beginning does not.
fn shortened(key: &NodeId) -> String {
    let text = key.as_str();
    let skipped = text.chars().count().saturating_sub(KEY_CHARACTERS);
    let end: String = text.chars().skip(skipped).collect();
    format!("…{end}")
}

fn to_json(turn: &TurnUnderWay) -> Json {
    let began = match &turn.began {
        TurnBegan::Call {
            caller,
            module,
            reducer,
        } => json!({ "kind": "call", "module": module, "reducer": reducer, "caller": caller }),
        TurnBegan::Timer { module } => json!({ "kind": "timer", "module": module }),
        TurnBegan::Connection { node } => json!({ "kind": "connection", "node": node }),
        TurnBegan::Node => json!({ "kind": "node" }),
    };
    json!({
        "seq": turn.seq.0,
        "began": began,
        "module": turn.module,
        "reducer": turn.reducer,
        "state": state(turn),
        "steps": turn.steps,
        "waiting": turn.waiting,
        "age_ms": turn.age_ms,
        "running_ms": turn.running_ms,
        "holds": turn.holds,
        "holds_count": turn.holds_count,
        "resumed": turn.resumed,
    })
}
