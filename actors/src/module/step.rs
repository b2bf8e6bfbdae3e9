//! Stages 3 to 8 of a turn: its steps, one after the other, as long as they run in this module.
//!
//! The order inside a step is the promise of the design: run the guest; gather every effect in the order made; match them
//! against the routes; append the record; only then commit here, tell callees to commit, and let the next step, the reply
//! and the releases go.

mod faults;

mod heavy;

pub(crate) mod reactions;

pub(crate) mod running;

use std::{pin::pin, task::Poll, time::Duration};

use interstice_abi::id::StepIndex;
use interstice_host::module::TurnContext;

pub(crate) use self::reactions::is_ephemeral;
use self::{
    faults::FailedStep,
    heavy::is_heavy,
    reactions::drop_ephemeral,
    running::{Ended, RecordHead, execute, prepare},
};
use super::{
    Traffic,
    core::{Core, Work},
    lane::Breather,
    nested::{reacher::Reacher, touched::Touched, trace::Trace, way::Way},
    query::was_ended,
    turn::{PendingStep, StepKind, Turn},
    under_way::Pause,
};
use crate::{supervisor::catalogue::Catalogue, turns::snapshot::Snapshot};

/// So many effects are matched, recorded and committed in one piece.
const EFFECTS_AT_ONCE: usize = 64;

/// After how long a turn that goes on in this module lets the actor look at its mailbox before
/// the next step: so that one who asks how the module does waits for a step and not for
/// thousands.
const TURN_PER_DRIVE: Duration = Duration::from_millis(1);

impl Core {
    /// Runs the turn's next step, and those after it as long as they are this module's; then passes the turn on or ends it.
    pub(super) async fn turn(&mut self, mut turn: Box<Turn>, breather: &mut Breather) {
        let mut is_first = true;
        while !turn.pending.is_empty() {
            if !std::mem::take(&mut is_first) {
                if breather.breathe().await >= TURN_PER_DRIVE {
                    // It keeps its place in front; what is asked of the actor meanwhile comes
                    // before its next step.
                    self.queue.work(turn.ticket, Work::Turn(turn));
                    self.pause = Pause::GoesOn;
                    return;
                }
                self.shared.room_in_log().await;
            }
            let Some(pending) = turn.pending.pop_front() else {
                break;
            };
            if self.shared.shedding.turns_stop() || !self.step(&mut turn, pending, breather).await {
                self.stop_turn(*turn);
                self.turn_is_through();
                return;
            }
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
                    self.turn_is_through();
                    return;
                }
            }
        }
        self.end_turn(turn);
        self.turn_is_through();
    }

    /// Sends to another module's actor, or, for this module, into its own queue.
    pub(super) fn send_traffic(
        &mut self,
        catalogue: &Catalogue,
        module: super::super::supervisor::catalogue::ModuleIndex,
        traffic: Traffic,
    ) {
        match catalogue.entry(module) {
            Some(entry) if entry.installed.schema.name == self.name => self.traffic(traffic),
            Some(entry) => {
                self.hand_over_records();
                entry.installed.address.deliver(traffic);
            }
            None => {}
        }
    }

    /// Runs one step. Returns whether it has happened: it has not when it failed because the node ends.
    async fn step(
        &mut self,
        turn: &mut Turn,
        pending: PendingStep,
        breather: &mut Breather,
    ) -> bool {
        let step = turn.next_step;
        turn.next_step = StepIndex(step.0 + 1);
        let own = pending.module;
        let what = pending.what.clone();
        let dropped = self.why_dropped(turn, step, &what);
        let mut is_dropped = dropped.is_some();
        let (touched, trace) = self.take_spare();
        let ended = match dropped {
            Some(why) => self.drop_step(turn, &pending, why),
            None => {
                let step = (step, &what);
                self.run(turn, step, pending, &touched, &trace).await
            }
        };
        let result = ended.result.clone();
        if self.shared.shedding.turns_stop() && was_ended(&result) {
            // A module that it called has stopped already. Without a record the next start runs the step again.
            return false;
        }
        is_dropped = is_dropped || self.was_cut_short(turn, step, &result);
        if !is_dropped {
            let ran = Duration::from_micros(ended.running_us);
            turn.left = turn.left.saturating_sub(ran);
            self.count(turn, &what, &ended);
        }

        // What follows takes as long as the step has effects, in pieces between which others may have the core.
        let is_large = ended.effects.len() > EFFECTS_AT_ONCE;
        if is_large {
            breather.breathe().await;
        }
        let starts = self.starts(turn, own, &ended);
        let head = RecordHead {
            seq: turn.seq,
            step,
            timestamp_ms: turn.timestamp_ms,
            input: turn.input.take(),
        };
        let mut record = ended.into_record(head, starts.recorded, starts.dropped, &trace);
        let watched = self.watched(turn, &record);
        if starts.any_ephemeral {
            drop_ephemeral(&turn.catalogue, &mut record);
        }
        if is_large {
            breather.breathe().await;
        }
        let input = if is_heavy(&record) {
            let input = record.input.clone();
            self.record_apart(record).await;
            input
        } else {
            self.record(&record);
            record.input
        };
        if !watched.is_empty() {
            // Behind the record, so that it is synced first; before anything is released, so that no later change overtakes.
            self.hand_over_records();
            self.shared
                .watchers
                .publish_when_durable(&self.shared.log, watched);
        }
        if is_large {
            breather.breathe().await;
        }
        self.module.tables_mut().commit();
        if result.is_ok() {
            for module in touched.modules() {
                self.send_traffic(&turn.catalogue, module, Traffic::Commit(turn.ticket));
            }
        }
        self.keep_spare(touched, trace);
        match what {
            StepKind::Timer(timer) => self.report_timer_ended(timer),
            StepKind::Load(_) | StepKind::Drop(_) => self.report_timers_again(),
            StepKind::Call(_)
            | StepKind::Event(_)
            | StepKind::CancelTimer(_)
            | StepKind::Nothing => self.report_timers(),
        }
        turn.pending.extend(starts.pending);
        if step.0 == 0 && !turn.pending.is_empty() {
            turn.began = input;
        }
        turn.dropped += starts.dropped + u32::from(is_dropped);
        match result {
            Ok(()) => {}
            Err(failure) if step.0 == 0 => turn.refused = Some(Box::new(failure)),
            Err(_) => turn.failed += u32::from(!is_dropped),
        }
        true
    }

    /// Runs the guest of a step. When it fails, everything but what came before the guest is undone, here and in every module
    /// that it called.
    async fn run(
        &mut self,
        turn: &Turn,
        (step, what): (StepIndex, &StepKind),
        pending: PendingStep,
        touched: &Touched,
        trace: &Trace,
    ) -> Ended {
        let own = pending.module;
        let module = &mut self.module;
        let mut prepared = prepare(module, &turn.catalogue, own, &pending, turn.timestamp_ms);
        let is_timer = matches!(what, StepKind::Timer(_));
        // What a load does before its guest runs may take long.
        let began = self.piece_began.take();
        prepared.began = began.filter(|_| !matches!(what, StepKind::Load(_)));
        if prepared.function.is_none() {
            return prepared.without_guest();
        }
        let way = Way::of_step(turn, own, prepared.of_load, trace.clone());
        let way = match what {
            StepKind::Load(_) => way.undroppable(),
            _ => way,
        };
        let reacher = Reacher::new(self.shared.clone(), way, touched.clone(), 0);
        let reacher = Box::new(reacher);
        let context = self.context(turn, step);
        let ended = {
            let mut running = pin!(execute(
                &mut self.module,
                &turn.catalogue,
                prepared,
                pending,
                context,
                reacher,
                touched,
            ));
            match futures::poll!(running.as_mut()) {
                Poll::Ready(ended) => ended,
                Poll::Pending => {
                    let snapshot = Snapshot::running(turn, (own, what), step);
                    let _shown = self.running.show(snapshot);
                    running.await
                }
            }
        };
        self.counters.reducers += 1;
        if let Err(failure) = &ended.result {
            self.undo_touched(turn, touched);
            self.counters.restarts += 1;
            let function = ended.ran.as_ref().map_or("", |ran| &ran.reducer);
            let of = if is_timer {
                FailedStep::Timer
            } else {
                FailedStep::Other(step)
            };
            self.note_failure(turn, of, function, failure, ended.is_fault);
        }
        ended
    }

    fn undo_touched(&mut self, turn: &Turn, touched: &Touched) {
        for (module, savepoint) in touched.earliest() {
            let undo = Traffic::Undo(turn.ticket, savepoint);
            self.send_traffic(&turn.catalogue, module, undo);
        }
    }

    fn context(&self, turn: &Turn, step: StepIndex) -> TurnContext {
        TurnContext {
            seq: turn.seq,
            step,
            timestamp_ms: turn.timestamp_ms,
            node_seed: self.shared.seed,
            node_id: self.node.clone(),
            of_load: false,
        }
    }
}
