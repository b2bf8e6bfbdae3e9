//! What a request wants that takes a place in a queue, in one shape for requests that name the
//! types they mean and those that do not.

use interstice_abi::{
    fingerprint::Fingerprint,
    id::{Position, Seq, TimerId},
    wire::{Ack, RequestBody, RowFilter},
};

/// What a client wants.
pub(super) enum Wanted {
    Call(WantedCall),
    Query(WantedCall),
    Rows(WantedRows),
    Watch(WantedWatch),
    RowsAt(WantedRowsAt),
    CancelTimer(String, TimerId),
}

/// A call or query.
pub(super) struct WantedCall {
    pub(super) module: String,
    pub(super) function: String,
    pub(super) arguments: Vec<u8>,
    pub(super) ack: Ack,
    /// The signature by which the client has encoded the arguments, if it names one.
    pub(super) signature: Option<Fingerprint>,
}

/// A page of rows.
pub(super) struct WantedRows {
    pub(super) module: String,
    pub(super) table: String,
    pub(super) pages: Pages,
    pub(super) limit: u32,
    pub(super) filter: Option<RowFilter>,
    /// The type by which the client decodes rows and has encoded the filter's value, if it names
    /// one.
    pub(super) row_type: Option<Fingerprint>,
}

/// How the pages of a table hang together.
pub(super) enum Pages {
    /// Each shows the table as it is, after a key.
    Alone(Option<Vec<u8>>),
    /// All show it as it is at the first one.
    Together,
}

/// A watch.
pub(super) struct WantedWatch {
    pub(super) module: String,
    pub(super) table: String,
    pub(super) from: Option<Position>,
    /// The type by which the client decodes rows, if it names one.
    pub(super) row_type: Option<Fingerprint>,
}

/// Rows as they were.
pub(super) struct WantedRowsAt {
    pub(super) module: String,
    pub(super) table: String,
    pub(super) at: Seq,
    pub(super) limit: u64,
    pub(super) filter: Option<RowFilter>,
    /// The type by which the client decodes rows and has encoded the filter's value, if it names
    /// one.
    pub(super) row_type: Option<Fingerprint>,
}

impl Wanted {
    /// What `body` asks for; `None` when it takes no place.
    pub(super) fn of(body: RequestBody) -> Option<Self> {
        let call = |(module, function), arguments, ack, signature| WantedCall {
            module,
            function,
            arguments,
            ack,
            signature,
        };
        Some(match body {
            RequestBody::Call {
                module,
                reducer,
                arguments,
                ack,
            } => Self::Call(call((module, reducer), arguments, ack, None)),
            RequestBody::CallAs {
                module,
                reducer,
                arguments,
                ack,
                signature,
            } => Self::Call(call((module, reducer), arguments, ack, Some(signature))),
            RequestBody::Query {
                module,
                query,
                arguments,
                ack,
            } => Self::Query(call((module, query), arguments, ack, None)),
            RequestBody::QueryAs {
                module,
                query,
                arguments,
                ack,
                signature,
            } => Self::Query(call((module, query), arguments, ack, Some(signature))),
            other => return Self::of_rows(other),
        })
    }

    fn of_rows(body: RequestBody) -> Option<Self> {
        let rows = |(module, table), pages, limit, filter, row_type| {
            Self::Rows(WantedRows {
                module,
                table,
                pages,
                limit,
                filter,
                row_type,
            })
        };
        Some(match body {
            RequestBody::Rows {
                module,
                table,
                after,
                limit,
                filter,
            } => rows((module, table), Pages::Alone(after), limit, filter, None),
            RequestBody::RowsAs {
                module,
                table,
                after: None,
                limit,
                filter,
                row_type,
            } => rows((module, table), Pages::Together, limit, filter, row_type),
            other => return Self::of_stream(other),
        })
    }

    fn of_stream(body: RequestBody) -> Option<Self> {
        let watch = |module, table, from, row_type| {
            Self::Watch(WantedWatch {
                module,
                table,
                from,
                row_type,
            })
        };
        let rows_at = |(module, table), at, limit, filter, row_type| {
            Self::RowsAt(WantedRowsAt {
                module,
                table,
                at,
                limit,
                filter,
                row_type,
            })
        };
        Some(match body {
            RequestBody::Watch {
                module,
                table,
                from,
            } => watch(module, table, from, None),
            RequestBody::WatchAs {
                module,
                table,
                from,
                row_type,
            } => watch(module, table, from, Some(row_type)),
            RequestBody::RowsAt {
                module,
                table,
                at,
                limit,
                filter,
            } => rows_at((module, table), at, limit, filter, None),
            RequestBody::RowsAtAs {
                module,
                table,
                at,
                limit,
                filter,
                row_type,
            } => rows_at((module, table), at, limit, filter, Some(row_type)),
            RequestBody::CancelTimer { module, timer } => Self::CancelTimer(module, timer),
            _ => return None,
        })
    }
}
