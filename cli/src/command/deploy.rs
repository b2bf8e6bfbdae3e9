//! `deploy` and `publish`: a module's way onto one or more nodes.

use std::path::{Path, PathBuf};

use clap::Args;
use interstice_abi::wire::{DeployOptions, DeployReport, OnConflict};
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
        name. Data stay when the new schema fits the old one; otherwise nothing changes, and the difference is shown.",
    after_help = "Examples:\n  \
        interstice-cli deploy ./bank\n  \
        interstice-cli deploy bank.wasm --node garden --node shed\n  \
        interstice-cli deploy ./bank --all\n  \
        interstice-cli deploy ./bank --wipe        drops the tables that do not fit"
)]
pub(crate) struct Deploy {
    /// A crate's folder, or a .wasm file
    path: PathBuf,
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
    /// Drop the tables that do not fit the new schema, with their rows
    #[arg(long)]
    wipe: bool,
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
        deploy(app, &nodes, &self.path, &self.how).await
    }
}

impl Publish {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        deploy(app, std::slice::from_ref(&self.at), &self.path, &self.how).await
    }
}

async fn deploy(app: &App, nodes: &[String], path: &Path, how: &How) -> Outcome<()> {
    if how.wipe {
        ask::before(
            app,
            "drop every table that does not fit the new schema, with its rows",
        )?;
    }
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
    // One that cannot be reached does not keep the others from it, but when it is the only one nothing need be built.
    let reachable = sessions.iter().any(Result::is_ok);
    let module = if reachable {
        Some(app.builder().module(path)?)
    } else {
        None
    };
    let (mut reports, mut failed) = (Vec::new(), None);
    for session in sessions {
        let result = match (session, &module) {
            (Ok(session), Some(module)) => upload(app, &session, &module.wasm, options).await,
            (Err(problem), _) => Err(problem),
            (Ok(_), None) => continue,
        };
        match result {
            Ok(report) => reports.push(report),
            Err(problem) if nodes.len() > 1 => {
                app.output.problem(&problem);
                failed.get_or_insert(problem);
            }
            Err(problem) => return Err(problem),
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

/// Uploads a module, installs it, and says what has changed.
pub(crate) async fn upload(
    app: &App,
    session: &Session,
    wasm: &[u8],
    options: DeployOptions,
) -> Outcome<Json> {
    let total = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
    let bar = app
        .output
        .bar(&format!("uploading to {}", session.label()), total);
    let result = session
        .deploy(wasm, options, |done| bar.set_position(done))
        .await;
    bar.finish_and_clear();
    let report = result.map_err(|problem| {
        if app.nodes().len() > 1 {
            problem.about(session.label())
        } else {
            problem
        }
    })?;
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
