//! The changes of a table after a position, up to a turn, from the log: what a watch has missed,
//! also across upgrades.
//!
//! Rows that were recorded under an earlier version get what the upgrade gave to the rows that
//! were there: all come in the row type of the version that runs. Where that cannot be done, or
//! would leave something out, the failure says which turn stands in the way.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Position, Seq, TableId},
    schema::{ModuleSchema, Persistence, TableSchema},
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
        let log = &around.shared.log;
        around.shared.history.index().catch_up(log)?;
        let versions = self.versions(around)?;
        let (index, module) = (around.shared.history.index(), Some(&self.module));
        let ranges = index.ranges(self.from.seq, self.until, module);
        drop(index);
        if log.start() > self.start {
            return Err(dropped());
        }
        for range in ranges {
            for step in steps(log, range, self.start) {
                let step = step?;
                if step.seq < self.from.seq || step.seq > self.until {
                    continue;
                }
                self.check_wipe(&versions, &step)?;
                let found = self.changes(&versions, &step);
                if !found.is_empty() && !take(found)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The versions from the one at the position on, oldest first.
    fn versions(&self, around: &Around) -> Result<Vec<Version>, Failure> {
        let module = &self.module;
        let arrivals: Vec<Arrival> = around.shared.history.index().arrivals(module).to_vec();
        let begin = arrivals
            .iter()
            .rev()
            .find(|known| known.seq <= self.from.seq);
        let is_there = match begin {
            Some(arrival) => arrival.hash.is_some(),
            None => around.marked(module).is_some(),
        };
        if !is_there {
            return Err(self.not_from_here(format!(
                "module `{module}` was not installed at turn {}",
                self.from.seq
            )));
        }
        let first = around
            .version(module, self.from.seq)
            .map(|found| found.schema);
        let mut versions = vec![self.version(begin.map_or(Seq(0), |known| known.seq), first)?];
        let later = |known: &&Arrival| known.seq > self.from.seq && known.seq <= self.until;
        for arrival in arrivals.iter().filter(later) {
            let Some(hash) = &arrival.hash else {
                return Err(self.not_from_here(format!(
                    "module `{module}` was removed at turn {}",
                    arrival.seq
                )));
            };
            versions.push(self.version(arrival.seq, around.schema(hash))?);
        }
        self.fit(&mut versions)?;
        Ok(versions)
    }

    fn version(&self, since: Seq, schema: Option<Arc<ModuleSchema>>) -> Result<Version, Failure> {
        let Some(schema) = schema else {
            return Err(self.not_from_here(format!(
                "the version of module `{}` at turn {} is no longer stored",
                self.module,
                since.max(self.from.seq)
            )));
        };
        let Some((table, _)) = schema.table(&self.table) else {
            return Err(self.not_from_here(format!(
                "module `{}` had no table `{}` at turn {}",
                self.module,
                self.table,
                since.max(self.from.seq)
            )));
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
    fn fit(&self, versions: &mut [Version]) -> Result<(), Failure> {
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
                return Err(self.not_from_here(format!(
                    "the upgrade of module `{}` at turn {} has given table `{}` other rows",
                    self.module, next.since, self.table
                )));
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
    fn check_wipe(&self, versions: &[Version], step: &StepRecord) -> Result<(), Failure> {
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
        Err(self.not_from_here(format!(
            "the upgrade of module `{module}` at turn {} may have dropped rows of table `{}`",
            step.seq, self.table
        )))
    }

    fn changes(&self, versions: &[Version], step: &StepRecord) -> Vec<WatchedChange> {
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
                        && position > self.from =>
                {
                    Some(changed(position, change, &version.added))
                }
                _ => None,
            }
        });
        found.collect()
    }

    fn not_from_here(&self, why: String) -> Failure {
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
