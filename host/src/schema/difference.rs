//! What a new version of a module changes, in words that a person reads before deploying it, and what of it the rows
//! that are there survive.
//!
//! Rows survive when the old columns are the first of the new ones, with the same names and shapes, and every column
//! added behind them is an `Option` or has a `#[default(…)]`. Everything but rows may change freely; what bindings and
//! timers need is checked elsewhere (`binding.rs`, `table/migrate.rs`).

use std::{collections::BTreeSet, fmt};

use interstice_abi::{
    schema::{
        IndexKind, IndexSchema, ModuleSchema, Persistence, QuerySchema, ReducerSchema, TableSchema,
        Visibility,
    },
    types::{ColumnType, Field},
};

use super::shape;

/// All differences between two schemas of a module. Its `Display` has a line per difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaDifference {
    /// In the order of the schema: the module, tables, reducers, queries, types, bindings.
    pub lines: Vec<Line>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What happened to it.
    pub sign: Sign,
    /// What it is: `table x`, `column account.y: u32 -> u64`.
    pub what: String,
    /// What that means for what is stored.
    pub effect: Effect,
}

/// What happened to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It came.
    Added,
    /// It went.
    Removed,
    /// It is another.
    Changed,
}

/// What a difference means for what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is lost.
    Compatible,
    /// The rows of a table cannot stay; wiping drops them.
    DropsTable {
        /// The table.
        table: String,
        /// Why, where the line does not say it.
        why: Option<String>,
    },
    /// A pending timer could not run; wiping drops it.
    DropsTimer,
    /// Cannot be done, whatever is wiped.
    Impossible,
}

impl SchemaDifference {
    /// Whether everything that is stored stays.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.lines
            .iter()
            .all(|line| line.effect == Effect::Compatible)
    }

    /// Whether the schemas are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The tables whose rows a wipe drops, in order of their names.
    #[must_use]
    pub fn dropped_tables(&self) -> BTreeSet<&str> {
        self.lines
            .iter()
            .filter_map(|line| match &line.effect {
                Effect::DropsTable { table, .. } => Some(table.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn push(&mut self, sign: Sign, what: impl Into<String>, effect: Effect) {
        self.lines.push(Line {
            sign,
            what: what.into(),
            effect,
        });
    }

    fn fits(&mut self, sign: Sign, what: impl Into<String>) {
        self.push(sign, what, Effect::Compatible);
    }

    fn drops(&mut self, table: &str, sign: Sign, what: String, why: Option<&str>) {
        let effect = Effect::DropsTable {
            table: table.into(),
            why: why.map(Into::into),
        };
        self.push(sign, what, effect);
    }
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, line) in self.lines.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            line.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.sign {
            Sign::Added => '+',
            Sign::Removed => '-',
            Sign::Changed => '~',
        };
        write!(f, "{sign} {}", self.what)?;
        match &self.effect {
            Effect::Compatible => Ok(()),
            Effect::DropsTable { why: Some(why), .. } => write!(f, " (not compatible: {why})"),
            _ => f.write_str(" (not compatible)"),
        }
    }
}

/// What `new` changes of `old`.
#[must_use]
pub fn difference(old: &ModuleSchema, new: &ModuleSchema) -> SchemaDifference {
    let mut lines = SchemaDifference::default();
    header(old, new, &mut lines);
    let pairs = pair(&old.tables, &new.tables, |table| &table.name);
    for (before, after) in pairs {
        match (before, after) {
            (None, Some(table)) => lines.fits(Sign::Added, format!("table {}", table.name)),
            (Some(table), None) if table.persistence == Persistence::Ephemeral => {
                lines.fits(Sign::Removed, format!("table {}", table.name));
            }
            (Some(table), None) => {
                let what = format!("table {}", table.name);
                lines.drops(
                    &table.name,
                    Sign::Removed,
                    what,
                    Some("its rows would be lost"),
                );
            }
            (Some(before), Some(after)) => tables(before, old, after, new, &mut lines),
            (None, None) => {}
        }
    }
    functions(
        "reducer",
        pair(&old.reducers, &new.reducers, |item| &item.name),
        reducer_signature,
        &mut lines,
    );
    functions(
        "query",
        pair(&old.queries, &new.queries, |item| &item.name),
        query_signature,
        &mut lines,
    );
    types_and_bindings(old, new, &mut lines);
    lines
}

fn header(old: &ModuleSchema, new: &ModuleSchema, lines: &mut SchemaDifference) {
    if old.version != new.version {
        lines.fits(
            Sign::Changed,
            format!("version: {} -> {}", old.version, new.version),
        );
    }
    if old.visibility != new.visibility {
        lines.fits(
            Sign::Changed,
            format!(
                "visibility: {} -> {}",
                visibility(old.visibility),
                visibility(new.visibility)
            ),
        );
    }
    for authority in &new.authorities {
        if !old.authorities.contains(authority) {
            lines.fits(Sign::Added, format!("authority {authority:?}"));
        }
    }
    for authority in &old.authorities {
        if !new.authorities.contains(authority) {
            lines.fits(Sign::Removed, format!("authority {authority:?}"));
        }
    }
}

fn tables(
    before: &TableSchema,
    old: &ModuleSchema,
    after: &TableSchema,
    new: &ModuleSchema,
    lines: &mut SchemaDifference,
) {
    let name = &before.name;
    // Rows of ephemeral tables do not outlive the module's stop, so nothing about them can be lost.
    let keeps = before.persistence != Persistence::Ephemeral;
    let mut changes = SchemaDifference::default();
    columns(before, old, after, new, &mut changes);
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
    before: &TableSchema,
    old: &ModuleSchema,
    after: &TableSchema,
    new: &ModuleSchema,
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
        if !shape::same(&column.ty, &old.types, &field.ty, &new.types) {
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

/// What rows that are older than the column have in it.
pub(crate) fn added_value(column: &Field) -> Option<&[u8]> {
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

fn functions<'a, T: PartialEq>(
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

fn types_and_bindings(old: &ModuleSchema, new: &ModuleSchema, lines: &mut SchemaDifference) {
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
        let show = |known: &interstice_abi::schema::Dependency| {
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

/// The items of two lists by name: old ones in their order with their successors, then those that are only in `new`.
fn pair<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&T) -> &String,
) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let find = |list: &'a [T], wanted: &T| list.iter().find(|item| name(item) == name(wanted));
    let kept = old.iter().map(|item| (Some(item), find(new, item)));
    let added = new
        .iter()
        .filter(|item| find(old, item).is_none())
        .map(|item| (None, Some(item)));
    kept.chain(added).collect()
}

fn reducer_signature(reducer: &ReducerSchema) -> String {
    format!("{}({})", reducer.name, arguments(&reducer.arguments))
}

fn query_signature(query: &QuerySchema) -> String {
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

fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Public => "public",
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
