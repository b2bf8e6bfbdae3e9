//! `down`: drain and stop a node, and wait until it is gone.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::{
    app::App,
    node_process::is_locked,
    problem::{Kind, Outcome, Problem},
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
        let spinner = app
            .output
            .spinner(format!("waiting for {} to end", target.label));
        let again = async || Session::to(app, &target).await?.stop().await;
        let gone = until_gone(session.stop().await, again, || is_there(&target)).await;
        spinner.finish_and_clear();
        gone.map_err(|problem| problem.about(&target.label))?;
        if app.output.is_json() {
            app.output
                .json(&json!({"node": target.label, "done": "stopped"}))
        } else {
            app.output.line(format!("stopped {}", target.label))
        }
    }
}

/// Waits until the node is gone. `ordered` is what it answered to the order to stop; `again` gives the order once more.
///
/// A node can end before its answer was read. Its end is the answer then; a node that goes on has not got the order.
async fn until_gone(
    mut ordered: Outcome<()>,
    mut again: impl AsyncFnMut() -> Outcome<()>,
    is_there: impl Fn() -> bool,
) -> Outcome<()> {
    let begun = Instant::now();
    loop {
        match &ordered {
            Err(problem) if problem.kind() != Kind::Unreachable => return ordered,
            _ if !is_there() => return Ok(()),
            _ if begun.elapsed() > PATIENCE => {
                return ordered.and_then(|()| {
                    Err(Problem::failed(format!(
                        "it takes no more calls, and has not ended after {} s",
                        PATIENCE.as_secs()
                    ))
                    .advise("it may still be draining; its node.log says what it does"))
                });
            }
            Err(_) => ordered = again().await,
            Ok(()) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_there(target: &Target) -> bool {
    match &target.folder {
        Some(folder) => is_locked(folder),
        None => target.accepts(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn lost() -> Outcome<()> {
        Err(Problem::unreachable("the connection was closed"))
    }

    #[tokio::test]
    async fn a_node_that_ended_before_its_answer_was_read_has_stopped() {
        let never = async || -> Outcome<()> { unreachable!("it is gone") };
        assert_eq!(until_gone(lost(), never, || false).await, Ok(()));
    }

    #[tokio::test]
    async fn the_order_is_given_again_to_a_node_that_goes_on() {
        let (orders, looks) = (Cell::new(0), Cell::new(0));
        let again = async || {
            orders.set(orders.get() + 1);
            if orders.get() == 1 { lost() } else { Ok(()) }
        };
        let is_there = || looks.replace(looks.get() + 1) < 4;
        assert_eq!(until_gone(lost(), again, is_there).await, Ok(()));
        assert_eq!(orders.get(), 2);
    }

    #[tokio::test]
    async fn a_refusal_is_the_end() {
        let denied = Problem::failed("only owners may do this");
        let never = async || -> Outcome<()> { unreachable!("it was refused") };
        let result = until_gone(Err(denied.clone()), never, || true).await;
        assert_eq!(result, Err(denied));
    }
}
