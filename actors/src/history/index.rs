//! Where in the log which turns and modules are, by pieces of [`PIECE_BYTES`], and when which
//! version of a module came.
//!
//! It is in memory only and grows when it is asked for: the first request of a run reads the whole
//! kept log once, later ones what came since. Invariant: every record before [`Index::read_to`]
//! that the log still has lies in exactly one piece.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Position, Seq},
};
use interstice_host::{
    log::{Log, LogPosition},
    module::Effect,
};

use super::unreadable;
use crate::record::{Input, Outcome, Record, StepRecord};

/// Bytes of the log in one piece: what is read for a single turn at least, and some hundred bytes
/// of memory each.
const PIECE_BYTES: u64 = 256 * 1024;

/// A module's number in the index.
type Number = u32;

/// What is known of the log.
#[derive(Default)]
pub(super) struct Index {
    pieces: Vec<Piece>,
    read_to: LogPosition,
    numbers: BTreeMap<ModuleName, Number>,
    versions: BTreeMap<ModuleName, Vec<Arrival>>,
    /// Modules that hear of no live change at the end of what was read.
    absent: BTreeMap<ModuleName, Absence>,
}

/// A module that is stopped, or catches up with what it has missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Absence {
    /// The turn that stopped it; `None` when the log has dropped that.
    pub(super) stopped: Option<Seq>,
    /// The last change that it has heard of since, and by which reducer.
    pub(super) heard: Option<(Position, Arc<str>)>,
}

/// A piece of the log that holds steps.
struct Piece {
    start: LogPosition,
    end: LogPosition,
    first: Seq,
    last: Seq,
    modules: BTreeSet<Number>,
}

/// A version of a module that came at a turn, or the end of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) seq: Seq,
    /// BLAKE3 of the binary; `None` when the module was removed.
    pub(super) hash: Option<[u8; 32]>,
}

/// A part of the log to read, and the turns in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: LogPosition,
    pub(super) end: LogPosition,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

impl Index {
    /// Takes in what has become durable, and forgets what the log has dropped.
    pub(super) fn catch_up(&mut self, log: &Log) -> Result<(), Failure> {
        let (start, end) = (log.start(), log.durable());
        self.pieces.retain(|piece| piece.end > start);
        let from = self.read_to.max(start);
        if from >= end {
            return Ok(());
        }
        if self.read_to.0 > 0 && from > self.read_to {
            // What the dropped part has said of them is not known.
            self.absent.clear();
        }
        for_each_step(log, from, end, |position, step| {
            self.take(position, step);
            Ok(())
        })?;
        if let Some(last) = self.pieces.last_mut() {
            last.end = end;
        }
        self.read_to = end;
        Ok(())
    }

    fn take(&mut self, position: LogPosition, step: &StepRecord) {
        let modules: BTreeSet<Number> = touched(step)
            .into_iter()
            .map(|name| self.number(name))
            .collect();
        if let (Outcome::Committed, Some(input)) = (&step.outcome, &step.input) {
            let removed = match input {
                Input::Remove { module } => Some((module, None)),
                _ => None,
            };
            let installs = input.installs();
            let installed = installs.map(|(module, hash)| (module, Some(hash)));
            for (module, hash) in installed.chain(removed) {
                let arrival = Arrival {
                    seq: step.seq,
                    hash,
                };
                self.versions
                    .entry(module.clone())
                    .or_default()
                    .push(arrival);
            }
        }
        if let Some(input) = &step.input {
            self.take_absence(step.seq, input, &step.outcome);
        }
        match self.pieces.last_mut() {
            Some(piece) if position.0 < piece.start.0 + PIECE_BYTES => {
                piece.first = piece.first.min(step.seq);
                piece.last = piece.last.max(step.seq);
                piece.modules.extend(modules);
            }
            last => {
                if let Some(piece) = last {
                    piece.end = position;
                }
                self.pieces.push(Piece {
                    start: position,
                    // Until the next piece begins, or reading ends.
                    end: LogPosition(u64::MAX),
                    first: step.seq,
                    last: step.seq,
                    modules,
                });
            }
        }
    }

    /// Which modules hear of changes after this input.
    fn take_absence(&mut self, seq: Seq, input: &Input, outcome: &Outcome) {
        match input {
            Input::Unload { module } | Input::Quarantine { module, .. } => {
                // One that is stopped while it catches up has heard of nothing more.
                let stopped = Absence {
                    stopped: Some(seq),
                    heard: None,
                };
                self.absent.entry(module.clone()).or_insert(stopped);
            }
            Input::Missed {
                module,
                reducer,
                position,
                ..
            } => {
                let absence = self.absent.entry(module.clone()).or_default();
                absence.heard = Some((*position, reducer.clone()));
            }
            Input::Load { module } | Input::Remove { module } => {
                self.absent.remove(module);
            }
            Input::Install { .. } | Input::InstallAll { .. } if *outcome == Outcome::Committed => {
                for (module, _) in input.installs() {
                    self.absent.remove(module);
                }
            }
            Input::CatchUp { modules, installs } => {
                let served = installs.iter().map(|installing| &installing.module);
                for module in served.filter(|module| !modules.contains(module)) {
                    self.absent.remove(module);
                }
            }
            _ => {}
        }
    }

    /// What is known of a module that does not serve.
    pub(super) fn absence(&self, module: &ModuleName) -> Absence {
        self.absent.get(module).cloned().unwrap_or_default()
    }

    /// A turn up to which about `bytes` of the log are to be read, from turn `first` on; `None`
    /// when there are less.
    pub(super) fn window(&self, first: Seq, bytes: u64) -> Option<Seq> {
        let mut left = bytes;
        let pieces = self.pieces.iter().filter(|piece| piece.last >= first);
        for piece in pieces {
            match left.checked_sub(piece.end.0.saturating_sub(piece.start.0)) {
                Some(less) => left = less,
                None => return Some(piece.last),
            }
        }
        None
    }

    fn number(&mut self, name: &ModuleName) -> Number {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = Number::try_from(self.numbers.len()).unwrap_or(Number::MAX);
        self.numbers.insert(name.clone(), number);
        number
    }

    /// Whether the log has spoken of the module since this index was begun.
    pub(super) fn knows(&self, module: &ModuleName) -> bool {
        self.numbers.contains_key(module)
    }

    /// The versions of a module that came in the kept log, oldest first.
    pub(super) fn arrivals(&self, module: &ModuleName) -> &[Arrival] {
        self.versions.get(module).map_or(&[], Vec::as_slice)
    }

    /// The pieces with turns of `first..=last`, and of the module when one is named, in log order.
    pub(super) fn ranges(&self, first: Seq, last: Seq, module: Option<&ModuleName>) -> Vec<Range> {
        let number = match module.map(|module| self.numbers.get(module)) {
            Some(None) => return Vec::new(),
            Some(Some(number)) => Some(*number),
            None => None,
        };
        self.pieces
            .iter()
            .filter(|piece| piece.last >= first && piece.first <= last)
            .filter(|piece| number.is_none_or(|number| piece.modules.contains(&number)))
            .map(|piece| Range {
                start: piece.start,
                end: piece.end,
                first: piece.first,
                last: piece.last,
            })
            .collect()
    }
}

/// Hands the steps from `start` up to `end` to `each`, in log order.
///
/// # Errors
/// What `each` says; what the log says.
pub(super) fn for_each_step(
    log: &Log,
    start: LogPosition,
    end: LogPosition,
    mut each: impl FnMut(LogPosition, &StepRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for entry in log.read(start.max(log.start())) {
        let (position, bytes) = entry.map_err(|error| unreadable(&error))?;
        if position >= end {
            break;
        }
        let record = Record::decode(&bytes).map_err(|problem| {
            Failure::new(
                Code::Corrupt,
                format!("record {position} is damaged: {problem}"),
            )
        })?;
        if let Record::Step(step) = record {
            each(position, &step)?;
        }
    }
    Ok(())
}

/// The modules that a step is about: those that ran, whose tables it changed, whose life it
/// changed, that react to it.
pub(super) fn touched(step: &StepRecord) -> BTreeSet<&ModuleName> {
    let installs = step.input.iter().flat_map(Input::installs);
    let input = step.input.as_ref().and_then(|input| match input {
        Input::Call { module, .. }
        | Input::Timer { module, .. }
        | Input::CancelTimer { module, .. }
        | Input::Install { module, .. }
        | Input::Load { module }
        | Input::Unload { module }
        | Input::Quarantine { module, .. }
        | Input::Remove { module }
        | Input::Drop { module, .. }
        | Input::Missed { module, .. }
        | Input::Grant { module, .. } => Some(module),
        Input::Connect { .. }
        | Input::Disconnect { .. }
        | Input::NodeStart { .. }
        | Input::ModulesStart { .. }
        | Input::InstallAll { .. }
        | Input::CatchUp { .. } => None,
    });
    let catching_up: &[ModuleName] = match &step.input {
        Some(Input::CatchUp { modules, .. }) => modules,
        _ => &[],
    };
    let effects = step.effects.iter().map(|effect| match effect {
        Effect::Change { module, .. } | Effect::Called { module, .. } => module,
    });
    let starts = step.starts.iter().map(|start| &start.module);
    input
        .into_iter()
        .chain(installs.map(|(module, _)| module))
        .chain(catching_up)
        .chain(step.ran.as_ref().map(|ran| &ran.module))
        .chain(effects)
        .chain(starts)
        .collect()
}
