//! `remove`, `unload`, `load`: a module's life on a node after its first deploy.

use clap::Args;
use interstice_abi::wire::DeployOptions;
use serde_json::{Value as Json, json};

use super::deploy;
use crate::{app::App, ask, module_schema, problem::Outcome, session::Session};

/// Uninstall a module and delete its data
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli remove local bank\n  \
    interstice-cli remove local bank --yes     without being asked")]
pub(crate) struct Remove {
    /// The node
    at: String,
    /// The module
    module: String,
}

/// Stop a module and keep its data
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  interstice-cli unload local bank\n  interstice-cli load local bank       starts it again, \
        and runs `load` of the modules that need it again\n\n\
        Its subscriptions to tables of other modules resume where they ended: when it comes back, it is handed what it has\n\
        missed, as far as the node keeps history."
)]
pub(crate) struct Unload {
    /// The node
    at: String,
    /// The module
    module: String,
    /// Stop it although running modules need it; their calls and reads of it fail until it is
    /// loaded again
    #[arg(long)]
    force: bool,
}

/// Start a stopped or quarantined module, or install one
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli load local bank       starts a module that was unloaded\n  \
    interstice-cli load local ./bank     installs one, like `publish`")]
pub(crate) struct Load {
    /// The node
    at: String,
    /// A module that is stopped or quarantined; or a crate's folder or .wasm file to install
    module: String,
}

impl Remove {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, Some(&self.at)).await?;
        let status = session.module(&self.module).await?;
        let rows: u64 = status.tables.iter().map(|table| table.rows).sum();
        ask::before(
            app,
            &format!(
                "delete module {} of node {} with its {rows} rows",
                self.module,
                session.label()
            ),
        )?;
        session.remove(&self.module).await?;
        done(app, &session, &self.module, "removed")
    }
}

impl Unload {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, Some(&self.at)).await?;
        if self.force {
            session.unload_needed(&self.module).await?;
        } else {
            session.unload(&self.module).await?;
        }
        done(app, &session, &self.module, "unloaded")
    }
}

impl Load {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, Some(&self.at)).await?;
        // A module that is there wins over a folder of the same name, which `./NAME` reaches.
        let is_installed = session
            .modules()
            .await?
            .iter()
            .any(|status| status.name.as_str() == self.module);
        match module_schema::path(&self.module).filter(|_| !is_installed) {
            None => {
                session.load(&self.module).await?;
                done(app, &session, &self.module, "loaded")
            }
            Some(path) => {
                let module = app.builder().module(&path)?;
                let report =
                    deploy::upload(app, &session, &module.wasm, DeployOptions::default()).await?;
                if app.output.is_json() {
                    app.output.json(&Json::Array(vec![report]))
                } else {
                    Ok(())
                }
            }
        }
    }
}

fn done(app: &App, session: &Session, module: &str, what: &str) -> Outcome<()> {
    if app.output.is_json() {
        app.output
            .json(&json!({"node": session.label(), "module": module, "done": what}))
    } else {
        app.output
            .line(format!("{what} {module} on {}", session.label()))
    }
}
