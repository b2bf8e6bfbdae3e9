//! A logged table as it was at the end of a turn: the rows of the newest base before it, and every
//! change behind that up to the turn, played in log order.
//!
//! Rows are gathered in windows of at most [`WINDOW_BYTES_MAX`], from the smallest key on: a table
//! that is larger costs one reading of the log per window, and never more memory than that. At an
//! upgrade the window's rows move to the new schema as they did then, by [`Tables::migrate`]. What
//! is sent waits for the client, as every stream of answers does.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{ModuleName, Seq, TableId},
    schema::{ModuleSchema, Persistence, TableSchema, Visibility},
    wire::{OnConflict, ROWS_PER_PAGE_MAX, Response, ResponseBody, RowFilter, TableAt},
};
use interstice_host::{
    module::Effect,
    table::{Change, RowLimits, Tables},
};

use super::{
    Around, GuestRead, Reader, Reading,
    index::{Range, for_each_step},
};
use crate::{
    base::Base,
    ingress::{Peer, Replies},
    module::query::Filter,
    record::{Input, Outcome, StepRecord},
    slots::wait_for_room,
    supervisor::catalogue::fingerprints::other_rows,
};

/// Most bytes of rows that are held for one request.
const WINDOW_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of rows in one answer.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// An owner of the node: sees private tables, and modules that are gone.
    Owner,
    /// Anybody else.
    Guest,
}

/// A table as it was, that a client has asked for.
pub(crate) struct TableAtRequest {
    pub(crate) module: ModuleName,
    /// What to answer when the log does not know the module: `None` when it is installed.
    pub(crate) unknown: Option<Failure>,
    pub(crate) table: String,
    pub(crate) at: Seq,
    pub(crate) limit: u64,
    pub(crate) filter: Option<RowFilter>,
    /// The type by which the client decodes rows and has encoded the filter's value, if it names
    /// one.
    pub(crate) row_type: Option<Fingerprint>,
    pub(crate) viewer: Viewer,
    pub(crate) peer: Arc<Peer>,
    pub(crate) replies: Replies,
    pub(crate) request: u64,
}

/// Rows by their ordered keys.
type Rows = BTreeMap<Box<[u8]>, Box<[u8]>>;

impl TableAtRequest {
    /// Reads the log on a thread of its own, and answers. Everything up to the turn has been
    /// appended to the log.
    pub(crate) fn start(self, around: Around) {
        let reader = match Reader::begin(&around.shared, &self.peer) {
            Ok(reader) => reader,
            Err(busy) => return self.answer(Err(busy)),
        };
        // While this holds its place in the module's queue, no change of the catalogue runs.
        let guest = match self.viewer {
            Viewer::Owner => None,
            Viewer::Guest => Some(Reading::begin(&around.shared, self.guest_read())),
        };
        let to = (self.replies.clone(), self.request);
        reader.answer_when_durable(to, move |durable| {
            let outcome = durable.and_then(|()| self.run(&around));
            let denied = guest.and_then(Reading::end);
            denied.map_or(outcome, Err)?;
            Ok(ResponseBody::Ended)
        });
    }

    fn guest_read(&self) -> GuestRead {
        GuestRead {
            module: self.module.clone(),
            table: self.table.clone(),
            replies: self.replies.clone(),
            request: self.request,
            denied: OnceLock::new(),
        }
    }

    fn answer(&self, body: Result<ResponseBody, Failure>) {
        self.replies.send(Response {
            id: self.request,
            body,
        });
    }

    fn run(&self, around: &Around) -> Result<(), Failure> {
        let history = &around.shared.history;
        history.index().catch_up(&around.shared.log)?;
        if let Some(unknown) = &self.unknown
            && !around.knows(&self.module)
        {
            return Err(unknown.clone());
        }
        let schema = self.schema(around)?;
        let table = self.table(&schema)?;
        self.check_rows(&schema, table)?;
        let filter = self
            .filter
            .as_ref()
            .map(|filter| Filter::new(&schema, table, filter))
            .transpose()?;
        let shown = match self.viewer {
            Viewer::Owner => schema.as_ref().clone(),
            Viewer::Guest => schema.public_view(),
        };
        self.send(TableAt::Schema(Box::new(shown)));
        let base = around
            .base(self.at)
            .ok_or_else(|| around.too_old(self.at))?;
        let behind = Seq(base.seq.0 + 1);
        let ranges = history.index().ranges(behind, self.at, Some(&self.module));
        let mut left = self.limit;
        let mut from = Box::default();
        while left > 0 {
            let mut window = Window::new(self, around.limits.rows(), from);
            window.begin(around, base)?;
            window.play(around, base, &ranges)?;
            let Some(sent) = self.send_rows(window.rows, filter.as_ref(), left)? else {
                break;
            };
            left -= sent;
            match window.bound {
                Some(bound) => from = bound,
                None => break,
            }
        }
        Ok(())
    }

    /// The schema of the module's version at the turn.
    fn schema(&self, around: &Around) -> Result<Arc<ModuleSchema>, Failure> {
        let (module, at) = (&self.module, self.at);
        let missing = |what: String| Err(Failure::new(Code::NotFound, what));
        if around
            .present
            .get(module)
            .is_none_or(|present| present.since > at)
        {
            let index = around.shared.history.index();
            let arrivals = index.arrivals(module);
            match arrivals.iter().rev().find(|arrival| arrival.seq <= at) {
                Some(arrival) if arrival.hash.is_none() => {
                    return missing(format!(
                        "module `{module}` was not installed at turn {at}: it was removed at turn {}",
                        arrival.seq
                    ));
                }
                Some(_) => {}
                None if around.marked(module).is_some() => {}
                None => {
                    let since = arrivals.first().map_or_else(String::new, |arrival| {
                        format!(": it came at turn {}", arrival.seq)
                    });
                    return missing(format!(
                        "module `{module}` was not installed at turn {at}{since}"
                    ));
                }
            }
        }
        match around.version(module, at) {
            Some(version) => Ok(version.schema),
            None => Err(not_stored(module, at)),
        }
    }

    /// Whether the client can read the rows of that version.
    fn check_rows(&self, schema: &ModuleSchema, table: TableId) -> Result<(), Failure> {
        let Some((row_type, found)) = self.row_type.zip(schema.tables.get(usize::from(table.0)))
        else {
            return Ok(());
        };
        if Fingerprint::of_row_prefixes(found, &schema.types).contains(&row_type) {
            return Ok(());
        }
        Err(other_rows(schema, found))
    }

    /// The table in that version.
    fn table(&self, schema: &ModuleSchema) -> Result<TableId, Failure> {
        let may_read = |table: &TableSchema| {
            self.viewer == Viewer::Owner
                || (table.visibility == Visibility::Public
                    && schema.visibility == Visibility::Public)
        };
        let found = schema
            .table(&self.table)
            .filter(|(_, table)| may_read(table));
        let Some((id, table)) = found else {
            let kind = match self.viewer {
                Viewer::Owner => "table",
                Viewer::Guest => "public table",
            };
            let readable = schema.tables.iter().filter(|table| may_read(table));
            let known = readable.map(|table| table.name.as_str());
            let mut failure = Failure::not_found(kind, &self.table, known);
            failure.message = format!(
                "{} in module `{}` {} at turn {}",
                failure.message, schema.name, schema.version, self.at
            );
            return Err(failure);
        };
        let kind = match table.persistence {
            Persistence::Logged => return Ok(id),
            Persistence::Stateful => "stateful",
            Persistence::Ephemeral => "ephemeral",
        };
        Err(Failure::new(
            Code::BadArguments,
            format!(
                "table `{}` of module `{}` is {kind} and keeps no history; only logged tables can be read as they were",
                table.name, schema.name
            ),
        ))
    }

    fn send(&self, what: TableAt) {
        self.replies.more(Response {
            id: self.request,
            body: Ok(ResponseBody::TableAt(what)),
        });
    }

    /// Sends rows as the client takes them, at most `left`. How many; `None` when the client wants
    /// no more.
    ///
    /// # Errors
    /// `Busy` when the client does not read.
    fn send_rows(
        &self,
        rows: Rows,
        filter: Option<&Filter>,
        left: u64,
    ) -> Result<Option<u64>, Failure> {
        let most = usize::try_from(ROWS_PER_PAGE_MAX).unwrap_or(1);
        let mut sent = 0;
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut wanted = rows
            .into_values()
            .filter(|row| filter.is_none_or(|filter| filter.matches(row)))
            .take(usize::try_from(left).unwrap_or(usize::MAX))
            .peekable();
        while let Some(row) = wanted.next() {
            bytes += row.len();
            sent += 1;
            page.push(row.into_vec());
            let next = wanted.peek().map(|row| row.len());
            let is_full = next.is_none_or(|next| bytes + next > PAGE_BYTES_MAX);
            if is_full || page.len() >= most {
                wait_for_room(&self.replies)?;
                if self.replies.is_closed() || !self.replies.is_streaming(self.request) {
                    return Ok(None);
                }
                self.send(TableAt::Rows(std::mem::take(&mut page)));
                bytes = 0;
            }
        }
        Ok(Some(sent))
    }
}

/// The rows of a range of keys while changes are played.
struct Window<'a> {
    request: &'a TableAtRequest,
    bytes_max: usize,
    limits: RowLimits,
    /// Its first key: where the window before ended.
    from: Box<[u8]>,
    /// Where it ends, when the rows behind did not fit.
    bound: Option<Box<[u8]>>,
    rows: Rows,
    bytes: usize,
    /// The version that the rows are of.
    schema: Option<Arc<ModuleSchema>>,
}

impl<'a> Window<'a> {
    fn new(request: &'a TableAtRequest, limits: RowLimits, from: Box<[u8]>) -> Self {
        Self {
            request,
            bytes_max: WINDOW_BYTES_MAX,
            limits,
            from,
            bound: None,
            rows: Rows::new(),
            bytes: 0,
            schema: None,
        }
    }

    /// Takes in the rows that a base holds.
    fn begin(&mut self, around: &Around, base: &Base) -> Result<(), Failure> {
        let (request, limits) = (self.request, self.limits);
        let schema = |hash: &[u8; 32]| {
            let stored = around.schema(hash);
            stored.ok_or_else(|| not_stored(&request.module, base.seq))
        };
        let of_base = base.rows_of(
            &request.module,
            &request.table,
            limits,
            schema,
            |key, row| {
                self.change(&Change {
                    table: TableId(0),
                    key: (*key).into(),
                    before: None,
                    after: Some(row.into()),
                });
            },
        )?;
        self.schema = of_base;
        Ok(())
    }

    /// Plays what the log says, from behind the base up to the turn.
    fn play(&mut self, around: &Around, base: &Base, ranges: &[Range]) -> Result<(), Failure> {
        for range in ranges {
            if !self.request.replies.is_streaming(self.request.request) {
                break;
            }
            for_each_step(&around.shared.log, range.start, range.end, |_, step| {
                if step.seq > base.seq && step.seq <= self.request.at {
                    self.step(around, step)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn step(&mut self, around: &Around, step: &StepRecord) -> Result<(), Failure> {
        if step.outcome == Outcome::Committed {
            match &step.input {
                Some(Input::Install {
                    module,
                    hash,
                    on_conflict,
                    ..
                }) if *module == self.request.module => {
                    self.install(around, hash, *on_conflict, step.seq)?;
                }
                Some(
                    Input::InstallAll { modules }
                    | Input::CatchUp {
                        installs: modules, ..
                    },
                ) => {
                    let mut modules = modules.iter();
                    let ours = modules.find(|installing| installing.module == self.request.module);
                    if let Some(ours) = ours {
                        self.install(around, &ours.hash, OnConflict::Refuse, step.seq)?;
                    }
                }
                Some(Input::Remove { module }) if *module == self.request.module => {
                    self.rows.clear();
                    self.bytes = 0;
                    self.schema = None;
                }
                _ => {}
            }
        }
        let Some(table) = self.table() else {
            return Ok(());
        };
        for effect in &step.effects {
            if let Effect::Change { module, change } = effect
                && *module == self.request.module
                && change.table == table
            {
                self.change(change);
            }
        }
        Ok(())
    }

    /// The table's place in the version at hand.
    fn table(&self) -> Option<TableId> {
        let schema = self.schema.as_ref()?;
        schema.table(&self.request.table).map(|(id, _)| id)
    }

    fn change(&mut self, change: &Change) {
        if *change.key < *self.from
            || self
                .bound
                .as_ref()
                .is_some_and(|bound| *change.key >= **bound)
        {
            return;
        }
        let before = match &change.after {
            Some(row) => {
                self.bytes += change.key.len() + row.len();
                self.rows.insert((*change.key).into(), (**row).into())
            }
            None => self.rows.remove(&*change.key),
        };
        if let Some(before) = before {
            self.bytes -= change.key.len() + before.len();
        }
        while self.bytes > self.bytes_max && self.rows.len() > 1 {
            if let Some((key, row)) = self.rows.pop_last() {
                self.bytes -= key.len() + row.len();
                self.bound = Some(key);
            }
        }
    }

    /// Moves the rows to the version that comes at turn `seq`.
    fn install(
        &mut self,
        around: &Around,
        hash: &[u8; 32],
        on_conflict: OnConflict,
        seq: Seq,
    ) -> Result<(), Failure> {
        let module = &self.request.module;
        let new = around.schema(hash).ok_or_else(|| not_stored(module, seq))?;
        let old = self.schema.replace(new.clone());
        let name = &self.request.table;
        let places = old
            .as_ref()
            .and_then(|old| old.table(name))
            .zip(new.table(name));
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let (Some(old), Some(((before, old_table), (after, new_table)))) = (&old, places) else {
            return Ok(());
        };
        let is_part = !self.from.is_empty() || self.bound.is_some();
        if is_part && on_conflict == OnConflict::Wipe && gains_unique(old_table, new_table) {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "table `{name}` has more rows than fit {WINDOW_BYTES_MAX} bytes, so it is not known whether the upgrade with \
                     --wipe at turn {seq} has dropped it; read it as of an earlier turn"
                ),
            ));
        }
        let mut tables = Tables::new(old.clone(), self.limits)?;
        let changes: Vec<Change> = rows
            .into_iter()
            .map(|(key, row)| Change {
                table: before,
                key: (*key).into(),
                before: None,
                after: Some(row.into()),
            })
            .collect();
        tables.redo(&changes, &[])?;
        drop(changes);
        let moved = tables.migrate(new.clone(), on_conflict == OnConflict::Wipe);
        let moved = moved.map_err(|(_, difference)| {
            Failure::internal(format!(
                "the upgrade of `{module}` at turn {seq} does not fit: {difference}"
            ))
        })?;
        let rows = moved.rows_after(after, None, usize::MAX, usize::MAX)?;
        self.bytes = rows.iter().map(|(key, row)| key.len() + row.len()).sum();
        self.rows = rows.into_iter().collect();
        Ok(())
    }
}

fn not_stored(module: &ModuleName, seq: Seq) -> Failure {
    Failure::new(
        Code::Unavailable,
        format!(
            "the version of module `{module}` at turn {seq} is no longer stored, so its rows cannot be read"
        ),
    )
}

/// Whether rows that were allowed may break a unique index that is added.
pub(super) fn gains_unique(old: &TableSchema, new: &TableSchema) -> bool {
    let field = |table: &TableSchema, place: u16| {
        table
            .fields
            .get(usize::from(place))
            .map(|field| field.name.clone())
    };
    new.indexes
        .iter()
        .filter(|index| index.unique)
        .any(|index| {
            let name = field(new, index.field);
            !old.indexes
                .iter()
                .any(|known| known.unique && field(old, known.field) == name)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> TableAtRequest {
        TableAtRequest {
            module: ModuleName::new("m").expect("is a name"),
            unknown: None,
            table: "t".to_string(),
            at: Seq(1),
            limit: 0,
            filter: None,
            row_type: None,
            viewer: Viewer::Owner,
            peer: Arc::new(Peer {
                connection: crate::ingress::ConnectionId(1),
                node: "owner".into(),
                standing: interstice_abi::wire::Standing::Owner,
            }),
            replies: Replies::new(1000, 1000),
            request: 1,
        }
    }

    proptest! {
        #[test]
        fn windows_have_every_row_once_and_little_at_a_time(
            changes in prop::collection::vec((any::<u8>(), prop::option::of(0_usize..40)), 0..200),
            bytes_max in 1_usize..300,
        ) {
            let request = request();
            let limits = RowLimits { row_bytes_max: 100, stateful_row_bytes_max: 100 };
            let mut expected = Rows::new();
            for (key, row) in &changes {
                let key: Box<[u8]> = [*key].into();
                match row {
                    Some(length) => expected.insert(key, vec![7; *length].into()),
                    None => expected.remove(&key),
                };
            }
            let (mut found, mut from) = (Vec::new(), Box::default());
            loop {
                let mut window = Window { bytes_max, ..Window::new(&request, limits, from) };
                for (key, row) in &changes {
                    window.change(&Change {
                        table: TableId(0),
                        key: [*key].as_slice().into(),
                        before: None,
                        after: row.map(|length| vec![7; length].into()),
                    });
                    let held: usize = window.rows.iter().map(|(key, row)| key.len() + row.len()).sum();
                    prop_assert_eq!(held, window.bytes);
                    prop_assert!(held <= bytes_max || window.rows.len() == 1);
                }
                found.extend(window.rows);
                match window.bound {
                    Some(bound) => from = bound,
                    None => break,
                }
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
