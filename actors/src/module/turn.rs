//! A turn on its way: one stamped input and what is left to do of it.
//!
//! A [`Turn`] travels with its next step; whoever holds it releases the modules that nothing pending can reach. A module's
//! actor that holds the last of it ends it: answers the client and tells the supervisor.

pub(crate) mod pending;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use interstice_abi::{
    event::Event,
    failure::Failure,
    id::{NodeId, Seq, StepIndex},
    wire::{Ack, Called},
};
use interstice_host::module::Caller;
use tokio::sync::oneshot;

use self::pending::{Arguments, Budget, Pending};
use crate::{
    apart::Apart,
    ingress::Replies,
    one_or_more::OneOrMore,
    record::{Dropping, Input, Start, StartArguments},
    supervisor::{
        admission::shares::GuestIndex,
        catalogue::{Catalogue, Entry, ModuleIndex},
    },
};

/// A turn's or query's place in the order of the node's queues: in memory only, one count for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// One stamped input and everything that it still causes.
pub(crate) struct Turn {
    /// Its place in the queues.
    pub(crate) ticket: Ticket,
    /// Its number.
    pub(crate) seq: Seq,
    /// Its frozen time, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// The catalogue under which it runs whole.
    pub(crate) catalogue: Apart<Catalogue>,
    /// What it began with, until its step 0 is recorded.
    pub(crate) input: Option<Input>,
    /// The same, once its step 0 is recorded and others are to run.
    pub(crate) began: Option<Input>,
    /// Steps that are to run, first in, first out.
    pub(crate) pending: Pending,
    /// The number of the next step.
    pub(crate) next_step: StepIndex,
    /// What bounds its steps.
    pub(crate) budget: Budget,
    /// How long its reactions may still run.
    pub(crate) left: Duration,
    /// Modules in whose queues it still has a place, in order.
    pub(crate) held: OneOrMore<ModuleIndex>,
    /// Failed reactions so far.
    pub(crate) failed: u32,
    /// Dropped reactions so far.
    pub(crate) dropped: u32,
    /// The step from which on it is dropped, because an owner has said so.
    pub(crate) dropped_at: Option<StepIndex>,
    /// Whether it was cut off by the last end of the node.
    pub(crate) resumed: bool,
    /// The failure of step 0.
    pub(crate) refused: Option<Box<Failure>>,
    /// Who has caused it.
    pub(crate) origin: Origin,
    /// Who waits for its end.
    pub(crate) waiter: Waiter,
    /// Bytes of its arguments: what admission counts.
    pub(crate) bytes: u64,
    /// The module that admission counts it under.
    pub(crate) home: Option<ModuleIndex>,
    /// Whose share of the module's queue it takes; `None` for owners and for the node itself.
    pub(crate) guest: Option<GuestIndex>,
}

/// A step that has not run yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingStep {
    /// Where it runs.
    pub(crate) module: ModuleIndex,
    /// What runs.
    pub(crate) what: StepKind,
    /// Who calls.
    pub(crate) caller: Caller,
    /// The encoded arguments.
    pub(crate) arguments: Arguments,
    /// Bytes that the turn no longer holds when this step is taken out: 0 where a later step shares the arguments.
    pub(crate) releases: u64,
    /// Whether they come from outside and must be checked against the schema.
    pub(crate) from_outside: bool,
    /// Whether its timers end with its module's load.
    pub(crate) of_load: bool,
}

impl PendingStep {
    /// What happens inside the node, not of a load: this node calls, and what it hands over needs no check.
    pub(crate) fn of_node(
        node: &NodeId,
        module: ModuleIndex,
        what: StepKind,
        arguments: impl Into<Arguments>,
    ) -> Self {
        Self {
            module,
            what,
            caller: inside(node),
            arguments: arguments.into(),
            releases: 0,
            from_outside: false,
            of_load: false,
        }
    }

    /// What a client or another node has called.
    pub(crate) fn of_call(
        caller: Caller,
        module: ModuleIndex,
        reducer: Arc<str>,
        arguments: Arc<[u8]>,
    ) -> Self {
        Self {
            module,
            what: StepKind::Call(reducer),
            caller,
            arguments: arguments.into(),
            releases: 0,
            from_outside: true,
            of_load: false,
        }
    }

    /// A module's load: its timers end with it.
    pub(crate) fn load_of<A>(node: &NodeId, module: ModuleIndex, entry: &Entry<A>) -> Self {
        let reducer = entry.reducers_on(&Event::Load).next().map(Into::into);
        let step = Self::of_node(node, module, StepKind::Load(reducer), Vec::new());
        Self {
            of_load: true,
            ..step
        }
    }

    /// What a record of a step that starts this one says of it; `None` for what no step starts.
    pub(crate) fn start<A>(&self, catalogue: &Catalogue<A>) -> Option<Start> {
        let entry = catalogue.entry(self.module)?;
        let (reducer, is_load) = match &self.what {
            StepKind::Call(reducer) | StepKind::Event(reducer) => (Arc::clone(reducer), false),
            StepKind::Load(reducer) => (reducer.clone().unwrap_or_default(), true),
            StepKind::Timer(_)
            | StepKind::CancelTimer(_)
            | StepKind::Drop(_)
            | StepKind::Nothing => return None,
        };
        Some(Start {
            module: entry.installed.schema.name.clone(),
            reducer,
            arguments: StartArguments::Inline(self.arguments.clone().into_bytes()),
            of_load: self.of_load,
            is_load,
        })
    }
}

/// What a step runs.
#[derive(Clone, Debug)]
pub(crate) enum StepKind {
    /// A reducer that was called from outside.
    Call(Arc<str>),
    /// A reducer that reacts or handles an event. Its faults count towards quarantine.
    Event(Arc<str>),
    /// The reducer of a timer, which is taken out first or gets its next time.
    Timer(interstice_abi::id::TimerId),
    /// The beginning of an instance's life: timers of the last load end, ephemeral rows go, then `load` runs, if there is one.
    Load(Option<Arc<str>>),
    /// Nothing of the guest: data go that an upgrade drops.
    Drop(Arc<Dropping>),
    /// Nothing of the guest: a pending timer ends.
    CancelTimer(interstice_abi::id::TimerId),
    /// Nothing of the guest: the place of a catalogue change in the module's history.
    Nothing,
}

impl StepKind {
    /// The reducer, where it is known before the step is prepared.
    pub(crate) fn reducer(&self) -> Option<Arc<str>> {
        match self {
            Self::Call(reducer) | Self::Event(reducer) => Some(Arc::clone(reducer)),
            Self::Load(reducer) => reducer.clone(),
            Self::Timer(_) | Self::Drop(_) | Self::CancelTimer(_) | Self::Nothing => None,
        }
    }
}

/// Who has caused a turn: only faults that no stranger can cause lead to quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An owner, by a call or a change of the catalogue.
    Owner,
    /// Anybody, as far as the input says. A timer's origin is known to its module.
    Anybody,
    /// A connection that came or went.
    Connection,
}

impl Origin {
    /// Of an input.
    pub(crate) fn of(input: &Input) -> Self {
        match input {
            Input::Call {
                caller_is_owner: true,
                ..
            }
            | Input::Install { .. }
            | Input::InstallAll { .. }
            | Input::Drop { .. }
            | Input::Load { .. }
            | Input::Unload { .. }
            | Input::Quarantine { .. }
            | Input::Remove { .. }
            | Input::Grant { .. }
            | Input::CancelTimer { .. }
            | Input::CatchUp { .. } => Self::Owner,
            Input::Connect { .. } | Input::Disconnect { .. } => Self::Connection,
            // Who has caused a missed change is not known when it is handed over.
            Input::Call { .. }
            | Input::Timer { .. }
            | Input::NodeStart { .. }
            | Input::ModulesStart { .. }
            | Input::Missed { .. } => Self::Anybody,
        }
    }
}

/// Who waits for a turn's end.
pub(crate) enum Waiter {
    /// A client.
    Client {
        /// The way back.
        replies: Replies,
        /// The request.
        request: u64,
        /// At which level.
        ack: Ack,
    },
    /// The supervisor itself, during a catalogue change. Told when everything is recorded.
    Node(oneshot::Sender<Result<Called, Failure>>),
    /// Nobody.
    Nobody,
}

impl Turn {
    /// What its waiter is told at its end.
    pub(crate) fn result(&mut self) -> Result<Called, Failure> {
        match self.refused.take() {
            Some(failure) => Err(*failure),
            None => Ok(Called {
                seq: self.seq,
                failed: self.failed,
                dropped: self.dropped,
            }),
        }
    }

    /// The modules of `held` that nothing pending can reach, taken out of it.
    pub(crate) fn take_unreachable(&mut self) -> OneOrMore<ModuleIndex> {
        if self.pending.is_empty() {
            return std::mem::take(&mut self.held);
        }
        let mut reachable = BTreeSet::new();
        for module in self
            .pending
            .iter()
            .map(|step| step.module)
            .collect::<BTreeSet<_>>()
        {
            if let Some(entry) = self.catalogue.entry(module) {
                reachable.extend(entry.reach.iter().copied());
            }
        }
        let mut gone = OneOrMore::new();
        for module in std::mem::take(&mut self.held) {
            if reachable.contains(&module) {
                self.held.push_back(module);
            } else {
                gone.push_back(module);
            }
        }
        gone
    }
}

/// Who calls where a client or another node does.
pub(crate) fn outside(node: &NodeId, is_owner: bool) -> Caller {
    Caller {
        node: node.clone(),
        module: None,
        is_owner,
    }
}

/// Who calls in everything that happens inside the node: this node, and no module is named.
pub(crate) fn inside(node: &NodeId) -> Caller {
    outside(node, false)
}
