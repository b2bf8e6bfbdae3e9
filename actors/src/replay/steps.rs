//! From one record to the next: turns that are under way, and each of their steps, run again.

use std::collections::BTreeMap;

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq, StepIndex},
};
use interstice_host::{
    limits::Limits,
    module::{Module, TurnContext},
    table::Tables,
};

use super::{
    Difference, ReplayError,
    compare::compare,
    neighbours::{Answers, Neighbours, undo},
    world::{First, World},
};
use crate::{
    apart::Apart,
    module::{
        nested::{touched::Touched, trace::Trace, way::Way},
        step::{
            reactions::{Starts, drop_ephemeral, starts},
            running::{Ended, RecordHead, execute, prepare},
        },
        turn::{
            PendingStep, StepKind, Ticket,
            pending::{Budget, Pending},
        },
    },
    record::{Input, NamedLimits, Outcome, Record, StepRecord},
};

/// A replay under way.
pub(super) struct Replay {
    world: World,
    /// The last turn that the world held at the beginning.
    base: Seq,
    open: BTreeMap<Seq, Open>,
    pub(super) counts: Counts,
}

/// What was replayed.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) turns: u64,
    pub(super) steps: u64,
    pub(super) taken: u64,
    pub(super) last_seq: Seq,
}

/// What is left of a turn.
struct Open {
    next_step: StepIndex,
    budget: Budget,
    pending: Pending,
}

impl Replay {
    /// Of a world that holds every turn up to `base`.
    pub(super) fn new(world: World, base: Seq) -> Self {
        Self {
            world,
            base,
            open: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Does again what a record says; where that comes out differently.
    pub(super) async fn record(
        &mut self,
        record: Record,
    ) -> Result<Option<Difference>, ReplayError> {
        match record {
            Record::Step(step) if step.seq <= self.base => Ok(None),
            Record::Step(step) => self.step(&step).await,
            Record::Restart { limits, .. }
            | Record::Restarted {
                limits: NamedLimits(limits),
                ..
            } => self.restart(limits).map(|()| None),
            Record::Base { seq } => {
                self.world.base(seq);
                Ok(None)
            }
        }
    }

    /// The tables at the end.
    pub(super) fn into_tables(self) -> BTreeMap<ModuleName, Tables> {
        let modules = self.world.catalogue.installed().into_iter();
        modules
            .filter_map(|(name, installed)| {
                let module = installed.address.take_out().ok()?;
                Some((name, module.into_tables()))
            })
            .collect()
    }

    /// The turns that are under way go on with what is left of them, as recovery lets them.
    fn restart(&mut self, limits: Limits) -> Result<(), ReplayError> {
        for open in self.open.values_mut() {
            open.budget = Budget::from(&limits);
            open.pending.for_each(|step| {
                // The load of the restart takes the place of one that was cut off.
                if matches!(step.what, StepKind::Load(_)) {
                    step.what = StepKind::Nothing;
                }
            });
        }
        Ok(self.world.restart(limits)?)
    }

    async fn step(&mut self, record: &StepRecord) -> Result<Option<Difference>, ReplayError> {
        let mut open = self.open_turn(record)?;
        let first = match &record.input {
            Some(input) => self.world.input(input, record.seq)?,
            None => First::OfModule(
                open.pending
                    .pop_front()
                    .ok_or_else(|| wrong(record, "nothing is left to do in the turn"))?,
            ),
        };
        open.next_step = StepIndex(record.step.0 + 1);
        self.counts.steps += 1;
        self.counts.turns += u64::from(record.input.is_some());
        self.counts.last_seq = self.counts.last_seq.max(record.seq);
        let (replayed, pending) = match first {
            First::OfModule(step) => self.run(record, step, &open).await?,
            First::OfNode(steps) => (self.own(record, &steps), steps),
        };
        if let Some(what) = compare(&self.world.catalogue, record, &replayed) {
            return Ok(Some(Difference {
                seq: record.seq,
                step: record.step,
                module: record.ran.as_ref().map(|ran| ran.module.clone()),
                reducer: record.ran.as_ref().map(|ran| ran.reducer.to_string()),
                what,
            }));
        }
        if let (Some(Input::Install { module, .. }), Outcome::Failed(_)) =
            (&record.input, &record.outcome)
        {
            // A module whose `init` fails is not installed.
            self.world.remove(module)?;
        }
        open.pending.extend(pending);
        if !open.pending.is_empty() {
            self.open.insert(record.seq, open);
        }
        Ok(None)
    }

    /// The turn of a record, which must have come to this step.
    fn open_turn(&mut self, record: &StepRecord) -> Result<Open, ReplayError> {
        let known = self.open.remove(&record.seq);
        match (known, &record.input) {
            (Some(open), None) if open.next_step == record.step => Ok(open),
            (Some(open), None) => {
                let text = format!("step {} should be next", open.next_step);
                Err(wrong(record, &text))
            }
            (None, Some(_)) if record.step == StepIndex(0) => Ok(Open {
                next_step: StepIndex(0),
                budget: Budget::from(&self.world.limits),
                pending: Pending::default(),
            }),
            (None, None) => Err(wrong(
                record,
                "its turn has not begun, or is over; records before it are missing",
            )),
            (_, Some(_)) => Err(wrong(record, "a turn begins with its input, once")),
        }
    }

    /// The record of a step of the node's own.
    fn own(&self, record: &StepRecord, steps: &[PendingStep]) -> StepRecord {
        let ended = Ended {
            ran: None,
            effects: Vec::new(),
            counters: Vec::new(),
            result: Ok(()),
            is_fault: false,
            of_load: false,
            running_us: 0,
        };
        let starts = steps
            .iter()
            .filter_map(|step| step.start(&self.world.catalogue))
            .collect();
        ended.into_record(head(record), starts, 0, &Trace::default())
    }

    /// Runs a step again: the record that it makes, and what it starts. Its changes hold from here
    /// on.
    async fn run(
        &mut self,
        record: &StepRecord,
        step: PendingStep,
        open: &Open,
    ) -> Result<(StepRecord, Vec<PendingStep>), ReplayError> {
        let catalogue = self.world.catalogue.clone();
        let own = step.module;
        let slot = self.world.slot(own)?;
        let mut module = slot.take(record.seq)?;
        let touched = Touched::default();
        let (ended, trace) = self.guest(record, step, &mut module, &touched).await?;
        module.tables_mut().commit();
        slot.put(module);
        if ended.result.is_ok() {
            for index in touched.modules() {
                self.world.slot(index)?.with(|module| {
                    module.tables_mut().commit();
                })?;
            }
        } else {
            undo(&catalogue, &touched)?;
        }
        let room = open.budget.left(open.next_step, &open.pending);
        let Starts {
            recorded,
            pending,
            dropped,
            any_ephemeral,
        } = starts(&self.world.node, &catalogue, own, &ended, room);
        let mut replayed = ended.into_record(head(record), recorded, dropped, &trace);
        if any_ephemeral {
            drop_ephemeral(&catalogue, &mut replayed);
        }
        Ok((replayed, pending))
    }

    async fn guest(
        &mut self,
        record: &StepRecord,
        step: PendingStep,
        module: &mut Module,
        touched: &Touched,
    ) -> Result<(Ended, Trace), Failure> {
        let catalogue = self.world.catalogue.clone();
        let own = step.module;
        let prepared = prepare(module, &catalogue, own, &step, record.timestamp_ms);
        if let (Some(_), Outcome::Failed(failure)) = (&prepared.function, &record.outcome)
            && !record.outcome.runs_again()
        {
            self.counts.taken += 1;
            let ended = prepared.failed(module, failure.clone(), true);
            module.renew();
            for renewed in &record.renewed {
                let slot = self.world.slot(self.world.index(renewed)?)?;
                let mut module = slot.take(record.seq)?;
                module.renew();
                slot.put(module);
            }
            return Ok((ended, Trace::default()));
        }
        let way = Way::new(
            Ticket(0),
            Apart::new(catalogue.clone()),
            own,
            prepared.of_load,
        );
        let trace = way.trace.clone();
        let outside = Box::new(Neighbours {
            node: self.world.node.clone(),
            way,
            touched: touched.clone(),
            answers: Answers::new(&record.answers),
        });
        let context = TurnContext {
            seq: record.seq,
            step: record.step,
            timestamp_ms: record.timestamp_ms,
            node_seed: self.world.seed,
            node_id: self.world.node.clone(),
            of_load: false,
        };
        let ended = execute(
            module, &catalogue, prepared, step, context, outside, touched,
        )
        .await;
        Ok((ended, trace))
    }
}

fn head(record: &StepRecord) -> RecordHead {
    RecordHead {
        seq: record.seq,
        step: record.step,
        timestamp_ms: record.timestamp_ms,
        input: record.input.clone(),
    }
}

fn wrong(record: &StepRecord, problem: &str) -> ReplayError {
    ReplayError::Order {
        seq: record.seq,
        step: record.step,
        problem: problem.to_string(),
    }
}
