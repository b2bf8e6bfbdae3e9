//! What is known of a turn at one moment, and where the turn stands whose step runs in a module.
//!
//! A step that ends at its first poll is never noted: only one that computes for longer than a
//! tick of the clock, or waits for another module's actor, can be seen while it runs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use interstice_abi::{
    id::{ModuleName, NodeId, Seq, StepIndex},
    wire::{TURN_HOLDS_SHOWN_MAX, TurnBegan, TurnUnderWay},
};

use crate::{
    apart::Apart,
    module::turn::{StepKind, Turn},
    one_or_more::OneOrMore,
    record::Input,
    supervisor::catalogue::{Catalogue, ModuleIndex},
};

/// What is known of a turn. Cheap to take; names are looked up when it is told.
#[derive(Clone)]
pub(crate) struct Snapshot {
    seq: Seq,
    timestamp_ms: u64,
    began: Began,
    module: ModuleIndex,
    reducer: Option<Arc<str>>,
    /// Since when its step runs.
    runs_since: Option<Instant>,
    steps: u32,
    waiting: usize,
    left: Duration,
    catalogue: Apart<Catalogue>,
    held: OneOrMore<ModuleIndex>,
    resumed: bool,
    dropped: bool,
}

/// What a turn began with.
#[derive(Clone)]
enum Began {
    Call(NodeId, ModuleName, Arc<str>),
    Timer(ModuleName),
    Connection(NodeId),
    Node,
}

impl Began {
    fn of(turn: &Turn) -> Self {
        match turn.input.as_ref().or(turn.began.as_ref()) {
            Some(Input::Call {
                caller,
                module,
                reducer,
                ..
            }) => Self::Call(caller.clone(), module.clone(), Arc::clone(reducer)),
            Some(Input::Timer { module, .. }) => Self::Timer(module.clone()),
            Some(Input::Connect { node } | Input::Disconnect { node }) => {
                Self::Connection(node.clone())
            }
            _ => Self::Node,
        }
    }

    fn tell(&self) -> TurnBegan {
        match self {
            Self::Call(caller, module, reducer) => TurnBegan::Call {
                caller: caller.clone(),
                module: module.clone(),
                reducer: reducer.to_string(),
            },
            Self::Timer(module) => TurnBegan::Timer {
                module: module.clone(),
            },
            Self::Connection(node) => TurnBegan::Connection { node: node.clone() },
            Self::Node => TurnBegan::Node,
        }
    }
}

impl Snapshot {
    /// Of a turn that waits for its next step; `None` of one that has none.
    pub(crate) fn waiting(turn: &Turn) -> Option<Self> {
        let next = turn.pending.front()?;
        let at = (next.module, &next.what);
        Some(Self::of(turn, at, turn.next_step))
    }

    /// Of a turn whose `step` has begun to run.
    pub(crate) fn running(turn: &Turn, at: (ModuleIndex, &StepKind), step: StepIndex) -> Self {
        Self {
            runs_since: Some(Instant::now()),
            ..Self::of(turn, at, step)
        }
    }

    fn of(turn: &Turn, (module, what): (ModuleIndex, &StepKind), ended: StepIndex) -> Self {
        Self {
            seq: turn.seq,
            timestamp_ms: turn.timestamp_ms,
            began: Began::of(turn),
            module,
            reducer: what.reducer(),
            runs_since: None,
            steps: ended.0,
            waiting: turn.pending.len(),
            left: turn.left,
            catalogue: turn.catalogue.clone(),
            held: turn.held.clone(),
            resumed: turn.resumed,
            dropped: turn.dropped_at.is_some(),
        }
    }

    /// The turn's number.
    pub(crate) fn seq(&self) -> Seq {
        self.seq
    }

    /// What owners learn of it at `now_ms`, when the reactions of a turn may run for `turn_time`.
    pub(crate) fn tell(&self, now_ms: u64, turn_time: Duration) -> Option<TurnUnderWay> {
        let name = |module: ModuleIndex| {
            let entry = self.catalogue.entry(module)?;
            Some(entry.installed.schema.name.clone())
        };
        let ran = turn_time.saturating_sub(self.left);
        let runs = self.runs_since.map(|since| since.elapsed());
        let ran = ran.saturating_add(runs.unwrap_or_default());
        let holds = self.held.iter().filter_map(|module| name(*module));
        Some(TurnUnderWay {
            seq: self.seq,
            began: self.began.tell(),
            module: name(self.module)?,
            reducer: self.reducer.as_deref().unwrap_or_default().to_string(),
            runs: runs.is_some(),
            steps: self.steps,
            waiting: u32::try_from(self.waiting).unwrap_or(u32::MAX),
            age_ms: now_ms.saturating_sub(self.timestamp_ms),
            running_ms: u64::try_from(ran.as_millis()).unwrap_or(u64::MAX),
            holds: holds.take(TURN_HOLDS_SHOWN_MAX).collect(),
            holds_count: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            resumed: self.resumed,
            dropped: self.dropped,
        })
    }
}

/// The turn whose step runs in a module, for those who do not wait for the module's actor.
#[derive(Default)]
pub(crate) struct Running(Mutex<Option<Snapshot>>);

/// As long as this is kept, the turn is shown.
pub(crate) struct Shown<'a>(&'a Running);

impl Running {
    /// Shows a turn.
    pub(crate) fn show(&self, turn: Snapshot) -> Shown<'_> {
        *self.locked() = Some(turn);
        Shown(self)
    }

    /// The turn that is shown.
    pub(crate) fn look(&self) -> Option<Snapshot> {
        self.locked().clone()
    }

    /// Whether this turn is shown.
    pub(crate) fn is(&self, seq: Seq) -> bool {
        let shown = self.locked();
        shown.as_ref().is_some_and(|shown| shown.seq == seq)
    }

    fn locked(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        *self.0.locked() = None;
    }
}
