//! `deploy` and `publish`: the way of one or more modules onto one or more nodes.

mod plan;

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use interstice_abi::wire::{DeployOptions, DeployPlan, DeployReport, OnConflict};
use interstice_host::wasm::public_timers;
use serde_json::{Value as Json, json};

use crate::{
    app::App,
    ask,
    problem::{Outcome, Problem},
    registry::Registry,
    session::Session,
};

/// Build a module and install or upgrade it, keeping its data
#[derive(Debug, Args)]
#[command(
    long_about = "Build the crate at PATH (or take a .wasm file), upload it, and install it, or upgrade the module of that \
        name. Several modules are checked and installed together: all of them, or none. Data stay when the new schema fits the \
        old one: columns may be added at the end of a table with a `#[default(…)]` or as an `Option`, enums may grow at their \
        end, and an empty table may change as it likes. Modules that were compiled against the old version go on with what \
        they know. Otherwise nothing changes, and the difference is shown.",
    after_help = "Examples:\n  \
        interstice-cli deploy ./bank\n  \
        interstice-cli deploy ./bank --dry-run     shows what would change, and changes nothing\n  \
        interstice-cli deploy ./bank ./audit       both together\n  \
        interstice-cli deploy bank.wasm --node garden --node shed\n  \
        interstice-cli deploy ./bank --all\n  \
        interstice-cli deploy ./bank --wipe        drops the rows that do not fit, after showing which"
)]
pub(crate) struct Deploy {
    /// Crates' folders, or .wasm files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Deploy to every node of the registry
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    how: How,
}

/// Deploy to one node: `deploy` under its other name
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli publish garden ./bank")]
pub(crate) struct Publish {
    /// The node
    at: String,
    /// A crate's folder, or a .wasm file
    path: PathBuf,
    #[command(flatten)]
    how: How,
}

/// How data that do not fit are treated.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Drop the rows of tables that do not fit the new schema, and timers whose reducer is gone.
    /// Subscribers and watchers see them deleted, and so does history
    #[arg(long)]
    wipe: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Deploy {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let nodes = match (self.all, app.nodes()) {
            (false, nodes) => nodes.to_vec(),
            (true, _) => {
                let registry = Registry::read(&app.home)?;
                let names: Vec<String> = registry
                    .nodes()
                    .iter()
                    .map(|entry| entry.name.clone())
                    .collect();
                if names.is_empty() {
                    return Err(Problem::failed("there are no nodes in the registry")
                        .advise("`up` starts one, `node add` adds one"));
                }
                names
            }
        };
        deploy(app, &nodes, &self.paths, &self.how).await
    }
}

impl Publish {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        deploy(
            app,
            std::slice::from_ref(&self.at),
            std::slice::from_ref(&self.path),
            &self.how,
        )
        .await
    }
}

async fn deploy(app: &App, nodes: &[String], paths: &[PathBuf], how: &How) -> Outcome<()> {
    let options = DeployOptions {
        on_conflict: if how.wipe {
            OnConflict::Wipe
        } else {
            OnConflict::Refuse
        },
    };
    // Before the build, which takes longer: is anybody there?
    let sessions = match nodes {
        [] => vec![Session::open_as_owner(app, None).await],
        nodes => {
            let mut sessions = Vec::new();
            for node in nodes {
                sessions.push(Session::open_as_owner(app, Some(node)).await);
            }
            sessions
        }
    };
    // One that cannot be reached does not keep the others from it, but when it is the only one
    // nothing need be built.
    let mut wasms = Vec::new();
    if sessions.iter().any(Result::is_ok) {
        for path in paths {
            let wasm = app.builder().module(path)?.wasm;
            warn_of_timers(app, &wasm);
            wasms.push(wasm);
        }
    }
    let wasms: Vec<&[u8]> = wasms.iter().map(Vec::as_slice).collect();
    let (mut reports, mut failed) = (Vec::new(), None);
    for session in sessions {
        let result = match session {
            Ok(session) => {
                let reports = &mut reports;
                one_node(app, &session, (&wasms, options), how, reports).await
            }
            Err(problem) => Err(problem),
        };
        match result {
            Ok(()) => {}
            Err(problem) if nodes.len() > 1 => {
                app.output.problem(&problem);
                failed.get_or_insert(problem);
            }
            Err(problem) => {
                if app.output.is_json() && !reports.is_empty() {
                    app.output.json(&Json::Array(reports))?;
                }
                return Err(problem);
            }
        }
    }
    if app.output.is_json() {
        app.output.json(&Json::Array(reports))?;
    }
    match failed {
        Some(_) => Err(Problem::failed("not every node has taken the module")),
        None => Ok(()),
    }
}

/// Deploys to one node, or shows what that would do. Before rows are dropped, shows which, and
/// asks.
async fn one_node(
    app: &App,
    session: &Session,
    (wasms, options): (&[&[u8]], DeployOptions),
    how: &How,
    reports: &mut Vec<Json>,
) -> Outcome<()> {
    if how.dry_run {
        let plan = planned(app, session, wasms, options).await?;
        if app.output.is_json() {
            reports.push(plan::json(session.label(), &plan));
        } else {
            let label = session.label();
            app.output
                .line(format!("on {label}, nothing is changed:"))?;
            for line in plan::lines(&plan) {
                app.output.line(line)?;
            }
        }
        return match plan.refused {
            Some(refused) => Err(about(app, session, Problem::from(refused))),
            None => Ok(()),
        };
    }
    if how.wipe {
        let plan = planned(app, session, wasms, options).await?;
        if let Some(refused) = plan.refused {
            return Err(about(app, session, Problem::from(refused)));
        }
        if let Some(dropped) = plan::dropped(&plan) {
            for line in plan::lines(&plan) {
                app.output.say(line);
            }
            ask::before(app, &format!("drop {dropped}"))?;
        }
    }
    match wasms {
        [wasm] => reports.push(upload(app, session, wasm, options).await?),
        wasms => reports.extend(upload_all(app, session, wasms, options).await?),
    }
    Ok(())
}

async fn planned(
    app: &App,
    session: &Session,
    wasms: &[&[u8]],
    options: DeployOptions,
) -> Outcome<DeployPlan> {
    let bar = bar(app, session, wasms);
    let plan = session.plan(wasms, options, |done| bar.set_position(done));
    let plan = plan.await;
    bar.finish_and_clear();
    plan.map_err(|problem| about(app, session, problem))
}

fn bar(app: &App, session: &Session, wasms: &[&[u8]]) -> ProgressBar {
    let lengths = wasms.iter().map(|wasm| wasm.len());
    let total = u64::try_from(lengths.sum::<usize>()).unwrap_or(u64::MAX);
    app.output
        .bar(&format!("uploading to {}", session.label()), total)
}

/// Says of which node a problem is, where there are several.
fn about(app: &App, session: &Session, problem: Problem) -> Problem {
    if app.nodes().len() > 1 {
        problem.about(session.label())
    } else {
        problem
    }
}

/// Uploads modules, installs them together, and says what has changed.
async fn upload_all(
    app: &App,
    session: &Session,
    wasms: &[&[u8]],
    options: DeployOptions,
) -> Outcome<Vec<Json>> {
    let bar = bar(app, session, wasms);
    let reports = session.deploy_all(wasms, options, |done| bar.set_position(done));
    let reports = reports.await;
    bar.finish_and_clear();
    let reports = reports.map_err(|problem| about(app, session, problem))?;
    for report in &reports {
        say(app, session, report)?;
    }
    Ok(reports
        .iter()
        .map(|report| to_json(session, report))
        .collect())
}

/// Uploads a module, installs it, and says what has changed.
pub(crate) async fn upload(
    app: &App,
    session: &Session,
    wasm: &[u8],
    options: DeployOptions,
) -> Outcome<Json> {
    let bar = bar(app, session, &[wasm]);
    let result = session
        .deploy(wasm, options, |done| bar.set_position(done))
        .await;
    bar.finish_and_clear();
    let report = result.map_err(|problem| about(app, session, problem))?;
    say(app, session, &report)?;
    Ok(to_json(session, &report))
}

fn say(app: &App, session: &Session, report: &DeployReport) -> Outcome<()> {
    if !app.output.is_json() {
        let (module, version) = (&report.module, report.version);
        let what = match report.replaced {
            None => format!("installed {module} {version}"),
            Some(old) if old == version => format!("replaced {module} {version}"),
            Some(old) if old > version => format!("downgraded {module} {old} to {version}"),
            Some(old) => format!("upgraded {module} {old} to {version}"),
        };
        app.output.line(format!(
            "{what} on {} (seq {})",
            session.label(),
            report.seq
        ))?;
        for change in &report.changes {
            app.output.line(format!("  {change}"))?;
        }
    }
    if let Some(failure) = &report.load_failure {
        warn_of_load(app, report.module.as_str(), failure);
    }
    Ok(())
}

/// Says which public reducers of a module set timers for themselves.
pub(crate) fn warn_of_timers(app: &App, wasm: &[u8]) {
    for way in public_timers(wasm) {
        app.output.warn(timers_multiply(&way));
    }
}

/// `way` begins with the public reducer, and leads back to it.
fn timers_multiply(way: &[String]) -> String {
    let first = way.first().map_or("", String::as_str);
    let others: Vec<String> = way.iter().skip(1).map(|name| format!("`{name}`")).collect();
    let over = if others.is_empty() {
        String::new()
    } else {
        format!(", by way of {}", others.join(" and "))
    };
    format!(
        "the reducer `{first}` is public and schedules itself{over}: each call from outside begins one more chain of timers; \
         write `#[reducer(private)]`, or `#[reducer(every = \"…\")]` for what runs by itself"
    )
}

/// Says that a module is installed and its `load` has failed.
pub(crate) fn warn_of_load(app: &App, module: &str, failure: &str) {
    app.output
        .warn(format!("`load` of {module} failed: {failure}"));
}

fn to_json(session: &Session, report: &DeployReport) -> Json {
    json!({
        "node": session.label(),
        "module": report.module.as_str(),
        "version": report.version.to_string(),
        "replaced": report.replaced.map(|version| version.to_string()),
        "seq": report.seq.0,
        "changes": report.changes,
        "load_failure": report.load_failure,
    })
}
