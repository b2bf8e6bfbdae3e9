//! `whoami`: the key that nodes know this command line by.

use clap::Args;
use serde_json::json;

use crate::{app::App, problem::Outcome, session};

/// Show the key of this command line
#[derive(Debug, Args)]
#[command(
    long_about = "Show the id of this command line's own key, and where the key lies.\n\n\
        A node obeys the keys that its node.toml lists as `owners`; the key that created the node is among them.",
    after_help = "Examples:\n  interstice-cli whoami\n  interstice-cli whoami --json"
)]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) fn run(self, app: &App) -> Outcome<()> {
        let id = session::own_id(&app.home)?;
        let path = app.home.key();
        if app.output.is_json() {
            app.output
                .json(&json!({"id": id, "key": path.display().to_string()}))
        } else {
            app.output.line(format!("{id}\nkey: {}", path.display()))
        }
    }
}
