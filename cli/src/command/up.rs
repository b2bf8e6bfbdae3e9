//! `up`: a node in this process, or in one of its own.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use interstice_abi::wire::{DeployOptions, ModuleStatus};
use interstice_actors::node::Listen;
use serde_json::{Value as Json, json};

use super::{deploy, modules};
use crate::{
    app::App,
    build::Module,
    node_process::{self, EndSignal, LocalNode, Run, Running},
    problem::{Kind, Outcome, Problem},
    reports::{self, LogFormat, Reports},
    session::Session,
    target::Target,
};

/// The name of the node that needs none.
const DEFAULT_NAME: &str = "local";

/// Start a node, creating it when needed
#[derive(Debug, Args)]
#[command(
    long_about = "Start a node, creating it when needed, and run it until Ctrl-C, SIGTERM or `down` end it. It finishes what \
        it has begun before it ends.",
    after_help = "Examples:\n  \
        interstice-cli up\n  \
        interstice-cli up --name garden --port 4500 --module ./bank --module ./audit\n  \
        interstice-cli up --local --detach      loopback only, in the background"
)]
pub(crate) struct Up {
    /// The node's name
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// The TCP port; without it that of its node.toml, for a new node the first free one from 4400
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A crate's folder or .wasm file to deploy once the node runs
    #[arg(long = "module", value_name = "PATH")]
    modules: Vec<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// How a node is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Manner {
    /// Run in the background; returns when the node answers
    #[arg(long)]
    detach: bool,
    /// Do not announce the node on the local network. This version announces none
    #[arg(long)]
    no_mdns: bool,
    /// Listen on the loopback address only; a node that is made so stays so (`listen` in its node.toml)
    #[arg(long)]
    local: bool,
    /// How the node's reports look on standard error; without it as --json says. RUST_LOG says what is reported
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Set by a node's starter, which reads one line and leaves
    #[arg(long, hide = true)]
    detached: bool,
}

/// A node, and what it is to run.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) node: LocalNode,
    pub(crate) run: Run,
    pub(crate) modules: Vec<Module>,
}

impl Up {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let modules = self
            .modules
            .iter()
            .map(|path| app.builder().module(path))
            .collect::<Outcome<Vec<Module>>>()?;
        let node = match node_process::find(app, &self.name)? {
            Some(node) => node,
            None => {
                // A node that cannot listen is not worth making.
                if let Some(port) = self.port {
                    node_process::check_port(port)?;
                }
                node_process::create(app, &self.name, self.port, self.manner.listen())?
            }
        };
        let run = Run {
            listen: self.manner.listen(),
            port: self.port,
        };
        start(app, Start { node, run, modules }, &self.manner, &[]).await
    }
}

impl Manner {
    /// As the examples and `node start` run: where `local` says.
    pub(crate) const fn new(detach: bool, local: bool) -> Self {
        Self {
            detach,
            no_mdns: false,
            local,
            log_format: None,
            detached: false,
        }
    }

    /// The same, with reports that look so.
    pub(crate) const fn with_log_format(mut self, format: Option<LogFormat>) -> Self {
        self.log_format = format;
        self
    }

    /// How reports look; `None` where nobody reads them but in the node's log.
    fn reports(&self, app: &App) -> Option<LogFormat> {
        let like_data = if app.output.is_json() {
            LogFormat::Json
        } else {
            LogFormat::Text
        };
        (!self.detached).then(|| self.log_format.unwrap_or(like_data))
    }

    pub(crate) const fn listen(&self) -> Listen {
        if self.local {
            Listen::Loopback
        } else {
            Listen::Everywhere
        }
    }
}

/// Starts a node as asked, deploys to it, says what it is, and stays with it until it ends. `hints` are lines to copy.
pub(crate) async fn start(
    app: &App,
    start: Start,
    manner: &Manner,
    hints: &[String],
) -> Outcome<()> {
    if node_process::is_locked(&start.node.folder) {
        return Err(running_already(&start.node.name));
    }
    // What is said in the background nobody reads.
    if !manner.detached {
        let modules = start.modules.iter();
        modules.for_each(|module| deploy::warn_of_timers(app, &module.wasm));
    }
    if manner.detach {
        let report = node_process::detach(app, &arguments(&start, manner))?;
        warn_of_loads(app, &report);
        return print(app, &report, hints);
    }
    let reports = reports::begin(manner.reports(app))?;
    let ended = run(app, &start, manner, hints, &reports).await;
    reports.end();
    ended
}

/// Runs a node in this process until it ends.
async fn run(
    app: &App,
    start: &Start,
    manner: &Manner,
    hints: &[String],
    reports: &Reports,
) -> Outcome<()> {
    // Before anybody is told that the node runs, and could end it.
    let mut end = EndSignal::listen()?;
    if manner.detached {
        node_process::ignore_hangup();
    } else {
        end = end.or_hangup()?;
    }
    let running = node_process::start(app, &start.node, &start.run)?;
    reports.attach(running.log());
    let report = match settle(app, start, &running).await {
        Ok(report) => report,
        Err(problem) => {
            running.abandon();
            return Err(problem);
        }
    };
    match print(app, &report, hints) {
        Ok(()) => {}
        // `up | head -1` has read what it wanted; a starter that is gone wants no node.
        Err(problem) if problem.kind() == Kind::NobodyListens && !manner.detached => {}
        Err(problem) => {
            running.abandon();
            return Err(problem);
        }
    }
    if !manner.detached {
        app.output.say("Ctrl-C drains and stops the node");
    }
    running
        .until_it_ends(end, || app.output.say("stopping"))
        .await
}

/// Deploys, and describes the node.
async fn settle(app: &App, start: &Start, running: &Running) -> Outcome<Json> {
    let session = Session::to(app, &Target::named(app, start.node.id.as_str())?).await?;
    let mut load_failures = Vec::new();
    for module in &start.modules {
        let report = deploy::upload(app, &session, &module.wasm, DeployOptions::default()).await?;
        let failure = report
            .get("load_failure")
            .filter(|failure| !failure.is_null());
        load_failures.extend(
            failure.map(|failure| json!({"module": report.get("module"), "failure": failure})),
        );
    }
    let modules: Vec<ModuleStatus> = session.modules().await?;
    Ok(json!({
        "name": start.node.name,
        "id": start.node.id,
        "addresses": running.addresses,
        "folder": start.node.folder.display().to_string(),
        "modules": modules.iter().map(modules::to_json).collect::<Vec<Json>>(),
        "load_failures": load_failures,
    }))
}

/// Repeats what a node in the background has said of failed loads: nobody reads its standard error.
fn warn_of_loads(app: &App, report: &Json) {
    let failures = report.get("load_failures").and_then(Json::as_array);
    for entry in failures.into_iter().flatten() {
        let word = |field| entry.get(field).and_then(Json::as_str).unwrap_or_default();
        deploy::warn_of_load(app, word("module"), word("failure"));
    }
}

/// The arguments with which the same node starts in the background.
fn arguments(start: &Start, manner: &Manner) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        vec!["up".into(), "--name".into(), (&start.node.name).into()];
    if let Some(port) = start.run.port {
        arguments.extend(["--port".into(), port.to_string().into()]);
    }
    for module in &start.modules {
        arguments.extend(["--module".into(), (&module.path).into()]);
    }
    for (given, flag) in [(manner.local, "--local"), (manner.no_mdns, "--no-mdns")] {
        if given {
            arguments.push(flag.into());
        }
    }
    arguments
}

fn print(app: &App, report: &Json, hints: &[String]) -> Outcome<()> {
    if app.output.is_json() {
        return app.output.json_line(report);
    }
    let text = |value: Option<&Json>| value.and_then(Json::as_str).unwrap_or_default().to_string();
    let list = |field: &str| {
        report
            .get(field)
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default()
    };
    app.output
        .line(format!("node    {}", text(report.get("name"))))?;
    app.output
        .line(format!("id      {}", text(report.get("id"))))?;
    for address in list("addresses") {
        app.output
            .line(format!("address {}", text(Some(&address))))?;
    }
    let modules = list("modules");
    for module in &modules {
        let word = |field: &str| text(module.get(field));
        app.output.line(format!(
            "module  {} {} ({})",
            word("module"),
            word("version"),
            word("state")
        ))?;
    }
    if modules.is_empty() {
        app.output.say("no modules yet; `deploy PATH` installs one");
    }
    for hint in hints {
        app.output.line(hint)?;
    }
    Ok(())
}

/// A node that a process runs already.
pub(crate) fn running_already(name: &str) -> Problem {
    Problem::failed(format!("node `{name}` is running already")).advise(format!(
        "`down {name}` stops it; commands reach it with --node {name}"
    ))
}
