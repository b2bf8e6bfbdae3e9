//! `schema`: what a module offers, from a node, a `.wasm` or a crate.

use clap::Args;

use crate::{
    app::App, module_schema, output::clean_lines, problem::Outcome, schema_text, session::Session,
};

/// Show a module's schema
#[derive(Debug, Args)]
#[command(
    long_about = "Show a module's tables, reducers, queries and types.\n\n\
        A module of a node is shown as far as others may see it, and whole to the node's owners.",
    after_help = "Examples:\n  \
        interstice-cli schema bank\n  \
        interstice-cli schema ./bank --json\n  \
        interstice-cli schema --node garden bank@2"
)]
pub(crate) struct Schema {
    /// The module of a node, a .wasm file, or a crate's folder
    module: String,
}

impl Schema {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let schema = match module_schema::path(&self.module) {
            Some(path) => module_schema::of_path(app, &path)?,
            None => Session::open(app, None).await?.schema(&self.module).await?,
        };
        if app.output.is_json() {
            app.output.json(&schema_text::to_json(&schema)?)
        } else {
            app.output.line(clean_lines(&schema_text::text(&schema)))
        }
    }
}
