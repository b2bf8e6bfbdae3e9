//! What a step's write set is made of: changed rows, moved counters, pending timers. Stored in log
//! records and handed from actor to actor, so the shapes are fixed.

use std::sync::Arc;

use interstice_abi::{
    event::RowEvent,
    id::{TableId, TimerId},
    schema::ModuleSchema,
};
use serde::{Deserialize, Serialize};

use super::KeyBytes;
use crate::schema::timer_runs;

/// One row changed. An insert has only `after`, a delete only `before`, an update both. Rows are
/// shared: the journal, the record and the steps that react to a change hold the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The table, declared or hidden.
    pub table: TableId,
    /// The row's primary key in ordered bytes (`interstice_abi::key`).
    #[serde(with = "packed")]
    pub key: KeyBytes,
    /// The whole encoded row as it was.
    #[serde(with = "packed::option")]
    pub before: Option<Arc<[u8]>>,
    /// The whole encoded row as it is.
    #[serde(with = "packed::option")]
    pub after: Option<Arc<[u8]>>,
}

impl Change {
    /// What happened to the row.
    #[must_use]
    pub fn event(&self) -> RowEvent {
        match (&self.before, &self.after) {
            (Some(_), Some(_)) => RowEvent::Update,
            (None, _) => RowEvent::Insert,
            (Some(_), None) => RowEvent::Delete,
        }
    }

    /// The bytes of both rows.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        let rows = [&self.before, &self.after].into_iter().flatten();
        rows.map(|row| row.len() as u64).sum()
    }
}

/// An `auto_inc` counter: the last value that was given out, or given by a caller, for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The table, declared or hidden.
    pub table: TableId,
    /// The field's place in the table's schema.
    pub field: u16,
    /// The last value. 0: none yet.
    pub value: u64,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Its number: never 0, never reused within a module.
    pub id: TimerId,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The reducer that it runs.
    pub reducer: String,
    /// Whether it descends from `load` and ends with that load.
    pub of_load: bool,
    /// Whether it is set again when it fires.
    pub repeat: Repeat,
    /// The encoded arguments of the reducer, one after the other.
    pub arguments: Vec<u8>,
}

/// Whether a timer is set again when it fires. Periods are in milliseconds, and not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Repeat {
    /// It fires once.
    Never,
    /// It is due again one period after it was due.
    Every(u64),
    /// The same, because the schema says that the reducer runs by itself.
    OfSchema(u64),
}

impl Repeat {
    /// The time between two runs, in milliseconds.
    #[must_use]
    pub const fn period_ms(self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Every(period_ms) | Self::OfSchema(period_ms) => Some(period_ms),
        }
    }
}

impl Timer {
    /// A timer that fires once, without arguments. Its number is given when it is set.
    #[must_use]
    pub fn once(reducer: impl Into<String>, due_ms: u64) -> Self {
        Self {
            id: TimerId(0),
            due_ms,
            reducer: reducer.into(),
            of_load: false,
            repeat: Repeat::Never,
            arguments: Vec::new(),
        }
    }

    /// Whether the schema `new`, which is to replace `old`, lacks the reducer that the timer needs.
    /// Timers of a load or of the schema come and go with it.
    #[must_use]
    pub fn lacks_reducer(&self, old: &ModuleSchema, new: &ModuleSchema) -> bool {
        let is_durable = !self.of_load && !matches!(self.repeat, Repeat::OfSchema(_));
        is_durable && !timer_runs(old, new, self)
    }

    /// When it is due again if it fires at `now_ms`: whole periods after it was due, so that it
    /// does not drift; periods that have passed are skipped. `None` when it fires once.
    #[must_use]
    pub fn due_after(&self, now_ms: u64) -> Option<u64> {
        let period_ms = self.repeat.period_ms()?.max(1);
        let passed = now_ms.saturating_sub(self.due_ms) / period_ms;
        let wait_ms = period_ms.saturating_mul(passed.saturating_add(1));
        Some(self.due_ms.saturating_add(wait_ms))
    }
}

/// A place in the journal that a step can be undone to. It holds until the journal is committed or
/// rolled back behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    pub(super) changes: usize,
    pub(super) counters: usize,
}

/// How large rows may be, in bytes of their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// Rows of logged and ephemeral tables.
    pub row_bytes_max: u64,
    /// Rows of stateful tables.
    pub stateful_row_bytes_max: u64,
}

/// How full a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatistics {
    /// The table's name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// The bytes of their encodings.
    pub bytes: u64,
}

/// Bytes as one piece: the form that serde gives a list of bytes, at the speed of a copy.
mod packed {
    use std::{fmt, marker::PhantomData};

    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: for<'a> From<&'a [u8]>,
    {
        from.deserialize_bytes(Bytes(PhantomData))
    }

    struct Bytes<T>(PhantomData<T>);

    impl<T: for<'a> From<&'a [u8]>> de::Visitor<'_> for Bytes<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<T, E> {
            Ok(bytes.into())
        }
    }

    pub(super) mod option {
        use std::sync::Arc;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        struct Packed<'a>(&'a [u8]);

        impl Serialize for Packed<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                super::serialize(self.0, to)
            }
        }

        #[derive(Deserialize)]
        struct Unpacked(#[serde(with = "super")] Arc<[u8]>);

        #[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
        pub(in super::super) fn serialize<S: Serializer>(
            bytes: &Option<Arc<[u8]>>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            bytes.as_deref().map(Packed).serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Arc<[u8]>>, D::Error> {
            Ok(Option::<Unpacked>::deserialize(from)?.map(|bytes| bytes.0))
        }
    }
}
