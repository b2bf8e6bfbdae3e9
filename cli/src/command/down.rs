//! `down`: drain and stop a node, and wait until it is gone.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::{
    app::App,
    node_process::is_locked,
    problem::{Outcome, Problem},
    session::Session,
    target::Target,
};

/// How long a node may take to drain, checkpoint and close before this command stops waiting for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether the node is gone: it tells nobody when it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Drain and stop a node
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli down local")]
pub(crate) struct Down {
    /// The node; without it, that of --node, or the local one where only one runs
    at: Option<String>,
}

impl Down {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let target = Target::chosen(app, self.at.as_deref())?;
        let session = Session::to(app, &target).await?;
        target.pinned()?;
        session.stop().await?;
        let spinner = app
            .output
            .spinner(format!("waiting for {} to end", target.label));
        let gone = until_gone(&target).await;
        spinner.finish_and_clear();
        gone?;
        if app.output.is_json() {
            app.output
                .json(&json!({"node": target.label, "done": "stopped"}))
        } else {
            app.output.line(format!("stopped {}", target.label))
        }
    }
}

async fn until_gone(target: &Target) -> Outcome<()> {
    let begun = Instant::now();
    while is_there(target) {
        if begun.elapsed() > PATIENCE {
            return Err(Problem::failed(format!(
                "{} takes no more calls, and has not ended after {} s",
                target.label,
                PATIENCE.as_secs()
            ))
            .advise("it may still be draining; its node.log says what it does"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn is_there(target: &Target) -> bool {
    match &target.folder {
        Some(folder) => is_locked(folder),
        None => target.accepts(),
    }
}
