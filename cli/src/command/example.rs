//! `example`: a fresh node with modules to try, on a fixed port, on the loopback address only.

use std::fs;

use clap::{Args, ValueEnum};
use interstice_actors::node::Listen;

use super::up::{self, Manner, Start};
use crate::{
    app::App,
    build::Module,
    node_process::{self, Run, is_locked},
    problem::{Outcome, Problem},
    registry::Registry,
    reports::LogFormat,
    sources::Sources,
};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// A module that greets
    Hello,
    /// A module that calls another one
    Caller,
    /// The module that benchmarks load
    Benchmark,
}

/// Start a fresh example node
#[derive(Debug, Args)]
#[command(
    long_about = "Start a fresh example node. Running it again starts afresh; `node start hello-example` brings it back with \
        its data.",
    after_help = "Examples:\n  \
        interstice-cli example hello\n  \
        interstice-cli example caller --detach"
)]
pub(crate) struct Example {
    /// The example
    #[arg(value_enum)]
    which: Which,
    /// Run in the background; returns when the node answers
    #[arg(long)]
    detach: bool,
    /// How the node's reports look on standard error; without it as --json says. RUST_LOG says
    /// what is reported
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Which {
    const fn node(self) -> &'static str {
        match self {
            Self::Hello => "hello-example",
            Self::Caller => "caller-example",
            Self::Benchmark => "benchmark-example",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Hello => 8080,
            Self::Caller => 8081,
            Self::Benchmark => 8085,
        }
    }

    /// The folders of its modules, those that others need first.
    const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Hello => &["hello"],
            Self::Caller => &["hello", "caller"],
            Self::Benchmark => &["benchmark"],
        }
    }

    /// Commands to try.
    fn hints(self) -> Vec<String> {
        let program = program();
        let node = self.node();
        match self {
            Self::Hello => vec![
                format!("{program} call --node {node} hello-example hello Bob"),
                format!("{program} query --node {node} hello-example list_greetings"),
            ],
            Self::Caller => vec![
                format!("{program} call --node {node} caller-example greet Bob"),
                format!("{program} query --node {node} caller-example noted"),
            ],
            Self::Benchmark => vec![
                format!("{program} benchmark profile vm-noop {node}"),
                format!("{program} call --node {node} benchmark-workload noop"),
                format!("{program} query --node {node} benchmark-workload count_logged"),
            ],
        }
    }
}

impl Example {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let (name, port) = (self.which.node(), self.which.port());
        let before = node_process::find(app, name)?;
        if before.as_ref().is_some_and(|node| is_locked(&node.folder)) {
            return Err(up::running_already(name));
        }
        node_process::check_port(port)
            .map_err(|problem| problem.advise("the example needs it: stop that program first"))?;
        let sources = Sources::unpack(&app.home)?;
        let folders = self.which.modules().iter();
        let modules = folders
            .map(|folder| app.builder().module(&sources.module(folder)))
            .collect::<Outcome<Vec<Module>>>()?;
        if let Some(node) = before {
            Registry::change(&app.home, |registry| {
                registry.remove(node.id.as_str());
                Ok(())
            })?;
            fs::remove_dir_all(&node.folder)
                .map_err(|error| Problem::file("remove", &node.folder, &error))?;
        }
        let node = node_process::create(app, name, Some(port), Listen::Loopback)?;
        let run = Run {
            listen: Listen::Loopback,
            port: None,
        };
        up::start(
            app,
            Start { node, run, modules },
            &Manner::new(self.detach, true).with_log_format(self.log_format),
            &self.which.hints(),
        )
        .await
    }
}

/// How this program was called, so that the lines can be copied.
fn program() -> String {
    // Set by `cargo run`.
    if std::env::var_os("CARGO").is_some() && std::env::var_os("CARGO_MANIFEST_DIR").is_some() {
        return "cargo run --release -p interstice-cli --".to_string();
    }
    std::env::args()
        .next()
        .unwrap_or_else(|| env!("CARGO_PKG_NAME").to_string())
}
