//! What a module has missed while it was stopped: the changes of other modules' tables that its
//! reducers would have been handed, from the log.
//!
//! Every change has a place in one order, (position, reducer), and the last place that a module
//! has heard of stands in the log, so nothing is handed over twice and nothing is left out. The
//! log is read in windows and ends with a bounded part of what there is; reading goes on after it.
//! What cannot be handed over any more is named as a gap, at its own place in the order.

use std::{collections::VecDeque, sync::Arc};

use interstice_abi::{
    codec::Column,
    event::{Event, RowEvent, TableRef},
    failure::Failure,
    id::{ModuleName, Position, Seq, StepIndex, TableId},
    schema::ModuleSchema,
    wire::WatchedChange,
};
use interstice_host::schema::View;

use super::{Around, MissedChanges, changes::Readable, index::Absence};

/// Changes that are read at once: their turns take some tens of milliseconds.
const ITEMS_MAX: usize = 1024;

/// Bytes of rows at which it is enough.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the log that are looked through at once, so that tables which hardly change are not
/// looked for in all of it again and again.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// A place in what a module has missed: behind what this reducer is handed of this change, or,
/// without a reducer, behind everything before it.
pub(crate) type Place = (Position, Option<Arc<str>>);

/// A table of another module, and the reducers that are handed its changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) provider: ModuleName,
    /// The turn from which the provider's version runs.
    pub(crate) since: Seq,
    pub(crate) table: String,
    pub(crate) id: TableId,
    /// The turn from which the module may hear of the provider.
    pub(crate) granted: Seq,
    /// Those for an insert, an update, a delete, each in order.
    pub(crate) reducers: [Vec<Arc<str>>; 3],
    /// Those that are told when changes are no longer known.
    pub(crate) gap: Vec<Arc<str>>,
}

/// A table with the module's view of its provider.
pub(crate) type HeardBy = (Heard, Option<Arc<View>>);

/// What is asked of a module that catches up.
pub(crate) struct MissedRequest {
    pub(crate) module: ModuleName,
    pub(crate) tables: Vec<HeardBy>,
    /// Where it goes on; `None` to go on where the log says.
    pub(crate) after: Option<Place>,
    /// The last turn. All turns up to it have ended, and are durable.
    pub(crate) until: Seq,
}

/// What a reducer is handed.
pub(crate) struct MissedItem {
    pub(crate) position: Position,
    pub(crate) reducer: Arc<str>,
    pub(crate) arguments: Arc<[u8]>,
}

impl MissedItem {
    pub(crate) fn place(&self) -> Place {
        (self.position, Some(self.reducer.clone()))
    }
}

/// Changes of a table that cannot be handed over.
pub(crate) struct Gap {
    /// `<module>.<table>`.
    pub(crate) table: String,
    /// The first turn of which they can.
    pub(crate) first: Seq,
    pub(crate) why: String,
}

/// A part of what a module has missed.
pub(crate) struct Found {
    /// The tables for which it was read.
    pub(crate) tables: Vec<Heard>,
    /// In order.
    pub(crate) items: VecDeque<MissedItem>,
    pub(crate) gaps: Vec<Gap>,
    /// Nothing before this place is left when the items are handed over.
    pub(crate) after: Place,
    /// Whether that is all, up to the turn that was asked for.
    pub(crate) is_all: bool,
}

impl MissedRequest {
    /// Reads a part. Blocks.
    pub(crate) fn read(&self, around: &Around) -> Found {
        match self.try_read(around) {
            Ok(found) => found,
            Err(failure) => self.lost(around, &failure),
        }
    }

    fn try_read(&self, around: &Around) -> Result<Found, Failure> {
        let log = &around.shared.log;
        around.shared.history.index().catch_up(log)?;
        let absence = around.shared.history.index().absence(&self.module);
        let mut after = match &self.after {
            Some(place) => place.clone(),
            None => self.begin(around, &absence),
        };
        let tables = self.resumed(around, &absence);
        loop {
            let first = after.0.seq;
            let window = around.shared.history.index().window(first, WINDOW_BYTES);
            let window = window.map(|seq| seq.max(Seq(first.0 + 1)));
            let until = window.unwrap_or(self.until).min(self.until);
            let found = self.window(around, &tables, &after, until)?;
            if !found.items.is_empty() || found.is_all {
                return Ok(found);
            }
            after = found.after;
        }
    }

    /// Where the module has stopped to hear of changes.
    fn begin(&self, around: &Around, absence: &Absence) -> Place {
        match (&absence.heard, absence.stopped) {
            (Some((position, reducer)), _) => {
                // A restored node goes on in another epoch, with the turns of before.
                let position = Position {
                    epoch: around.shared.epoch,
                    ..*position
                };
                (position, Some(reducer.clone()))
            }
            (None, Some(stopped)) => (end_of(around, stopped), None),
            // The log has dropped the turn that stopped it, so it has missed what is kept, and
            // perhaps more.
            (None, None) => (
                end_of(around, Seq(around.kept_after.0.saturating_sub(1))),
                None,
            ),
        }
    }

    /// What the version of before was subscribed to; another subscription begins now.
    fn resumed(&self, around: &Around, absence: &Absence) -> Vec<HeardBy> {
        let stopped = absence.stopped.unwrap_or(around.kept_after);
        let before = around.version(&self.module, stopped);
        let mut tables = self.tables.clone();
        let Some(before) = before else {
            return tables;
        };
        for (heard, _) in &mut tables {
            for (reducers, event) in heard.reducers.iter_mut().zip(ROW_EVENTS) {
                if !is_subscribed(&before.schema, heard.provider.as_str(), &heard.table, event) {
                    reducers.clear();
                }
            }
        }
        tables.retain(|(heard, _)| heard.reducers.iter().any(|reducers| !reducers.is_empty()));
        tables
    }

    /// What there is after a place up to a turn, or the first part of it.
    fn window(
        &self,
        around: &Around,
        tables: &[HeardBy],
        after: &Place,
        until: Seq,
    ) -> Result<Found, Failure> {
        let (mut items, mut gaps) = (Vec::new(), Vec::new());
        let mut bound = end_of(around, until);
        for (heard, view) in tables {
            let missed = self.changes_of(around, heard, after);
            let readable = missed.readable(around);
            if let Some(why) = &readable.gap {
                gaps.push(gap(heard, readable.from, why));
                items.extend(gap_items(heard, readable.from));
            }
            bound = read_table(
                around,
                (heard, view),
                (&missed, &readable),
                bound,
                &mut items,
            )?;
        }
        items.retain(|item| item.place() > *after && item.position <= bound);
        items.sort_by_key(MissedItem::place);
        let is_cut = bound < end_of(around, until);
        let last = items.last().map(MissedItem::place);
        Ok(Found {
            tables: self.tables.iter().map(|(heard, _)| heard.clone()).collect(),
            items: items.into(),
            gaps,
            after: match last {
                Some(last) if is_cut => last,
                _ => (bound, None),
            },
            is_all: !is_cut && until >= self.until,
        })
    }

    fn changes_of(&self, around: &Around, heard: &Heard, after: &Place) -> MissedChanges {
        let from = match after {
            // Another reducer may still have to hear of it.
            (position, Some(_)) => before(*position),
            (position, None) => *position,
        };
        MissedChanges {
            module: heard.provider.clone(),
            table: heard.table.clone(),
            from,
            until: self.until,
            start: around.log_start(),
        }
    }

    /// Nothing can be read: all of it is a gap. What was dropped while it was read is asked for
    /// again.
    fn lost(&self, around: &Around, failure: &Failure) -> Found {
        let end = end_of(around, self.until);
        let is_dropped = around.shared.log.start() > around.log_start();
        let mut found = Found {
            tables: self.tables.iter().map(|(heard, _)| heard.clone()).collect(),
            items: VecDeque::new(),
            gaps: Vec::new(),
            after: (end, None),
            is_all: true,
        };
        if is_dropped {
            // For no table: it fits no catalogue in which the module hears of any.
            found.tables.clear();
            return found;
        }
        let mut items = Vec::new();
        for (heard, _) in &self.tables {
            found.gaps.push(gap(heard, end, &failure.message));
            items.extend(gap_items(heard, end));
        }
        items.sort_by_key(MissedItem::place);
        found.items = items.into();
        found
    }
}

/// Reads the changes of a table up to `bound`, or the first of them; up to where.
fn read_table(
    around: &Around,
    (heard, view): (&Heard, &Option<Arc<View>>),
    (missed, readable): (&MissedChanges, &Readable),
    bound: Position,
    items: &mut Vec<MissedItem>,
) -> Result<Position, Failure> {
    let (mut count, mut bytes, mut read_to) = (0, 0, bound);
    missed.read_some(around, readable, bound.seq, |changes| {
        for change in changes {
            let handed_over = handed_over(&change, heard.id, view.as_deref());
            let handed_over = handed_over.filter(|_| change.position.seq >= heard.granted);
            let Some((event, arguments)) = handed_over else {
                continue;
            };
            let reducers = heard.reducers.get(event).into_iter().flatten();
            for reducer in reducers {
                count += 1;
                bytes += arguments.len();
                items.push(MissedItem {
                    position: change.position,
                    reducer: reducer.clone(),
                    arguments: arguments.clone(),
                });
            }
            if count >= ITEMS_MAX || bytes >= BYTES_MAX {
                read_to = read_to.min(change.position);
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(read_to)
}

/// The place of a change's event among a table's, and the rows as the subscriber reads them.
fn handed_over(
    change: &WatchedChange,
    table: TableId,
    view: Option<&View>,
) -> Option<(usize, Arc<[u8]>)> {
    let event = match (&change.before, &change.after) {
        (None, Some(_)) => 0,
        (Some(_), Some(_)) => 1,
        (Some(_), None) => 2,
        (None, None) => return None,
    };
    let mut arguments = Vec::new();
    for row in [&change.before, &change.after].into_iter().flatten() {
        match view {
            None => arguments.extend_from_slice(row),
            Some(view) => arguments.extend_from_slice(&view.row(table, row)),
        }
    }
    Some((event, arguments.into()))
}

/// The events in the order of [`Heard::reducers`].
const ROW_EVENTS: [RowEvent; 3] = [RowEvent::Insert, RowEvent::Update, RowEvent::Delete];

/// Whether a module is subscribed to rows of another one's table.
pub(crate) fn is_subscribed(
    schema: &ModuleSchema,
    provider: &str,
    table: &str,
    event: RowEvent,
) -> bool {
    let event = Event::Row {
        table: TableRef {
            node: None,
            module: Some(provider.to_string()),
            table: table.to_string(),
        },
        event,
    };
    let mut reducers = schema.reducers.iter();
    reducers.any(|reducer| reducer.events.contains(&event))
}

fn gap(heard: &Heard, from: Position, why: &str) -> Gap {
    Gap {
        table: format!("{}.{}", heard.provider, heard.table),
        first: Seq(from.seq.0 + 1),
        why: why.to_string(),
    }
}

/// What the reducers are handed that hear of gaps.
fn gap_items(heard: &Heard, from: Position) -> impl Iterator<Item = MissedItem> {
    let first = from.seq.0 + 1;
    heard.gap.iter().map(move |reducer| MissedItem {
        position: from,
        reducer: reducer.clone(),
        arguments: first.to_bytes().into(),
    })
}

/// Behind every change of a turn.
fn end_of(around: &Around, seq: Seq) -> Position {
    Position {
        epoch: around.shared.epoch,
        seq,
        step: StepIndex(u32::MAX),
        index: u32::MAX,
    }
}

/// The position before another one.
fn before(position: Position) -> Position {
    match (position.step.0, position.index) {
        (step, index @ 1..) => Position {
            index: index - 1,
            step: StepIndex(step),
            ..position
        },
        (step @ 1.., 0) => Position {
            step: StepIndex(step - 1),
            index: u32::MAX,
            ..position
        },
        (0, 0) => Position {
            seq: Seq(position.seq.0.saturating_sub(1)),
            step: StepIndex(u32::MAX),
            index: u32::MAX,
            ..position
        },
    }
}
