//! From records to a page of the protocol: bounded in effects and bytes, with the schemas that its
//! rows were written under.

use std::collections::HashMap;

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq, TableId},
    schema::{ModuleSchema, Version},
    wire::{
        HistoryBytes, HistoryCursor, HistoryEffect, HistoryInput, HistoryPage, HistoryReducer,
        HistoryStep, SHOWN_BYTES_MAX, TimerChange,
    },
};
use interstice_host::{
    module::Effect,
    table::{Change, Timer},
};

use super::Around;
use crate::record::{Input, Installing, Outcome, StepRecord};

/// Bytes of rows and arguments behind which a page ends: a page is one frame, and a frame should
/// not hold up others for long.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Effects and steps behind which a page ends.
const PAGE_ENTRIES_MAX: usize = 10_000;

/// A page while it is written.
pub(super) struct PageWriter<'a> {
    around: &'a Around,
    page: HistoryPage,
    /// The places of schemas in the page, by module and hash.
    places: HashMap<(ModuleName, [u8; 32]), u32>,
    bytes: usize,
    entries: usize,
}

impl<'a> PageWriter<'a> {
    pub(super) fn new(around: &'a Around) -> Self {
        Self {
            around,
            page: HistoryPage {
                steps: Vec::new(),
                schemas: Vec::new(),
                next: None,
                kept_from: around.kept_from(),
            },
            places: HashMap::new(),
            bytes: 0,
            entries: 0,
        }
    }

    pub(super) fn finish(mut self, next: Option<HistoryCursor>) -> HistoryPage {
        self.page.next = next;
        self.page
    }

    /// Adds a step from its effect `first` on. Where to go on when it did not fit whole.
    pub(super) fn step(&mut self, step: &StepRecord, first: u32) -> Option<HistoryCursor> {
        let at = |effect: u32| HistoryCursor {
            seq: step.seq,
            step: step.step,
            effect,
        };
        if self.is_full() {
            return Some(at(first));
        }
        self.entries += 1;
        let input = step
            .input
            .as_ref()
            .filter(|_| first == 0)
            .map(|input| self.input(input, step.seq));
        let mut shown = HistoryStep {
            seq: step.seq,
            step: step.step,
            time_ms: step.timestamp_ms,
            input,
            ran: step
                .ran
                .as_ref()
                .map(|ran| reducer(&ran.module, &ran.reducer)),
            failure: match &step.outcome {
                Outcome::Committed => None,
                Outcome::Failed(failure) => Some(failure.clone()),
            },
            first_effect: first,
            effects: Vec::new(),
            starts: step
                .starts
                .iter()
                .map(|start| reducer(&start.module, &start.reducer))
                .collect(),
            dropped: step.dropped,
        };
        let skipped = usize::try_from(first).unwrap_or(usize::MAX);
        let mut rest = None;
        for (place, effect) in (0_u32..).zip(&step.effects).skip(skipped) {
            // At least one, so that every page goes on.
            if self.is_full() && !shown.effects.is_empty() {
                rest = Some(at(place));
                break;
            }
            self.entries += 1;
            shown.effects.push(self.effect(effect, step.seq));
        }
        self.page.steps.push(shown);
        rest
    }

    fn is_full(&self) -> bool {
        self.bytes >= PAGE_BYTES_MAX || self.entries >= PAGE_ENTRIES_MAX
    }

    /// The place in the page of the schema under which `module` ran at turn `seq`.
    fn schema(&mut self, module: &ModuleName, seq: Seq) -> Option<(u32, &ModuleSchema)> {
        let version = self.around.version(module, seq)?;
        let key = (module.clone(), version.hash);
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                let place = u32::try_from(self.page.schemas.len()).ok()?;
                self.page.schemas.push(version.schema.as_ref().clone());
                self.places.insert(key, place);
                place
            }
        };
        let schema = self.page.schemas.get(usize::try_from(place).ok()?)?;
        Some((place, schema))
    }

    fn bytes(&mut self, bytes: &[u8]) -> HistoryBytes {
        if bytes.len() > SHOWN_BYTES_MAX {
            return HistoryBytes::LeftOut {
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            };
        }
        self.bytes += bytes.len();
        HistoryBytes::Whole(bytes.to_vec())
    }

    fn effect(&mut self, effect: &Effect, seq: Seq) -> HistoryEffect {
        match effect {
            Effect::Change { module, change } => self.change(module, change, seq),
            Effect::Called {
                module,
                reducer,
                arguments,
            } => HistoryEffect::Called {
                module: module.clone(),
                reducer: reducer.clone(),
                schema: self.schema(module, seq).map(|(place, _)| place),
                arguments: self.bytes(arguments),
            },
        }
    }

    fn change(&mut self, module: &ModuleName, change: &Change, seq: Seq) -> HistoryEffect {
        let number = change.table.0;
        let found = self.schema(module, seq).map(|(place, schema)| {
            let table = schema.tables.get(usize::from(number));
            (place, table.map(|table| table.name.clone()))
        });
        // Behind the declared tables is the one of timers.
        if let Some((_, None)) = &found
            && let Some(timer) = timer(module, change)
        {
            return timer;
        }
        let (schema, table) = match found {
            Some((place, Some(table))) => (Some(place), table),
            _ => (None, format!("#{number}")),
        };
        HistoryEffect::Change {
            module: module.clone(),
            schema,
            table,
            before: change.before.as_deref().map(|row| self.bytes(row)),
            after: change.after.as_deref().map(|row| self.bytes(row)),
        }
    }

    fn input(&mut self, input: &Input, seq: Seq) -> HistoryInput {
        match input.clone() {
            Input::Call {
                caller,
                caller_is_owner,
                module,
                reducer,
                arguments,
            } => HistoryInput::Call {
                caller,
                caller_is_owner,
                reducer: reducer.to_string(),
                schema: self.schema(&module, seq).map(|(place, _)| place),
                arguments: self.bytes(&arguments),
                module,
            },
            Input::Timer { module, timer } => HistoryInput::Timer { module, timer },
            Input::Install {
                module,
                version,
                hash,
                on_conflict,
            } => HistoryInput::Install {
                module,
                version,
                hash,
                on_conflict,
            },
            Input::Load { module } => HistoryInput::Load { module },
            Input::Unload { module } => HistoryInput::Unload { module },
            Input::Quarantine { module, reason } => HistoryInput::Quarantine { module, reason },
            Input::Remove { module } => HistoryInput::Remove { module },
            Input::Grant {
                module,
                target,
                change,
            } => HistoryInput::Grant {
                module,
                target,
                change,
            },
            Input::Connect { node } => HistoryInput::Connect { node },
            Input::Disconnect { node } => HistoryInput::Disconnect { node },
            Input::NodeStart { .. } | Input::ModulesStart { .. } => HistoryInput::NodeStart,
            Input::Drop { module, what } => {
                let schema = self.schema(&module, seq).map(|(_, schema)| schema);
                let name = |table: &TableId| {
                    let known = schema.and_then(|schema| schema.tables.get(usize::from(table.0)));
                    known.map_or_else(|| table.0.to_string(), |table| table.name.clone())
                };
                HistoryInput::Drop {
                    tables: what.tables.iter().map(name).collect(),
                    timers: what.timers,
                    module,
                }
            }
            Input::InstallAll { modules } => HistoryInput::InstallAll {
                modules: named(modules),
            },
            Input::CancelTimer {
                caller,
                module,
                timer,
            } => HistoryInput::CancelTimer {
                caller,
                module,
                timer,
            },
            Input::CatchUp { modules, installs } => HistoryInput::CatchUp {
                modules,
                installed: named(installs),
            },
            Input::Missed {
                module,
                reducer,
                position,
                arguments,
            } => HistoryInput::Missed {
                reducer: reducer.to_string(),
                position,
                schema: self.schema(&module, seq).map(|(place, _)| place),
                arguments: self.bytes(&arguments),
                module,
            },
        }
    }
}

fn named(installs: Vec<Installing>) -> Vec<(ModuleName, Version)> {
    let installs = installs.into_iter();
    installs
        .map(|installing| (installing.module, installing.version))
        .collect()
}

fn reducer(module: &ModuleName, reducer: &str) -> HistoryReducer {
    HistoryReducer {
        module: module.clone(),
        reducer: reducer.to_string(),
    }
}

fn timer(module: &ModuleName, change: &Change) -> Option<HistoryEffect> {
    let (row, what) = match (&change.before, &change.after) {
        (_, Some(after)) => (after, TimerChange::Set),
        (Some(before), None) => (before, TimerChange::Gone),
        (None, None) => return None,
    };
    let timer = Timer::from_row(row).map_err(Failure::internal).ok()?;
    Some(HistoryEffect::Timer {
        module: module.clone(),
        timer: timer.id,
        reducer: timer.reducer,
        due_ms: timer.due_ms,
        change: what,
    })
}
