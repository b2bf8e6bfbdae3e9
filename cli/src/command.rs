//! The commands: one file each, in the order of the manual.
//!
//! A command is a struct of its arguments with one function that runs it. What several share stands in `crate`, not here.

mod bindings;
mod call;
mod completions;
mod deploy;
mod dev;
mod down;
mod example;
mod grants;
mod init;
mod install;
mod logs;
mod modules;
mod node;
mod query;
mod schema;
mod table;
mod up;
mod watch;
mod whoami;

use clap::Subcommand;

use crate::{app::App, problem::Outcome};

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node, creating it when needed
    Up(up::Up),
    /// Drain and stop a node
    Down(down::Down),
    /// Build a module and install or upgrade it, keeping its data
    Deploy(deploy::Deploy),
    /// Make a new module crate
    Init(init::Init),
    /// Rebuild and redeploy a module whenever its source changes
    Dev(dev::Dev),
    /// Deploy to one node: `deploy` under its other name
    Publish(deploy::Publish),
    /// Uninstall a module and delete its data
    Remove(install::Remove),
    /// Stop a module and keep its data
    Unload(install::Unload),
    /// Start a stopped or quarantined module, or install one
    Load(install::Load),
    /// List the modules of a node
    Modules(modules::Modules),
    /// Call a reducer
    Call(call::Call),
    /// Call a reducer of a node that is named first
    #[command(name = "call_reducer")]
    CallReducer(call::CallReducer),
    /// Ask a query
    Query(query::Query),
    /// Ask a query of a node that is named first
    #[command(name = "call_query")]
    CallQuery(query::CallQuery),
    /// Show the rows of a table
    Table(table::Table),
    /// Show the rows of a table, then every change as it happens
    Watch(watch::Watch),
    /// Show the log of a node and its modules
    Logs(logs::Logs),
    /// The nodes that have a name here
    #[command(subcommand)]
    Node(node::Node),
    /// The public schemas in a module's `src/bindings/`
    #[command(subcommand)]
    Bindings(bindings::Bindings),
    /// Show a module's schema
    Schema(schema::Schema),
    /// Show the key of this command line
    Whoami(whoami::Whoami),
    /// Show what a module may do
    Grants(grants::Grants),
    /// Allow a module something, while it runs
    Grant(grants::Grant),
    /// Take back what a module may do, while it runs
    Revoke(grants::Revoke),
    /// Start a fresh example node
    Example(example::Example),
    /// Print completions for a shell
    Completions(completions::Completions),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// What was in the way.
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        match self {
            Self::Up(command) => command.run(app).await,
            Self::Down(command) => command.run(app).await,
            Self::Deploy(command) => command.run(app).await,
            Self::Init(command) => command.run(app),
            Self::Dev(command) => command.run(app).await,
            Self::Publish(command) => command.run(app).await,
            Self::Remove(command) => command.run(app).await,
            Self::Unload(command) => command.run(app).await,
            Self::Load(command) => command.run(app).await,
            Self::Modules(command) => command.run(app).await,
            Self::Call(command) => command.run(app).await,
            Self::CallReducer(command) => command.run(app).await,
            Self::Query(command) => command.run(app).await,
            Self::CallQuery(command) => command.run(app).await,
            Self::Table(command) => command.run(app).await,
            Self::Watch(command) => command.run(app).await,
            Self::Logs(command) => command.run(app).await,
            Self::Node(command) => command.run(app).await,
            Self::Bindings(command) => command.run(app).await,
            Self::Schema(command) => command.run(app).await,
            Self::Whoami(command) => command.run(app),
            Self::Grants(command) => command.run(app).await,
            Self::Grant(command) => command.run(app).await,
            Self::Revoke(command) => command.run(app).await,
            Self::Example(command) => command.run(app).await,
            Self::Completions(command) => command.run(app),
        }
    }
}
