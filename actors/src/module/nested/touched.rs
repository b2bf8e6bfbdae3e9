//! Which modules a step has changed by calls, and how far each of them must go back when the step,
//! or a call in it, fails.
//!
//! A module keeps its earliest point, whatever is called later; nothing is undone here, the actors
//! do that.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use interstice_abi::id::ModuleName;
use interstice_host::table::{Counter, Savepoint};

use crate::supervisor::catalogue::ModuleIndex;

/// The modules that a step has changed by calls, each with the earliest point to go back to and
/// the counters that moved.
#[derive(Clone, Default)]
pub(crate) struct Touched(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is any part: most steps call nobody, and then nothing is locked.
    any: AtomicBool,
    /// Ordered by module: mostly there is one.
    parts: Mutex<Vec<(ModuleIndex, Part)>>,
}

/// What a step did to one module.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) savepoint: Savepoint,
    pub(super) name: ModuleName,
    pub(super) counters: Vec<Counter>,
}

impl Touched {
    /// This again for another step, if nothing was touched and nobody else has it.
    pub(in crate::module) fn unused(mut self) -> Option<Self> {
        let is_unused = Arc::get_mut(&mut self.0).is_some_and(|inner| !*inner.any.get_mut());
        is_unused.then_some(self)
    }

    fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Acquire)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<(ModuleIndex, Part)>> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a call did to `module`, beside what earlier calls did.
    pub(super) fn add(&self, module: ModuleIndex, part: Part) {
        self.0.any.store(true, Ordering::Release);
        let mut parts = self.locked();
        match parts.binary_search_by_key(&module, |(module, _)| *module) {
            Err(place) => parts.insert(place, (module, part)),
            Ok(place) => {
                let Some((_, known)) = parts.get_mut(place) else {
                    return;
                };
                // Later values stand for what both calls did.
                let counters = &mut known.counters;
                counters.retain(|old| {
                    !part
                        .counters
                        .iter()
                        .any(|new| (new.table, new.field) == (old.table, old.field))
                });
                counters.extend(part.counters);
            }
        }
    }

    /// Takes over what a call has touched, which has ended.
    pub(crate) fn merge(&self, ended: &Self) {
        if ended.is_empty() {
            return;
        }
        let parts = std::mem::take(&mut *ended.locked());
        for (module, part) in parts {
            self.add(module, part);
        }
    }

    /// Every module with its earliest point.
    pub(crate) fn earliest(&self) -> Vec<(ModuleIndex, Savepoint)> {
        self.locked()
            .iter()
            .map(|(module, part)| (*module, part.savepoint))
            .collect()
    }

    /// Every module.
    pub(crate) fn modules(&self) -> Vec<ModuleIndex> {
        if self.is_empty() {
            return Vec::new();
        }
        self.locked().iter().map(|(module, _)| *module).collect()
    }

    /// Every counter that moved.
    pub(crate) fn counters(&self) -> Vec<(ModuleName, Counter)> {
        if self.is_empty() {
            return Vec::new();
        }
        let parts = self.locked();
        let all = parts.iter().flat_map(|(_, part)| {
            part.counters
                .iter()
                .map(|counter| (part.name.clone(), *counter))
        });
        all.collect()
    }
}
