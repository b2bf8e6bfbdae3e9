//! The changes of a table after a position, up to a turn, from the log: what a watch or a
//! subscriber has missed, also across upgrades.
//!
//! Rows that were recorded under an earlier version get what the upgrade gave to the rows that
//! were there: all come in the row type of the version that runs. Where that cannot be done, or
//! would leave something out, the failure says which turn stands in the way.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Position, Seq, StepIndex, TableId},
    schema::{ModuleSchema, Persistence, TableSchema, Visibility},
    wire::{OnConflict, WatchedChange},
};
use interstice_host::{
    log::{Log, LogError, LogPosition},
    module::Effect,
    schema::{added_value, difference},
    table::Change,
};

use super::{
    Around,
    index::{Arrival, Range},
    table_at::gains_unique,
};
use crate::record::{Input, Outcome, Record, StepRecord};

/// The changes of a table that are wanted.
pub(crate) struct MissedChanges {
    pub(crate) module: ModuleName,
    pub(crate) table: String,
    /// Those after this position.
    pub(crate) from: Position,
    /// The last turn.
    pub(crate) until: Seq,
    /// Where the log began when they were asked for.
    pub(crate) start: LogPosition,
}

/// One version of the module, as far as the table is concerned.
struct Version {
    /// The turn from which it ran.
    since: Seq,
    schema: Arc<ModuleSchema>,
    table: TableId,
    /// What its rows have got since.
    added: Vec<u8>,
}

impl Version {
    fn table(&self) -> Option<&TableSchema> {
        self.schema.tables.get(usize::from(self.table.0))
    }
}

/// What the log still has of a table's changes in a form that the present version reads.
pub(super) struct Readable {
    versions: Vec<Version>,
    /// The changes after this position.
    pub(super) from: Position,
    /// Why those before it that were asked for are not among them, if there may be any.
    pub(super) gap: Option<String>,
}

impl MissedChanges {
    /// Hands the changes over step by step, in order, until there are no more or `take` wants
    /// none. Reads the log.
    ///
    /// # Errors
    /// Why the log does not have all of them in the row type of the present version, or what
    /// `take` fails with.
    pub(crate) fn read(
        &self,
        around: &Around,
        mut take: impl FnMut(Vec<WatchedChange>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        around.shared.history.index().catch_up(&around.shared.log)?;
        let versions = self.versions(around, self.from.seq);
        let versions = versions.map_err(|why| self.not_from_here(&why))?;
        self.read_as(around, &versions, (self.from, self.until), &mut take)
    }

    /// As [`MissedChanges::read`], of what is readable, up to turn `until`.
    pub(super) fn read_some(
        &self,
        around: &Around,
        readable: &Readable,
        until: Seq,
        mut take: impl FnMut(Vec<WatchedChange>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let part = (readable.from, until);
        self.read_as(around, &readable.versions, part, &mut take)
    }

    /// What of the changes a subscriber in another module can be handed: those of the kept log
    /// since the table is there, public, and has kept its rows over every upgrade.
    pub(super) fn readable(&self, around: &Around) -> Readable {
        let (kept, asked) = (around.kept_after, self.from.seq);
        let mut gap = (asked < kept).then(|| format!("the turns up to {kept} are no longer kept"));
        let from = match &gap {
            Some(_) => self.end_of(kept),
            None => self.from,
        };
        match self.public_versions(around, from.seq) {
            Ok(versions) => {
                return Readable {
                    versions,
                    from,
                    gap,
                };
            }
            Err(why) => gap = Some(why),
        }
        let history = &around.shared.history;
        let arrivals: Vec<Arrival> = history.index().arrivals(&self.module).to_vec();
        let is_later = |known: &&Arrival| known.seq > from.seq && known.seq <= self.until;
        for arrival in arrivals.iter().filter(is_later) {
            if let Ok(versions) = self.public_versions(around, arrival.seq) {
                return Readable {
                    versions,
                    from: self.end_of(Seq(arrival.seq.0 - 1)),
                    gap,
                };
            }
        }
        Readable {
            versions: Vec::new(),
            from: self.end_of(self.until),
            gap,
        }
    }

    /// Behind every change of a turn.
    pub(super) fn end_of(&self, seq: Seq) -> Position {
        Position {
            epoch: self.from.epoch,
            seq,
            step: StepIndex(u32::MAX),
            index: u32::MAX,
        }
    }

    fn read_as(
        &self,
        around: &Around,
        versions: &[Version],
        (from, until): (Position, Seq),
        take: &mut impl FnMut(Vec<WatchedChange>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let log = &around.shared.log;
        let (index, module) = (around.shared.history.index(), Some(&self.module));
        let ranges = index.ranges(from.seq, until, module);
        drop(index);
        if log.start() > self.start {
            return Err(dropped());
        }
        for range in ranges {
            for step in steps(log, range, self.start) {
                let step = step?;
                if step.seq < from.seq || step.seq > until {
                    continue;
                }
                let wiped = self.check_wipe(versions, &step);
                wiped.map_err(|why| self.not_from_here(&why))?;
                let found = self.changes(versions, &step, from);
                if !found.is_empty() && !take(found)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn public_versions(&self, around: &Around, at: Seq) -> Result<Vec<Version>, String> {
        let versions = self.versions(around, at)?;
        let is_private = |version: &&Version| {
            let table = version.table();
            table.is_none_or(|table| table.visibility == Visibility::Private)
        };
        match versions.iter().find(is_private) {
            None => Ok(versions),
            Some(version) => Err(format!(
                "table `{}` of module `{}` was private at turn {}",
                self.table,
                self.module,
                version.since.max(at)
            )),
        }
    }

    /// The versions from the one at turn `at` on, oldest first; or why there is not one after
    /// the other.
    fn versions(&self, around: &Around, at: Seq) -> Result<Vec<Version>, String> {
        let module = &self.module;
        let arrivals: Vec<Arrival> = around.shared.history.index().arrivals(module).to_vec();
        let begin = arrivals.iter().rev().find(|known| known.seq <= at);
        let is_there = match begin {
            Some(arrival) => arrival.hash.is_some(),
            None => around.marked(module).is_some(),
        };
        if !is_there {
            return Err(format!("module `{module}` was not installed at turn {at}"));
        }
        let first = around.version(module, at).map(|found| found.schema);
        let since = begin.map_or(Seq(0), |known| known.seq);
        let mut versions = vec![self.version((since, at), first)?];
        let later = |known: &&Arrival| known.seq > at && known.seq <= self.until;
        for arrival in arrivals.iter().filter(later) {
            let Some(hash) = &arrival.hash else {
                return Err(format!(
                    "module `{module}` was removed at turn {}",
                    arrival.seq
                ));
            };
            versions.push(self.version((arrival.seq, at), around.schema(hash))?);
        }
        self.fit(&mut versions)?;
        Ok(versions)
    }

    fn version(
        &self,
        (since, at): (Seq, Seq),
        schema: Option<Arc<ModuleSchema>>,
    ) -> Result<Version, String> {
        let Some(schema) = schema else {
            return Err(format!(
                "the version of module `{}` at turn {} is no longer stored",
                self.module,
                since.max(at)
            ));
        };
        let Some((table, _)) = schema.table(&self.table) else {
            return Err(format!(
                "module `{}` had no table `{}` at turn {}",
                self.module,
                self.table,
                since.max(at)
            ));
        };
        Ok(Version {
            since,
            schema,
            table,
            added: Vec::new(),
        })
    }

    /// Checks that each version has kept the rows of the one before, and notes what it has given
    /// to them.
    fn fit(&self, versions: &mut [Version]) -> Result<(), String> {
        for place in 1..versions.len() {
            let (before, after) = versions.split_at_mut(place);
            let (Some(next), Some(last)) = (after.first(), before.last()) else {
                break;
            };
            let (Some(old), Some(new)) = (last.table(), next.table()) else {
                break;
            };
            let difference = difference(&last.schema, &next.schema);
            let is_kept = |table: &TableSchema| table.persistence != Persistence::Ephemeral;
            let keeps = is_kept(old)
                && is_kept(new)
                && !difference.dropped_tables().contains(self.table.as_str());
            let columns = old.fields.len();
            let added: Option<Vec<&[u8]>> =
                new.fields.iter().skip(columns).map(added_value).collect();
            let Some(added) = added.filter(|_| keeps) else {
                return Err(format!(
                    "the upgrade of module `{}` at turn {} has given table `{}` other rows",
                    self.module, next.since, self.table
                ));
            };
            let added = added.concat();
            for version in before {
                version.added.extend_from_slice(&added);
            }
        }
        Ok(())
    }

    /// An upgrade with --wipe that adds a unique index drops rows that share a value, and its
    /// record does not say whether it has dropped some.
    fn check_wipe(&self, versions: &[Version], step: &StepRecord) -> Result<(), String> {
        let Some(Input::Install {
            module,
            on_conflict: OnConflict::Wipe,
            ..
        }) = &step.input
        else {
            return Ok(());
        };
        let place = versions.iter().position(|known| known.since == step.seq);
        let pair = place.and_then(|place| versions.get(place.checked_sub(1)?..=place));
        let Some([old, new]) = pair else {
            return Ok(());
        };
        let gains = old
            .table()
            .zip(new.table())
            .is_some_and(|(old, new)| gains_unique(old, new));
        if *module != self.module
            || step.outcome != Outcome::Committed
            || !gains
            || !step.effects.is_empty()
        {
            return Ok(());
        }
        Err(format!(
            "the upgrade of module `{module}` at turn {} may have dropped rows of table `{}`",
            step.seq, self.table
        ))
    }

    fn changes(
        &self,
        versions: &[Version],
        step: &StepRecord,
        from: Position,
    ) -> Vec<WatchedChange> {
        let version = versions.iter().rev().find(|known| known.since <= step.seq);
        let Some(version) = version.or(versions.first()) else {
            return Vec::new();
        };
        let effects = (0..).zip(&step.effects);
        let found = effects.filter_map(|(index, effect)| {
            let position = Position {
                epoch: self.from.epoch,
                seq: step.seq,
                step: step.step,
                index,
            };
            match effect {
                Effect::Change { module, change }
                    if *module == self.module
                        && change.table == version.table
                        && position > from =>
                {
                    Some(changed(position, change, &version.added))
                }
                _ => None,
            }
        });
        found.collect()
    }

    fn not_from_here(&self, why: &str) -> Failure {
        let text = format!(
            "a watch cannot resume from {}: {why}; watch without --from",
            self.from
        );
        Failure::new(Code::NotFound, text)
    }
}

/// A change whose rows get `added` at their end.
fn changed(position: Position, change: &Change, added: &[u8]) -> WatchedChange {
    let longer = |row: &[u8]| [row, added].concat();
    WatchedChange {
        position,
        before: change.before.as_ref().map(|row| longer(row)),
        after: change.after.as_ref().map(|row| longer(row)),
    }
}

/// The steps of a piece of the log, from `start` on. Where the log has dropped some of them
/// since, that is said and nothing is left out.
fn steps(
    log: &Log,
    range: Range,
    start: LogPosition,
) -> impl Iterator<Item = Result<StepRecord, Failure>> {
    let entries = log.read(range.start.max(start));
    let in_range = entries
        .take_while(move |entry| !matches!(entry, Ok((position, _)) if *position >= range.end));
    in_range.filter_map(|entry| match entry {
        Ok((_, bytes)) => match Record::decode(&bytes) {
            Ok(Record::Step(step)) => Some(Ok(*step)),
            Ok(_) => None,
            Err(problem) => Some(Err(Failure::new(Code::Corrupt, problem))),
        },
        Err(LogError::Truncated { .. }) => Some(Err(dropped())),
        Err(other) => Some(Err(Failure::new(Code::Corrupt, other.to_string()))),
    })
}

fn dropped() -> Failure {
    let text = "the log was dropped while this watch was reading it; watch without --from";
    Failure::new(Code::NotFound, text)
}

#[cfg(test)]
mod tests;
