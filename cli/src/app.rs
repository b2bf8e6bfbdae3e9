//! What every command is given: where files lie, how to print, which node was named, whether to
//! ask.

use crate::{
    args::Everywhere,
    build::{Builder, Talk},
    home::Home,
    output::Output,
    problem::{Outcome, Problem},
};

/// The surroundings of one command.
#[derive(Debug)]
pub struct App {
    /// Where files lie.
    pub home: Home,
    /// Where data and talk go.
    pub output: Output,
    nodes: Vec<String>,
    /// Whether to delete without asking.
    pub yes: bool,
    runtime: tokio::runtime::Runtime,
}

impl App {
    /// The surroundings that the options and the environment describe.
    ///
    /// # Errors
    /// When the system gives no home directory, or no thread.
    pub fn new(everywhere: &Everywhere, output: Output) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Problem::failed(format!("cannot start: {error}")))?;
        Ok(Self {
            home: Home::find()?,
            output,
            nodes: everywhere
                .node
                .iter()
                .filter(|node| !node.is_empty())
                .cloned()
                .collect(),
            yes: everywhere.yes,
            runtime,
        })
    }

    /// Runs a command to its end.
    pub fn block_on<T>(&self, command: impl Future<Output = T>) -> T {
        self.runtime.block_on(command)
    }

    /// The node that `--node` or the environment names, for commands that speak to one.
    ///
    /// # Errors
    /// When several are named.
    pub fn node(&self) -> Outcome<Option<&str>> {
        match self.nodes.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Problem::usage(
                "this command speaks to one node; give --node once",
            )),
        }
    }

    /// All nodes that `--node` names.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// What builds modules for this command.
    #[must_use]
    pub fn builder(&self) -> Builder {
        let talk = if self.output.is_json() {
            Talk::Quiet
        } else {
            Talk::Aloud
        };
        self.home.remove_common_build();
        Builder::new(self.home.builds(), talk)
    }
}
