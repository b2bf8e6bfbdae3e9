//! What a module tells the supervisor of its timers: the next ones, and those whose turns have
//! run. And what it shows to owners.

use interstice_abi::{
    id::TimerId,
    wire::{
        HistoryBytes, PendingTimer, TIMER_ARGUMENTS_SHOWN_MAX, TIMERS_PER_PAGE_MAX, TimerLife,
        TimersPage,
    },
};
use interstice_host::table::{Repeat, Timer};

use super::core::Core;
use crate::supervisor::TimerNews;

/// Timers that the supervisor is told of at a time: enough for one pass of the queue, few enough
/// to read anew after each, and so that a module whose timers never end keeps its neighbours
/// waiting for a moment only.
pub(crate) const TIMERS_TOLD_MAX: usize = 16;

/// Which pending timers an owner wants to see.
#[derive(Clone)]
pub(crate) struct TimersWanted {
    /// Those behind the one of this number.
    pub(crate) after: Option<TimerId>,
    /// Most wanted.
    pub(crate) limit: u32,
    /// The node's time, to be shown beside.
    pub(crate) now_ms: u64,
}

/// What the supervisor knows of the module's timers.
#[derive(Default)]
pub(super) struct TimersTold {
    /// What it was told last; `None` when it must be told whatever it is.
    next: Option<Vec<(u64, TimerId)>>,
    /// Whether something may have changed since.
    changed: bool,
    /// Whose turns have run since.
    ended: Vec<TimerId>,
}

impl Core {
    /// Timers may have come or gone: the supervisor is told with the next batch.
    pub(super) fn report_timers(&mut self) {
        self.timers.changed = true;
    }

    /// The turn of a timer has run, whether the timer was still there or not.
    pub(super) fn report_timer_ended(&mut self, timer: TimerId) {
        self.timers.changed = true;
        self.timers.ended.push(timer);
    }

    /// The supervisor has forgotten what it was told of this module.
    pub(super) fn report_timers_again(&mut self) {
        self.timers.changed = true;
        self.timers.next = None;
    }

    /// A page of the pending timers.
    pub(super) fn pending_timers(&self, wanted: TimersWanted) -> TimersPage {
        let limit = wanted.limit.clamp(1, TIMERS_PER_PAGE_MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = wanted.after.unwrap_or(TimerId(0));
        let mut timers = self.module.tables().timers_after(after, limit + 1);
        let is_last = timers.len() <= limit;
        timers.truncate(limit);
        let last = timers.last().map(|timer| timer.id);
        TimersPage {
            next: last.filter(|_| !is_last),
            timers: timers.into_iter().map(shown).collect(),
            now_ms: wanted.now_ms,
        }
    }

    /// What is new of the timers, unless a step has the tables open: then they are told behind it.
    pub(super) fn timer_news(&mut self) -> Option<TimerNews> {
        if !self.timers.changed || self.module.tables().has_open_changes() {
            return None;
        }
        self.timers.changed = false;
        let next = self.module.tables().next_timers(TIMERS_TOLD_MAX);
        if self.timers.ended.is_empty() && self.timers.next.as_ref() == Some(&next) {
            return None;
        }
        let anew = self.timers.next.is_none();
        self.timers.next = Some(next.clone());
        Some(TimerNews {
            module: self.name.clone(),
            next,
            anew,
            ended: std::mem::take(&mut self.timers.ended),
        })
    }
}

fn shown(timer: Timer) -> PendingTimer {
    let bytes = timer.arguments.len();
    PendingTimer {
        timer: timer.id,
        due_ms: timer.due_ms,
        period_ms: timer.repeat.period_ms(),
        life: match timer.repeat {
            Repeat::OfSchema(_) => TimerLife::OfSchema,
            Repeat::Never | Repeat::Every(_) if timer.of_load => TimerLife::OfLoad,
            Repeat::Never | Repeat::Every(_) => TimerLife::Durable,
        },
        reducer: timer.reducer,
        arguments: if bytes > TIMER_ARGUMENTS_SHOWN_MAX {
            HistoryBytes::LeftOut {
                bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            }
        } else {
            HistoryBytes::Whole(timer.arguments)
        },
    }
}
