//! What changed of reducers, queries, types and bindings: nothing that rows could not survive.

use std::collections::BTreeSet;

use interstice_abi::{
    schema::{Dependency, ModuleSchema, QuerySchema, ReducerSchema},
    types::{ColumnType, Field},
};

use super::{SchemaDifference, Sign, pair};
use crate::schema::shape;

/// Adds the lines for reducers or queries.
pub(super) fn functions<'a, T: PartialEq>(
    kind: &str,
    pairs: Vec<(Option<&'a T>, Option<&'a T>)>,
    signature: impl Fn(&T) -> String,
    lines: &mut SchemaDifference,
) {
    for (before, after) in pairs {
        match (before, after) {
            (None, Some(after)) => {
                lines.fits(Sign::Added, format!("{kind} {}", signature(after)));
            }
            (Some(before), None) => {
                lines.fits(Sign::Removed, format!("{kind} {}", signature(before)));
            }
            (Some(before), Some(after)) if before != after => {
                let (was, now) = (signature(before), signature(after));
                let what = if was == now {
                    format!("{kind} {now}: what it reacts to or may touch")
                } else {
                    format!("{kind} {was} -> {now}")
                };
                lines.fits(Sign::Changed, what);
            }
            _ => {}
        }
    }
}

/// Adds the lines for types and bindings.
pub(super) fn types_and_bindings(
    old: &ModuleSchema,
    new: &ModuleSchema,
    lines: &mut SchemaDifference,
) {
    let (was, now) = (&old.types.types, &new.types.types);
    for name in was.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let ty = ColumnType::Named(name.clone());
        match (was.contains_key(name), now.contains_key(name)) {
            (false, _) => lines.fits(Sign::Added, format!("type {name}")),
            (_, false) => lines.fits(Sign::Removed, format!("type {name}")),
            _ if !shape::same(&ty, &old.types, &ty, &new.types) => {
                lines.fits(Sign::Changed, format!("type {name}"));
            }
            _ => {}
        }
    }
    let shown = |schema: &ModuleSchema| -> Vec<(String, String)> {
        let show = |known: &Dependency| {
            let node = known
                .node
                .as_ref()
                .map_or(String::new(), |node| format!("{node}."));
            (format!("{node}{}", known.module), known.version.to_string())
        };
        schema.dependencies.iter().map(show).collect()
    };
    let (old, new) = (shown(old), shown(new));
    for (was, now) in pair(&old, &new, |(module, _)| module) {
        match (was, now) {
            (None, Some((module, version))) => {
                lines.fits(Sign::Added, format!("binding {module} {version}"));
            }
            (Some((module, version)), None) => {
                lines.fits(Sign::Removed, format!("binding {module} {version}"));
            }
            (Some((module, was)), Some((_, now))) if was != now => {
                lines.fits(Sign::Changed, format!("binding {module}: {was} -> {now}"));
            }
            _ => {}
        }
    }
}

pub(super) fn reducer_signature(reducer: &ReducerSchema) -> String {
    format!("{}({})", reducer.name, arguments(&reducer.arguments))
}

pub(super) fn query_signature(query: &QuerySchema) -> String {
    format!(
        "{}({}) -> {}",
        query.name,
        arguments(&query.arguments),
        query.result
    )
}

fn arguments(fields: &[Field]) -> String {
    let shown: Vec<String> = fields
        .iter()
        .map(|field| format!("{}: {}", field.name, field.ty))
        .collect();
    shown.join(", ")
}
