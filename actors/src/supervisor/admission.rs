//! How much is admitted: the only place where load is refused.
//!
//! Counts turns, queries and watches that have a place and have not ended, and the bytes of their arguments, per module and
//! in all. Beyond the bound callers get `Busy`; inside the node nothing is refused any more.

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
};

use super::catalogue::ModuleIndex;
use crate::config::Config;

/// What is admitted.
pub(crate) struct Admission {
    turns_max: u64,
    bytes_max: u64,
    /// By [`ModuleIndex`], as far as any was admitted.
    modules: Vec<Load>,
    all: Load,
}

#[derive(Clone, Copy, Default)]
struct Load {
    turns: u64,
    bytes: u64,
}

impl Admission {
    /// Nothing admitted yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            turns_max: config.admission.turns_per_module_max,
            bytes_max: config.admission.bytes_per_module_max,
            modules: Vec::new(),
            all: Load::default(),
        }
    }

    /// Whether one more of `bytes` fits under `module`.
    ///
    /// # Errors
    /// `Busy`, with the bound.
    pub(crate) fn check(
        &self,
        name: &ModuleName,
        module: ModuleIndex,
        bytes: u64,
    ) -> Result<(), Failure> {
        let load = self.modules.get(module.place());
        let load = load.copied().unwrap_or_default();
        if load.turns >= self.turns_max {
            return Err(Failure::new(
                Code::Busy,
                format!(
                    "module `{name}` has {} calls waiting, which is its limit; try again later",
                    load.turns
                ),
            ));
        }
        // One call larger than the bound is let in alone: its own size limit has passed it.
        if load.turns > 0 && load.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(Failure::new(
                Code::Busy,
                format!(
                    "module `{name}` has {} bytes of arguments waiting; the limit is {}",
                    load.bytes, self.bytes_max
                ),
            ));
        }
        Ok(())
    }

    /// Counts a place.
    pub(crate) fn enter(&mut self, module: Option<ModuleIndex>, bytes: u64) {
        self.all.turns += 1;
        self.all.bytes += bytes;
        if let Some(module) = module {
            let place = module.place();
            if place >= self.modules.len() {
                self.modules.resize(place + 1, Load::default());
            }
            if let Some(load) = self.modules.get_mut(place) {
                load.turns += 1;
                load.bytes += bytes;
            }
        }
    }

    /// Gives places back.
    pub(crate) fn leave(&mut self, module: Option<ModuleIndex>, places: u64, bytes: u64) {
        let module = module.and_then(|module| self.modules.get_mut(module.place()));
        for load in std::iter::once(&mut self.all).chain(module) {
            load.turns = load.turns.saturating_sub(places);
            load.bytes = load.bytes.saturating_sub(bytes);
        }
    }

    /// Whether nothing has a place.
    pub(crate) fn is_idle(&self) -> bool {
        self.all.turns == 0
    }

    /// How much has a place.
    pub(crate) fn in_flight(&self) -> u64 {
        self.all.turns
    }

    /// Module indexes mean something else from here on; only while idle.
    pub(crate) fn forget_modules(&mut self) {
        self.modules.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_refuses_and_what_ends_makes_room() {
        let mut config = Config::default();
        config.admission.turns_per_module_max = 2;
        config.admission.bytes_per_module_max = 100;
        let mut admission = Admission::new(&config);
        let (name, module) = (ModuleName::new("m").expect("a name"), ModuleIndex(0));
        assert!(
            admission.check(&name, module, 1000).is_ok(),
            "alone it may be larger"
        );
        admission.enter(Some(module), 90);
        assert_eq!(
            admission
                .check(&name, module, 20)
                .map_err(|failure| failure.code),
            Err(Code::Busy)
        );
        assert!(admission.check(&name, module, 10).is_ok());
        admission.enter(Some(module), 10);
        assert_eq!(
            admission
                .check(&name, module, 0)
                .map_err(|failure| failure.code),
            Err(Code::Busy)
        );
        assert!(
            admission.check(&name, ModuleIndex(1), 0).is_ok(),
            "a neighbour is not affected"
        );
        admission.leave(Some(module), 1, 90);
        assert!(admission.check(&name, module, 20).is_ok());
        admission.leave(Some(module), 1, 10);
        assert!(admission.is_idle());
    }
}
