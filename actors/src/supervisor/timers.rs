//! Which timers of each module are due next. The timers themselves are a hidden table of their
//! module.
//!
//! A module with more due timers than it tells of at a time rests after each such batch for twice
//! as long as that took: timers that set timers without end get a third of a core and not all of
//! it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use actix::prelude::{AsyncContext, Context, SpawnHandle};
use interstice_abi::id::{ModuleName, TimerId};

use super::{Supervisor, TimerDue, TimerNews};
use crate::module::TIMERS_TOLD_MAX;

/// Longest wait in one piece: the node's time may move a little slower or faster than the wait,
/// and a wait of months overflows.
const WAIT_MS_MAX: u64 = 60_000;

/// Longest rest of a module whose timers crowd.
const REST_MS_MAX: u64 = 50;

/// What is known of every module that has timers.
#[derive(Default)]
pub(crate) struct Timers {
    modules: BTreeMap<ModuleName, OfModule>,
    armed: Option<(u64, SpawnHandle)>,
}

/// What a module has told of its timers.
#[derive(Default)]
struct OfModule {
    /// The earliest, in order, without those that are under way.
    next: VecDeque<(u64, TimerId)>,
    /// Stamped, and not told as ended yet: the module counts them among its timers until their
    /// turns have run.
    under_way: BTreeSet<TimerId>,
    /// Since when a whole batch is under way; nothing is taken until that has run.
    crowded_since_ms: Option<u64>,
    /// Nothing is taken before.
    rests_until_ms: u64,
}

impl OfModule {
    /// When the next timer may be taken: when it is due, or when the module has rested.
    fn next_ms(&self) -> Option<u64> {
        let (due_ms, _) = self.next.front()?;
        match self.crowded_since_ms {
            Some(_) => None,
            None => Some((*due_ms).max(self.rests_until_ms)),
        }
    }

    /// Everything that was under way has run.
    fn has_run(&mut self, now_ms: u64) {
        if let Some(since_ms) = self.crowded_since_ms.take() {
            let took_ms = now_ms.saturating_sub(since_ms).max(1);
            let rest_ms = took_ms.saturating_mul(2).min(REST_MS_MAX);
            self.rests_until_ms = now_ms.saturating_add(rest_ms);
        }
    }
}

impl Timers {
    /// Takes in what a module says of itself.
    pub(crate) fn set(&mut self, news: TimerNews, now_ms: u64) {
        let known = self.modules.entry(news.module.clone()).or_default();
        if news.anew {
            known.under_way.clear();
        }
        for timer in &news.ended {
            known.under_way.remove(timer);
        }
        known.next = news
            .next
            .into_iter()
            .filter(|(_, timer)| !known.under_way.contains(timer))
            .collect();
        if known.under_way.is_empty() {
            known.has_run(now_ms);
            if known.next.is_empty() {
                self.modules.remove(&news.module);
            }
        }
    }

    /// Forgets a module.
    pub(crate) fn forget(&mut self, module: &ModuleName) {
        self.modules.remove(module);
    }

    /// The wait that was armed is over.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Takes out every timer that is due and known, in the order of (due, module, timer).
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<(ModuleName, TimerId)> {
        let mut due = Vec::new();
        for (module, known) in &mut self.modules {
            if known.next_ms().is_none_or(|next_ms| next_ms > now_ms) {
                continue;
            }
            while let Some((due_ms, timer)) =
                known.next.pop_front_if(|(due_ms, _)| *due_ms <= now_ms)
            {
                known.under_way.insert(timer);
                due.push((due_ms, module.clone(), timer));
            }
            if known.under_way.len() >= TIMERS_TOLD_MAX {
                known.crowded_since_ms = Some(now_ms);
            }
        }
        due.sort();
        due.into_iter()
            .map(|(_, module, timer)| (module, timer))
            .collect()
    }

    fn earliest(&self) -> Option<u64> {
        self.modules.values().filter_map(OfModule::next_ms).min()
    }
}

impl Supervisor {
    /// Waits for the earliest timer, if it is not waited for already. Without timers nothing wakes
    /// the node.
    pub(crate) fn arm_timer(&mut self, ctx: &mut Context<Self>) {
        let now_ms = self.shared.now_ms();
        let earliest = self.timers.earliest();
        let armed = self.timers.armed;
        match (earliest, armed) {
            (Some(due), Some((armed, _))) if armed <= due => {}
            (Some(due), armed) => {
                if let Some((_, handle)) = armed {
                    ctx.cancel_future(handle);
                }
                let wait = due.saturating_sub(now_ms).min(WAIT_MS_MAX);
                let handle = ctx.notify_later(TimerDue, std::time::Duration::from_millis(wait));
                self.timers.armed = Some((due, handle));
            }
            (None, Some((_, handle))) => {
                ctx.cancel_future(handle);
                self.timers.armed = None;
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ModuleName {
        ModuleName::new(name).expect("a name")
    }

    fn news(module: &str, next: &[(u64, u64)], ended: &[u64]) -> TimerNews {
        TimerNews {
            module: name(module),
            next: next.iter().map(|(due, id)| (*due, TimerId(*id))).collect(),
            ended: ended.iter().map(|id| TimerId(*id)).collect(),
            anew: false,
        }
    }

    fn take(timers: &mut Timers, now_ms: u64) -> Vec<(String, u64)> {
        let due = timers.take_due(now_ms).into_iter();
        due.map(|(module, timer)| (module.to_string(), timer.0))
            .collect()
    }

    #[test]
    fn due_timers_come_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set(news("b", &[(5, 1), (6, 7)], &[]), 0);
        timers.set(news("a", &[(5, 2)], &[]), 0);
        timers.set(news("c", &[(3, 3), (5, 9)], &[]), 0);
        let expected = [("c", 3), ("a", 2), ("b", 1), ("c", 9)];
        assert_eq!(
            take(&mut timers, 5),
            expected.map(|(module, timer)| (module.to_string(), timer))
        );
        assert!(take(&mut timers, 5).is_empty());
        assert_eq!(timers.earliest(), Some(6));
    }

    #[test]
    fn one_that_is_under_way_is_not_taken_again_until_it_has_ended() {
        let mut timers = Timers::default();
        timers.set(news("a", &[(1, 1), (2, 2)], &[]), 0);
        assert_eq!(take(&mut timers, 1), [("a".to_string(), 1)]);
        // The module has not run it yet, and still counts it.
        timers.set(news("a", &[(1, 1), (2, 2)], &[]), 0);
        assert_eq!(take(&mut timers, 2), [("a".to_string(), 2)]);
        timers.set(news("a", &[(2, 2), (3, 3)], &[1]), 0);
        assert_eq!(take(&mut timers, 9), [("a".to_string(), 3)]);
        timers.set(news("a", &[], &[2, 3]), 0);
        assert!(timers.modules.is_empty());
    }

    #[test]
    fn one_that_was_taken_while_its_module_did_not_serve_is_taken_again_when_it_does() {
        let mut timers = Timers::default();
        timers.set(news("a", &[(1, 1)], &[]), 0);
        assert_eq!(take(&mut timers, 1), [("a".to_string(), 1)]);
        timers.set(
            TimerNews {
                anew: true,
                ..news("a", &[(1, 1)], &[])
            },
            0,
        );
        assert_eq!(take(&mut timers, 1), [("a".to_string(), 1)]);
    }
    #[test]
    fn a_module_whose_timers_crowd_rests_twice_as_long_as_a_batch_took() {
        let mut timers = Timers::default();
        let batch = |from: u64| -> Vec<(u64, u64)> {
            let told = u64::try_from(TIMERS_TOLD_MAX).expect("fits");
            (from..from + told).map(|id| (1, id)).collect()
        };
        let ids = |batch: &[(u64, u64)]| -> Vec<u64> { batch.iter().map(|(_, id)| *id).collect() };
        let (first, second) = (batch(1), batch(1000));
        timers.set(news("a", &first, &[]), 10);
        timers.set(news("b", &[(1, 1)], &[]), 10);
        assert_eq!(take(&mut timers, 10).len(), TIMERS_TOLD_MAX + 1);
        // A part has run, others have come: they wait for the rest of the batch.
        let (run, running) = first.split_at(10);
        let next: Vec<(u64, u64)> = running.iter().chain(&second).copied().collect();
        timers.set(news("a", &next, &ids(run)), 12);
        timers.set(news("b", &[(12, 2)], &[1]), 12);
        assert_eq!(take(&mut timers, 12), [("b".to_string(), 2)]);
        timers.set(news("a", &second, &ids(running)), 17);
        assert_eq!(timers.earliest(), Some(31));
        assert!(take(&mut timers, 30).is_empty());
        assert_eq!(take(&mut timers, 31).len(), TIMERS_TOLD_MAX);
    }
}
