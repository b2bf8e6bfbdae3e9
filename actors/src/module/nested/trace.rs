//! What a step leaves behind besides its effects: what it was answered from other nodes, and which
//! modules ran in it.
//!
//! Shared along the way of a step: only one guest of a step runs at a time, so what is added
//! stands in the order in which it happened. Failures take nothing out again: a guest that was
//! told something was told it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use interstice_abi::id::ModuleName;

use crate::record::Answer;

/// What a step leaves behind besides its effects.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is anything: most steps leave nothing, and then nothing is locked.
    any: AtomicBool,
    traced: Mutex<Traced>,
}

#[derive(Default)]
struct Traced {
    answers: Vec<Answer>,
    ran: BTreeSet<ModuleName>,
}

impl Trace {
    /// This again for another step, if it is empty and nobody else has it.
    pub(in crate::module) fn unused(mut self) -> Option<Self> {
        let is_unused = Arc::get_mut(&mut self.0).is_some_and(|inner| !*inner.any.get_mut());
        is_unused.then_some(self)
    }

    fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Acquire)
    }

    fn locked(&self) -> MutexGuard<'_, Traced> {
        self.0.traced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another node has answered.
    pub(crate) fn answered(&self, answer: Answer) {
        self.0.any.store(true, Ordering::Release);
        self.locked().answers.push(answer);
    }

    /// A module's instance took part because it was called.
    pub(super) fn add_run(&self, module: &ModuleName) {
        self.0.any.store(true, Ordering::Release);
        let mut traced = self.locked();
        if !traced.ran.contains(module) {
            traced.ran.insert(module.clone());
        }
    }

    /// All answers, in order.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        if self.is_empty() {
            return Vec::new();
        }
        self.locked().answers.clone()
    }

    /// The modules that ran besides `own`.
    pub(crate) fn ran(&self, own: Option<&ModuleName>) -> Vec<ModuleName> {
        if self.is_empty() {
            return Vec::new();
        }
        let traced = self.locked();
        let others = traced.ran.iter().filter(|module| Some(*module) != own);
        others.cloned().collect()
    }
}
