//! What moving the tables of a module to another schema will do: looked at before anything moves.
//!
//! An empty table fits every schema: it begins again under the new one. What a move drops
//! otherwise is named here, with its size, so that it can be shown, asked for and deleted row by
//! row before.

use std::{collections::BTreeSet, sync::Arc};

use interstice_abi::{
    failure::Failure,
    id::{TableId, TimerId},
    schema::{ModuleSchema, Persistence},
};

use super::{Prepared, Repeat, Tables, Timer};
use crate::schema::{self, Effect, SchemaDifference, Sign};

/// What moving the tables of a module to another schema will do.
#[derive(Clone, Debug)]
pub struct MovePlan {
    /// All differences. Those that speak against the move are marked.
    pub difference: SchemaDifference,
    /// What becomes of each table of the old schema and of each new one.
    pub tables: Vec<PlannedTable>,
    /// The timers whose reducer is gone: a move drops them.
    pub timers: Vec<Timer>,
    /// The tables that begin empty under the new schema, whether they have rows or not.
    pub(super) restarted: BTreeSet<String>,
    /// Timers of the old schema that the new one does not have: they go without a word.
    pub(super) unscheduled: Vec<TimerId>,
}

/// What becomes of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTable {
    /// Its place in the old schema; `None` for a table that comes.
    pub id: Option<TableId>,
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// What becomes of them.
    pub fate: Fate,
}

/// What becomes of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The table comes.
    Added,
    /// They stay as they are.
    Kept,
    /// They stay, and each gets the columns that were added.
    Extended,
    /// They do not outlive their module's stop anyway.
    Ephemeral,
    /// They do not fit: only a wipe drops them.
    Dropped,
}

/// What keeps a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Everything that the rules of `schema/difference.rs` let through.
    AsPromised,
    /// What let them through when installs were recorded that drop rows by themselves: no grown
    /// enums, and no two rows without a value under a unique index. Their records must lead to the
    /// same rows again.
    AsRecorded,
}

impl MovePlan {
    /// Whether everything that is stored stays.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.difference.is_compatible()
    }

    /// The tables whose rows a wipe drops.
    pub fn dropped(&self) -> impl Iterator<Item = (TableId, &PlannedTable)> {
        self.tables.iter().filter_map(|table| match table.fate {
            Fate::Dropped => Some((table.id?, table)),
            _ => None,
        })
    }
}

impl Tables {
    /// What moving to `new` will do. Takes time in proportion to the rows where a unique index is
    /// added.
    ///
    /// # Errors
    /// When no tables can be made from `new`.
    pub fn plan(&self, new: &Arc<ModuleSchema>) -> Result<MovePlan, Failure> {
        self.plan_with(new, &mut Prepared::default())
    }

    /// As [`Tables::plan`], where the indexes that come have been filled already: takes time in
    /// proportion to what was written since.
    ///
    /// # Errors
    /// As [`Tables::plan`].
    pub fn plan_with(
        &self,
        new: &Arc<ModuleSchema>,
        prepared: &mut Prepared,
    ) -> Result<MovePlan, Failure> {
        let next = Self::new(Arc::clone(new), self.limits)?;
        prepared.catch_up(self, new);
        Ok(self.plan_for(&next, Strictness::AsPromised, prepared))
    }

    /// What moving into `next`, which is empty, will do. What is prepared has caught up.
    pub(super) fn plan_for(
        &self,
        next: &Self,
        strictness: Strictness,
        prepared: &Prepared,
    ) -> MovePlan {
        let mut difference = match strictness {
            Strictness::AsPromised => schema::difference(&self.schema, &next.schema),
            Strictness::AsRecorded => schema::strict_difference(&self.schema, &next.schema),
        };
        let (old, new) = (&self.schema, &next.schema);
        let (timers, others): (Vec<Timer>, Vec<Timer>) = self
            .timers()
            .into_iter()
            .partition(|timer| timer.lacks_reducer(old, new));
        let unscheduled = others
            .iter()
            .filter(|timer| matches!(timer.repeat, Repeat::OfSchema(_)))
            .filter(|timer| !schema::timer_runs(old, new, timer))
            .map(|timer| timer.id)
            .collect();
        for timer in &timers {
            let what = format!("timer {} for reducer {}", timer.id, timer.reducer);
            difference.push(Sign::Removed, what, Effect::DropsTimer);
        }
        self.check_unique(next, strictness, prepared, &mut difference);
        let restarted: BTreeSet<String> = difference
            .dropped_tables()
            .into_iter()
            .map(String::from)
            .collect();
        let is_empty = |name: &str| {
            let mut tables = self.declared_tables();
            tables.all(|table| table.name != name || table.pages.rows() == 0)
        };
        for line in &mut difference.lines {
            if matches!(&line.effect, Effect::DropsTable { table, .. } if is_empty(table)) {
                line.effect = Effect::Compatible;
            }
        }
        MovePlan {
            tables: self.planned_tables(next, &restarted),
            difference,
            timers,
            restarted,
            unscheduled,
        }
    }

    fn planned_tables(&self, next: &Self, restarted: &BTreeSet<String>) -> Vec<PlannedTable> {
        let (old, new) = (&self.schema.tables, &next.schema.tables);
        let kept = (0..).map(TableId).zip(old).zip(&self.tables);
        let kept = kept.map(|((id, schema), table)| {
            let successor = next.schema.table(&schema.name);
            let columns = successor.map_or(0, |(_, successor)| successor.fields.len());
            let fate = match schema.persistence {
                Persistence::Ephemeral => Fate::Ephemeral,
                _ if restarted.contains(&schema.name)
                    && (table.pages.rows() > 0 || successor.is_none()) =>
                {
                    Fate::Dropped
                }
                _ if columns > schema.fields.len() => Fate::Extended,
                _ => Fate::Kept,
            };
            PlannedTable {
                id: Some(id),
                name: schema.name.clone(),
                rows: table.pages.rows(),
                fate,
            }
        });
        let added = new
            .iter()
            .filter(|table| self.schema.table(&table.name).is_none());
        let added = added.map(|table| PlannedTable {
            id: None,
            name: table.name.clone(),
            rows: 0,
            fate: Fate::Added,
        });
        kept.chain(added).collect()
    }

    /// Deletes the rows with the smallest keys of a table, journaled, until it has deleted
    /// `rows_max` rows or `bytes_max` bytes or the table is empty; one at least where there is
    /// one. Returns how many rows and bytes these were.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn delete_some(
        &mut self,
        table: TableId,
        rows_max: u64,
        bytes_max: u64,
    ) -> Result<(u64, u64), Failure> {
        let place = self.declared_place(table)?;
        let (mut rows, mut bytes) = (0, 0);
        while rows < rows_max && bytes < bytes_max {
            let first = self.declared(table)?.pages.range(&[]).next();
            let Some((key, row)) = first.map(|(key, row)| (key.to_vec(), row.len())) else {
                break;
            };
            self.delete_at(place, &key)?;
            rows += 1;
            bytes += u64::try_from(key.len() + row).unwrap_or(u64::MAX);
        }
        Ok((rows, bytes))
    }
}
