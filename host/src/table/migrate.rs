//! Moving the tables to another schema of the same module.
//!
//! Everything that can speak against it is checked first, on the tables as they are; moving cannot
//! fail. Pages of tables whose rows stay as they are move without being looked at. A table whose
//! rows change shape goes into another tree of the store (`tree.rs`).

use std::{collections::HashSet, sync::Arc};

use interstice_abi::{schema::ModuleSchema, schema::TableSchema};

use super::{
    Prepared, Tables,
    extend::{added_columns, extend},
    key_bytes::KeyBytes,
    one::{FieldIndex, Reading, Table},
    plan::Strictness,
    storage,
};
use crate::schema::{self, Effect, SchemaDifference, Sign};

impl Tables {
    /// Moves the rows, counters and timers to `new`. Tables that do not fit are refused unless
    /// they are empty, and so are timers whose reducer is gone. With `wipe`, which older nodes
    /// have recorded, they are dropped: such tables start empty, with their counters. Ephemeral
    /// tables start empty. To be called while no step is open.
    ///
    /// # Errors
    /// The tables as they were, and what does not fit.
    #[expect(
        clippy::result_large_err,
        reason = "a refused move gives the tables back; it happens once per deploy"
    )]
    pub fn migrate(
        self,
        new: Arc<ModuleSchema>,
        wipe: bool,
    ) -> Result<Self, (Self, SchemaDifference)> {
        self.migrate_with(new, wipe, &mut Prepared::default())
    }

    /// As [`Tables::migrate`], where the long part has been done already, but for what was written
    /// since. What is no longer needed is in `prepared` then: to free it takes time in proportion
    /// to the rows.
    ///
    /// # Errors
    /// As [`Tables::migrate`].
    #[expect(
        clippy::result_large_err,
        reason = "a refused move gives the tables back; it happens once per deploy"
    )]
    pub fn migrate_with(
        mut self,
        new: Arc<ModuleSchema>,
        wipe: bool,
        prepared: &mut Prepared,
    ) -> Result<Self, (Self, SchemaDifference)> {
        let mut next = match Self::new(Arc::clone(&new), self.limits) {
            Ok(next) => next,
            Err(failure) => {
                let mut difference = schema::difference(&self.schema, &new);
                difference.push(Sign::Changed, failure.message, Effect::Impossible);
                return Err((self, difference));
            }
        };
        prepared.catch_up(&self, &new);
        let strictness = match wipe {
            true => Strictness::AsRecorded,
            false => Strictness::AsPromised,
        };
        let plan = self.plan_for(&next, strictness, prepared);
        if !wipe && !plan.is_compatible() {
            return Err((self, plan.difference));
        }
        let timers = plan.timers.iter().map(|timer| timer.id);
        for timer in timers.chain(plan.unscheduled) {
            self.take_timer(timer);
        }
        next.foreign = std::mem::take(&mut self.foreign);
        next.left = std::mem::take(&mut self.left);
        for mut old in std::mem::take(&mut self.tables) {
            let place = next.tables.iter().position(|table| table.name == old.name);
            match place {
                Some(place) if !plan.restarted.contains(old.name.as_str()) => {
                    let left = next.take_over(place, old, &new, prepared);
                    prepared.leave(left);
                }
                Some(place) => next.start_empty(place, &old, wipe),
                None => {
                    for counter in &old.counters {
                        let column = old.column_name(counter.field);
                        let key = storage::counter_key(&old.name, column);
                        next.leave_tree(
                            storage::COUNTERS_TREE.to_string(),
                            [KeyBytes::from(key.as_slice())].into(),
                        );
                    }
                    next.leave_tree(std::mem::take(&mut old.tree), old.pages.stored());
                }
            }
        }
        next.settle_trees();
        Ok(next)
    }

    /// Adds a line for each unique index of `next` that rows here would break.
    pub(super) fn check_unique(
        &self,
        next: &Self,
        strictness: Strictness,
        prepared: &Prepared,
        difference: &mut SchemaDifference,
    ) {
        let dropped: Vec<String> = difference
            .dropped_tables()
            .into_iter()
            .map(Into::into)
            .collect();
        for old in self.declared_tables().filter(|table| table.is_kept()) {
            let Some((id, schema)) = next.schema.table(&old.name) else {
                continue;
            };
            let Some(table) = next.tables.get(usize::from(id.0)) else {
                continue;
            };
            if dropped.contains(&old.name) || !table.is_kept() {
                continue;
            }
            for (number, index) in table.indexes.iter().enumerate() {
                let was_unique = old
                    .indexes
                    .iter()
                    .any(|known| known.unique && known.field == index.field);
                let none = index.none.filter(|_| strictness == Strictness::AsPromised);
                let known = prepared.doubles(&old.name, number);
                let known = known.filter(|_| strictness == Strictness::AsPromised);
                let shared = || match known {
                    Some(doubles) => doubles > 0,
                    None => shares_value(old, table, number, none, (schema, next)),
                };
                if index.unique && !was_unique && shared() {
                    let column = table.column_name(index.field);
                    let effect = Effect::DropsTable {
                        table: old.name.clone(),
                        why: Some("rows share a value".into()),
                    };
                    let what = format!("unique index on {}.{column}", old.name);
                    difference.push(Sign::Added, what, effect);
                }
            }
        }
    }

    /// Moves what `old` has into the table at `place`. What it does not move comes back.
    fn take_over(
        &mut self,
        place: usize,
        mut old: Table,
        schema: &ModuleSchema,
        prepared: &mut Prepared,
    ) -> Table {
        let Some(table) = self.tables.get_mut(place) else {
            return old;
        };
        let mut prepared = prepared.of(&old.name);
        take_counters(table, &old);
        if !table.is_kept() || !old.is_kept() {
            let keys = old.pages.stored();
            self.leave_tree(std::mem::take(&mut old.tree), keys);
            return old;
        }
        let added = match schema.tables.get(place) {
            Some(schema) => added_columns(schema, old.columns.len()),
            None => Vec::new(),
        };
        let same_tree = table.tree == old.tree;
        let keys = old.pages.stored();
        if added.is_empty() {
            table.pages = std::mem::take(&mut old.pages);
        } else {
            let page_bytes = table.pages.page_bytes();
            table.pages = extend(&old.pages, &added, page_bytes, prepared.as_deref());
        }
        // What an index holds does not change with columns that it is not about.
        let mut unknown = Vec::new();
        for (number, index) in table.indexes.iter_mut().enumerate() {
            let filled = prepared.as_deref_mut();
            if let Some(filled) = filled.and_then(|prepared| prepared.take_index(number)) {
                index.rows = filled.into_index();
                continue;
            }
            let same =
                |known: &&mut FieldIndex| known.field == index.field && known.kind == index.kind;
            match old.indexes.iter_mut().find(same) {
                Some(known) => std::mem::swap(&mut index.rows, &mut known.rows),
                None => unknown.push(number),
            }
        }
        let mut reading = Reading::default();
        if let Err(damaged) = table.build_indexes(&self.layout, &unknown, &mut reading) {
            // The rows fit the old columns, and what was added is a checked default or `None`.
            tracing::error!(table = table.name, %damaged, "a moved row cannot be read; this is a bug");
        }
        start_counters(table, &self.layout);
        if !same_tree {
            self.leave_tree(std::mem::take(&mut old.tree), keys);
        }
        old
    }

    /// Leaves the table at `place` empty. Its counters go on, so that no value is used twice,
    /// unless a wipe begins them again.
    fn start_empty(&mut self, place: usize, old: &Table, wipe: bool) {
        let keys = old.pages.stored();
        let Some(table) = self.tables.get_mut(place) else {
            return;
        };
        if !wipe {
            take_counters(table, old);
        }
        for counter in &mut table.counters {
            counter.dirty = true;
        }
        if table.tree == old.tree && table.is_kept() {
            table.pages.move_tree(keys);
        } else {
            self.leave_tree(old.tree.clone(), keys);
        }
    }

    /// Tables that stand in a tree of which something else was left begin by tidying it; counters
    /// that were to be removed and are there are written instead.
    fn settle_trees(&mut self) {
        for table in &mut self.tables {
            let (name, columns) = (&table.name, &table.columns);
            for counter in &mut table.counters {
                let column = columns.get(counter.field).map_or("", String::as_str);
                let key = storage::counter_key(name, column);
                for entries in [&mut self.foreign, &mut self.left] {
                    if let Some(keys) = entries.get_mut(storage::COUNTERS_TREE) {
                        counter.dirty |= keys.remove(key.as_slice());
                    }
                }
            }
            if !table.is_kept() {
                continue;
            }
            let mut keys = self.foreign.remove(&table.tree).unwrap_or_default();
            keys.extend(self.left.remove(&table.tree).unwrap_or_default());
            if !keys.is_empty() {
                keys.extend(table.pages.stored());
                table.pages.move_tree(keys);
            }
        }
    }
}

fn take_counters(table: &mut Table, old: &Table) {
    for counter in &mut table.counters {
        let known = old.counters.iter().find(|known| {
            old.column_name(known.field) == table.columns.get(counter.field).map_or("", |name| name)
        });
        if let Some(known) = known {
            counter.last = known.last.min(counter.integer.max());
            counter.dirty = known.dirty;
        }
    }
}

/// Counters never give out what a row has: a counter that is behind goes on from the largest value.
fn start_counters(table: &mut Table, layout: &interstice_abi::walk::Layout) {
    let fresh: Vec<usize> = (0..table.counters.len())
        .filter(|number| {
            table
                .counters
                .get(*number)
                .is_some_and(|counter| counter.last == 0)
        })
        .collect();
    if fresh.is_empty() {
        return;
    }
    let mut largest = vec![0; table.counters.len()];
    let mut reading = Reading::default();
    for (_, row) in table.pages.range(&[]) {
        if table.find_columns(layout, row, &mut reading).is_err() {
            continue;
        }
        for (most, counter) in largest.iter_mut().zip(&table.counters) {
            let value = counter.integer.read(reading.column(row, counter.field));
            *most = value.unwrap_or(0).max(*most);
        }
    }
    for (counter, most) in table.counters.iter_mut().zip(largest) {
        if most > counter.last {
            counter.last = most;
            counter.dirty = true;
        }
    }
}

/// Whether two rows of `old` would share a value other than `none` in index `number` of `table`.
fn shares_value(
    old: &Table,
    table: &Table,
    number: usize,
    none: Option<&[u8]>,
    (schema, next): (&TableSchema, &Tables),
) -> bool {
    let added = added_columns(schema, old.columns.len());
    let mut seen = HashSet::new();
    let mut reading = Reading::default();
    let mut longer = Vec::new();
    old.pages.range(&[]).any(|(_, row)| {
        longer.clear();
        longer.extend_from_slice(row);
        longer.extend_from_slice(&added);
        table.read(&next.layout, &longer, &mut reading).is_ok()
            && none != Some(reading.value(number))
            && !seen.insert(KeyBytes::from(reading.value(number)))
    })
}
