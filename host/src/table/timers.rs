//! Timers: rows of the hidden table behind the declared ones, with an index on when they are due. So they are
//! journaled, logged, stored and hashed like rows, and their numbers are an `auto_inc` counter.

use interstice_abi::{
    codec::{Column, Damaged},
    failure::{Code, Failure},
    id::TimerId,
    schema::{IndexKind, IndexSchema, Persistence, TableSchema, Visibility},
    types::{ColumnType, Field},
};

use super::{Tables, Timer, one::Table};

/// The hidden table's name and its tree: no table that a module declares can be called so.
pub(super) const TREE: &str = "~timers";

/// The place of the index on `due_ms` in the hidden table.
const DUE_INDEX: usize = 0;

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
        let row = (0_u64, due_ms, reducer.to_string(), of_load).to_bytes();
        self.insert_at(self.timers_place(), &row)?;
        read(self.written_row())
            .map(|timer| timer.id)
            .map_err(Failure::internal)
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
        let key = timer.0.to_be_bytes();
        let taken = read(self.timers_hidden()?.pages.get(&key)?).ok()?;
        self.delete_at(self.timers_place(), &key).ok()?;
        Some(taken)
    }

    /// The timers that are due next, at most `limit`, each with when (milliseconds since 1970): the earliest first, of several at a time
    /// the one set first.
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
    let (id, due_ms, reducer, of_load) = Column::from_bytes(row)?;
    Ok(Timer {
        id: TimerId(id),
        due_ms,
        reducer,
        of_load,
    })
}
