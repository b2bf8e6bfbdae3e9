//! What the connections of a node hold together of bytes that have arrived and were not read.
//! Beyond the bound the one that holds most is cut, so that many that stay below their own bound
//! cannot fill the node's memory. Owners' are spared.
//!
//! What one connection may hold, and how it is counted, is in [`interstice_client::muxer`].

use std::sync::{Arc, atomic::Ordering};

use interstice_client::muxer::Tally;

use super::{Ends, Entrance, Entrant, Stage};

/// One connection's part.
#[derive(Debug)]
struct Holding {
    entrance: Arc<Entrance>,
    entrant: Arc<Entrant>,
}

impl Entrance {
    /// Where what the connection between these ends holds is counted. `None` for one that has been
    /// cut already.
    pub(crate) fn tally(self: &Arc<Self>, ends: &Ends) -> Option<Arc<dyn Tally>> {
        let entrant = self.find(ends)?;
        Some(Arc::new(Holding {
            entrance: self.clone(),
            entrant,
        }))
    }

    /// Cuts the connection that holds most, if `all` is too much without what those hold that are
    /// cut already.
    fn relieve(&self, all: usize) {
        let state = self.state();
        let guests = state
            .stages
            .iter()
            .filter(|(stage, _)| **stage != Stage::Owner);
        let entrants = guests.flat_map(|(_, entrants)| entrants.values());
        let (mut leaving, mut most) = (0, None);
        for entrant in entrants {
            let held = entrant.held.load(Ordering::Relaxed);
            if entrant.is_cut() {
                leaving += held;
            } else if most.as_ref().is_none_or(|(other, _)| held > *other) {
                most = Some((held, entrant));
            }
        }
        if let Some((held, entrant)) = most
            && all.saturating_sub(leaving) > self.bounds.held_bytes_max
        {
            tracing::warn!(
                held,
                all,
                source = ?entrant.source,
                "a connection was cut: of all that made the node hold more unread bytes than it may, it held most"
            );
            entrant.cut();
        }
    }
}

impl Tally for Holding {
    fn more(&self, bytes: usize) {
        self.entrant.held.fetch_add(bytes, Ordering::Relaxed);
        let before = self.entrance.held.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.entrance.bounds.held_bytes_max {
            self.entrance.relieve(before + bytes);
        }
    }

    fn less(&self, bytes: usize) {
        self.entrant.held.fetch_sub(bytes, Ordering::Relaxed);
        self.entrance.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}
