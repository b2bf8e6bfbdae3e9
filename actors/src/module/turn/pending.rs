//! The waiting steps of a turn, and what they hold.
//!
//! Steps that react to a change share its rows with the record, so a change with many subscribers
//! is in memory once. The bytes that waiting steps hold are counted the same way by the live node,
//! recovery and replay: from the lengths of rows and arguments, once per change. So all three drop
//! the same reactions.

use std::{collections::VecDeque, sync::Arc};

use interstice_abi::id::StepIndex;
use interstice_host::{limits::Limits, module::Effect, schema::View, table::Change};

use super::PendingStep;
use crate::{one_or_more::OneOrMore, record::StartArguments};

/// The encoded arguments of a step, shared with what they come from.
#[derive(Clone, Debug)]
pub(crate) enum Arguments {
    /// In one piece.
    Whole(Arc<[u8]>),
    /// The rows before and after an update. Behind one pointer, so that a step stays small: each is
    /// moved several times.
    Rows(Arc<[Arc<[u8]>; 2]>),
    /// What a subscriber sees of an effect of a module that has grown since: cut when the step
    /// runs, so that the rows stay shared.
    Seen(Arc<Seen>),
}

/// An effect and how a subscriber sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    view: Arc<View>,
    effect: Effect,
}

impl Seen {
    fn cut(&self) -> Arc<[u8]> {
        match &self.effect {
            Effect::Change { change, .. } => {
                let mut bytes = Vec::new();
                for row in [&change.before, &change.after].into_iter().flatten() {
                    bytes.extend_from_slice(&self.view.row(change.table, row));
                }
                bytes.into()
            }
            Effect::Called {
                reducer, arguments, ..
            } => self.view.reported(reducer, arguments).as_ref().into(),
        }
    }
}

impl Arguments {
    /// What a subscriber to `effect` is handed: the rows before and after, or the call's arguments.
    pub(crate) fn of(effect: &Effect) -> Self {
        match effect {
            Effect::Change {
                change:
                    Change {
                        before: Some(before),
                        after: Some(after),
                        ..
                    },
                ..
            } => Self::Rows(Arc::new([Arc::clone(before), Arc::clone(after)])),
            Effect::Change { change, .. } => {
                let row = change.before.as_ref().or(change.after.as_ref());
                Self::Whole(row.cloned().unwrap_or_default())
            }
            Effect::Called { arguments, .. } => Self::Whole(Arc::clone(arguments)),
        }
    }

    /// As [`Arguments::of`], for a subscriber that sees the effect's module by `view`.
    pub(crate) fn seen(view: Arc<View>, effect: &Effect) -> Self {
        let effect = effect.clone();
        Self::Seen(Arc::new(Seen { view, effect }))
    }

    /// How many bytes they are, before anything is cut.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Rows(rows) => rows.iter().map(|row| row.len()).sum(),
            Self::Seen(seen) => Self::of(&seen.effect).len(),
        }
    }

    /// In one piece, which for an update, and for what is cut, is a copy.
    pub(crate) fn into_bytes(self) -> Arc<[u8]> {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Rows(rows) => rows.concat().into(),
            Self::Seen(seen) => seen.cut(),
        }
    }
}

impl<B: Into<Arc<[u8]>>> From<B> for Arguments {
    fn from(bytes: B) -> Self {
        Self::Whole(bytes.into())
    }
}

/// What bounds the steps of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// How many steps it may run.
    pub(crate) steps: u32,
    /// How many bytes its waiting steps may hold.
    pub(crate) bytes: u64,
}

impl From<&Limits> for Budget {
    fn from(limits: &Limits) -> Self {
        Self {
            steps: limits.steps_per_turn_max,
            bytes: limits.turn_bytes_max,
        }
    }
}

impl Budget {
    /// What is left of it for the steps that a step starts, when `next_step` is the next and
    /// `pending` are waiting.
    pub(crate) fn left(self, next_step: StepIndex, pending: &Pending) -> Self {
        let waiting = u32::try_from(pending.len()).unwrap_or(u32::MAX);
        Self {
            steps: self
                .steps
                .saturating_sub(next_step.0.saturating_add(waiting)),
            bytes: self.bytes.saturating_sub(pending.bytes),
        }
    }
}

/// Which of the steps that one record starts share their arguments: those for one change, one
/// after the other.
#[derive(Default)]
pub(crate) struct Shares {
    last: Option<StartArguments>,
}

impl Shares {
    /// Whether the next step shares the arguments of the one before it.
    pub(crate) fn next_is_shared(&mut self, arguments: &StartArguments) -> bool {
        let is_shared = self.last.as_ref() == Some(arguments);
        if !is_shared {
            self.last = Some(arguments.clone());
        }
        is_shared
    }

    /// Says of steps with arguments of their own what each of them releases.
    pub(crate) fn count(steps: &mut [PendingStep]) {
        let mut shares = Self::default();
        for place in 0..steps.len() {
            let (before, step) = steps.split_at_mut(place);
            let Some(step) = step.first_mut() else {
                return;
            };
            step.releases = step.arguments.len() as u64;
            let arguments = StartArguments::Inline(step.arguments.clone().into_bytes());
            if shares.next_is_shared(&arguments)
                && let Some(before) = before.last_mut()
            {
                before.releases = 0;
            }
        }
    }
}

/// Steps that are to run, first in, first out, with the bytes that they hold.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    steps: OneOrMore<PendingStep>,
    bytes: u64,
}

impl Pending {
    /// This step alone.
    pub(crate) fn one(step: PendingStep) -> Self {
        Self {
            bytes: step.releases,
            steps: OneOrMore::one(step),
        }
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The next.
    pub(crate) const fn front(&self) -> Option<&PendingStep> {
        self.steps.front()
    }

    /// Takes the next out.
    pub(crate) fn pop_front(&mut self) -> Option<PendingStep> {
        let step = self.steps.pop_front()?;
        self.bytes = self.bytes.saturating_sub(step.releases);
        Some(step)
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PendingStep> {
        self.steps.iter()
    }

    /// Changes each of them; what they hold stays.
    pub(crate) fn for_each(&mut self, change: impl FnMut(&mut PendingStep)) {
        let mut steps: VecDeque<_> = std::mem::take(&mut self.steps).into_iter().collect();
        steps.iter_mut().for_each(change);
        self.steps.extend(steps);
    }
}

impl Extend<PendingStep> for Pending {
    fn extend<I: IntoIterator<Item = PendingStep>>(&mut self, steps: I) {
        for step in steps {
            self.bytes = self.bytes.saturating_add(step.releases);
            self.steps.push_back(step);
        }
    }
}

impl FromIterator<PendingStep> for Pending {
    fn from_iter<I: IntoIterator<Item = PendingStep>>(steps: I) -> Self {
        let mut all = Self::default();
        all.extend(steps);
        all
    }
}
