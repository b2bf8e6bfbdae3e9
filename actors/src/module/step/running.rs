//! What one step is, whoever runs it: the module's actor when it happens, replay when it is looked
//! at again.
//!
//! Nothing here knows of messages, of the log or of counts: the caller undoes a step that has
//! failed, appends the record and tells others. Both callers go through these functions, so that
//! they cannot come to mean different things.

use std::{sync::Arc, time::Instant};

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq, StepIndex},
};
use interstice_host::{
    module::{Effect, Module, Outside, StepRequest, TurnContext},
    table::{Counter, Savepoint, Tables},
};

use crate::{
    module::{
        nested::{touched::Touched, trace::Trace},
        turn::{PendingStep, StepKind},
    },
    record::{Dropping, Input, Outcome, Ran, Start, StepRecord},
    supervisor::catalogue::{Catalogue, Entry, ModuleIndex},
};

/// A step whose guest has not run yet.
pub(crate) struct Prepared {
    /// The tables' state before it.
    pub(crate) savepoint: Savepoint,
    /// What will run, if anything.
    pub(crate) function: Option<Arc<str>>,
    /// Whether its timers belong to a load.
    pub(crate) of_load: bool,
    /// Why what is not the guest's could not be done.
    pub(crate) refused: Option<Box<Failure>>,
    /// What a timer hands its reducer in place of what the step was given.
    pub(crate) arguments: Option<Arc<[u8]>>,
    /// What was changed on the way, and holds whatever becomes of the step: timers that are gone
    /// or have their next time.
    pub(crate) kept: Vec<Effect>,
    /// The counters that moved on the way.
    pub(crate) counters: Vec<(ModuleName, Counter)>,
    /// When its guest begins, where the clock has just been read.
    pub(crate) began: Option<Instant>,
}

/// What a step came to, before it is recorded.
pub(crate) struct Ended {
    pub(crate) ran: Option<Ran>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) counters: Vec<(ModuleName, Counter)>,
    pub(crate) result: Result<(), Failure>,
    /// A crash or a limit, as opposed to an error that the guest returned.
    pub(crate) is_fault: bool,
    pub(crate) of_load: bool,
    /// How long a reaction has run, in microseconds, what it called included. Of other steps it is
    /// not known.
    pub(crate) running_us: u64,
}

/// Where a record stands.
pub(crate) struct RecordHead {
    pub(crate) seq: Seq,
    pub(crate) step: StepIndex,
    pub(crate) timestamp_ms: u64,
    pub(crate) input: Option<Input>,
}

/// Does what comes before the guest in a turn of `timestamp_ms`: a timer is taken out or gets its
/// next time, a load begins an instance's life.
pub(crate) fn prepare<A>(
    module: &mut Module,
    catalogue: &Catalogue<A>,
    own: ModuleIndex,
    pending: &PendingStep,
    timestamp_ms: u64,
) -> Prepared {
    let savepoint = module.tables().savepoint();
    let (mut arguments, mut refused) = (None, None);
    let (function, of_load) = match &pending.what {
        StepKind::Call(reducer) | StepKind::Event(reducer) => {
            (Some(Arc::clone(reducer)), pending.of_load)
        }
        StepKind::Timer(timer) => match module.tables_mut().fire_timer(*timer, timestamp_ms) {
            Some(timer) => {
                arguments = Some(timer.arguments.into());
                (Some(timer.reducer.into()), timer.of_load)
            }
            None => (None, false),
        },
        StepKind::Load(reducer) => {
            module.renew();
            module.tables_mut().clear_ephemeral();
            module.tables_mut().drop_timers_of_load();
            module.tables_mut().set_timers_of_schema(timestamp_ms);
            (reducer.clone(), true)
        }
        StepKind::Drop(what) => {
            drop_data(module.tables_mut(), what);
            (None, false)
        }
        StepKind::CancelTimer(timer) => {
            refused = module.tables_mut().cancel(*timer).err().map(Box::new);
            (None, false)
        }
        StepKind::Nothing => (None, false),
    };
    let name = &module.binary().schema.name;
    let kept = module.tables().changes_since(savepoint).iter();
    let kept = kept.map(|change| Effect::Change {
        module: name.clone(),
        change: change.clone(),
    });
    let kept = kept.collect();
    let counters = module.tables().counters_since(savepoint);
    let counters = counters.map(|counter| (name.clone(), counter)).collect();
    let runs = catalogue.entry(own).is_some_and(Entry::runs);
    Prepared {
        savepoint,
        function: function.filter(|_| runs),
        of_load,
        refused,
        arguments,
        kept,
        counters,
        began: None,
    }
}

/// Deletes data that an upgrade drops.
fn drop_data(tables: &mut Tables, what: &Dropping) {
    for timer in &what.timers {
        tables.take_timer(*timer);
    }
    let (mut rows_left, mut bytes_left) = (what.rows_max, what.bytes_max);
    for table in &what.tables {
        match tables.delete_some(*table, rows_left, bytes_left) {
            Ok((rows, bytes)) => {
                rows_left = rows_left.saturating_sub(rows);
                bytes_left = bytes_left.saturating_sub(bytes);
            }
            // The tables are those of the schema that the module has.
            Err(failure) => tracing::error!(%failure, "rows could not be dropped; this is a bug"),
        }
    }
}

impl Prepared {
    /// The end of a step that has no guest to run.
    pub(crate) fn without_guest(self) -> Ended {
        Ended {
            ran: None,
            counters: self.counters,
            effects: self.kept,
            result: self.refused.map_or(Ok(()), |failure| Err(*failure)),
            is_fault: false,
            of_load: self.of_load,
            running_us: 0,
        }
    }

    /// The end of a step whose guest has failed.
    pub(crate) fn failed(self, module: &Module, failure: Failure, is_fault: bool) -> Ended {
        let name = module.binary().schema.name.clone();
        Ended {
            counters: self.counters,
            ran: self.function.map(|reducer| Ran {
                module: name,
                reducer,
            }),
            effects: self.kept,
            result: Err(failure),
            is_fault,
            of_load: self.of_load,
            running_us: 0,
        }
    }
}

/// Runs the guest of a step that was prepared. When it fails, its own module is undone but for
/// what was done before; what `touched` holds is the caller's to undo.
pub(crate) async fn execute<A>(
    module: &mut Module,
    catalogue: &Catalogue<A>,
    prepared: Prepared,
    pending: PendingStep,
    turn: TurnContext,
    outside: Box<dyn Outside>,
    touched: &Touched,
) -> Ended {
    let Some(function) = prepared.function.clone() else {
        return prepared.without_guest();
    };
    let (mut turn, mut prepared) = (turn, prepared);
    turn.of_load = prepared.of_load;
    let entry = catalogue.entry(pending.module);
    let arguments = prepared.arguments.take();
    let arguments = arguments.unwrap_or_else(|| pending.arguments.into_bytes());
    let called = entry.and_then(|entry| call_effect(entry, &function, &arguments));
    let is_timed = matches!(pending.what, StepKind::Event(_));
    let request = Box::new(StepRequest {
        function: function.clone(),
        caller: pending.caller,
        arguments,
        check_arguments: pending.from_outside,
        turn,
        call_ordinal: 0,
        running_us_used: 0,
        bytes_held: 0,
        depth: 0,
        began: prepared.began,
        is_timed,
    });
    let outcome = module.run(request, outside).await;
    let running_us = outcome.running_us;
    if let Err(failure) = outcome.result {
        return Ended {
            running_us,
            ..prepared.failed(module, failure, outcome.is_fault)
        };
    }
    let name = module.binary().schema.name.clone();
    let mut effects = prepared.kept;
    if effects.is_empty() {
        effects = outcome.effects;
    } else {
        effects.extend(outcome.effects);
    }
    effects.extend(called);
    let mut counters = touched.counters();
    let own = module.tables().counters_since(prepared.savepoint);
    counters.extend(own.map(|counter| (name.clone(), counter)));
    Ended {
        ran: Some(Ran {
            module: name,
            reducer: function,
        }),
        effects,
        counters,
        result: Ok(()),
        is_fault: false,
        of_load: prepared.of_load,
        running_us,
    }
}

/// The effect that subscribers of `<module>.<reducer>.call` wait for, where there are any.
pub(crate) fn call_effect<A>(
    module: &Entry<A>,
    reducer: &str,
    arguments: &Arc<[u8]>,
) -> Option<Effect> {
    (!module.call_subscribers(reducer).is_empty()).then(|| Effect::Called {
        module: module.installed.schema.name.clone(),
        reducer: reducer.to_string(),
        arguments: Arc::clone(arguments),
    })
}

impl Ended {
    /// The record of the step, changes of ephemeral tables still in it.
    pub(crate) fn into_record(
        self,
        head: RecordHead,
        starts: Vec<Start>,
        dropped: u32,
        trace: &Trace,
    ) -> StepRecord {
        let outcome = self
            .result
            .map_or_else(Outcome::Failed, |()| Outcome::Committed);
        let renewed = if outcome.runs_again() {
            Vec::new()
        } else {
            trace.ran(self.ran.as_ref().map(|ran| &ran.module))
        };
        StepRecord {
            seq: head.seq,
            step: head.step,
            timestamp_ms: head.timestamp_ms,
            input: head.input,
            ran: self.ran,
            outcome,
            effects: self.effects,
            counters: self.counters,
            starts,
            dropped,
            answers: trace.answers(),
            renewed,
        }
    }
}
