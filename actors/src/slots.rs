//! Slots for work that goes on for as long as its client reads: the rows of large tables, resumed
//! watches, reads of the past.
//!
//! Such a client keeps its slot, and may read slowly or not at all. So no key but an owner's has
//! more than a share of them, guests together leave some to owners, and a client that takes
//! nothing for [`READING_MAX`] loses its slot.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use interstice_abi::{
    failure::{Code, Failure},
    id::NodeId,
    wire::Standing,
};

use crate::ingress::{Peer, Replies};

/// How long a client that holds a slot may take nothing of what was sent: as long as its
/// connection may.
pub(crate) const READING_MAX: Duration = Duration::from_secs(30);

/// What each kind of long work may have at a time, by whom.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// In the words of its refusal.
    what: &'static str,
    all: usize,
    /// Of them, for keys that are no owner's.
    guests: usize,
    /// Of those, for one key.
    key: usize,
}

/// Tables of more than a frame at the beginning of a watch: a page that is shared and then changed
/// is there twice.
const TABLES: Bounds = Bounds {
    what: "watches of large tables that begin",
    all: 64,
    guests: 48,
    key: 8,
};

/// Watches that read the log before they go live; each is a thread and reads all that is kept.
const RESUMES: Bounds = Bounds {
    what: "watches that resume",
    all: 16,
    guests: 12,
    key: 4,
};

/// Requests that read the log; each is a thread.
const READERS: Bounds = Bounds {
    what: "requests that read the log",
    all: 4,
    guests: 2,
    key: 1,
};

/// The slots of a node, by what they are for.
pub(crate) struct Slots {
    /// For the rows at the beginning of a watch.
    pub(crate) tables: Arc<Pool>,
    /// For watches that resume.
    pub(crate) resumes: Arc<Pool>,
    /// For reads of the past.
    pub(crate) readers: Arc<Pool>,
}

/// Slots for one kind of work.
#[derive(Debug)]
pub(crate) struct Pool {
    bounds: Bounds,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    guests: HashMap<NodeId, usize>,
}

/// One slot, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    pool: Arc<Pool>,
    /// Whose it is, when that is no owner.
    guest: Option<NodeId>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            tables: Pool::new(TABLES),
            resumes: Pool::new(RESUMES),
            readers: Pool::new(READERS),
        }
    }
}

impl Pool {
    fn new(bounds: Bounds) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { bounds, taken })
    }

    /// A slot for a client.
    ///
    /// # Errors
    /// `Busy`, with the bound that is reached.
    pub(crate) fn take(self: &Arc<Self>, peer: &Peer) -> Result<Slot, Failure> {
        let Bounds {
            what,
            all,
            guests,
            key,
        } = self.bounds;
        let mut taken = self.taken();
        let guest = (peer.standing == Standing::Guest).then(|| peer.node.clone());
        let busy = |count: usize, whose: &str| {
            let text = format!(
                "{what} at this moment{whose}: {count}, which is the limit; read their answers, or try again in a moment"
            );
            Err(Failure::new(Code::Busy, text))
        };
        if taken.all >= all {
            return busy(taken.all, "");
        }
        if let Some(guest) = &guest {
            let mine = taken.guests.get(guest).copied().unwrap_or_default();
            let others: usize = taken.guests.values().sum();
            if mine >= key {
                return busy(mine, " for this key");
            }
            if others >= guests {
                return busy(others, " for keys that are no owner's");
            }
            *taken.guests.entry(guest.clone()).or_default() += 1;
        }
        taken.all += 1;
        drop(taken);
        let pool = self.clone();
        Ok(Slot { pool, guest })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics under the lock; a poisoned count is a whole one.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.pool.taken();
        taken.all -= 1;
        let Some(guest) = &self.guest else {
            return;
        };
        if let Some(mine) = taken.guests.get_mut(guest) {
            *mine -= 1;
            if *mine == 0 {
                taken.guests.remove(guest);
            }
        }
    }
}

/// Waits on this thread until a client that holds a slot has taken most of what was sent.
///
/// # Errors
/// `Busy` when it takes nothing for [`READING_MAX`].
pub(crate) fn wait_for_room(replies: &Replies) -> Result<(), Failure> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut room = pin!(replies.room());
    let until = Instant::now() + READING_MAX;
    while room.as_mut().poll(&mut context).is_pending() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unread());
        }
        thread::park_timeout(left);
    }
    Ok(())
}

/// As [`wait_for_room`], in a task.
///
/// # Errors
/// As [`wait_for_room`].
pub(crate) async fn room(replies: &Replies) -> Result<(), Failure> {
    let room = tokio::time::timeout(READING_MAX, replies.room());
    room.await.map_err(|_| unread())
}

fn unread() -> Failure {
    let text = format!(
        "the answers were not read for {} s, and others wait; ask again and read them as they come",
        READING_MAX.as_secs()
    );
    Failure::new(Code::Busy, text)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::ConnectionId;

    fn peer(name: &str, standing: Standing) -> Peer {
        Peer {
            connection: ConnectionId(1),
            node: NodeId::from(name),
            standing,
        }
    }

    #[test]
    fn a_guest_has_a_share_and_owners_find_a_slot_when_guests_have_all_of_theirs() {
        let slots = Slots::default();
        for pool in [&slots.tables, &slots.resumes, &slots.readers] {
            let Bounds {
                all, guests, key, ..
            } = pool.bounds;
            let one = peer("one", Standing::Guest);
            let mut taken: Vec<Slot> = (0..key).map(|_| pool.take(&one).unwrap()).collect();
            let busy = pool.take(&one).unwrap_err();
            assert_eq!(busy.code, Code::Busy);
            assert!(busy.message.contains("for this key"), "{busy}");
            let others = (key..guests).map(|place| peer(&place.to_string(), Standing::Guest));
            taken.extend(others.map(|other| pool.take(&other).unwrap()));
            let late = peer("late", Standing::Guest);
            let busy = pool.take(&late).unwrap_err();
            assert!(busy.message.contains("no owner's"), "{busy}");
            let owner = peer("owner", Standing::Owner);
            taken.extend((guests..all).map(|_| pool.take(&owner).unwrap()));
            assert_eq!(pool.take(&owner).unwrap_err().code, Code::Busy);
            drop(taken);
            pool.take(&late).unwrap();
            assert!(pool.taken().guests.is_empty() && pool.taken().all == 0);
        }
    }
}
