//! Second chances: a quarantined module is started again by itself, after a time that doubles.
//!
//! The start is a change of the catalogue like an owner's `load`, with the same input in the log,
//! so that recovery and replay know nothing of chances. Only when the next one is due is kept
//! here, in memory: a restart of the node begins with the shortest time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{id::ModuleName, wire::ModuleState};

use super::{
    Supervisor,
    barrier::Parked,
    change::{Asker, Change},
};

/// Longest time between two chances, unless the first one is longer: an owner who looks once a day
/// finds a module that has not failed thousands of times.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The chances that modules have had.
#[derive(Default)]
pub(crate) struct SecondChances {
    given: HashMap<ModuleName, Given>,
    /// Modules that were quarantined because they had no code, and have it now, with the hash of
    /// their binary.
    healed: Vec<(ModuleName, [u8; 32])>,
}

struct Given {
    hash: [u8; 32],
    /// How long the module waited for the last one.
    wait: Duration,
    /// When it is or was given.
    at: Instant,
}

impl SecondChances {
    /// Of a node that starts: the modules that are to be started at once.
    pub(crate) fn of(healed: Vec<(ModuleName, [u8; 32])>) -> Self {
        Self {
            given: HashMap::new(),
            healed,
        }
    }

    /// How long a module that is quarantined now waits: `first`, or twice as long as the last time
    /// when the same binary has served for a shorter time than it waited for that.
    fn wait(
        &mut self,
        module: &ModuleName,
        hash: [u8; 32],
        first: Duration,
        now: Instant,
    ) -> Duration {
        let last = self.given.get(module);
        let last = last.filter(|last| last.hash == hash && now < last.at + last.wait);
        let wait = last.map_or(first, |last| {
            last.wait.saturating_mul(2).min(first.max(WAIT_MAX))
        });
        let at = now + wait;
        self.given.insert(module.clone(), Given { hash, wait, at });
        wait
    }
}

impl Supervisor {
    /// After the node's start: those that were quarantined before.
    pub(crate) fn promise_second_chances(&mut self, ctx: &mut Context<Self>) {
        let healed = std::mem::take(&mut self.second_chances.healed);
        let installed = self.catalogue.installed().into_iter();
        let quarantined = installed
            .filter(|(_, found)| matches!(found.state, ModuleState::Quarantined { .. }))
            .map(|(name, found)| (name, found.hash))
            .filter(|module| !healed.contains(module));
        for (module, hash) in quarantined.collect::<Vec<_>>() {
            self.promise_second_chance(module, hash, ctx);
        }
        for (module, hash) in healed {
            let change = Change::SecondChance(module, hash);
            self.park(Parked::Change(change, Asker::Nobody), ctx);
        }
    }

    /// A module is quarantined from now on.
    pub(crate) fn promise_second_chance(
        &mut self,
        module: ModuleName,
        hash: [u8; 32],
        ctx: &mut Context<Self>,
    ) {
        if self.config.second_chance_ms == 0 {
            return;
        }
        let first = Duration::from_millis(self.config.second_chance_ms);
        let wait = self
            .second_chances
            .wait(&module, hash, first, Instant::now());
        let text = format!(
            "the node starts the module again by itself in {} s; deploy a corrected version, or start it with `load`",
            wait.as_secs_f64()
        );
        self.shared.lines.message(Some(&module), None, &text);
        ctx.run_later(wait, move |supervisor, ctx| {
            if supervisor.refuses().is_ok() {
                let change = Change::SecondChance(module, hash);
                supervisor.park(Parked::Change(change, Asker::Nobody), ctx);
                supervisor.send_out();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_while_the_module_fails_soon_and_begins_anew_with_another_binary() {
        let mut chances = SecondChances::default();
        let module = ModuleName::new("m").expect("a name");
        let first = Duration::from_secs(60);
        let mut now = Instant::now();
        let mut waited = Vec::new();
        for _ in 0..8 {
            let wait = chances.wait(&module, [1; 32], first, now);
            waited.push(wait.as_secs());
            now += wait + wait / 2;
        }
        assert_eq!(waited, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(chances.wait(&module, [2; 32], first, now), first);
        now += 2 * first;
        assert_eq!(
            chances.wait(&module, [2; 32], first, now),
            first,
            "it has served"
        );
    }
}
