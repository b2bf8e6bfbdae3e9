//! Rows of a few columns in an ephemeral, a logged and a stateful table: inserted, updated,
//! deleted, mixed, read.

use interstice_sdk::*;

use crate::payload;

/// Defines one table with its reducers and queries.
macro_rules! workload {
    ($(#[$table:meta])* $row:ident, $handle:ident, $insert:ident, $update:ident, $delete:ident, $mix:ident, $fill:ident, $point:ident, $range:ident, $count:ident) => {
        $(#[$table])*
        pub struct $row {
            /// Given out in the order of insertion.
            #[primary_key(auto_inc)]
            pub id: u64,
            /// Which connection of the load generator.
            pub client: u64,
            /// Which operation of that connection.
            pub seq: u64,
            /// Filling.
            pub payload: Vec<u8>,
        }

        /// Inserts a row of `bytes` bytes of payload; with `replace`, writes the row `seq`
        /// instead, whether it is there or not.
        #[reducer]
        pub fn $insert<Caps>(
            ctx: ReducerContext<Caps>,
            client: u64,
            seq: u64,
            bytes: u32,
            replace: bool,
        ) -> Result<(), Error>
        where
            Caps: CanInsert<$row> + CanUpdate<$row>,
        {
            let rows = ctx.current.tables.$handle();
            let payload = payload(bytes, seq);
            if replace {
                rows.upsert($row { id: seq + 1, client, seq, payload })?;
            } else {
                rows.insert($row { id: 0, client, seq, payload })?;
            }
            Ok(())
        }

        /// Writes the row `id` anew.
        #[reducer]
        pub fn $update<Caps>(
            ctx: ReducerContext<Caps>,
            id: u64,
            seq: u64,
            bytes: u32,
        ) -> Result<(), Error>
        where
            Caps: CanUpdate<$row>,
        {
            let payload = payload(bytes, seq);
            ctx.current.tables.$handle().update($row { id, client: 0, seq, payload })
        }

        /// Deletes the row `id`.
        #[reducer]
        pub fn $delete<Caps>(ctx: ReducerContext<Caps>, id: u64) -> Result<(), Error>
        where
            Caps: CanDelete<$row>,
        {
            ctx.current.tables.$handle().delete(id)
        }

        /// One of four: insert, read, update, delete the oldest row. So the table keeps its size.
        #[reducer]
        pub fn $mix<Caps>(
            ctx: ReducerContext<Caps>,
            client: u64,
            seq: u64,
            bytes: u32,
        ) -> Result<(), Error>
        where
            Caps: CanRead<$row> + CanInsert<$row> + CanUpdate<$row> + CanDelete<$row>,
        {
            let rows = ctx.current.tables.$handle();
            match (seq % 4, rows.first()) {
                (1, Some(row)) => {
                    std::hint::black_box(rows.get(row.id));
                }
                (2, Some(row)) => rows.update($row { seq, payload: payload(bytes, seq), ..row })?,
                (3, Some(row)) => rows.delete(row.id)?,
                _ => {
                    rows.insert($row { id: 0, client, seq, payload: payload(bytes, seq) })?;
                }
            }
            Ok(())
        }

        /// Inserts `count` rows in one step.
        #[reducer]
        pub fn $fill<Caps>(ctx: ReducerContext<Caps>, count: u32, bytes: u32) -> Result<(), Error>
        where
            Caps: CanInsert<$row>,
        {
            let rows = ctx.current.tables.$handle();
            for seq in 0..u64::from(count) {
                rows.insert($row { id: 0, client: 0, seq, payload: payload(bytes, seq) })?;
            }
            Ok(())
        }

        /// The row `id`.
        #[query]
        pub fn $point<Caps>(ctx: QueryContext<Caps>, id: u64) -> Option<$row>
        where
            Caps: CanRead<$row>,
        {
            ctx.current.tables.$handle().get(id)
        }

        /// `count` rows from `id` on.
        #[query]
        pub fn $range<Caps>(ctx: QueryContext<Caps>, id: u64, count: u64) -> Vec<$row>
        where
            Caps: CanRead<$row>,
        {
            ctx.current.tables.$handle().range(id..id.saturating_add(count))
        }

        /// How many rows there are.
        #[query]
        pub fn $count<Caps>(ctx: QueryContext<Caps>) -> u64
        where
            Caps: CanRead<$row>,
        {
            ctx.current.tables.$handle().count()
        }
    };
}

workload!(
    /// A row that lives in memory only.
    #[table(public, ephemeral)]
    Fleeting, fleeting, insert_ephemeral, update_ephemeral, delete_ephemeral, mix_ephemeral, fill_ephemeral, point_ephemeral,
    range_ephemeral, count_ephemeral
);

workload!(
    /// A row that is logged.
    #[table(public)]
    Item, item, insert_logged, update_logged, delete_logged, mix_logged, fill_logged, point_logged, range_logged, count_logged
);

workload!(
    /// A row of a table that is made for large rows.
    #[table(public, stateful)]
    Blob, blob, insert_stateful, update_stateful, delete_stateful, mix_stateful, fill_stateful, point_stateful, range_stateful,
    count_stateful
);
