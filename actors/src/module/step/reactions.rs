//! Stage 7: a step's effects against the routes: which steps they start, and who watches them.

use std::sync::Arc;

use interstice_abi::id::NodeId;
use interstice_host::module::Effect;

use super::running::Ended;
use crate::{
    module::{
        core::Core,
        turn::{
            PendingStep, StepKind, Turn,
            pending::{Arguments, Budget, Shares},
        },
        watch::watchers::Selected,
    },
    record::{Start, StartArguments, StepRecord},
    supervisor::catalogue::{Catalogue, ModuleIndex, Subscriber},
};

/// What the effects of a step start.
#[derive(Default)]
pub(crate) struct Starts {
    /// What the record says of them.
    pub(crate) recorded: Vec<Start>,
    /// What will run.
    pub(crate) pending: Vec<PendingStep>,
    /// How many the budget drops.
    pub(crate) dropped: u32,
    /// Whether some of the effects are changes of ephemeral tables.
    pub(crate) any_ephemeral: bool,
}

/// The steps that the effects of a step of `own` start, up to `room`. The first for which there is
/// no room is dropped, and so are all that follow.
pub(crate) fn starts<A>(
    node: &NodeId,
    catalogue: &Catalogue<A>,
    own: ModuleIndex,
    ended: &Ended,
    mut room: Budget,
) -> Starts {
    let mut starts = Starts::default();
    let mut shares = Shares::default();
    let mut recorded = 0_u32;
    for effect in &ended.effects {
        let (is_ephemeral, subscribers) = heard(catalogue, own, effect);
        let is_recorded = !is_ephemeral;
        starts.any_ephemeral |= is_ephemeral;
        for subscriber in subscribers {
            if room.steps == 0 {
                starts.dropped += 1;
                continue;
            }
            let mut arguments = catalogue.handed_over(subscriber.module, effect);
            if !is_recorded {
                // The record has them as they are handed over, and counts them so.
                arguments = Arguments::Whole(arguments.into_bytes());
            }
            let start = Start {
                module: subscriber.name.clone(),
                reducer: Arc::clone(&subscriber.reducer),
                arguments: if is_recorded {
                    StartArguments::Effect(recorded)
                } else {
                    StartArguments::Inline(arguments.clone().into_bytes())
                },
                of_load: ended.of_load,
                is_load: false,
            };
            let releases = arguments.len() as u64;
            if shares.next_is_shared(&start.arguments) {
                // The arguments are let go with the last of those who share them.
                starts
                    .pending
                    .last_mut()
                    .into_iter()
                    .for_each(|step| step.releases = 0);
            } else if let Some(left) = room.bytes.checked_sub(releases) {
                room.bytes = left;
            } else {
                room.steps = 0;
                starts.dropped += 1;
                continue;
            }
            room.steps -= 1;
            starts.recorded.push(start);
            let what = StepKind::Event(Arc::clone(&subscriber.reducer));
            let step = PendingStep::of_node(node, subscriber.module, what, arguments);
            starts.pending.push(PendingStep {
                of_load: ended.of_load,
                releases,
                ..step
            });
        }
        recorded += u32::from(is_recorded);
    }
    starts
}

/// Takes changes of ephemeral tables out of a record.
pub(crate) fn drop_ephemeral<A>(catalogue: &Catalogue<A>, record: &mut StepRecord) {
    record
        .effects
        .retain(|effect| !is_ephemeral(catalogue, effect));
}

impl Core {
    /// The steps that the effects start; dropped ones are said in the node's log.
    pub(super) fn starts(&self, turn: &Turn, own: ModuleIndex, ended: &Ended) -> Starts {
        let room = turn.budget.left(turn.next_step, &turn.pending);
        let starts = starts(&self.shared.id, &turn.catalogue, own, ended, room);
        if starts.dropped > 0 {
            let Budget { steps, bytes } = turn.budget;
            let started = u32::try_from(starts.recorded.len()).unwrap_or(u32::MAX);
            let limit = if started >= room.steps {
                format!("{steps} steps (steps_per_turn_max in node.toml)")
            } else {
                format!("{bytes} bytes that its waiting steps hold (turn_bytes_max in node.toml)")
            };
            let text = format!(
                "the turn reached its limit of {limit}; {} reactions were dropped",
                starts.dropped
            );
            self.shared
                .lines
                .warn(Some(&self.name), Some(turn.seq), &text);
        }
        starts
    }

    /// The changes that somebody watches.
    pub(super) fn watched(&self, turn: &Turn, record: &StepRecord) -> Selected {
        let watchers = &self.shared.watchers;
        if watchers.is_empty() {
            return Selected::default();
        }
        watchers.select(&turn.catalogue, self.shared.epoch, record)
    }
}

/// Whether an effect of a step of `own` is a change of an ephemeral table, and who reacts to it.
fn heard<'a, A>(
    catalogue: &'a Catalogue<A>,
    own: ModuleIndex,
    effect: &Effect,
) -> (bool, &'a [Subscriber]) {
    let (Effect::Change { module, .. } | Effect::Called { module, .. }) = effect;
    let Some(entry) = catalogue.entry_of(module, own) else {
        return (false, &[]);
    };
    match effect {
        Effect::Change { change, .. } => (
            entry.is_ephemeral(change.table),
            entry.row_subscribers(change.table, change.event()),
        ),
        Effect::Called { reducer, .. } => (false, entry.call_subscribers(reducer)),
    }
}

/// Whether an effect is a change of an ephemeral table.
pub(crate) fn is_ephemeral<A>(catalogue: &Catalogue<A>, effect: &Effect) -> bool {
    let Effect::Change { module, change } = effect else {
        return false;
    };
    let entry = catalogue.index_of(module);
    let entry = entry.and_then(|index| catalogue.entry(index));
    entry.is_some_and(|entry| entry.is_ephemeral(change.table))
}
