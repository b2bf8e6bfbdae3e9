//! `query` and `call_query`: a question to a module.

use clap::Args;
use interstice_abi::{
    failure::Code,
    fingerprint::Fingerprint,
    schema::ModuleSchema,
    types::{ColumnType, Fields, TypeKind, TypeSet},
};
use serde_json::Value as Json;

use super::call::Wait;
use crate::{app::App, problem::Outcome, session::Session, signature};

/// Ask a query
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli query hello-example list_greetings\n  \
    interstice-cli query --json bank balance 1")]
pub(crate) struct Query {
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its query
    query: String,
    #[command(flatten)]
    rest: Rest,
}

/// Ask a query of a node that is named first
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  interstice-cli call_query garden hello-example list_greetings"
)]
pub(crate) struct CallQuery {
    /// The node
    at: String,
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its query
    query: String,
    #[command(flatten)]
    rest: Rest,
}

#[derive(Debug, Args)]
struct Rest {
    /// Its arguments, as for `call`
    arguments: Vec<String>,
    /// Whether what the answer rests on must be on disk
    #[arg(long, value_enum, default_value_t)]
    ack: Wait,
}

impl Query {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        query(app, None, &self.module, &self.query, &self.rest).await
    }
}

impl CallQuery {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        query(app, Some(&self.at), &self.module, &self.query, &self.rest).await
    }
}

async fn query(
    app: &App,
    node: Option<&str>,
    module: &str,
    name: &str,
    rest: &Rest,
) -> Outcome<()> {
    let session = Session::open(app, node).await?;
    let mut schema = session.schema(module).await?;
    let bytes = match once(&session, (module, name), &schema, &rest.arguments, rest.ack).await {
        // The module was upgraded in between.
        Err(problem) if problem.code() == Some(Code::SchemaConflict) => {
            let old = std::mem::replace(&mut schema, session.schema(module).await?);
            let (old, new) = (
                signature::query(&old, name)?,
                signature::query(&schema, name)?,
            );
            let words =
                signature::words_for(&rest.arguments, name, (&old.arguments, &new.arguments))?;
            once(&session, (module, name), &schema, &words, rest.ack).await?
        }
        bytes => bytes?,
    };
    let query = signature::query(&schema, name)?;
    let value = signature::decode_json(&bytes, &query.result, &schema.types)?;
    match (columns(&query.result, &schema.types), &value) {
        (Some(columns), Json::Array(rows)) if !app.output.is_json() => {
            let header: Vec<&str> = columns.iter().map(String::as_str).collect();
            app.output
                .table(&header, rows.iter().map(|row| cells(row, &columns)))
        }
        _ => app.output.json(&value),
    }
}

/// Asks a query with words that are coerced by `schema`; the result's encoding.
async fn once(
    session: &Session,
    (module, name): (&str, &str),
    schema: &ModuleSchema,
    words: &[String],
    ack: Wait,
) -> Outcome<Vec<u8>> {
    let query = signature::query(schema, name)?;
    let shown = signature::of(&query.name, &query.arguments, Some(&query.result));
    let arguments = signature::encode_arguments(words, &query.arguments, &schema.types, &shown)?;
    let signature = Fingerprint::of_query(query, &schema.types);
    session
        .query((module, name), arguments, signature, ack.into())
        .await
}

/// The columns of a result that is a list of rows.
fn columns(ty: &ColumnType, types: &TypeSet) -> Option<Vec<String>> {
    let ColumnType::Vec(row) = ty else {
        return None;
    };
    let ColumnType::Named(name) = row.as_ref() else {
        return None;
    };
    match &types.types.get(name)?.kind {
        TypeKind::Struct(Fields::Named(fields)) => {
            Some(fields.iter().map(|field| field.name.clone()).collect())
        }
        _ => None,
    }
}

/// A row's values in the order of `columns`: text as it is, everything else as JSON.
pub(crate) fn cells(row: &Json, columns: &[String]) -> Vec<String> {
    let cell = |column: &String| match row.get(column) {
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    columns.iter().map(cell).collect()
}
