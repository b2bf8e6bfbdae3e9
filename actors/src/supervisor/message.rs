//! What is said to the supervisor: by module actors, by the network, by the node's own life.
//!
//! Module actors speak in batches ([`Endings`]); a connection hands over all the frames of one read ([`FromClient`]).

use std::sync::Arc;

use actix::prelude::Message;
use interstice_abi::id::{ModuleName, TimerId};
use tokio::sync::oneshot;

use super::{admission::shares::GuestIndex, catalogue::ModuleIndex};
use crate::ingress::{Batch, Peer};

/// Places that have ended, and what a module has to tell, in batches.
#[derive(Default, Message)]
#[rtype(result = "()")]
pub(crate) struct Endings {
    /// Turns, queries and other places. Those of a kind that followed each other are one.
    pub(crate) ended: Vec<Ended>,
    /// The module's next timer.
    pub(crate) timers: Option<TimerNews>,
    /// A module that failed too often in a row.
    pub(crate) quarantine: Option<Quarantine>,
}

impl Endings {
    /// A place has ended.
    pub(crate) fn add(
        &mut self,
        home: Option<ModuleIndex>,
        guest: Option<GuestIndex>,
        bytes: u64,
        what: EndedPlace,
    ) {
        match self.ended.last_mut() {
            Some(last) if (last.home, last.guest, last.what) == (home, guest, what) => {
                last.places += 1;
                last.bytes = last.bytes.saturating_add(bytes);
            }
            _ => self.ended.push(Ended {
                home,
                guest,
                places: 1,
                bytes,
                what,
            }),
        }
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.timers.is_none() && self.quarantine.is_none()
    }
}

/// A module that failed too often in a row.
pub(crate) struct Quarantine {
    /// Which.
    pub(crate) module: ModuleName,
    /// BLAKE3 of the binary that failed: a mended one that was deployed meanwhile is left alone.
    pub(crate) hash: [u8; 32],
    /// Its last fault.
    pub(crate) reason: String,
}

/// What admission gets back.
pub(crate) struct Ended {
    /// The module that it was counted under.
    pub(crate) home: Option<ModuleIndex>,
    /// Whose share it was.
    pub(crate) guest: Option<GuestIndex>,
    /// How many have ended.
    pub(crate) places: u64,
    /// The bytes that were counted for them.
    pub(crate) bytes: u64,
    /// What has ended.
    pub(crate) what: EndedPlace,
}

/// What a place in a module's queue was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedPlace {
    /// A turn whose first step has committed.
    Committed,
    /// A turn whose first step has failed.
    Failed,
    /// A query, a page of rows, the start of a watch.
    Read,
}

/// Which timers of a module are due next.
pub(crate) struct TimerNews {
    /// The module.
    pub(crate) module: ModuleName,
    /// The earliest ones, each with when it is due in milliseconds since 1970; empty when it has none.
    pub(crate) next: Vec<(u64, TimerId)>,
    /// Those whose turns have run since the module has said so last.
    pub(crate) ended: Vec<TimerId>,
    /// Nothing of what was said before holds: of its timers, none is under way.
    pub(crate) anew: bool,
}

/// All complete requests that one read of one connection has brought.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromClient(pub(crate) Batch);

/// A node or client has connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Connected(pub(crate) Arc<Peer>);

/// A connection has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Disconnected(pub(crate) Arc<Peer>);

/// The node cannot keep its promises any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Broken(pub(crate) String);

/// Drain, write a checkpoint, and say so.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain(pub(crate) oneshot::Sender<()>);

/// The network listens: what to tell of it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Listening(pub(crate) Vec<String>);

/// A timer may be due.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TimerDue;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_kind_are_told_together_and_none_is_lost() {
        let [module, other] = [0, 1].map(|place| Some(ModuleIndex(place)));
        let mut endings = Endings::default();
        assert!(endings.is_empty());
        for (home, bytes, what) in [
            (module, 1, EndedPlace::Committed),
            (module, 2, EndedPlace::Committed),
            (module, 4, EndedPlace::Failed),
            (other, 8, EndedPlace::Failed),
            (None, 0, EndedPlace::Read),
            (module, 16, EndedPlace::Committed),
        ] {
            endings.add(home, None, bytes, what);
        }
        let told: Vec<_> = endings
            .ended
            .iter()
            .map(|ended| (ended.home, ended.places, ended.bytes, ended.what))
            .collect();
        let expected = [
            (module, 2, 3, EndedPlace::Committed),
            (module, 1, 4, EndedPlace::Failed),
            (other, 1, 8, EndedPlace::Failed),
            (None, 1, 0, EndedPlace::Read),
            (module, 1, 16, EndedPlace::Committed),
        ];
        assert_eq!(told, expected);
    }
}
