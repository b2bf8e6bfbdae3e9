//! What a new version of a module changes, in words that a person reads before deploying it, and
//! what of it the rows that are there survive.
//!
//! Rows survive when the old columns are the first of the new ones, with the same names and shapes
//! (an enum may have more variants at its end), and every column added after them is an `Option`
//! or has a `#[default(…)]`. Everything but rows may change freely; what bindings and timers need
//! is checked elsewhere (`binding.rs`, `table/migrate.rs`).

mod functions;
mod tables;

use std::{collections::BTreeSet, fmt};

use interstice_abi::schema::{ModuleSchema, Persistence, Visibility};

use super::shape::Rule;
use functions::{query_signature, reducer_signature};

pub use tables::added_value;

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
    difference_under(Rule::Stored, old, new)
}

/// What `new` changes of `old`, where only columns of the very same type keep their rows.
pub(crate) fn strict_difference(old: &ModuleSchema, new: &ModuleSchema) -> SchemaDifference {
    difference_under(Rule::Same, old, new)
}

fn difference_under(rule: Rule, old: &ModuleSchema, new: &ModuleSchema) -> SchemaDifference {
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
            (Some(before), Some(after)) => {
                tables::tables(rule, (before, old), (after, new), &mut lines)
            }
            (None, None) => {}
        }
    }
    functions::functions(
        "reducer",
        pair(&old.reducers, &new.reducers, |item| &item.name),
        reducer_signature,
        &mut lines,
    );
    functions::functions(
        "query",
        pair(&old.queries, &new.queries, |item| &item.name),
        query_signature,
        &mut lines,
    );
    functions::types_and_bindings(old, new, &mut lines);
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

/// The items of two lists by name: old ones in their order with their successors, then those that
/// are only in `new`.
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

fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Public => "public",
    }
}
