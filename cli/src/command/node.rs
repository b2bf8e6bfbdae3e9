//! `node`: the nodes that have a name here, and the folders of those of this machine.

mod local;
mod remote;

use clap::{Args, Subcommand};

use crate::{app::App, problem::Outcome, reports::LogFormat};

/// The commands below `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    Add(Add),
    Create(Create),
    List(List),
    Remove(Remove),
    Rename(Rename),
    Show(Show),
    Start(Start),
    Ping(Ping),
    Schema(Schema),
}

/// Give a node elsewhere a name, and note its id
#[derive(Debug, Args)]
#[command(
    long_about = "Give a node elsewhere a name. The node is asked for its id, which is noted: from then on, whoever answers \
        at the address must prove to be this node.",
    after_help = "Examples:\n  \
        interstice-cli node add garden 10.0.0.7:4400\n  \
        interstice-cli node add garden /ip4/10.0.0.7/tcp/4400/p2p/12D3KooW…"
)]
pub(crate) struct Add {
    /// What to call it
    name: String,
    /// HOST:PORT or a multiaddress
    address: String,
    /// Its id, when it is known; the node need not be running then
    #[arg(long)]
    id: Option<String>,
}

/// Make a node on this machine, without starting it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli node create garden --port 4500")]
pub(crate) struct Create {
    /// What to call it
    name: String,
    /// The TCP port; without it the first free one from 4400
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// List the nodes
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli node list\n  interstice-cli node list --json")]
pub(crate) struct List {}

/// Forget a node; one of this machine is deleted with its data
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli node remove garden")]
pub(crate) struct Remove {
    /// The node
    name: String,
}

/// Give a node another name
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli node rename garden shed")]
pub(crate) struct Rename {
    /// The node
    name: String,
    /// What to call it instead
    to: String,
}

/// Show what a node is and how it does
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  interstice-cli node show\n  interstice-cli node show garden --json"
)]
pub(crate) struct Show {
    /// The node; without it, that of --node, or the local one where only one runs
    name: Option<String>,
}

/// Start a node of this machine
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  interstice-cli node start hello-example\n  interstice-cli node start garden --detach"
)]
pub(crate) struct Start {
    /// The node
    name: String,
    /// The TCP port, this once; without it that of its node.toml
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Run in the background; returns when the node answers
    #[arg(long)]
    detach: bool,
    /// Listen on the loopback address only; example nodes always do
    #[arg(long)]
    local: bool,
    /// How the node's reports look on standard error; without it as --json says. RUST_LOG says
    /// what is reported
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Measure the way to a node and back
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli node ping garden --count 10")]
pub(crate) struct Ping {
    /// The node; without it, that of --node, or the local one where only one runs
    name: Option<String>,
    /// How often
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// Show the schemas of a node's modules
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli node schema garden")]
pub(crate) struct Schema {
    /// The node; without it, that of --node, or the local one where only one runs
    name: Option<String>,
}

impl Node {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        match self {
            Self::Add(command) => remote::add(app, command).await,
            Self::Create(command) => local::create(app, &command),
            Self::List(_) => local::list(app),
            Self::Remove(command) => local::remove(app, &command),
            Self::Rename(command) => local::rename(app, &command),
            Self::Show(command) => remote::show(app, &command).await,
            Self::Start(command) => local::start(app, &command).await,
            Self::Ping(command) => remote::ping(app, &command).await,
            Self::Schema(command) => remote::schema(app, &command).await,
        }
    }
}
