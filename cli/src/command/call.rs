//! `call` and `call_reducer`: one turn of a module.

use clap::{Args, ValueEnum};
use interstice_abi::{
    failure::Code,
    fingerprint::Fingerprint,
    schema::ModuleSchema,
    wire::{Ack, Called},
};
use serde_json::json;

use crate::{app::App, problem::Outcome, session::Session, signature};

/// How long an answer waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Until it is on disk: a crash cannot take it back
    #[default]
    Durable,
    /// Until it has happened; it is on disk a moment later
    Applied,
}

impl From<Wait> for Ack {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Durable => Self::Durable,
            Wait::Applied => Self::Applied,
        }
    }
}

/// Call a reducer
#[derive(Debug, Args)]
#[command(
    long_about = "Call a reducer, and print the number (seq) of the turn that it was.\n\n\
        Arguments are JSON, coerced by the schema: `Bob` and `\"Bob\"` are both a String, bytes are base64, `null` is None, \
        enums are \"Unit\" or {\"Variant\": …}. @FILE stands for the content of a file, @- for standard input: text for a \
        String, bytes for bytes, JSON for everything else. A String that begins with @ is written as JSON: '\"@home\"'.\n\n\
        What follows the reducer's name is an argument, whatever it begins with, except --json, --node, --yes, --ack and \
        --help; behind -- those are arguments, too.",
    after_help = "Examples:\n  \
        interstice-cli call hello-example hello Bob\n  \
        interstice-cli call bank open 1 -5\n  \
        interstice-cli call album add sunset @sunset.jpg\n  \
        interstice-cli call --node garden bank@2 transfer 1 2 30\n  \
        interstice-cli call shop order '{\"item\": \"tea\", \"count\": 2}'"
)]
pub(crate) struct Call {
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its reducer
    reducer: String,
    #[command(flatten)]
    rest: Rest,
}

/// Call a reducer of a node that is named first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli call_reducer garden hello-example hello Bob")]
pub(crate) struct CallReducer {
    /// The node
    at: String,
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its reducer
    reducer: String,
    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, Args)]
struct Rest {
    /// Its arguments
    arguments: Vec<String>,
    /// How long the answer waits
    #[arg(long, value_enum, default_value_t)]
    ack: Wait,
}

impl Call {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        call(app, None, &self.module, &self.reducer, &self.rest).await
    }
}

impl CallReducer {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        call(app, Some(&self.at), &self.module, &self.reducer, &self.rest).await
    }
}

/// Calls a reducer with words that are coerced by `schema`.
async fn once(
    session: &Session,
    (module, name): (&str, &str),
    schema: &ModuleSchema,
    words: &[String],
    ack: Wait,
) -> Outcome<Called> {
    let reducer = signature::reducer(schema, name)?;
    let shown = signature::of(&reducer.name, &reducer.arguments, None);
    let arguments = signature::encode_arguments(words, &reducer.arguments, &schema.types, &shown)?;
    let signature = Fingerprint::of_reducer(reducer, &schema.types);
    session
        .call((module, name), arguments, signature, ack.into())
        .await
}

async fn call(app: &App, node: Option<&str>, module: &str, name: &str, rest: &Rest) -> Outcome<()> {
    let session = Session::open(app, node).await?;
    let schema = session.schema(module).await?;
    let called = match once(&session, (module, name), &schema, &rest.arguments, rest.ack).await {
        // The module was upgraded in between.
        Err(problem) if problem.code() == Some(Code::SchemaConflict) => {
            let now = session.schema(module).await?;
            let (old, new) = (
                signature::reducer(&schema, name)?,
                signature::reducer(&now, name)?,
            );
            let words =
                signature::words_for(&rest.arguments, name, (&old.arguments, &new.arguments))?;
            once(&session, (module, name), &now, &words, rest.ack).await?
        }
        called => called?,
    };
    if called.failed > 0 {
        app.output.warn(format!(
            "{} reactions to this call failed; `logs` says why",
            called.failed
        ));
    }
    if called.dropped > 0 {
        app.output.warn(format!(
            "{} reactions were dropped; `logs` says why",
            called.dropped
        ));
    }
    if app.output.is_json() {
        app.output
            .json(&json!({"seq": called.seq.0, "failed": called.failed, "dropped": called.dropped}))
    } else {
        app.output.line(format!("seq {}", called.seq))
    }
}
