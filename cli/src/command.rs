//! The commands: one file each, in the order of the manual.
//!
//! A command is a struct of its arguments with one function that runs it. What several share
//! stands in `crate`, not here.

mod backup;
mod benchmark;
mod bindings;
mod call;
mod completions;
mod deploy;
mod dev;
mod doctor;
mod down;
mod example;
mod grants;
mod history;
mod init;
mod install;
mod logs;
mod modules;
mod node;
mod query;
mod replay;
mod schema;
mod table;
mod timers;
mod turns;
mod up;
mod watch;
mod whoami;

use clap::Subcommand;

use crate::{app::App, problem::Outcome};

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Up),
    Down(down::Down),
    Deploy(deploy::Deploy),
    Init(init::Init),
    Dev(dev::Dev),
    Publish(deploy::Publish),
    Remove(install::Remove),
    Unload(install::Unload),
    Load(install::Load),
    Modules(modules::Modules),
    Call(call::Call),
    #[command(name = "call_reducer")]
    CallReducer(call::CallReducer),
    Query(query::Query),
    #[command(name = "call_query")]
    CallQuery(query::CallQuery),
    Table(table::Table),
    Watch(watch::Watch),
    History(history::History),
    Timers(timers::Timers),
    Turns(turns::Turns),
    Logs(logs::Logs),
    /// The nodes that have a name here
    #[command(
        subcommand,
        after_help = "Examples:\n  \
            interstice-cli node list\n  \
            interstice-cli node add garden 10.0.0.7:4400\n  \
            interstice-cli node start hello-example"
    )]
    Node(node::Node),
    /// The public schemas in a module's `src/bindings/`
    #[command(
        subcommand,
        after_help = "Examples:\n  \
            interstice-cli bindings add module local bank ./audit\n  \
            interstice-cli bindings list ./audit"
    )]
    Bindings(bindings::Bindings),
    Schema(schema::Schema),
    Replay(replay::Replay),
    Doctor(doctor::Doctor),
    Whoami(whoami::Whoami),
    Grants(grants::Grants),
    Grant(grants::Grant),
    Revoke(grants::Revoke),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Example(example::Example),
    /// Loads that are driven against a node, and what came of them
    #[command(
        subcommand,
        after_help = "Examples:\n  \
            interstice-cli benchmark list-profiles\n  \
            interstice-cli benchmark profile vm-noop benchmark-example"
    )]
    Benchmark(benchmark::Benchmark),
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
            Self::History(command) => command.run(app).await,
            Self::Timers(command) => command.run(app).await,
            Self::Turns(command) => command.run(app).await,
            Self::Logs(command) => command.run(app).await,
            Self::Node(command) => command.run(app).await,
            Self::Bindings(command) => command.run(app).await,
            Self::Schema(command) => command.run(app).await,
            Self::Replay(command) => command.run(app).await,
            Self::Doctor(command) => command.run(app).await,
            Self::Whoami(command) => command.run(app),
            Self::Grants(command) => command.run(app).await,
            Self::Grant(command) => command.run(app).await,
            Self::Revoke(command) => command.run(app).await,
            Self::Backup(command) => command.run(app).await,
            Self::Restore(command) => command.run(app).await,
            Self::Example(command) => command.run(app).await,
            Self::Benchmark(command) => command.run(app).await,
            Self::Completions(command) => command.run(app),
        }
    }
}
