//! Stages 3 to 8 of a turn: its steps, one after the other, as long as they run in this module.
//!
//! The order inside a step is the promise of the design: run the guest; gather every effect in the order made; match them
//! against the routes; append the record; only then commit here, tell callees to commit, and let the next step, the reply
//! and the releases go.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, StepIndex},
    schema::Persistence,
};
use interstice_host::{
    module::{Effect, StepRequest, TurnContext},
    table::{Counter, Savepoint},
};

use super::{
    Traffic,
    core::{Core, FAULTS_IN_A_ROW_MAX},
    nested::{reacher::Reacher, touched::Touched, way::Way},
    turn::{PendingStep, StepKind, Turn, invocation_of_node},
    watch::watchers::Selected,
};
use crate::{
    record::{Outcome, Ran, Record, Start, StartArguments, StepRecord, effect_arguments},
    supervisor::{Quarantine, catalogue::Catalogue},
};

/// What a step came to, before it is recorded.
struct Ended {
    ran: Option<Ran>,
    effects: Vec<Effect>,
    counters: Vec<(ModuleName, Counter)>,
    result: Result<(), Failure>,
    touched: Touched,
    of_load: bool,
}

impl Core {
    /// Runs the turn's next step, and those after it as long as they are this module's; then passes the turn on or ends it.
    pub(super) async fn turn(&mut self, mut turn: Box<Turn>) {
        while let Some(pending) = turn.pending.pop_front() {
            self.step(&mut turn, pending).await;
            for module in turn.take_unreachable() {
                self.send_traffic(&turn.catalogue, module, Traffic::Release(turn.ticket));
            }
            let next = turn.pending.front().map(|step| step.module);
            match next {
                None => break,
                Some(module) if turn.catalogue.index_of(&self.name) == Some(module) => {}
                Some(module) => {
                    let catalogue = turn.catalogue.clone();
                    self.send_traffic(&catalogue, module, Traffic::Continue(turn));
                    return;
                }
            }
        }
        self.end_turn(turn);
    }

    /// Sends to another module's actor, or, for this module, into its own queue.
    fn send_traffic(
        &mut self,
        catalogue: &Catalogue,
        module: super::super::supervisor::catalogue::ModuleIndex,
        traffic: Traffic,
    ) {
        match catalogue.entry(module) {
            Some(entry) if entry.installed.schema.name == self.name => self.traffic(traffic),
            Some(entry) => entry.installed.address.do_send(traffic),
            None => {}
        }
    }

    async fn step(&mut self, turn: &mut Turn, pending: PendingStep) {
        let step = turn.next_step;
        turn.next_step = StepIndex(step.0 + 1);
        let report_again = matches!(pending.what, StepKind::Timer(_) | StepKind::Load(_));
        let counts_to_quarantine = !matches!(pending.what, StepKind::Call(_));
        let savepoint = self.module.tables().savepoint();
        let ended = self.run(turn, step, pending, savepoint).await;
        let failed = ended.result.is_err();
        self.count(&ended, counts_to_quarantine);

        let (starts, arguments, dropped) = self.starts(turn, &ended);
        let record = StepRecord {
            seq: turn.seq,
            step,
            timestamp_ms: turn.timestamp_ms,
            input: turn.input.take(),
            ran: ended.ran,
            outcome: ended
                .result
                .clone()
                .map_or_else(Outcome::Failed, |()| Outcome::Committed),
            effects: ended.effects,
            counters: ended.counters,
            starts,
            dropped,
        };
        let watched = self.watched(turn, &record);
        let record = self.without_ephemeral(&turn.catalogue, record);
        self.append(&Record::Step(Box::new(record)));
        // Behind the record, so that it is synced first; before anything is released, so that no later change overtakes.
        self.shared
            .watchers
            .publish_when_durable(&self.shared.log, watched);
        self.module.tables_mut().commit();
        if !failed {
            for module in ended.touched.modules() {
                self.send_traffic(&turn.catalogue, module, Traffic::Commit(turn.ticket));
            }
        }
        if report_again {
            self.report_timer_again()
        } else {
            self.report_timer()
        }
        turn.pending.extend(arguments);
        turn.dropped += dropped;
        match ended.result {
            Ok(()) => {}
            Err(failure) if step.0 == 0 => turn.refused = Some(failure),
            Err(_) => turn.failed += 1,
        }
    }

    /// Runs the guest of a step. When it fails, everything since `savepoint` but a timer's removal is undone, here and in
    /// every module that it called.
    async fn run(
        &mut self,
        turn: &Turn,
        step: StepIndex,
        pending: PendingStep,
        savepoint: Savepoint,
    ) -> Ended {
        let own = turn
            .catalogue
            .index_of(&self.name)
            .unwrap_or(pending.module);
        let (function, of_load) = self.prepare(&pending);
        let removed = self.own_changes(savepoint);
        let touched = Touched::default();
        let serves = turn
            .catalogue
            .entry(own)
            .is_some_and(super::super::supervisor::catalogue::Entry::serves);
        let Some(function) =
            function.filter(|_| serves || matches!(pending.what, StepKind::Nothing))
        else {
            return Ended {
                ran: None,
                effects: removed,
                counters: Vec::new(),
                result: Ok(()),
                touched,
                of_load,
            };
        };
        let ran = Some(Ran {
            module: self.name.clone(),
            reducer: function.clone(),
        });
        let request = self.request(turn, step, &pending, &function, of_load);
        let reacher = Reacher::new(
            self.shared.clone(),
            Way::of_step(turn, own, of_load),
            touched.clone(),
        );
        let outcome = self.module.run(request, Box::new(reacher)).await;
        self.counters.reducers += 1;
        match outcome.result {
            Ok(_) => {
                let mut effects = removed;
                effects.extend(outcome.effects);
                self.add_call(&turn.catalogue, &function, pending.arguments, &mut effects);
                let mut counters = touched.counters();
                let own = self.module.tables().counters_since(savepoint);
                counters.extend(own.into_iter().map(|counter| (self.name.clone(), counter)));
                Ended {
                    ran,
                    effects,
                    counters,
                    result: Ok(()),
                    touched,
                    of_load,
                }
            }
            Err(failure) => {
                for (module, savepoint) in touched.earliest() {
                    self.send_traffic(
                        &turn.catalogue,
                        module,
                        Traffic::Undo(turn.ticket, savepoint),
                    );
                }
                self.counters.restarts += 1;
                self.note_failure(turn, step, &function, &failure, outcome.is_fault);
                let (touched, counters) = (Touched::default(), Vec::new());
                Ended {
                    ran,
                    effects: removed,
                    counters,
                    result: Err(failure),
                    touched,
                    of_load,
                }
            }
        }
    }

    /// What a step does before its guest runs: the reducer's name, and whether its timers belong to a load.
    fn prepare(&mut self, pending: &PendingStep) -> (Option<String>, bool) {
        match &pending.what {
            StepKind::Call(reducer) | StepKind::Event(reducer) => {
                (Some(reducer.to_string()), pending.of_load)
            }
            StepKind::Timer(timer) => match self.module.tables_mut().take_timer(*timer) {
                Some(timer) => (Some(timer.reducer), timer.of_load),
                None => (None, false),
            },
            StepKind::Load(reducer) => {
                self.module.renew();
                self.module.tables_mut().clear_ephemeral();
                self.module.tables_mut().drop_timers_of_load();
                (reducer.as_ref().map(ToString::to_string), true)
            }
            StepKind::Nothing => (None, false),
        }
    }

    fn request(
        &self,
        turn: &Turn,
        step: StepIndex,
        pending: &PendingStep,
        function: &str,
        of_load: bool,
    ) -> StepRequest {
        StepRequest {
            function: function.to_string(),
            invocation: pending.invocation.clone(),
            arguments: pending.arguments.clone(),
            check_arguments: pending.from_outside,
            turn: TurnContext {
                seq: turn.seq,
                step,
                timestamp_ms: turn.timestamp_ms,
                node_seed: self.shared.seed,
                node_id: self.shared.id.clone(),
                of_load,
            },
            call_ordinal: 0,
            running_us_used: 0,
            depth: 0,
        }
    }

    /// This module's changes since `savepoint`, as effects.
    fn own_changes(&self, savepoint: Savepoint) -> Vec<Effect> {
        let changes = self.module.tables().changes_since(savepoint);
        changes
            .iter()
            .map(|change| Effect::Change {
                module: self.name.clone(),
                change: change.clone(),
            })
            .collect()
    }

    /// Adds the effect that subscribers of `<module>.<reducer>.call` wait for, where there are any.
    pub(super) fn add_call(
        &self,
        catalogue: &Catalogue,
        reducer: &str,
        arguments: Vec<u8>,
        effects: &mut Vec<Effect>,
    ) {
        if !catalogue.call_subscribers(&self.name, reducer).is_empty() {
            effects.push(Effect::Called {
                module: self.name.clone(),
                reducer: reducer.to_string(),
                arguments,
            });
        }
    }

    fn note_failure(
        &mut self,
        turn: &Turn,
        step: StepIndex,
        function: &str,
        failure: &Failure,
        is_fault: bool,
    ) {
        if is_fault {
            self.counters.faults += 1;
            self.last_fault = Some(format!("{function}: {failure}"));
        } else {
            self.counters.rejected += 1;
        }
        if is_fault || step.0 > 0 {
            let what = if is_fault {
                "faulted"
            } else {
                "returned an error"
            };
            self.shared.lines.warn(
                Some(&self.name),
                Some(turn.seq),
                &format!("reducer `{function}` {what}: {failure}"),
            );
        }
    }

    /// Counts faults of events and timers in a row; strangers could cause those of calls.
    fn count(&mut self, ended: &Ended, counts_to_quarantine: bool) {
        if !counts_to_quarantine || ended.ran.is_none() {
            return;
        }
        let is_fault = ended
            .result
            .as_ref()
            .is_err_and(|failure| is_fault(failure.code));
        self.faults_in_a_row = if is_fault {
            self.faults_in_a_row + 1
        } else {
            0
        };
        if self.faults_in_a_row >= FAULTS_IN_A_ROW_MAX && !self.quarantine_asked {
            self.quarantine_asked = true;
            let reason = self.last_fault.clone().unwrap_or_default();
            self.endings.quarantine = Some(Quarantine {
                module: self.name.clone(),
                hash: self.module.binary().hash,
                reason,
            });
        }
    }

    /// The steps that the effects start: what the record says of them, what will run, and how many the budget drops.
    fn starts(&self, turn: &Turn, ended: &Ended) -> (Vec<Start>, Vec<PendingStep>, u32) {
        let mut starts = Vec::new();
        let mut pending = Vec::new();
        let mut dropped = 0;
        let used = turn
            .next_step
            .0
            .saturating_add(u32::try_from(turn.pending.len()).unwrap_or(u32::MAX));
        let room = turn.budget.saturating_sub(used);
        let mut recorded = 0_u32;
        for effect in &ended.effects {
            let is_recorded = !is_ephemeral(&turn.catalogue, effect);
            for subscriber in subscribers(&turn.catalogue, effect) {
                if u32::try_from(starts.len()).unwrap_or(u32::MAX) >= room {
                    dropped += 1;
                    continue;
                }
                let arguments = effect_arguments(effect);
                starts.push(Start {
                    module: subscriber.name.clone(),
                    reducer: subscriber.reducer.to_string(),
                    arguments: if is_recorded {
                        StartArguments::Effect(recorded)
                    } else {
                        StartArguments::Inline(arguments.clone())
                    },
                    of_load: ended.of_load,
                    is_load: false,
                });
                pending.push(PendingStep {
                    module: subscriber.module,
                    what: StepKind::Event(Arc::clone(&subscriber.reducer)),
                    invocation: invocation_of_node(&self.shared.id),
                    arguments,
                    from_outside: false,
                    of_load: ended.of_load,
                });
            }
            recorded += u32::from(is_recorded);
        }
        if dropped > 0 {
            let text = format!(
                "the turn reached its limit of {} steps; {dropped} reactions were dropped",
                turn.budget
            );
            self.shared
                .lines
                .warn(Some(&self.name), Some(turn.seq), &text);
        }
        (starts, pending, dropped)
    }

    /// The changes that somebody watches.
    fn watched(&self, turn: &Turn, record: &StepRecord) -> Selected {
        let watchers = &self.shared.watchers;
        if watchers.is_empty() {
            return Selected::default();
        }
        watchers.select(&turn.catalogue, self.shared.epoch, record)
    }

    fn without_ephemeral(&self, catalogue: &Catalogue, mut record: StepRecord) -> StepRecord {
        record
            .effects
            .retain(|effect| !is_ephemeral(catalogue, effect));
        record
    }

    /// Puts a record into the log. One that does not encode is a mistake of ours: the node must not go on without it.
    fn append(&self, record: &Record) {
        match record.encode() {
            Ok(bytes) => self.shared.append(bytes),
            Err(failure) => self.shared.stop_because(&failure.message),
        }
    }
}

/// Whether a failure is the guest's crash rather than its answer.
pub(crate) const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Trap | Code::Deadline | Code::OutOfMemory | Code::StackOverflow | Code::Internal
    )
}

fn subscribers<'a>(
    catalogue: &'a Catalogue,
    effect: &Effect,
) -> &'a [crate::supervisor::catalogue::Subscriber] {
    match effect {
        Effect::Change { module, change } => {
            catalogue.row_subscribers(module, change.table, change.event())
        }
        Effect::Called {
            module, reducer, ..
        } => catalogue.call_subscribers(module, reducer),
    }
}

/// Whether a change is of an ephemeral table. Hidden tables are logged.
pub(crate) fn is_ephemeral(catalogue: &Catalogue, effect: &Effect) -> bool {
    let Effect::Change { module, change } = effect else {
        return false;
    };
    catalogue
        .index_of(module)
        .and_then(|index| catalogue.entry(index))
        .and_then(|entry| {
            entry
                .installed
                .schema
                .tables
                .get(usize::from(change.table.0))
        })
        .is_some_and(|table| table.persistence == Persistence::Ephemeral)
}
