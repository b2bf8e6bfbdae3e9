//! A module's schema as text that reads like the module's source, and as JSON.

use interstice_abi::{
    event::Event,
    schema::{
        IndexKind, ModuleSchema, Persistence, QuerySchema, ReducerSchema, TableAccess, TableSchema,
        Visibility,
    },
    types::{Field, Fields, TypeKind},
};
use serde_json::Value as Json;

use crate::{
    problem::{Outcome, Problem},
    signature,
};

/// The schema in the order of a module's source: head, tables, types, reducers, queries.
#[must_use]
pub fn text(schema: &ModuleSchema) -> String {
    let mut lines = vec![format!(
        "module {} {} ({})",
        schema.name,
        schema.version,
        visibility(schema.visibility)
    )];
    if !schema.authorities.is_empty() {
        let names: Vec<String> = schema
            .authorities
            .iter()
            .map(|authority| format!("{authority:?}"))
            .collect();
        lines.push(format!("authorities: {}", names.join(", ")));
    }
    for table in &schema.replicated_tables {
        lines.push(format!("replicates: {table}"));
    }
    for dependency in &schema.dependencies {
        let node = dependency
            .node
            .as_ref()
            .map_or_else(String::new, |node| format!("{node}."));
        lines.push(format!(
            "uses: {node}{} {}",
            dependency.module, dependency.version
        ));
    }
    for table in &schema.tables {
        lines.push(String::new());
        lines.extend(self::table(table));
    }
    for (name, definition) in &schema.types.types {
        let is_row = schema.tables.iter().any(|table| table.type_name == *name);
        if !is_row {
            lines.push(String::new());
            lines.extend(ty(name, &definition.kind));
        }
    }
    section(&mut lines, schema.reducers.iter().map(reducer));
    section(&mut lines, schema.queries.iter().map(query));
    lines.join("\n")
}

/// The schema as JSON, with everything that it says.
///
/// # Errors
/// Never for a schema that a node has checked.
pub fn to_json(schema: &ModuleSchema) -> Outcome<Json> {
    serde_json::to_value(schema)
        .map_err(|error| Problem::failed(format!("the schema cannot be written as JSON: {error}")))
}

fn section(lines: &mut Vec<String>, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        lines.push(String::new());
        lines.extend(items);
    }
}

fn table(table: &TableSchema) -> Vec<String> {
    let mut words = vec![visibility(table.visibility)];
    match table.persistence {
        Persistence::Logged => {}
        Persistence::Stateful => words.push("stateful"),
        Persistence::Ephemeral => words.push("ephemeral"),
    }
    let mut lines = vec![format!(
        "table {} ({}) of {} {{",
        table.name,
        words.join(", "),
        table.type_name
    )];
    for (place, field) in table.fields.iter().enumerate() {
        let mut notes = Vec::new();
        if place == usize::from(table.primary_key) {
            notes.push(if table.primary_key_auto_inc {
                "primary key, auto_inc".to_string()
            } else {
                "primary key".to_string()
            });
        }
        for index in table
            .indexes
            .iter()
            .filter(|index| usize::from(index.field) == place)
        {
            let kind = match index.kind {
                IndexKind::Hash => "hash",
                IndexKind::Btree => "btree",
            };
            let unique = if index.unique { ", unique" } else { "" };
            let auto_inc = if index.auto_inc { ", auto_inc" } else { "" };
            notes.push(format!("index {kind}{unique}{auto_inc}"));
        }
        let notes = if notes.is_empty() {
            String::new()
        } else {
            format!("  // {}", notes.join("; "))
        };
        lines.push(format!("    {}: {},{notes}", field.name, field.ty));
    }
    lines.push("}".to_string());
    lines
}

fn ty(name: &str, kind: &TypeKind) -> Vec<String> {
    match kind {
        TypeKind::Struct(Fields::Unit) => vec![format!("struct {name};")],
        TypeKind::Struct(fields @ Fields::Tuple(_)) => {
            vec![format!("struct {name}{};", written(fields))]
        }
        TypeKind::Struct(Fields::Named(fields)) => {
            let mut lines = vec![format!("struct {name} {{")];
            lines.extend(
                fields
                    .iter()
                    .map(|field| format!("    {}: {},", field.name, field.ty)),
            );
            lines.push("}".to_string());
            lines
        }
        TypeKind::Enum(variants) => {
            let mut lines = vec![format!("enum {name} {{")];
            lines.extend(
                variants
                    .iter()
                    .map(|variant| format!("    {}{},", variant.name, written(&variant.fields))),
            );
            lines.push("}".to_string());
            lines
        }
    }
}

fn written(fields: &Fields) -> String {
    match fields {
        Fields::Unit => String::new(),
        Fields::Tuple(types) => format!(
            "({})",
            types
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Fields::Named(fields) => format!(" {{ {} }}", named(fields)),
    }
}

fn named(fields: &[Field]) -> String {
    fields
        .iter()
        .map(|field| format!("{}: {}", field.name, field.ty))
        .collect::<Vec<_>>()
        .join(", ")
}

fn reducer(reducer: &ReducerSchema) -> String {
    let events = reducer
        .events
        .iter()
        .map(|event| match event {
            Event::Private | Event::Every { .. } => format!(" {event}"),
            event => format!(" on \"{event}\""),
        })
        .collect::<String>();
    format!(
        "reducer {}{events}{}",
        signature::of(&reducer.name, &reducer.arguments, None),
        capabilities(&reducer.capabilities)
    )
}

fn query(query: &QuerySchema) -> String {
    format!(
        "query {}{}",
        signature::of(&query.name, &query.arguments, Some(&query.result)),
        capabilities(&query.capabilities)
    )
}

fn capabilities(capabilities: &[TableAccess]) -> String {
    if capabilities.is_empty() {
        return String::new();
    }
    let each = capabilities
        .iter()
        .map(|capability| format!("{} {}", capability.access, capability.table));
    format!("  // may {}", each.collect::<Vec<_>>().join("; "))
}

/// How a visibility is written.
#[must_use]
pub const fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Public => "public",
    }
}
