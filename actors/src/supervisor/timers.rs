//! When the next timer of each module is due. The timers themselves are a hidden table of their module.

use std::collections::BTreeMap;

use actix::prelude::{AsyncContext, Context, SpawnHandle};
use interstice_abi::id::{ModuleName, TimerId};

use super::{Supervisor, TimerDue, TimerNews};
use crate::lines::now_ms;

/// Longest wait in one piece: the clock of the system may jump, and a wait of months overflows.
const WAIT_MS_MAX: u64 = 60_000;

/// The next timer of every module that has one.
#[derive(Default)]
pub(crate) struct Timers {
    next: BTreeMap<ModuleName, (u64, TimerId)>,
    armed: Option<(u64, SpawnHandle)>,
}

impl Timers {
    /// Takes in what a module says of itself.
    pub(crate) fn set(&mut self, news: TimerNews) {
        match news.next {
            Some(next) => self.next.insert(news.module, next),
            None => self.next.remove(&news.module),
        };
    }

    /// Forgets a module.
    pub(crate) fn forget(&mut self, module: &ModuleName) {
        self.next.remove(module);
    }

    /// The wait that was armed is over.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Takes out every timer that is due, in the order of (due, module, timer). Its module tells the next one.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<(ModuleName, TimerId)> {
        let mut due: Vec<(u64, ModuleName, TimerId)> = self
            .next
            .iter()
            .filter(|(_, (due_ms, _))| *due_ms <= now_ms)
            .map(|(module, (due_ms, timer))| (*due_ms, module.clone(), *timer))
            .collect();
        due.sort();
        for (_, module, _) in &due {
            self.next.remove(module);
        }
        due.into_iter()
            .map(|(_, module, timer)| (module, timer))
            .collect()
    }

    fn earliest(&self) -> Option<u64> {
        self.next.values().map(|(due_ms, _)| *due_ms).min()
    }
}

impl Supervisor {
    /// Waits for the earliest timer, if it is not waited for already. Without timers nothing wakes the node.
    pub(crate) fn arm_timer(&mut self, ctx: &mut Context<Self>) {
        let earliest = self.timers.earliest();
        let armed = self.timers.armed;
        match (earliest, armed) {
            (Some(due), Some((armed, _))) if armed <= due => {}
            (Some(due), armed) => {
                if let Some((_, handle)) = armed {
                    ctx.cancel_future(handle);
                }
                let wait = due.saturating_sub(now_ms()).min(WAIT_MS_MAX);
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

    #[test]
    fn due_timers_come_in_order_and_once() {
        let mut timers = Timers::default();
        let name = |name: &str| ModuleName::new(name).expect("a name");
        for (module, due, timer) in [("b", 5, 1), ("a", 5, 2), ("c", 3, 3), ("d", 9, 4)] {
            timers.set(TimerNews {
                module: name(module),
                next: Some((due, TimerId(timer))),
            });
        }
        let due: Vec<_> = timers
            .take_due(5)
            .into_iter()
            .map(|(module, _)| module.to_string())
            .collect();
        assert_eq!(due, ["c", "a", "b"]);
        assert!(timers.take_due(5).is_empty());
        assert_eq!(timers.earliest(), Some(9));
    }
}
