//! `table`: the rows of a table.

use clap::Args;
use interstice_abi::{
    failure::{Code, Failure, nearest},
    fingerprint::Fingerprint,
    id::Seq,
    schema::{ModuleSchema, TableSchema},
    types::ColumnType,
    wire::{RowFilter, TableAt},
};
use serde_json::Value as Json;

use super::query::cells;
use crate::{
    app::App,
    json,
    problem::{Outcome, Problem},
    session::Session,
    signature,
};

/// Rows that are asked for at a time.
const PAGE_ROWS: u32 = 1000;

/// Rows that are shown to a person who has not said how many: a table is laid out as a whole.
const SHOWN_ROWS: u64 = 1000;

/// Show the rows of a table
#[derive(Debug, Args)]
#[command(
    long_about = "Show the rows of a table in the order of their keys, all as they are at one turn; with --json, one per line.\n\n\
        Owners of the node see private tables, too.\n\n\
        --at shows a logged table as it was at the end of a turn, also of a module that has been upgraded or removed since. \
        The node reads the kept log up to that turn for it, once for each 32 MiB of rows.",
    after_help = "Examples:\n  \
        interstice-cli table hello-example greetings\n  \
        interstice-cli table audit entry --where account=1 --limit 10\n  \
        interstice-cli table bank account --json\n  \
        interstice-cli table bank account --at 17"
)]
pub(crate) struct Table {
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its table
    table: String,
    /// Only rows that have this value in a column
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    filter: Option<String>,
    /// Most rows to show
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// The rows at the end of this turn
    #[arg(long, value_name = "SEQ")]
    at: Option<u64>,
}

impl Table {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open(app, None).await?;
        if let Some(at) = self.at {
            return self.run_at(app, &session, Seq(at)).await;
        }
        let schema = session.schema(&self.module).await?;
        match self.run_now(app, &session, &schema).await {
            // The module was upgraded in between, and nothing has been shown.
            Err(problem) if problem.code() == Some(Code::SchemaConflict) => {
                let schema = session.schema(&self.module).await?;
                self.run_now(app, &session, &schema).await
            }
            shown => shown,
        }
    }

    /// Shows the table as it is at one turn. Only the first page can be refused because `schema`
    /// is of another version.
    async fn run_now(&self, app: &App, session: &Session, schema: &ModuleSchema) -> Outcome<()> {
        let table = find(schema, &self.table)?;
        let filter = self
            .filter
            .as_deref()
            .map(|text| filter(text, table, schema))
            .transpose()?;
        let row_type = Fingerprint::of_row(table, &schema.types);
        let wanted = self.wanted(app);
        let columns: Vec<String> = table
            .fields
            .iter()
            .map(|field| field.name.clone())
            .collect();
        let mut shown = Vec::new();
        let (mut after, mut left) = (None, wanted);
        loop {
            let limit = PAGE_ROWS.min(u32::try_from(left).unwrap_or(PAGE_ROWS));
            if limit == 0 {
                break;
            }
            let named = (self.module.as_str(), self.table.as_str());
            let page = session
                .rows(named, after, limit, filter.clone(), row_type)
                .await?;
            for row in &page.rows {
                let row = known_columns(row, table, schema)?;
                left = left.saturating_sub(1);
                if app.output.is_json() {
                    app.output.json_line(&row)?;
                } else {
                    shown.push(cells(&row, &columns));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if !app.output.is_json() {
            let header: Vec<&str> = columns.iter().map(String::as_str).collect();
            app.output.table(&header, shown)?;
            if after.is_some() && self.limit.is_none() {
                say_more(app, wanted);
            }
        }
        Ok(())
    }

    /// How many rows are shown.
    fn wanted(&self, app: &App) -> u64 {
        match self.limit {
            Some(limit) => limit,
            None if app.output.is_json() => u64::MAX,
            None => SHOWN_ROWS,
        }
    }

    /// Shows the table as it was.
    async fn run_at(&self, app: &App, session: &Session, at: Seq) -> Outcome<()> {
        let named = (self.module.as_str(), self.table.as_str());
        let filter = match &self.filter {
            None => None,
            Some(text) => {
                let mut answers = session.rows_at(named, at, 0, None)?;
                let Some(TableAt::Schema(schema)) = answers.next().await? else {
                    return Err(Problem::failed("the node has sent no schema"));
                };
                Some(filter(text, find(&schema, &self.table)?, &schema)?)
            }
        };
        let wanted = self.wanted(app);
        // One more tells whether there are more.
        let mut answers = session.rows_at(named, at, wanted.saturating_add(1), filter)?;
        let (mut schema, mut columns) = (None, Vec::new());
        let (mut shown, mut left, mut more) = (Vec::new(), wanted, false);
        while let Some(part) = answers.next().await? {
            let (rows, schema) = match (part, &schema) {
                (TableAt::Schema(then), _) => {
                    let table = find(&then, &self.table)?;
                    columns = table
                        .fields
                        .iter()
                        .map(|field| field.name.clone())
                        .collect();
                    schema = Some(then);
                    continue;
                }
                (TableAt::Rows(rows), Some(schema)) => (rows, schema),
                (TableAt::Rows(_), None) => {
                    return Err(Problem::failed(
                        "the node has sent rows before their schema",
                    ));
                }
            };
            let table = find(schema, &self.table)?;
            for bytes in &rows {
                if left == 0 {
                    more = true;
                    break;
                }
                left -= 1;
                let row = row(bytes, table, schema)?;
                if app.output.is_json() {
                    app.output.json_line(&row)?;
                } else {
                    shown.push(cells(&row, &columns));
                }
            }
        }
        if !app.output.is_json() {
            let header: Vec<&str> = columns.iter().map(String::as_str).collect();
            app.output.table(&header, shown)?;
            if more && self.limit.is_none() {
                say_more(app, wanted);
            }
        }
        Ok(())
    }
}

fn say_more(app: &App, shown: u64) {
    app.output.say(format!(
        "these are the first {shown} rows; --limit shows more, --json all"
    ));
}

/// The table called `name`.
pub(crate) fn find<'a>(schema: &'a ModuleSchema, name: &str) -> Outcome<&'a TableSchema> {
    schema.table(name).map(|(_, table)| table).ok_or_else(|| {
        let names = schema.tables.iter().map(|table| table.name.as_str());
        let known = names.clone().collect::<Vec<_>>().join(", ");
        let failure = Failure::not_found("table", name, names);
        let problem = Problem::from(failure).about(format!("module `{}`", schema.name));
        problem.advise(if known.is_empty() {
            "it shows no tables to you".to_string()
        } else {
            format!("it has {known}")
        })
    })
}

fn filter(text: &str, table: &TableSchema, schema: &ModuleSchema) -> Outcome<RowFilter> {
    let (column, value) = text
        .split_once('=')
        .ok_or_else(|| Problem::usage(format!("`{}` is not COLUMN=VALUE", text.escape_debug())))?;
    let Some(field) = table.fields.iter().find(|field| field.name == column) else {
        let names = table.fields.iter().map(|field| field.name.as_str());
        let hint = match nearest(column, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(Problem::usage(format!(
            "table `{}` has no column `{}`",
            table.name,
            column.escape_debug()
        ))
        .advise(hint));
    };
    let value = json::from_word(value, &field.ty, &schema.types)
        .map_err(|problem| Problem::usage(format!("column `{column}`: {problem}")))?;
    Ok(RowFilter {
        column: column.to_string(),
        value,
    })
}

/// A row as JSON, without columns that were appended to the table since the schema was read.
pub(crate) fn known_columns(
    bytes: &[u8],
    table: &TableSchema,
    schema: &ModuleSchema,
) -> Outcome<Json> {
    let ty = ColumnType::Named(table.type_name.clone());
    signature::decode_row(bytes, &ty, &schema.types)
}

/// A row as JSON.
pub(crate) fn row(bytes: &[u8], table: &TableSchema, schema: &ModuleSchema) -> Outcome<Json> {
    signature::decode_json(
        bytes,
        &ColumnType::Named(table.type_name.clone()),
        &schema.types,
    )
}
