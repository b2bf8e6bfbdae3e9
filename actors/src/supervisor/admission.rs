//! How much is admitted: the only place where load is refused.
//!
//! Counts turns, queries and watches that have a place and have not ended, and the bytes of their arguments, per module and
//! in all. Beyond the bound callers get `Busy`, and a guest beyond its share of it ([`shares`]); inside the node nothing is
//! refused any more.

pub(crate) mod shares;

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
};

use self::shares::{Full, GuestIndex, Guests, Load, Shares};
use super::catalogue::ModuleIndex;
use crate::config::Config;

/// What is admitted.
pub(crate) struct Admission {
    /// The size of each module's queue.
    max: Load,
    /// By [`ModuleIndex`], as far as any was admitted.
    modules: Vec<Shares>,
    /// Places of all modules.
    places: u64,
    /// The keys that shares are of.
    pub(crate) guests: Guests,
}

impl Admission {
    /// Nothing admitted yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max: Load {
                places: config.admission.turns_per_module_max,
                bytes: config.admission.bytes_per_module_max,
            },
            modules: Vec::new(),
            places: 0,
            guests: Guests::default(),
        }
    }

    /// Whether one more of `bytes` fits under `module`; `guest` is `None` for owners and for the node itself.
    ///
    /// # Errors
    /// `Busy`, with the bound.
    pub(crate) fn check(
        &self,
        name: &ModuleName,
        module: ModuleIndex,
        guest: Option<GuestIndex>,
        bytes: u64,
    ) -> Result<(), Failure> {
        let Some(shares) = self.modules.get(module.place()) else {
            return Ok(());
        };
        let text = match shares.check(guest, bytes, self.max) {
            Ok(()) => return Ok(()),
            Err(Full::Places(places)) => format!(
                "module `{name}` has {places} calls waiting, which is its limit; try again later"
            ),
            Err(Full::Bytes(held)) => format!(
                "module `{name}` has {held} bytes of arguments waiting; the limit is {}",
                self.max.bytes
            ),
            Err(Full::SharedPlaces(places)) => format!(
                "module `{name}` has {places} calls of this key waiting, which is its share of the module's queue; try again when some have ended"
            ),
            Err(Full::SharedBytes(held)) => format!(
                "module `{name}` has {held} bytes of arguments of this key waiting, and its share of the module's queue has no room for more; try again when some calls have ended"
            ),
        };
        Err(Failure::new(Code::Busy, text))
    }

    /// Counts a place.
    pub(crate) fn enter(
        &mut self,
        module: Option<ModuleIndex>,
        guest: Option<GuestIndex>,
        bytes: u64,
    ) {
        self.places += 1;
        self.guests.begin_another(guest);
        if let Some(module) = module {
            let place = module.place();
            if place >= self.modules.len() {
                self.modules.resize(place + 1, Shares::default());
            }
            if let Some(shares) = self.modules.get_mut(place) {
                shares.enter(guest, bytes);
            }
        }
    }

    /// Gives places back.
    pub(crate) fn leave(
        &mut self,
        module: Option<ModuleIndex>,
        guest: Option<GuestIndex>,
        places: u64,
        bytes: u64,
    ) {
        self.places = self.places.saturating_sub(places);
        if let Some(shares) = module.and_then(|module| self.modules.get_mut(module.place())) {
            shares.leave(guest, places, bytes);
        }
        self.guests.end(guest, places);
    }

    /// Whether nothing has a place.
    pub(crate) fn is_idle(&self) -> bool {
        self.places == 0
    }

    /// How much has a place.
    pub(crate) fn in_flight(&self) -> u64 {
        self.places
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
        let code = |checked: Result<(), Failure>| checked.map_err(|failure| failure.code);
        let owner = None;
        assert!(
            admission.check(&name, module, owner, 1000).is_ok(),
            "alone it may be larger"
        );
        admission.enter(Some(module), owner, 90);
        assert_eq!(
            code(admission.check(&name, module, owner, 20)),
            Err(Code::Busy)
        );
        assert!(admission.check(&name, module, owner, 10).is_ok());
        admission.enter(Some(module), owner, 10);
        assert_eq!(
            code(admission.check(&name, module, owner, 0)),
            Err(Code::Busy)
        );
        assert!(
            admission.check(&name, ModuleIndex(1), owner, 0).is_ok(),
            "a neighbour is not affected"
        );
        admission.leave(Some(module), owner, 1, 90);
        assert!(admission.check(&name, module, owner, 20).is_ok());
        admission.leave(Some(module), owner, 1, 10);
        assert!(admission.is_idle());
    }
}
