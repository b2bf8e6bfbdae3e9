//! Fair shares of a bounded queue: what one key may have in it, however many connections it comes with.
//!
//! Keys cost nothing, so a fixed part per key would be no bound. A guest's key gets another place only while it has fewer
//! than are free for guests (dynamic thresholds, Choudhury and Hahne 1998): one alone gets half, two get a third each, and
//! some are always free for a key that has none. An eighth of the queue is for owners alone. They are bounded by the whole
//! queue only.

use std::collections::HashMap;

use interstice_abi::{id::NodeId, wire::Standing};

use crate::ingress::Peer;

/// The part of each queue that is kept for owners: one in this number.
const OWNERS_PART: u64 = 8;

/// A guest's key, by a small number that is given to another one when nothing of it is left in the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestIndex(u32);

impl GuestIndex {
    fn place(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The keys of guests that have a connection or a place.
#[derive(Default)]
pub(crate) struct Guests {
    known: HashMap<NodeId, GuestIndex>,
    /// By [`GuestIndex`].
    keys: Vec<Key>,
    free: Vec<GuestIndex>,
}

struct Key {
    node: NodeId,
    /// Its connections and places.
    uses: u64,
}

impl Guests {
    /// The number of a client's key, with one use more; `None` for an owner's.
    pub(crate) fn begin(&mut self, peer: &Peer) -> Option<GuestIndex> {
        if peer.standing == Standing::Owner {
            return None;
        }
        let Self { known, keys, free } = self;
        let index = *known.entry(peer.node.clone()).or_insert_with(|| {
            let key = Key {
                node: peer.node.clone(),
                uses: 0,
            };
            let index = free
                .pop()
                .unwrap_or_else(|| GuestIndex(u32::try_from(keys.len()).unwrap_or(u32::MAX)));
            match keys.get_mut(index.place()) {
                Some(place) => *place = key,
                None => keys.push(key),
            }
            index
        });
        self.begin_another(Some(index));
        Some(index)
    }

    /// A place of a key that has a connection or a place.
    pub(crate) fn begin_another(&mut self, guest: Option<GuestIndex>) {
        let key = guest.and_then(|guest| self.keys.get_mut(guest.place()));
        if let Some(key) = key {
            key.uses += 1;
        }
    }

    /// Connections or places of a key have ended.
    pub(crate) fn end(&mut self, guest: Option<GuestIndex>, uses: u64) {
        let Some(guest) = guest else { return };
        let Some(key) = self.keys.get_mut(guest.place()) else {
            return;
        };
        key.uses = key.uses.saturating_sub(uses);
        if key.uses == 0 && self.known.remove(&key.node).is_some() {
            self.free.push(guest);
        }
    }
}

/// Places in a queue and the bytes of what waits in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) places: u64,
    pub(crate) bytes: u64,
}

impl Load {
    fn add(&mut self, bytes: u64) {
        self.places += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn take(&mut self, places: u64, bytes: u64) {
        self.places = self.places.saturating_sub(places);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// What guests may have of a queue of this size.
    fn of_guests(self) -> Self {
        Self {
            places: self.places - self.places / OWNERS_PART,
            bytes: self.bytes - self.bytes / OWNERS_PART,
        }
    }
}

/// What is in the way of one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many places are taken as there are, for this client.
    Places(u64),
    /// This many bytes are held.
    Bytes(u64),
    /// The key has its share of places.
    SharedPlaces(u64),
    /// The key has its share of bytes.
    SharedBytes(u64),
}

/// What is in one queue, and whose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    all: Load,
    guests: Load,
    /// By [`GuestIndex`], as far as any had a place.
    by_guest: Vec<Load>,
}

impl Shares {
    /// Whether one more of `bytes` fits into a queue of size `max`; `guest` is `None` for owners and for the node itself.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn check(
        &self,
        guest: Option<GuestIndex>,
        bytes: u64,
        max: Load,
    ) -> Result<(), Full> {
        if self.all.places >= max.places {
            return Err(Full::Places(self.all.places));
        }
        // One that is larger than the bound is let in alone: its own size limit has passed it.
        if self.all.places > 0 && self.all.bytes.saturating_add(bytes) > max.bytes {
            return Err(Full::Bytes(self.all.bytes));
        }
        let Some(guest) = guest else { return Ok(()) };
        let max = max.of_guests();
        let own = self
            .by_guest
            .get(guest.place())
            .copied()
            .unwrap_or_default();
        let free = max.places.saturating_sub(self.guests.places);
        if free == 0 {
            return Err(Full::Places(self.guests.places));
        }
        if own.places > 0 && own.places >= free {
            return Err(Full::SharedPlaces(own.places));
        }
        let free = max.bytes.saturating_sub(self.guests.bytes);
        if bytes > 0 && self.guests.bytes > 0 && own.bytes.saturating_add(bytes) > free {
            return Err(Full::SharedBytes(own.bytes));
        }
        Ok(())
    }

    /// Counts a place.
    pub(crate) fn enter(&mut self, guest: Option<GuestIndex>, bytes: u64) {
        self.all.add(bytes);
        let Some(guest) = guest else { return };
        self.guests.add(bytes);
        let place = guest.place();
        if place >= self.by_guest.len() {
            self.by_guest.resize(place + 1, Load::default());
        }
        if let Some(own) = self.by_guest.get_mut(place) {
            own.add(bytes);
        }
    }

    /// Gives places back.
    pub(crate) fn leave(&mut self, guest: Option<GuestIndex>, places: u64, bytes: u64) {
        self.all.take(places, bytes);
        let Some(guest) = guest else { return };
        self.guests.take(places, bytes);
        if let Some(own) = self.by_guest.get_mut(guest.place()) {
            own.take(places, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::id::NodeId;

    use super::*;
    use crate::ingress::ConnectionId;

    fn peer(node: &str, standing: Standing) -> Peer {
        Peer {
            connection: ConnectionId(1),
            node: NodeId::from(node),
            standing,
        }
    }

    /// How many places a client gets in a row.
    fn filled(shares: &mut Shares, guest: Option<GuestIndex>, max: Load) -> u64 {
        let mut count = 0;
        while shares.check(guest, 0, max).is_ok() {
            shares.enter(guest, 0);
            count += 1;
        }
        count
    }

    #[test]
    fn a_key_keeps_its_number_while_something_of_it_is_there() {
        let mut guests = Guests::default();
        assert_eq!(guests.begin(&peer("o", Standing::Owner)), None);
        let [a, b] = ["a", "b"].map(|node| guests.begin(&peer(node, Standing::Guest)));
        assert_ne!(a, b);
        assert_eq!(
            guests.begin(&peer("a", Standing::Guest)),
            a,
            "a second connection"
        );
        guests.begin_another(a);
        guests.end(a, 2);
        assert_eq!(guests.begin(&peer("a", Standing::Guest)), a);
        guests.end(a, 2);
        let c = guests.begin(&peer("c", Standing::Guest));
        assert_eq!(c, a, "nothing of the first is left");
        assert_ne!(guests.begin(&peer("a", Standing::Guest)), a);
    }

    #[test]
    fn a_greedy_key_leaves_room_for_others_and_for_owners() {
        let max = Load {
            places: 80,
            bytes: 800,
        };
        let mut shares = Shares::default();
        let [first, second, third] = [0, 1, 2].map(|index| Some(GuestIndex(index)));
        assert_eq!(filled(&mut shares, first, max), 35, "half of 70");
        let second_has = filled(&mut shares, second, max);
        assert!((15..=20).contains(&second_has), "{second_has}");
        assert!(filled(&mut shares, third, max) > 5);
        assert_eq!(
            shares.check(first, 0, max),
            Err(Full::SharedPlaces(35)),
            "its own places are in its way"
        );
        let owners_have = filled(&mut shares, None, max);
        assert!(owners_have >= 10, "{owners_have}");
        assert_eq!(shares.check(None, 0, max), Err(Full::Places(80)));
        shares.leave(first, 35, 0);
        assert!(filled(&mut shares, third, max) > 0);
    }

    #[test]
    fn bytes_are_shared_too_and_a_large_call_is_let_in_alone() {
        let max = Load {
            places: 80,
            bytes: 800,
        };
        let mut shares = Shares::default();
        let [first, second] = [0, 1].map(|index| Some(GuestIndex(index)));
        assert_eq!(shares.check(first, 5000, max), Ok(()));
        shares.enter(first, 350);
        assert_eq!(shares.check(first, 1, max), Err(Full::SharedBytes(350)));
        assert_eq!(shares.check(first, 0, max), Ok(()), "it has no bytes");
        assert_eq!(shares.check(second, 300, max), Ok(()));
        assert_eq!(shares.check(None, 450, max), Ok(()));
        assert_eq!(shares.check(None, 451, max), Err(Full::Bytes(350)));
    }
}
