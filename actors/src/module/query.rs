//! Client queries and pages of rows: a place in the queue like a turn, but no seq and no record.
//!
//! Both see every earlier turn and nothing of a later one, and report the last seq before them.

mod floats;

use std::{sync::Arc, time::Instant};

use interstice_abi::{
    failure::{Code, Failure},
    id::{Seq, StepIndex, TableId},
    schema::ModuleSchema,
    walk::{Layout, Node},
    wire::{Ack, Response, ResponseBody, RowFilter, RowsPage},
};
use interstice_host::module::{Caller, StepRequest, TurnContext};

use self::floats::FloatValue;
use super::{
    Traffic,
    core::Core,
    nested::{reacher::Reacher, way::Way},
    readings::{About, Reading},
    turn::Ticket,
};
use crate::{
    apart::Apart,
    ingress::Replies,
    supervisor::{
        admission::shares::GuestIndex,
        catalogue::{Catalogue, ModuleIndex},
    },
};

/// Most bytes of rows in one page: a page is one frame, and a frame should not hold up others for long.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes of rows that a page with a filter looks at before it ends, with or without rows.
pub(super) const SCAN_BYTES_MAX: usize = 8 * PAGE_BYTES_MAX;

/// A query that a client has asked for.
pub(crate) struct ClientQuery {
    pub(crate) ticket: Ticket,
    pub(crate) catalogue: Apart<Catalogue>,
    pub(crate) module: ModuleIndex,
    /// Whose share of the module's queue it takes; `None` for owners and for the node itself.
    pub(crate) guest: Option<GuestIndex>,
    pub(crate) query: Arc<str>,
    pub(crate) caller: Caller,
    pub(crate) arguments: Arc<[u8]>,
    /// The last seq before it.
    pub(crate) seq: Seq,
    /// The node's clock when it was taken, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    pub(crate) replies: Replies,
    pub(crate) request: u64,
    pub(crate) ack: Ack,
}

/// Something to do once every earlier turn has ended for this module. It must be quick.
pub(crate) struct Pass {
    pub(crate) ticket: Ticket,
    pub(crate) module: ModuleIndex,
    /// Whose share of the module's queue it takes; `None` for owners and for the node itself.
    pub(crate) guest: Option<GuestIndex>,
    pub(crate) then: Box<dyn FnOnce() + Send>,
    /// Whom to tell when it cannot be done.
    pub(crate) replies: Replies,
    pub(crate) request: u64,
}

/// A page of a table's rows that a client has asked for.
pub(crate) struct ReadRows {
    pub(crate) ticket: Ticket,
    pub(crate) module: ModuleIndex,
    /// Whose share of the module's queue it takes; `None` for owners and for the node itself.
    pub(crate) guest: Option<GuestIndex>,
    pub(crate) table: TableId,
    pub(crate) mode: RowsMode,
    pub(crate) limit: u32,
    /// A column's place and the value that it must have.
    pub(crate) filter: Option<RowFilter>,
    pub(crate) seq: Seq,
    pub(crate) replies: Replies,
    pub(crate) request: u64,
}

/// What a page of rows is part of.
pub(crate) enum RowsMode {
    /// Of the table as it is, after a key.
    Alone(Option<Vec<u8>>),
    /// The first one of a reading.
    Reading(About),
}

impl ClientQuery {
    /// Whether it may reach other modules, which then hold a place for it.
    pub(super) fn reaches_others(&self) -> bool {
        let entry = self.catalogue.entry(self.module);
        entry.is_some_and(|entry| entry.query_reach.len() > 1)
    }
}

impl Core {
    /// Runs a client's query, unless too much waits for its client already, and answers it.
    pub(super) async fn client_query(&mut self, query: Box<ClientQuery>) {
        let result = match query.replies.check_answer() {
            Ok(()) => self.run_query(&query).await,
            Err(busy) => Err(busy),
        };
        if let Ok(bytes) = &result {
            weigh(&query.replies, query.request, bytes.len());
        }
        let body = result.map(|bytes| ResponseBody::Value {
            bytes,
            seq: query.seq,
        });
        self.answer(
            query.ack,
            query.replies.clone(),
            Response {
                id: query.request,
                body,
            },
        );
        self.end_query(&query);
    }

    /// Gives the places of a query back.
    pub(super) fn end_query(&mut self, query: &ClientQuery) {
        let bytes = u64::try_from(query.arguments.len()).unwrap_or(u64::MAX);
        self.queue.release(query.ticket);
        if let Some(entry) = query.catalogue.entry(query.module) {
            for module in entry
                .query_reach
                .iter()
                .skip(1)
                .filter_map(|index| query.catalogue.entry(*index))
            {
                module
                    .installed
                    .address
                    .deliver(Traffic::Release(query.ticket));
            }
        }
        self.end_place(query.module, query.guest, bytes);
    }

    /// Runs a query on the second instance.
    async fn run_query(&mut self, query: &ClientQuery) -> Result<Vec<u8>, Failure> {
        let (touched, trace) = self.take_spare();
        let way = Way::of_query(query, trace.clone());
        let reacher = Reacher::new(self.shared.clone(), way, touched.clone(), 0);
        let request = Box::new(StepRequest {
            function: query.query.clone(),
            caller: query.caller.clone(),
            arguments: query.arguments.clone(),
            check_arguments: true,
            turn: TurnContext {
                seq: query.seq,
                step: StepIndex(0),
                timestamp_ms: query.timestamp_ms,
                node_seed: self.shared.seed,
                node_id: self.node.clone(),
                of_load: false,
            },
            call_ordinal: 0,
            running_us_used: 0,
            bytes_held: 0,
            depth: 0,
            began: self.piece_began.take(),
            is_timed: false,
        });
        let outcome = self.module.query(request, true, Box::new(reacher)).await;
        self.keep_spare(touched, trace);
        self.counters.queries += 1;
        if outcome.is_fault && !was_ended(&outcome.result) {
            self.counters.faults += 1;
            self.counters.restarts += 1;
        }
        outcome.result
    }

    /// Reads a page of rows.
    pub(super) fn read_rows(&mut self, mut rows: ReadRows) {
        let mode = std::mem::replace(&mut rows.mode, RowsMode::Alone(None));
        let page = rows.replies.check_page().and_then(|()| match mode {
            RowsMode::Alone(after) => self.page(&rows, after),
            RowsMode::Reading(about) => self.first_page(&rows, about),
        });
        let body = page.map(ResponseBody::Rows);
        if let Ok(ResponseBody::Rows(page)) = &body {
            let bytes = page.rows.iter().map(Vec::len).sum();
            weigh(&rows.replies, rows.request, bytes);
        }
        self.answer(
            Ack::Durable,
            rows.replies,
            Response {
                id: rows.request,
                body,
            },
        );
        self.queue.release(rows.ticket);
        self.end_place(rows.module, rows.guest, 0);
    }

    /// What has waited for the turns before it goes on elsewhere.
    pub(super) fn pass(&mut self, pass: Pass) {
        (pass.then)();
        self.queue.release(pass.ticket);
        self.end_place(pass.module, pass.guest, 0);
    }

    /// The first page of a reading, whose rest is kept for the connection.
    fn first_page(&self, rows: &ReadRows, about: About) -> Result<RowsPage, Failure> {
        let tables = self.module.tables();
        let filter = rows.filter.as_ref();
        let filter = filter
            .map(|filter| Filter::new(tables.schema(), rows.table, filter))
            .transpose()?;
        let mut reading = Reading::new(tables.snapshot(rows.table)?, filter, rows.seq);
        let mut page = reading.page(rows.limit);
        if !reading.is_at_end() {
            let (shared, connection) = (self.shared.shared(), about.connection);
            let next = shared
                .readings
                .keep(shared, about, reading, Instant::now())?;
            page.next = Some(next);
            // The end of the connection may have come before: nobody else ends it then.
            if rows.replies.is_closed() {
                shared.readings.end(connection);
            }
        }
        Ok(page)
    }

    fn page(&self, rows: &ReadRows, after: Option<Vec<u8>>) -> Result<RowsPage, Failure> {
        let limit = usize::try_from(rows.limit.clamp(1, interstice_abi::wire::ROWS_PER_PAGE_MAX))
            .unwrap_or(1);
        let tables = self.module.tables();
        let filter = rows
            .filter
            .as_ref()
            .map(|filter| Filter::new(tables.schema(), rows.table, filter))
            .transpose()?;
        let mut found = Vec::new();
        let mut next = after;
        let mut scanned = 0;
        // A filter may pass over much: the page ends all the same, so that nobody waits long for this module.
        while scanned < SCAN_BYTES_MAX {
            let batch = tables.rows_after(rows.table, next.as_deref(), limit, PAGE_BYTES_MAX)?;
            if batch.is_empty() {
                return Ok(RowsPage {
                    rows: found,
                    next: None,
                    seq: rows.seq,
                });
            }
            for (key, row) in batch {
                scanned += row.len();
                next = Some(key.into_vec());
                if filter.as_ref().is_none_or(|filter| filter.matches(&row)) {
                    found.push(row.into_vec());
                }
                if found.len() == limit {
                    break;
                }
            }
            if filter.is_none() || !found.is_empty() {
                break;
            }
        }
        Ok(RowsPage {
            rows: found,
            next,
            seq: rows.seq,
        })
    }
}

/// Whether the node has ended a query, rather than the query's own fault: its client has gone, or its queue had to empty.
pub(super) fn was_ended<T>(result: &Result<T, Failure>) -> bool {
    let failure = result.as_ref().err();
    failure.is_some_and(|failure| matches!(failure.code, Code::Unavailable | Code::Busy))
}

/// An answer of `bytes` may have to wait for a sync: until it is sent, it counts with the bytes of
/// its client's requests.
fn weigh(replies: &Replies, request: u64, bytes: usize) {
    replies.weighs(request, u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// A column and the value that it must have.
pub(crate) struct Filter {
    layout: Layout,
    columns: Vec<Node>,
    place: usize,
    value: Vec<u8>,
    /// Only where equal values may have different bytes.
    floats: Option<FloatValue>,
}

impl Filter {
    /// What `filter` says of a table.
    ///
    /// # Errors
    /// `NotFound` for a column that the table does not have.
    pub(crate) fn new(
        schema: &ModuleSchema,
        table: TableId,
        filter: &RowFilter,
    ) -> Result<Self, Failure> {
        let found = schema
            .tables
            .get(usize::from(table.0))
            .ok_or_else(|| Failure::internal("a table that was looked up is not there"))?;
        let place = found
            .fields
            .iter()
            .position(|field| field.name == filter.column)
            .ok_or_else(|| {
                let known = found.fields.iter().map(|field| field.name.as_str());
                Failure::not_found("column", &filter.column, known).about_table(found.name.clone())
            })?;
        let mut layout = Layout::new(&schema.types).map_err(Failure::internal)?;
        let columns = layout
            .resolve_fields(&found.fields)
            .map_err(Failure::internal)?;
        let floats = found
            .fields
            .get(place)
            .and_then(|field| FloatValue::new(&filter.value, &field.ty, &schema.types));
        Ok(Self {
            layout,
            columns,
            place,
            value: filter.value.clone(),
            floats,
        })
    }

    /// Whether the row has the value. Values without floats have one encoding.
    pub(crate) fn matches(&self, row: &[u8]) -> bool {
        let mut found = false;
        let walked = self.layout.walk(&self.columns, row, |place, bytes| {
            found |= place == self.place && self.is_value(bytes);
        });
        walked.is_ok() && found
    }

    fn is_value(&self, bytes: &[u8]) -> bool {
        let is_equal = |floats: &FloatValue| floats.equals(bytes);
        bytes == self.value || self.floats.as_ref().is_some_and(is_equal)
    }
}
