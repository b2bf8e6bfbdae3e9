//! Places on their way to module actors, gathered so that each actor gets one message per batch of
//! requests.

use std::collections::BTreeMap;

use super::{Supervisor, catalogue::ModuleIndex};
use crate::module::{
    NewPlace, Places,
    awake::{FOR_ONE_ANSWER, stay_awake},
    core::refuse,
    turn::Turn,
};

/// The arbiter of the supervisor and the network.
const OWN_PLACE: usize = 0;

/// Places that were given out and not sent yet.
#[derive(Default)]
pub(crate) struct Outgoing {
    places: BTreeMap<ModuleIndex, Vec<NewPlace>>,
}

impl Outgoing {
    /// Adds a place behind those that are there.
    pub(crate) fn add(&mut self, module: ModuleIndex, place: NewPlace) {
        self.places.entry(module).or_default().push(place);
    }
}

impl Supervisor {
    /// Gives a stamped turn its places. A turn with nothing to run ends here.
    pub(crate) fn place_turn(&mut self, turn: Box<Turn>) {
        let Some(first) = turn.pending.front().map(|step| step.module) else {
            return;
        };
        self.admission.enter(turn.home, turn.guest, turn.bytes);
        for module in turn.held.iter().copied().filter(|module| *module != first) {
            self.outgoing.add(module, NewPlace::Hold(turn.ticket));
        }
        self.outgoing.add(first, NewPlace::Turn(turn));
    }

    /// Sends what was gathered.
    pub(crate) fn send_out(&mut self) {
        let is_alone = self.admission.in_flight() == 1;
        for (module, places) in std::mem::take(&mut self.outgoing.places) {
            match self.catalogue.entry(module) {
                Some(entry) => {
                    let is_waited_for = places.iter().any(NewPlace::is_answered_when_run);
                    entry.installed.address.do_send(Places(places));
                    if is_alone && is_waited_for && entry.installed.place != OWN_PLACE {
                        stay_awake(FOR_ONE_ANSWER);
                    }
                }
                None => refuse_all(places),
            }
        }
    }
}

/// Answers whoever waits for a place in a module that is gone. Places are sent before the
/// catalogue changes, so this is reached only by a mistake of ours, and even then nobody waits for
/// ever.
fn refuse_all(places: Vec<NewPlace>) {
    use interstice_abi::failure::Failure;
    for place in places {
        if let NewPlace::Turn(turn) = place {
            let Turn { waiter, .. } = *turn;
            refuse(
                waiter,
                Failure::internal("the module went before its turn could start"),
            );
        }
    }
}
