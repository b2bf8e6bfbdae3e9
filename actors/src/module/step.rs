//! Stages 3 to 8 of a turn: its steps, one after the other, as long as they run in this module.
//!
//! The order inside a step is the promise of the design: run the guest; gather every effect in the order made; match them
//! against the routes; append the record; only then commit here, tell callees to commit, and let the next step, the reply
//! and the releases go.

mod faults;

mod reactions;

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, StepIndex},
};
use interstice_host::{
    module::{Effect, StepRequest, TurnContext},
    table::{Counter, Savepoint},
};

pub(crate) use self::reactions::is_ephemeral;
use super::{
    Traffic,
    core::Core,
    nested::{reacher::Reacher, touched::Touched, way::Way},
    turn::{PendingStep, StepKind, Turn},
};
use crate::{
    record::{Outcome, Ran, Record, StepRecord},
    supervisor::catalogue::Catalogue,
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
            answers: Vec::new(),
            renewed: Vec::new(),
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

    /// Puts a record into the log. One that does not encode is a mistake of ours: the node must not go on without it.
    fn append(&self, record: &Record) {
        match record.encode() {
            Ok(bytes) => self.shared.append(bytes),
            Err(failure) => self.shared.stop_because(&failure.message),
        }
    }
}
