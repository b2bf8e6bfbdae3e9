//! [`View`]: how a module sees another one that has grown since its binding was made.
//!
//! The provider's rows, results and the arguments of calls that it reports are cut to what the
//! reader was compiled against; what the reader passes to the provider's functions is filled up.
//! Indexes, which a reader names by their place, are found by their column. Everything here
//! follows from two schemas, so a node, its recovery and a replay see the same.

use std::{borrow::Cow, collections::BTreeMap};

use interstice_abi::{
    codec::Damaged,
    failure::Failure,
    host_call::ScanBatch,
    id::TableId,
    schema::{Dependency, ModuleSchema, TableSchema},
    types::{Field, Fields, TypeKind, TypeSet},
    walk::Unresolved,
};

use super::projection::{Projection, Sequence};
use crate::module::{CallKind, ReadRequest};

/// How a module sees another one that has grown since its binding was made.
#[derive(Debug)]
pub struct View {
    /// What the reader gets.
    seen: Projection,
    /// What the reader gives.
    given: Projection,
    tables: BTreeMap<TableId, TableView>,
    reducers: BTreeMap<String, FunctionView>,
    queries: BTreeMap<String, FunctionView>,
}

/// A read whose answer has rows that are to be cut.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    table: TableId,
    form: Form,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// 0, or 1 and a row.
    Row,
    /// A [`ScanBatch`].
    Batch,
}

/// A table that has other columns or indexes than the binding says.
#[derive(Debug)]
struct TableView {
    /// How a row is cut; `None` where it is the same.
    row: Option<Sequence>,
    /// The place of each of the reader's indexes.
    indexes: Vec<u16>,
}

/// A function with other types than the binding says.
#[derive(Debug, Default)]
struct FunctionView {
    /// From the reader's arguments to the provider's.
    arguments: Option<Sequence>,
    /// From the provider's arguments to the reader's, which reacts to calls.
    reported: Option<Sequence>,
    /// From the provider's result to the reader's.
    result: Option<Sequence>,
}

impl View {
    /// How a module with the binding `dependency`, which fits (`check_binding`), sees `provider`;
    /// `None` where nothing differs.
    #[must_use]
    pub fn new(dependency: &Dependency, provider: &ModuleSchema) -> Option<Self> {
        match Self::of(dependency, provider) {
            Ok(view) => view,
            Err(error) => {
                tracing::error!(module = %provider.name, %error, "a checked schema cannot be laid out; this is a bug");
                None
            }
        }
    }

    fn of(dependency: &Dependency, provider: &ModuleSchema) -> Result<Option<Self>, Unresolved> {
        let (reader, whole) = (&dependency.types, with_defaults(provider));
        let mut view = Self {
            seen: Projection::of(&provider.types)?,
            given: Projection::of(reader)?,
            tables: BTreeMap::new(),
            reducers: BTreeMap::new(),
            queries: BTreeMap::new(),
        };
        for wanted in &dependency.tables {
            let Some((id, known)) = provider.table(&wanted.name) else {
                continue;
            };
            let (to, from) = (&wanted.fields, &known.fields);
            let row = view.seen.sequence(from, &provider.types, to, reader)?;
            let indexes = places(wanted, known);
            let moved = indexes.iter().zip(0..).any(|(place, own)| *place != own);
            if row.is_some() || moved {
                view.tables.insert(id, TableView { row, indexes });
            }
        }
        for wanted in &dependency.reducers {
            let Some(known) = provider.reducer(&wanted.name) else {
                continue;
            };
            let (ours, theirs) = (&wanted.arguments, &known.arguments);
            let function = FunctionView {
                arguments: view.given.sequence(ours, reader, theirs, &whole)?,
                reported: view.seen.sequence(theirs, &provider.types, ours, reader)?,
                result: None,
            };
            if function.differs() {
                view.reducers.insert(wanted.name.clone(), function);
            }
        }
        for wanted in &dependency.queries {
            let Some(known) = provider.query(&wanted.name) else {
                continue;
            };
            let (ours, theirs) = (&wanted.arguments, &known.arguments);
            let (to, from) = (&wanted.result, &known.result);
            let function = FunctionView {
                arguments: view.given.sequence(ours, reader, theirs, &whole)?,
                reported: None,
                result: view.seen.value(from, &provider.types, to, reader)?,
            };
            if function.differs() {
                view.queries.insert(wanted.name.clone(), function);
            }
        }
        let is_empty =
            view.tables.is_empty() && view.reducers.is_empty() && view.queries.is_empty();
        Ok((!is_empty).then_some(view))
    }

    /// A row of `table` as the reader knows it.
    #[must_use]
    pub fn row<'a>(&self, table: TableId, row: &'a [u8]) -> Cow<'a, [u8]> {
        let known = self.tables.get(&table);
        projected(&self.seen, known.and_then(|known| known.row.as_ref()), row)
    }

    /// The arguments of a call of `reducer` to which the reader reacts.
    #[must_use]
    pub fn reported<'a>(&self, reducer: &str, arguments: &'a [u8]) -> Cow<'a, [u8]> {
        let known = self.reducers.get(reducer);
        let plan = known.and_then(|known| known.reported.as_ref());
        projected(&self.seen, plan, arguments)
    }

    /// What the provider's function takes, from what the reader passes.
    pub fn give(&self, kind: CallKind, function: &str, arguments: &mut Vec<u8>) {
        let known = match kind {
            CallKind::Reducer => self.reducers.get(function),
            CallKind::Query => self.queries.get(function),
        };
        let plan = known.and_then(|known| known.arguments.as_ref());
        // What is no list of arguments is refused where arguments are checked.
        if let Some(Ok(filled)) = plan.map(|plan| self.given.apply(plan, arguments)) {
            *arguments = filled;
        }
    }

    /// A query's result as the reader knows it.
    #[must_use]
    pub fn result(&self, query: &str, result: Vec<u8>) -> Vec<u8> {
        let known = self.queries.get(query);
        match known.and_then(|known| known.result.as_ref()) {
            Some(plan) => projected(&self.seen, Some(plan), &result).into_owned(),
            None => result,
        }
    }

    /// Names the index of a read of `table` as the provider does. The form of the answer, where
    /// rows in it are to be cut.
    pub fn ask(&self, table: TableId, read: &mut ReadRequest) -> Option<Asked> {
        let known = self.tables.get(&table)?;
        let (index, form) = match read {
            ReadRequest::Get { index, .. } => (Some(index), Form::Row),
            ReadRequest::Scan(request) => (Some(&mut request.index), Form::Batch),
            ReadRequest::Edge { .. } => (None, Form::Row),
            ReadRequest::Count => return None,
        };
        if let Some(index) = index
            && let Some(place) = index.checked_sub(1)
            && let Some(place) = known.indexes.get(usize::from(place))
        {
            *index = place.saturating_add(1);
        }
        known.row.as_ref().map(|_| Asked { table, form })
    }

    /// The answer to a read, with rows as the reader knows them.
    ///
    /// # Errors
    /// `Internal` for what is no answer.
    pub fn answer(&self, asked: Asked, answer: Vec<u8>) -> Result<Vec<u8>, Failure> {
        match (asked.form, answer.split_first()) {
            (Form::Row, Some((1, row))) => {
                let mut out = vec![1];
                out.extend_from_slice(&self.row(asked.table, row));
                Ok(out)
            }
            (Form::Row, _) => Ok(answer),
            (Form::Batch, _) => {
                let mut batch: ScanBatch =
                    postcard::from_bytes(&answer).map_err(Failure::internal)?;
                for row in &mut batch.rows {
                    *row = self.row(asked.table, row).into_owned();
                }
                postcard::to_allocvec(&batch).map_err(Failure::internal)
            }
        }
    }
}

impl FunctionView {
    fn differs(&self) -> bool {
        self.arguments.is_some() || self.reported.is_some() || self.result.is_some()
    }
}

/// The provider's types, with the defaults of its tables' columns in their row types.
pub(super) fn with_defaults(provider: &ModuleSchema) -> Cow<'_, TypeSet> {
    let has_default = |table: &&TableSchema| {
        let mut fields = table.fields.iter();
        fields.any(|field: &Field| field.default.is_some())
    };
    let mut types = Cow::Borrowed(&provider.types);
    for table in provider.tables.iter().filter(has_default) {
        if let Some(definition) = types.to_mut().types.get_mut(&table.type_name) {
            definition.kind = TypeKind::Struct(Fields::Named(table.fields.clone()));
        }
    }
    types
}

/// The place of each index of `wanted` in `known`.
fn places(wanted: &TableSchema, known: &TableSchema) -> Vec<u16> {
    let place = |field: u16| {
        let place = known.indexes.iter().position(|there| there.field == field);
        place.and_then(|place| u16::try_from(place).ok())
    };
    let indexes = wanted.indexes.iter().zip(0..);
    indexes
        .map(|(index, own)| place(index.field).unwrap_or(own))
        .collect()
}

/// Values that were checked when they came in always project.
fn projected<'a>(by: &Projection, plan: Option<&Sequence>, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(plan) = plan else {
        return Cow::Borrowed(bytes);
    };
    let projected: Result<Vec<u8>, Damaged> = by.apply(plan, bytes);
    match projected {
        Ok(bytes) => Cow::Owned(bytes),
        Err(damaged) => {
            tracing::error!(%damaged, "a value is not of its type; this is a bug");
            Cow::Borrowed(bytes)
        }
    }
}
