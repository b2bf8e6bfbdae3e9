//! Timers: rows of the hidden table behind the declared ones, with an index on when they are due.
//! So they are journaled, logged, stored and hashed like rows, and their numbers are an `auto_inc`
//! counter.
//!
//! A timer that fires once and has no arguments has a row of the first four columns only: that is
//! how all rows were before there were others, and such a timer's row is still the same.

use std::{collections::BTreeMap, sync::Arc};

use interstice_abi::{
    codec::{Column, Damaged, Input},
    failure::{Code, Failure},
    id::TimerId,
    schema::{IndexKind, IndexSchema, Persistence, TableSchema, Visibility},
    types::{ColumnType, Field},
};

use super::{Repeat, Tables, Timer, one::Table};

/// The hidden table's name and its tree: no table that a module declares can be called so.
pub(super) const TREE: &str = "~timers";

/// How many columns each row has: those behind are of timers that repeat or have arguments.
pub(super) const COLUMNS_REQUIRED: usize = 4;

/// The place of the index on `due_ms` in the hidden table.
const DUE_INDEX: usize = 0;

/// [`Repeat`] as a column.
const NEVER: u8 = 0;
const EVERY: u8 = 1;
const OF_SCHEMA: u8 = 2;

/// The hidden table's columns are those of [`Timer`].
pub(super) fn table_schema() -> TableSchema {
    TableSchema {
        name: TREE.into(),
        type_name: String::new(),
        fields: vec![
            Field::new("id", ColumnType::U64),
            Field::new("due_ms", ColumnType::U64),
            Field::new("reducer", ColumnType::String),
            Field::new("of_load", ColumnType::Bool),
            Field::new("repeat", ColumnType::U8),
            Field::new("period_ms", ColumnType::U64),
            Field::new("arguments", ColumnType::Vec(Box::new(ColumnType::U8))),
        ],
        primary_key: 0,
        primary_key_auto_inc: true,
        indexes: vec![IndexSchema {
            field: 1,
            kind: IndexKind::Btree,
            unique: false,
            auto_inc: false,
        }],
        visibility: Visibility::Private,
        persistence: Persistence::Logged,
    }
}

impl Tables {
    /// Sets a timer for `reducer`, due at `due_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// `Constraint` when the numbers of timers are used up.
    pub fn schedule(
        &mut self,
        reducer: &str,
        due_ms: u64,
        of_load: bool,
    ) -> Result<TimerId, Failure> {
        self.set_timer(&Timer {
            of_load,
            ..Timer::once(reducer, due_ms)
        })
    }

    /// Sets a timer; its number is chosen here.
    ///
    /// # Errors
    /// `Constraint` when the numbers of timers are used up.
    pub fn set_timer(&mut self, timer: &Timer) -> Result<TimerId, Failure> {
        let row = timer.to_row(TimerId(0));
        self.insert_at(self.timers_place(), &row)?;
        read(self.written_row())
            .map(|timer| timer.id)
            .map_err(Failure::internal)
    }

    /// What becomes of a timer that fires in a turn of `now_ms`: one that fires once is removed,
    /// another gets its next time. Journaled. `None` when it is not pending.
    pub fn fire_timer(&mut self, timer: TimerId, now_ms: u64) -> Option<Timer> {
        let pending = self.pending_timer(timer)?;
        match pending.due_after(now_ms) {
            None => self.take_timer(timer),
            Some(due_ms) => {
                let next = Timer {
                    due_ms,
                    ..pending.clone()
                };
                let row = next.to_row(timer);
                self.update_at(self.timers_place(), &row).ok()?;
                Some(pending)
            }
        }
    }

    /// Sets a timer for each reducer that runs by itself and has none, due one period after
    /// `now_ms`, and ends those of reducers that no longer do so or have another period.
    /// Journaled.
    pub fn set_timers_of_schema(&mut self, now_ms: u64) {
        let schema = Arc::clone(&self.schema);
        let periods = schema.reducers.iter();
        let mut wanted: BTreeMap<&str, u64> = periods
            .filter_map(|reducer| Some((reducer.name.as_str(), reducer.period_ms()?)))
            .collect();
        for timer in self.timers() {
            let Repeat::OfSchema(period_ms) = timer.repeat else {
                continue;
            };
            if wanted.get(timer.reducer.as_str()) == Some(&period_ms) {
                wanted.remove(timer.reducer.as_str());
            } else {
                self.take_timer(timer.id);
            }
        }
        for (reducer, period_ms) in wanted {
            let timer = Timer {
                repeat: Repeat::OfSchema(period_ms),
                ..Timer::once(reducer, now_ms.saturating_add(period_ms))
            };
            if let Err(failure) = self.set_timer(&timer) {
                tracing::error!(module = %schema.name, reducer, %failure, "a timer of the schema cannot be set");
            }
        }
    }

    /// Ends a pending timer.
    ///
    /// # Errors
    /// `NotFound` when it is not pending: it has fired, was cancelled, or never was.
    pub fn cancel(&mut self, timer: TimerId) -> Result<(), Failure> {
        match self.take_timer(timer) {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                Code::NotFound,
                format!("timer {timer} is not pending: it has fired or was cancelled"),
            )
            .about_key(timer.to_string())),
        }
    }

    /// Removes a pending timer, journaled; `None` when it is not pending.
    pub fn take_timer(&mut self, timer: TimerId) -> Option<Timer> {
        let taken = self.pending_timer(timer)?;
        let key = timer.0.to_be_bytes();
        self.delete_at(self.timers_place(), &key).ok()?;
        Some(taken)
    }

    fn pending_timer(&self, timer: TimerId) -> Option<Timer> {
        let key = timer.0.to_be_bytes();
        read(self.timers_hidden()?.pages.get(&key)?).ok()
    }

    /// The timers that are due next, at most `limit`, each with when (milliseconds since 1970):
    /// the earliest first, of several at a time the one set first.
    #[must_use]
    pub fn next_timers(&self, limit: usize) -> Vec<(u64, TimerId)> {
        let due = self
            .timers_hidden()
            .and_then(|timers| timers.indexes.get(DUE_INDEX));
        let Some(due) = due else {
            return Vec::new();
        };
        let places = due.rows.places(&[], None).take(limit);
        let read = |place: &[u8]| {
            let (due_ms, id) = place.split_first_chunk()?;
            Some((
                u64::from_be_bytes(*due_ms),
                TimerId(u64::from_be_bytes(*id.first_chunk()?)),
            ))
        };
        places.filter_map(read).collect()
    }

    /// How many timers are pending.
    #[must_use]
    pub fn timers_pending(&self) -> u64 {
        self.timers_hidden().map_or(0, |table| table.pages.rows())
    }

    /// The pending timers behind `after`, by number, at most `limit` of them.
    #[must_use]
    pub fn timers_after(&self, after: TimerId, limit: usize) -> Vec<Timer> {
        let from = after.0.saturating_add(1).to_be_bytes();
        self.timers_hidden()
            .into_iter()
            .flat_map(|table| table.pages.range(&from))
            .take(limit)
            .filter_map(|(_, row)| read(row).ok())
            .collect()
    }

    /// All pending timers, by number.
    #[must_use]
    pub fn timers(&self) -> Vec<Timer> {
        self.timers_hidden()
            .into_iter()
            .flat_map(|table| table.pages.range(&[]))
            .filter_map(|(_, row)| read(row).ok())
            .collect()
    }

    /// Ends the timers that descend from `load`, journaled.
    pub fn drop_timers_of_load(&mut self) {
        for timer in self.timers() {
            if timer.of_load {
                self.take_timer(timer.id);
            }
        }
    }

    fn timers_place(&self) -> usize {
        self.schema.tables.len()
    }

    fn timers_hidden(&self) -> Option<&Table> {
        self.tables.get(self.timers_place())
    }
}

impl Timer {
    /// The timer that a row of the hidden table says.
    ///
    /// # Errors
    /// [`Damaged`] for what is no such row.
    pub fn from_row(row: &[u8]) -> Result<Self, Damaged> {
        read(row)
    }
}

fn read(row: &[u8]) -> Result<Timer, Damaged> {
    let mut input = Input::new(row);
    let (id, due_ms, reducer, of_load) = Column::decode(&mut input)?;
    let (mut repeat, mut arguments) = (Repeat::Never, Vec::new());
    if input.left() > 0 {
        let (kind, period_ms, rest) = Column::decode(&mut input)?;
        repeat = match kind {
            EVERY => Repeat::Every(period_ms),
            OF_SCHEMA => Repeat::OfSchema(period_ms),
            // One that could not be read could not be removed either, and would be due for ever.
            _ => Repeat::Never,
        };
        arguments = rest;
    }
    input.finish()?;
    Ok(Timer {
        id: TimerId(id),
        due_ms,
        reducer,
        of_load,
        repeat,
        arguments,
    })
}

impl Timer {
    /// Its row in the hidden table, with the number `id`.
    fn to_row(&self, id: TimerId) -> Vec<u8> {
        let mut row = (id.0, self.due_ms, self.reducer.clone(), self.of_load).to_bytes();
        let (repeat, period_ms) = match self.repeat {
            Repeat::Never => (NEVER, 0),
            Repeat::Every(period_ms) => (EVERY, period_ms),
            Repeat::OfSchema(period_ms) => (OF_SCHEMA, period_ms),
        };
        if repeat != NEVER || !self.arguments.is_empty() {
            (repeat, period_ms, self.arguments.clone()).encode(&mut row);
        }
        row
    }
}
