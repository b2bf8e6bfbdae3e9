//! Insert, update, upsert, delete, clear.
//!
//! One shape: read the row, choose generated values, check every constraint, and only then change
//! rows, counters and journal. So a refused write changes nothing and spends nothing.

use std::sync::Arc;

use interstice_abi::{failure::Failure, id::TableId, walk::Layout};

use super::{
    Change, Tables, failures,
    one::{Scratch, Table},
};

/// What a write does about a row with its key.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// There must be none.
    Insert,
    /// There must be one.
    Update,
    /// Either.
    Upsert,
}

/// A write that nothing speaks against. The rows themselves are in the scratch.
struct Plan {
    /// Whether the row to store is in `Scratch::row`, not as it was given.
    rewritten: bool,
    /// The row with the key, if there is one; it has been read into `Scratch::old`.
    before: Option<Arc<[u8]>>,
}

impl Tables {
    /// Inserts a row, generated values filled in. Returns the row as stored.
    ///
    /// # Errors
    /// `BadArguments` for what is no row of the table, `TooLarge`, `Constraint` when the key or a
    /// unique value is taken or a counter is at its end, `NotFound` for an unknown table.
    pub fn insert(&mut self, table: TableId, row: &[u8]) -> Result<&[u8], Failure> {
        let place = self.declared_place(table)?;
        self.write(place, row, Mode::Insert)?;
        Ok(self.written_row())
    }

    /// Replaces the row with the same primary key. A row that is the same is a change as well.
    ///
    /// # Errors
    /// As [`Tables::insert`]; `NotFound` when no row has the key.
    pub fn update(&mut self, table: TableId, row: &[u8]) -> Result<(), Failure> {
        let place = self.declared_place(table)?;
        self.write(place, row, Mode::Update)
    }

    /// Replaces the row with the same primary key, or inserts the row. Either way, zeros in
    /// `auto_inc` columns become the next values; the key of a row that is there stays. Returns
    /// the row as stored.
    ///
    /// # Errors
    /// As [`Tables::insert`], but for the primary key.
    pub fn upsert(&mut self, table: TableId, row: &[u8]) -> Result<&[u8], Failure> {
        let place = self.declared_place(table)?;
        self.write(place, row, Mode::Upsert)?;
        Ok(self.written_row())
    }

    /// Deletes the row with the primary key whose encoding is `key`.
    ///
    /// # Errors
    /// `NotFound` when there is none, `BadArguments` for what is no key of the table.
    pub fn delete(&mut self, table: TableId, key: &[u8]) -> Result<(), Failure> {
        let place = self.declared_place(table)?;
        let mut ordered = std::mem::take(&mut self.scratch.key);
        ordered.clear();
        let table = self.declared(table)?;
        let result = table
            .key
            .order(key, &mut ordered)
            .map_err(|damaged| failures::damaged_key(table, table.key_field, damaged))
            .and_then(|()| self.delete_at(place, &ordered));
        self.scratch.key = ordered;
        result
    }

    /// Deletes all rows: one change per row, in key order. Returns how many there were.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn clear(&mut self, table: TableId) -> Result<u64, Failure> {
        let place = self.declared_place(table)?;
        let known = self
            .tables
            .get_mut(place)
            .ok_or_else(|| failures::no_table(table))?;
        let rows = known.pages.rows();
        let deletions = known.pages.range(&[]).map(|(key, row)| Change {
            table,
            key: key.into(),
            before: Some(row.into()),
            after: None,
        });
        self.journal.changes.extend(deletions);
        known.clear();
        Ok(rows)
    }

    /// Inserts into any table, hidden ones too.
    pub(super) fn insert_at(&mut self, place: usize, row: &[u8]) -> Result<(), Failure> {
        self.write(place, row, Mode::Insert)
    }

    /// Updates in any table, hidden ones too.
    pub(super) fn update_at(&mut self, place: usize, row: &[u8]) -> Result<(), Failure> {
        self.write(place, row, Mode::Update)
    }

    /// Deletes from any table by ordered key.
    pub(super) fn delete_at(&mut self, place: usize, key: &[u8]) -> Result<(), Failure> {
        let id = id_of(place);
        let table = self
            .tables
            .get_mut(place)
            .ok_or_else(|| failures::no_table(id))?;
        let before: Arc<[u8]> = table
            .pages
            .get(key)
            .ok_or_else(|| failures::no_row(table, key))?
            .into();
        table
            .set(&self.layout, key, None, &mut self.scratch)
            .map_err(|damaged| failures::corrupt(table, damaged))?;
        self.journal.changes.push(Change {
            table: id,
            key: key.into(),
            before: Some(before),
            after: None,
        });
        Ok(())
    }

    /// The row of the last change.
    pub(crate) fn written_row(&self) -> &[u8] {
        self.journal
            .changes
            .last()
            .and_then(|change| change.after.as_deref())
            .unwrap_or_default()
    }

    fn write(&mut self, place: usize, row: &[u8], mode: Mode) -> Result<(), Failure> {
        let id = id_of(place);
        let table = self
            .tables
            .get_mut(place)
            .ok_or_else(|| failures::no_table(id))?;
        let scratch = &mut self.scratch;
        let plan = table.plan(&self.layout, row, mode, scratch)?;
        let row = if plan.rewritten { &scratch.row } else { row };
        let key = scratch.new.key.as_slice();
        let old = plan.before.as_ref().map(|_| &scratch.old);
        table.replace(old, Some((&scratch.new, row)));
        self.journal.changes.push(Change {
            table: id,
            key: key.into(),
            before: plan.before,
            after: Some(row.into()),
        });
        let moves = std::mem::take(&mut scratch.moves);
        for (counter, to) in &moves {
            self.move_counter(place, *counter, *to);
        }
        self.scratch.moves = moves;
        Ok(())
    }
}

impl Table {
    /// Checks everything that can speak against a write.
    fn plan(
        &self,
        layout: &Layout,
        row: &[u8],
        mode: Mode,
        scratch: &mut Scratch,
    ) -> Result<Plan, Failure> {
        self.check_size(row)?;
        self.find_columns(layout, row, &mut scratch.new)
            .map_err(|damaged| failures::damaged_row(self, damaged))?;
        let rewritten = match mode {
            Mode::Insert => self.generate(row, None, scratch)?,
            Mode::Update => false,
            Mode::Upsert => {
                let kept = self.has_key_of(row, scratch).then_some(self.key_field);
                self.generate(row, kept, scratch)?
            }
        };
        let Scratch {
            old,
            new,
            row: filled,
            moves,
            ..
        } = scratch;
        let mut row = row;
        if rewritten {
            row = filled;
            self.check_size(row)?;
        }
        self.find_places(row, new)
            .map_err(|damaged| failures::damaged_row(self, damaged))?;
        let before = self.pages.get(&new.key);
        match (before, mode) {
            (Some(_), Mode::Insert) => return Err(failures::key_taken(self, &new.key)),
            (None, Mode::Update) => return Err(failures::no_row(self, &new.key)),
            // Only indexes have to know what it was.
            (Some(before), _) if !self.indexes.is_empty() => self
                .read(layout, before, old)
                .map_err(|damaged| failures::corrupt(self, damaged))?,
            _ => {}
        }
        for (number, index) in self.indexes.iter().enumerate() {
            if index.unique
                && index.none != Some(new.value(number))
                && let Some(holder) = index.rows.first(new.value(number))
                && holder != new.key
            {
                return Err(failures::value_taken(self, number, new.value(number)));
            }
        }
        moves.clear();
        for (number, counter) in self.counters.iter().enumerate() {
            if let Some(value) = counter.integer.read(new.column(row, counter.field))
                && value > counter.last
            {
                moves.push((number, value));
            }
        }
        Ok(Plan {
            rewritten,
            before: before.map(Arc::from),
        })
    }

    fn check_size(&self, row: &[u8]) -> Result<(), Failure> {
        if row.len() as u64 > self.row_bytes_max {
            return Err(failures::too_large(self, row.len()));
        }
        Ok(())
    }

    /// Whether a row with the key of `row`, whose columns have been found, is there.
    fn has_key_of(&self, row: &[u8], scratch: &mut Scratch) -> bool {
        scratch.key.clear();
        let key = scratch.new.column(row, self.key_field);
        self.key.order(key, &mut scratch.key).is_ok() && self.pages.get(&scratch.key).is_some()
    }

    /// Builds the row with the next values of its counters where it has zeros, in `Scratch::row`,
    /// and then `Scratch::new` is of that one. The column `kept` keeps its value. Returns whether
    /// the row had any zeros.
    fn generate(
        &self,
        row: &[u8],
        kept: Option<usize>,
        scratch: &mut Scratch,
    ) -> Result<bool, Failure> {
        let filled = &mut scratch.row;
        filled.clear();
        scratch.filled.clear();
        let mut copied = 0;
        for counter in &self.counters {
            let column = scratch.new.column(row, counter.field);
            if kept == Some(counter.field) || counter.integer.read(column) != Some(0) {
                continue;
            }
            let max = counter.integer.max();
            if counter.last >= max {
                return Err(failures::counter_exhausted(self, counter.field, max));
            }
            let start = scratch.new.start(counter.field);
            filled.extend_from_slice(row.get(copied..start).unwrap_or_default());
            let before = filled.len();
            counter.integer.write(counter.last + 1, filled);
            copied = start + column.len();
            scratch
                .filled
                .push((counter.field, filled.len() - before - column.len()));
        }
        if copied == 0 {
            return Ok(false);
        }
        filled.extend_from_slice(row.get(copied..).unwrap_or_default());
        for (field, by) in scratch.filled.drain(..) {
            scratch.new.grow(field, by);
        }
        Ok(true)
    }
}

pub(super) fn id_of(place: usize) -> TableId {
    TableId(u16::try_from(place).unwrap_or(u16::MAX))
}
