//! Where replay keeps a module: what a catalogue has in place of an actor's address.
//!
//! A module is out of its slot exactly while it runs. Bases that the node took in the middle of
//! turns are remembered here, so that the instance is renewed where its actor had renewed it: in
//! front of its first step of a later turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use interstice_abi::{failure::Failure, id::Seq};
use interstice_host::module::Module;

/// A module of a replay.
#[derive(Clone)]
pub(super) struct Slot(Arc<Mutex<Inside>>);

struct Inside {
    module: Option<Box<Module>>,
    /// Bases that no step of a later turn has passed yet.
    bases: Vec<Seq>,
}

impl Slot {
    pub(super) fn new(module: Module) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            module: Some(Box::new(module)),
            bases: Vec::new(),
        })))
    }

    fn locked(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the module out, to run in turn `seq`.
    pub(super) fn take(&self, seq: Seq) -> Result<Box<Module>, Failure> {
        let mut inside = self.locked();
        let passed = inside.bases.iter().any(|base| *base < seq);
        inside.bases.retain(|base| *base >= seq);
        let mut module = inside.module.take().ok_or_else(runs)?;
        if passed {
            module.renew();
        }
        Ok(module)
    }

    /// Takes the module out for good, or between turns.
    pub(super) fn take_out(&self) -> Result<Box<Module>, Failure> {
        self.locked().module.take().ok_or_else(runs)
    }

    /// Puts it back.
    pub(super) fn put(&self, module: Box<Module>) {
        self.locked().module = Some(module);
    }

    /// Does something with the module where it is.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Module) -> T) -> Result<T, Failure> {
        let mut inside = self.locked();
        let module = inside.module.as_mut().ok_or_else(runs)?;
        Ok(act(module))
    }

    /// A base was taken behind turn `seq`.
    pub(super) fn base(&self, seq: Seq) {
        self.locked().bases.push(seq);
    }

    /// Instances of before are gone, and with them what bases would renew.
    pub(super) fn forget_bases(&self) {
        self.locked().bases.clear();
    }
}

/// A step reaches a module at most once at a time, so this is a mistake of ours.
fn runs() -> Failure {
    Failure::internal("a module of a replay is asked for while it runs")
}
