//! Stage 7: a step's effects against the routes: which steps they start, and who watches them.

use std::sync::Arc;

use interstice_abi::schema::Persistence;
use interstice_host::module::Effect;

use super::Ended;
use crate::{
    module::{
        core::Core,
        turn::{PendingStep, StepKind, Turn, invocation_of_node},
        watch::watchers::Selected,
    },
    record::{Start, StartArguments, StepRecord, effect_arguments},
    supervisor::catalogue::Catalogue,
};

impl Core {
    /// The steps that the effects start: what the record says of them, what will run, and how many the budget drops.
    pub(super) fn starts(&self, turn: &Turn, ended: &Ended) -> (Vec<Start>, Vec<PendingStep>, u32) {
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
    pub(super) fn watched(&self, turn: &Turn, record: &StepRecord) -> Selected {
        let watchers = &self.shared.watchers;
        if watchers.is_empty() {
            return Selected::default();
        }
        watchers.select(&turn.catalogue, self.shared.epoch, record)
    }

    pub(super) fn without_ephemeral(
        &self,
        catalogue: &Catalogue,
        mut record: StepRecord,
    ) -> StepRecord {
        record
            .effects
            .retain(|effect| !is_ephemeral(catalogue, effect));
        record
    }
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
