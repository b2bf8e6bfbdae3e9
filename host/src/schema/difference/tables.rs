//! What a table's changes mean for its rows.
//!
//! Rows survive when the old columns are the first of the new ones, with the same names and shapes
//! (an enum may have more variants at its end), and every column after them has a value to give to
//! older rows. Indexes and visibility may change freely.

use interstice_abi::{
    schema::{IndexKind, IndexSchema, ModuleSchema, Persistence, TableSchema},
    types::{ColumnType, Field},
};

use super::{Effect, SchemaDifference, Sign, pair, visibility};
use crate::schema::shape::{self, Rule};

/// Adds the lines for a table that both schemas have.
pub(super) fn tables(
    rule: Rule,
    (before, old): (&TableSchema, &ModuleSchema),
    (after, new): (&TableSchema, &ModuleSchema),
    lines: &mut SchemaDifference,
) {
    let name = &before.name;
    // Rows of ephemeral tables do not outlive the module's stop, so nothing about them can be lost.
    let keeps = before.persistence != Persistence::Ephemeral;
    let mut changes = SchemaDifference::default();
    columns(rule, (before, old), (after, new), &mut changes);
    let key = |table: &TableSchema| {
        let field = table.fields.get(usize::from(table.primary_key));
        field.map_or_else(String::new, |field| field.name.clone())
    };
    if key(before) != key(after) {
        let what = format!("primary key of {name}: {} -> {}", key(before), key(after));
        changes.drops(name, Sign::Changed, what, None);
    }
    if before.persistence != after.persistence {
        let what = format!(
            "table {name}: {} -> {}",
            persistence(before.persistence),
            persistence(after.persistence)
        );
        changes.drops(name, Sign::Changed, what, None);
    }
    for line in &mut changes.lines {
        if !keeps {
            line.effect = Effect::Compatible;
        }
    }
    lines.lines.append(&mut changes.lines);
    if before.visibility != after.visibility {
        let what = format!(
            "table {name}: {} -> {}",
            visibility(before.visibility),
            visibility(after.visibility)
        );
        lines.fits(Sign::Changed, what);
    }
    if before.primary_key_auto_inc != after.primary_key_auto_inc {
        let sign = match after.primary_key_auto_inc {
            true => Sign::Added,
            false => Sign::Removed,
        };
        lines.fits(sign, format!("auto_inc of {name}.{}", key(after)));
    }
    indexes(before, after, lines);
}

fn columns(
    rule: Rule,
    (before, old): (&TableSchema, &ModuleSchema),
    (after, new): (&TableSchema, &ModuleSchema),
    lines: &mut SchemaDifference,
) {
    let name = &before.name;
    let find = |fields: &[Field], wanted: &str| fields.iter().position(|f| f.name == wanted);
    for (place, column) in before.fields.iter().enumerate() {
        let shown = format!("column {name}.{}", column.name);
        let Some(now) = find(&after.fields, &column.name) else {
            lines.drops(name, Sign::Removed, shown, None);
            continue;
        };
        let Some(field) = after.fields.get(now) else {
            continue;
        };
        if !shape::fits(rule, &column.ty, &old.types, &field.ty, &new.types) {
            let what = if column.ty == field.ty {
                format!("{shown}: the type {} has changed", column.ty)
            } else {
                format!("{shown}: {} -> {}", column.ty, field.ty)
            };
            lines.drops(name, Sign::Changed, what, None);
        } else if now != place {
            let what = format!("{shown}: place {place} -> {now}");
            lines.drops(name, Sign::Changed, what, None);
        }
    }
    for (place, column) in after.fields.iter().enumerate() {
        if find(&before.fields, &column.name).is_some() {
            continue;
        }
        let what = format!("column {name}.{}: {}", column.name, column.ty);
        if place < before.fields.len() {
            lines.drops(
                name,
                Sign::Added,
                what,
                Some("columns are added at the end"),
            );
        } else if added_value(column).is_none() {
            let why = "give it a #[default(…)] or make it an Option";
            lines.drops(name, Sign::Added, what, Some(why));
        } else {
            lines.fits(Sign::Added, what);
        }
    }
}

/// What rows that are older than the column have in it; `None` when they cannot have it.
#[must_use]
pub fn added_value(column: &Field) -> Option<&[u8]> {
    match (&column.default, &column.ty) {
        (Some(default), _) => Some(default),
        (None, ColumnType::Option(_)) => Some(&[0]),
        (None, _) => None,
    }
}

fn indexes(before: &TableSchema, after: &TableSchema, lines: &mut SchemaDifference) {
    let shown = |table: &TableSchema| -> Vec<(String, String)> {
        let show = |index: &IndexSchema| {
            let field = table.fields.get(usize::from(index.field))?;
            Some((field.name.clone(), index_kind(index)))
        };
        table.indexes.iter().filter_map(show).collect()
    };
    let name = &before.name;
    let (old, new) = (shown(before), shown(after));
    for (was, now) in pair(&old, &new, |(column, _)| column) {
        match (was, now) {
            (None, Some((column, kind))) => {
                lines.fits(Sign::Added, format!("index {name}.{column} ({kind})"));
            }
            (Some((column, kind)), None) => {
                lines.fits(Sign::Removed, format!("index {name}.{column} ({kind})"));
            }
            (Some((column, was)), Some((_, now))) if was != now => {
                let what = format!("index {name}.{column}: {was} -> {now}");
                lines.fits(Sign::Changed, what);
            }
            _ => {}
        }
    }
}

fn persistence(persistence: Persistence) -> &'static str {
    match persistence {
        Persistence::Logged => "logged",
        Persistence::Stateful => "stateful",
        Persistence::Ephemeral => "ephemeral",
    }
}

fn index_kind(index: &IndexSchema) -> String {
    let mut shown = match index.kind {
        IndexKind::Hash => "hash".to_string(),
        IndexKind::Btree => "btree".to_string(),
    };
    if index.unique {
        shown.push_str(", unique");
    }
    if index.auto_inc {
        shown.push_str(", auto_inc");
    }
    shown
}
