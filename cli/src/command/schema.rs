//! `schema`: what a module offers, from a node, a `.wasm` or a crate.

use clap::Args;
use interstice_abi::schema::ModuleSchema;

use crate::{
    app::App, module_schema, output::plain_lines, problem::Outcome, schema_text, session::Session,
};

/// Show a module's schema
#[derive(Debug, Args)]
#[command(
    long_about = "Show a module's tables, reducers, queries and types.\n\n\
        A module of a node is shown as far as others may see it, and whole to the node's owners. A name is that of a module; a \
        crate's folder is written with a slash, as ./bank.",
    after_help = "Examples:\n  \
        interstice-cli schema bank\n  \
        interstice-cli schema ./bank --json\n  \
        interstice-cli schema --node garden bank@2"
)]
pub(crate) struct Schema {
    /// The module of a node, a .wasm file, or a crate's folder (./NAME)
    module: String,
}

impl Schema {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let schema = match module_schema::written_path(&self.module) {
            Some(path) => module_schema::of_path(app, &path)?,
            None => self.of_node(app).await.map_err(|problem| {
                // The person may have meant the folder.
                match module_schema::path(&self.module) {
                    Some(_) => problem.advise(format!(
                        "`schema ./{}` shows the crate in the folder of that name",
                        self.module
                    )),
                    None => problem,
                }
            })?,
        };
        if app.output.is_json() {
            app.output.json(&schema_text::to_json(&schema)?)
        } else {
            app.output.line(plain_lines(&schema_text::text(&schema)))
        }
    }

    async fn of_node(&self, app: &App) -> Outcome<ModuleSchema> {
        Session::open(app, None).await?.schema(&self.module).await
    }
}
