//! What a module tells the supervisor of its timers: the next ones, and those whose turns have run.

use interstice_abi::id::TimerId;

use super::core::Core;
use crate::supervisor::TimerNews;

/// Timers that the supervisor is told of at a time: enough for one pass of the queue, few enough to read anew after each, and so that
/// a module whose timers never end keeps its neighbours waiting for a moment only.
pub(crate) const TIMERS_TOLD_MAX: usize = 16;

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
