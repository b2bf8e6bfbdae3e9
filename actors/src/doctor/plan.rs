//! What the doctor would do: how the log is made whole again, and from what the node comes back
//! then.
//!
//! A node comes back from its checkpoint or from a base, and the log from there on. Where the last
//! whole run of blocks reaches back to one of them, nothing is lost: the log is made to begin with
//! that run. Otherwise it can only end before the first damage. Damage after the last whole run is
//! acknowledged records that are gone: the log can only end before it.

use std::path::Path;

use interstice_host::{
    files,
    log::{LogPosition, Run},
};

use super::{
    Consent, DoctorError, Remedy,
    checks::{Checkpoint, Checks, Source},
    epoch, io_error, move_aside,
};
use crate::base;

/// What would be done.
pub(super) struct Plan<'a> {
    log: LogPlan,
    /// From what the node comes back then; `None` when there is no way.
    source: Option<Source<'a>>,
    /// Whether `db/` is damaged, or behind what the log is made to be.
    drops_tables: bool,
    has_broken_bases: bool,
}

enum LogPlan {
    Keep,
    BeginWith(Run),
    /// Empty, behind a checkpoint that the log no longer reaches.
    BeginAnew(Checkpoint),
    EndAt(LogPosition),
}

impl<'a> Plan<'a> {
    pub(super) fn of(checks: &'a Checks) -> Self {
        let within = |start: LogPosition, end: LogPosition| {
            checks
                .beginnings()
                .find(move |(_, position)| start <= *position && *position <= end)
                .map(|(source, _)| source)
        };
        let log = &checks.log;
        let start = log.segments.keys().next().copied().unwrap_or_default();
        let end = log.end().max(start);
        let is_empty = log.runs.is_empty() && !log.is_whole();
        let out_of_reach = match checks.tables {
            Ok(Some(checkpoint))
                if checkpoint.position > end || (is_empty && checkpoint.position >= end) =>
            {
                Some(checkpoint)
            }
            _ => None,
        };
        let (kept, source) = match (out_of_reach, log.runs.first(), log.runs.last()) {
            (Some(checkpoint), ..) => (LogPlan::BeginAnew(checkpoint), Some(Source::Checkpoint)),
            _ if log.is_whole() => (LogPlan::Keep, within(start, end)),
            (None, Some(first), Some(last)) => match within(last.start, last.end) {
                Some(source) if log.is_damaged_only_at_end() => {
                    (LogPlan::EndAt(last.end), Some(source))
                }
                Some(source) => (LogPlan::BeginWith(last.clone()), Some(source)),
                None => (LogPlan::EndAt(first.end), within(first.start, first.end)),
            },
            _ => (LogPlan::Keep, None),
        };
        Self {
            drops_tables: checks.tables.is_err()
                || matches!(
                    (&checks.tables, source),
                    (Ok(Some(_)), Some(Source::Base(_)))
                ),
            log: kept,
            source,
            has_broken_bases: !checks.broken_bases.is_empty(),
        }
    }

    /// Whether a repair at that price does anything.
    pub(super) fn changes_anything(&self, consent: Consent) -> bool {
        if self.costs_turns() && consent == Consent::LoseNothing {
            return false;
        }
        let log = !matches!(self.log, LogPlan::Keep);
        self.source.is_some() && (log || self.drops_tables || self.has_broken_bases)
    }

    /// Whether a repair at that price does something with the log.
    pub(super) fn changes_log(&self, consent: Consent) -> bool {
        !matches!(self.log, LogPlan::Keep) && self.changes_anything(consent)
    }

    /// Whether turns that were acknowledged may be lost.
    fn costs_turns(&self) -> bool {
        match self.log {
            LogPlan::Keep | LogPlan::BeginWith(_) => false,
            LogPlan::BeginAnew(checkpoint) => !checkpoint.is_all,
            LogPlan::EndAt(_) => true,
        }
    }

    /// Does it; what was done.
    pub(super) fn carry_out(
        &self,
        checks: &Checks,
        aside: &Path,
    ) -> Result<Vec<String>, DoctorError> {
        let mut done = Vec::new();
        let folder = checks.directory.path("log");
        let kept = aside.join("log");
        let make = |path: &Path| {
            files::create_private_dir(path).map_err(|source| io_error("create", path, source))
        };
        if !matches!(self.log, LogPlan::Keep) {
            make(&kept)?;
        }
        match &self.log {
            LogPlan::Keep => {}
            LogPlan::BeginWith(run) => {
                checks.log.begin_with(run, &folder, &kept)?;
                done.push(format!(
                    "the log begins at {}, behind its damage",
                    run.start
                ));
            }
            LogPlan::BeginAnew(checkpoint) => {
                let position = checkpoint.position;
                checks
                    .log
                    .begin_anew(position, checkpoint.seq.0, &folder, &kept)?;
                done.push(format!(
                    "the log begins at {position}, empty, behind the last checkpoint"
                ));
            }
            LogPlan::EndAt(end) => {
                checks.log.end_at(*end, &folder, &kept)?;
                done.push(format!(
                    "the log ends at {end}, before its damage; what was behind it is given up"
                ));
            }
        }
        if self.costs_turns() {
            let epoch = epoch::begin(checks)?;
            done.push(format!(
                "epoch {epoch} begins: no number of a turn that was given up is used again, and watches begin afresh"
            ));
        }
        if self.drops_tables {
            move_aside(&checks.directory.path("db"), aside)?;
            done.push("the tables of the last checkpoint are moved away; the next start makes them again from a base and the log".to_string());
        }
        let behind = match self.log {
            LogPlan::EndAt(end) => end,
            _ => LogPosition(u64::MAX),
        };
        let late = checks.bases.iter().filter(|base| base.position > behind);
        let broken = checks.broken_bases.iter().map(|(base, _)| base);
        for path in broken.chain(late).filter_map(|base| base.path.as_deref()) {
            let bases = aside.join(base::FOLDER);
            make(&bases)?;
            move_aside(path, &bases)?;
            done.push(format!("{} is moved away", path.display()));
        }
        Ok(done)
    }

    /// For damage of the log, which may come after everything that is whole.
    pub(super) fn for_log(&self, checks: &Checks, is_at_end: bool) -> Remedy {
        let Some(source) = self.source else {
            return no_way();
        };
        match &self.log {
            LogPlan::Keep => no_way(),
            LogPlan::BeginWith(run) if is_at_end => ends_at(run.end, checks, source),
            LogPlan::BeginWith(run) => Remedy::Repair(format!(
                "makes the log begin at {} and loses nothing: the node comes back from {}; what is older can no longer be replayed",
                run.start,
                named(source)
            )),
            LogPlan::BeginAnew(checkpoint) => self.behind_checkpoint(*checkpoint),
            LogPlan::EndAt(end) => ends_at(*end, checks, source),
        }
    }

    /// For a log that ends before the checkpoint.
    fn behind_checkpoint(&self, checkpoint: Checkpoint) -> Remedy {
        let begins = format!(
            "begins an empty log behind the last checkpoint, which has all up to turn {}",
            checkpoint.seq
        );
        if checkpoint.is_all {
            Remedy::Repair(format!(
                "{begins}: the node was stopped in order, so there was no later one"
            ))
        } else {
            Remedy::CutLog(format!(
                "{begins}; later turns, if there were any, are lost"
            ))
        }
    }

    pub(super) fn for_tables(&self) -> Remedy {
        match (self.source, &self.log) {
            (None, _) => no_way(),
            (Some(source), _) if self.costs_turns() => Remedy::CutLog(format!(
                "moves them away and brings the node back from {}",
                named(source)
            )),
            (Some(source), _) => Remedy::Repair(format!(
                "moves them away and loses nothing: the node comes back from {} and the log",
                named(source)
            )),
        }
    }

    pub(super) fn for_base(&self) -> Remedy {
        match (self.source, &self.log) {
            (None, _) => no_way(),
            (Some(_), _) if self.costs_turns() => Remedy::CutLog("moves it away".to_string()),
            (Some(_), _) => Remedy::Repair("moves it away and loses no state; turns before the next base can no longer be replayed".to_string()),
        }
    }

    /// For a node that does not come back though no part of it is damaged.
    pub(super) fn for_node(&self) -> Remedy {
        if let LogPlan::BeginAnew(checkpoint) = self.log {
            return self.behind_checkpoint(checkpoint);
        }
        match (self.source, self.drops_tables) {
            (Some(source @ Source::Base(_)), true) => Remedy::Repair(format!(
                "moves the tables away: the node comes back from {} and the log",
                named(source)
            )),
            _ => Remedy::ByHand("bring back what it names, or restore a backup".to_string()),
        }
    }
}

fn named(source: Source<'_>) -> String {
    match source {
        Source::Checkpoint => "its last checkpoint".to_string(),
        Source::Base(base) => match &base.path {
            Some(_) => format!("its base of turn {}", base.seq),
            None => "its creation".to_string(),
        },
    }
}

fn ends_at(end: LogPosition, checks: &Checks, source: Source<'_>) -> Remedy {
    Remedy::CutLog(format!(
        "makes the log end at {end} and gives up all turns behind it, {} bytes: the node comes back from {}; a backup may have more",
        checks.log.end_of_all().0.saturating_sub(end.0),
        named(source)
    ))
}

fn no_way() -> Remedy {
    Remedy::ByHand(
        "neither the checkpoint nor a base goes on with what is left of the log: restore a backup"
            .to_string(),
    )
}
