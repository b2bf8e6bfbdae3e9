//! The journal: what the steps that are open have changed, in the order made, and how it is undone.

use interstice_abi::{failure::Failure, id::TableId};

use super::{Change, Counter, Savepoint, Tables, failures};

/// How many changes the journal keeps room for between steps: more than nearly every step makes.
const KEPT_CHANGES: usize = 1024;

/// The changes and counter moves since the last commit.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) changes: Vec<Change>,
    pub(super) counters: Vec<CounterMove>,
}

/// A counter that moved, by the places of its table and of the counter there.
#[derive(Clone, Copy, Debug)]
pub(super) struct CounterMove {
    pub(super) table: usize,
    pub(super) counter: usize,
    pub(super) before: u64,
}

impl Tables {
    /// This place in the journal.
    #[must_use]
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            changes: self.journal.changes.len(),
            counters: self.journal.counters.len(),
        }
    }

    /// Undoes everything since `to`: rows, indexes, counters, timers.
    pub fn rollback(&mut self, to: Savepoint) {
        self.rollback_some(to, usize::MAX);
    }

    /// Undoes the last changes since `to`, at most so many. Whether some are left, and the caller
    /// is to go on.
    pub fn rollback_some(&mut self, to: Savepoint, changes_max: usize) -> bool {
        let until = self.journal.changes.len().saturating_sub(changes_max);
        let until = until.max(to.changes);
        while self.journal.changes.len() > until
            && let Some(change) = self.journal.changes.pop()
        {
            let Some(table) = self.tables.get_mut(usize::from(change.table.0)) else {
                continue;
            };
            let undone = table.set(
                &self.layout,
                &change.key,
                change.before.as_deref(),
                &mut self.scratch,
            );
            if let Err(damaged) = undone {
                // Both rows were checked when they came in.
                tracing::error!(table = table.name, %damaged, "a change could not be undone; this is a bug");
            }
        }
        if until > to.changes {
            return true;
        }
        while self.journal.counters.len() > to.counters
            && let Some(moved) = self.journal.counters.pop()
        {
            if let Some(counter) = self
                .tables
                .get_mut(moved.table)
                .and_then(|table| table.counters.get_mut(moved.counter))
            {
                counter.last = moved.before;
            }
        }
        false
    }

    /// Whether a step is open: something was changed since the last commit.
    #[must_use]
    pub fn has_open_changes(&self) -> bool {
        !self.journal.changes.is_empty() || !self.journal.counters.is_empty()
    }

    /// What was changed since `savepoint`, of declared and hidden tables, in the order made.
    #[must_use]
    pub fn changes_since(&self, savepoint: Savepoint) -> &[Change] {
        self.journal
            .changes
            .get(savepoint.changes..)
            .unwrap_or_default()
    }

    /// The bytes of the rows that the changes since `savepoint` have replaced or deleted.
    pub(crate) fn replaced_bytes(&self, savepoint: Savepoint) -> u64 {
        let rows = self.changes_since(savepoint).iter();
        let rows = rows.filter_map(|change| change.before.as_deref());
        rows.map(|row| row.len() as u64).sum()
    }

    /// Takes what was changed since `savepoint`, but for the first `kept` changes, out of the
    /// journal: it can no longer be undone.
    pub(crate) fn take_changes(
        &mut self,
        savepoint: Savepoint,
        kept: usize,
    ) -> impl Iterator<Item = Change> {
        let changes = &mut self.journal.changes;
        let from = savepoint.changes.saturating_add(kept).min(changes.len());
        changes.drain(from..)
    }

    /// The counters that moved since `savepoint`, each once, with the values that they have.
    pub fn counters_since(&self, savepoint: Savepoint) -> impl Iterator<Item = Counter> {
        let moves = self.journal.counters.get(savepoint.counters..);
        let moves = moves.unwrap_or_default().iter();
        let mut places = moves.map(|moved| (moved.table, moved.counter));
        // Most steps move one at most, and then nothing is allocated.
        let mut first = places.next();
        let mut others: Vec<(usize, usize)> = places.collect();
        if !others.is_empty() {
            others.extend(first.take());
            others.sort_unstable();
            others.dedup();
        }
        first
            .into_iter()
            .chain(others)
            .filter_map(|(place, counter)| {
                let counter = self.tables.get(place)?.counters.get(counter)?;
                Some(Counter {
                    table: TableId(u16::try_from(place).ok()?),
                    field: u16::try_from(counter.field).ok()?,
                    value: counter.last,
                })
            })
    }

    /// Forgets the journal: what it holds is done.
    pub fn commit(&mut self) {
        self.journal.changes.clear();
        self.journal.changes.shrink_to(KEPT_CHANGES);
        self.journal.counters.clear();
        self.journal.counters.shrink_to(KEPT_CHANGES);
    }

    /// Repeats changes that are in the log: rows become what the changes say, whatever they are.
    /// Doing it twice does no harm, and neither does doing it over rows that are newer, when all
    /// later changes follow. No journal.
    ///
    /// # Errors
    /// `Corrupt` when a change or counter does not fit the schema; changes before it are done.
    pub fn redo(&mut self, changes: &[Change], counters: &[Counter]) -> Result<(), Failure> {
        for change in changes {
            let table = self
                .tables
                .get_mut(usize::from(change.table.0))
                .ok_or_else(|| failures::no_table(change.table))?;
            table
                .set(
                    &self.layout,
                    &change.key,
                    change.after.as_deref(),
                    &mut self.scratch,
                )
                .map_err(|damaged| failures::corrupt(table, damaged))?;
        }
        for counter in counters {
            let table = self
                .tables
                .get_mut(usize::from(counter.table.0))
                .ok_or_else(|| failures::no_table(counter.table))?;
            let field = usize::from(counter.field);
            match table
                .counters
                .iter_mut()
                .find(|known| known.field == field && counter.value <= known.integer.max())
            {
                Some(known) => {
                    known.dirty |= known.last != counter.value;
                    known.last = counter.value;
                }
                None => return Err(failures::corrupt_counter(&table.name, field, counter.value)),
            }
        }
        Ok(())
    }

    /// Empties the ephemeral tables, as every start of the module does. Their counters go on. No
    /// journal.
    pub fn clear_ephemeral(&mut self) {
        for table in &mut self.tables {
            if !table.is_kept() {
                table.clear();
            }
        }
    }

    /// Moves a counter, journaled.
    pub(super) fn move_counter(&mut self, table: usize, counter: usize, to: u64) {
        let Some(known) = self
            .tables
            .get_mut(table)
            .and_then(|table| table.counters.get_mut(counter))
        else {
            return;
        };
        self.journal.counters.push(CounterMove {
            table,
            counter,
            before: known.last,
        });
        known.last = to;
        known.dirty = true;
    }
}
