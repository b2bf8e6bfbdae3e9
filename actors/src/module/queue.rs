//! A module's first-in first-out queue of the turns and queries that may reach it.
//!
//! Invariant: work is handed out only for the first place. What arrives for a later place waits
//! there; a place goes when it was released and nothing of it is left to do, so no turn overtakes
//! another at a module.

use std::collections::VecDeque;

use super::turn::Ticket;
use crate::one_or_more::OneOrMore;

/// A queue of places, each with work of type `W`.
pub(crate) struct Queue<W> {
    places: VecDeque<Place<W>>,
    /// What arrived before its place did: senders on other arbiters may be faster than the
    /// supervisor.
    early: Vec<(Ticket, Arrival<W>)>,
}

struct Place<W> {
    ticket: Ticket,
    work: OneOrMore<W>,
    released: bool,
}

enum Arrival<W> {
    Work(W),
    Release,
}

impl<W> Queue<W> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            places: VecDeque::new(),
            early: Vec::new(),
        }
    }

    /// How many places there are.
    pub(crate) fn depth(&self) -> usize {
        self.places.len()
    }

    /// Adds a place behind all others.
    pub(crate) fn place(&mut self, ticket: Ticket) {
        self.add(ticket, OneOrMore::new());
    }

    /// Adds a place behind all others that has work from the beginning.
    pub(crate) fn place_with(&mut self, ticket: Ticket, work: W) {
        self.add(ticket, OneOrMore::one(work));
    }

    fn add(&mut self, ticket: Ticket, work: OneOrMore<W>) {
        self.places.push_back(Place {
            ticket,
            work,
            released: false,
        });
        if !self.early.is_empty() {
            let (now, later) = self
                .early
                .drain(..)
                .partition(|(early, _)| *early == ticket);
            self.early = later;
            let now: Vec<(Ticket, Arrival<W>)> = now;
            for (_, arrival) in now {
                self.arrive(ticket, arrival);
            }
        }
    }

    /// Adds work to the place of `ticket`.
    pub(crate) fn work(&mut self, ticket: Ticket, work: W) {
        self.arrive(ticket, Arrival::Work(work));
    }

    /// Says that nothing more will come for the place of `ticket`.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        self.arrive(ticket, Arrival::Release);
    }

    fn arrive(&mut self, ticket: Ticket, arrival: Arrival<W>) {
        // Tickets only grow along the queue, and the first place is by far the most common one.
        let found = match self.places.front() {
            Some(first) if first.ticket == ticket => Ok(0),
            _ => self
                .places
                .binary_search_by(|place| place.ticket.cmp(&ticket)),
        };
        match (
            found.ok().and_then(|place| self.places.get_mut(place)),
            arrival,
        ) {
            (Some(place), Arrival::Work(work)) => place.work.push_back(work),
            (Some(place), Arrival::Release) => place.released = true,
            (None, arrival) => self.early.push((ticket, arrival)),
        }
    }

    /// Whether nothing that may still come for other places keeps the work of `ticket` waiting.
    pub(crate) fn reaches(&self, ticket: Ticket) -> bool {
        for place in &self.places {
            if place.ticket == ticket {
                return true;
            }
            if !place.released {
                return false;
            }
        }
        false
    }

    /// All work there is, for those whose places will never come.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = W> + use<W> {
        let early = std::mem::take(&mut self.early).into_iter();
        let early = early.filter_map(|(_, arrival)| match arrival {
            Arrival::Work(work) => Some(work),
            Arrival::Release => None,
        });
        let places = std::mem::take(&mut self.places).into_iter();
        places.flat_map(|place| place.work).chain(early)
    }

    /// All work that waits, in the order of its places.
    pub(crate) fn works(&self) -> impl Iterator<Item = &W> {
        let early = self.early.iter().filter_map(|(_, arrival)| match arrival {
            Arrival::Work(work) => Some(work),
            Arrival::Release => None,
        });
        self.places
            .iter()
            .flat_map(|place| place.work.iter())
            .chain(early)
    }

    /// Whether [`Queue::next`] has something to hand out or to drop.
    pub(crate) fn is_ready(&self) -> bool {
        self.places
            .front()
            .is_some_and(|first| first.released || !first.work.is_empty())
    }

    /// The next piece of work of the first place, after dropping places that are done.
    pub(crate) fn next(&mut self) -> Option<(Ticket, W)> {
        loop {
            let first = self.places.front_mut()?;
            if let Some(work) = first.work.pop_front() {
                return Some((first.ticket, work));
            }
            if !first.released {
                return None;
            }
            self.places.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_reached_when_all_before_it_are_released() {
        let mut queue = Queue::new();
        for ticket in 1..=3 {
            queue.place(Ticket(ticket));
        }
        queue.work(Ticket(1), "commit");
        assert!(queue.reaches(Ticket(1)) && !queue.reaches(Ticket(2)));
        queue.release(Ticket(1));
        assert!(queue.reaches(Ticket(2)), "whatever is left of the first");
        queue.release(Ticket(3));
        assert!(!queue.reaches(Ticket(3)) && !queue.reaches(Ticket(4)));
    }

    #[test]
    fn work_of_a_later_place_waits_until_the_earlier_one_is_released() {
        let mut queue = Queue::new();
        queue.place(Ticket(1));
        queue.place(Ticket(2));
        queue.work(Ticket(2), "later");
        assert_eq!(queue.next(), None);
        queue.work(Ticket(1), "first");
        assert_eq!(queue.next(), Some((Ticket(1), "first")));
        assert_eq!(queue.next(), None, "the first place may still get work");
        queue.work(Ticket(1), "second");
        queue.release(Ticket(1));
        assert_eq!(queue.next(), Some((Ticket(1), "second")));
        assert_eq!(queue.next(), Some((Ticket(2), "later")));
        assert_eq!(queue.depth(), 1);
    }

    #[test]
    fn a_place_may_come_with_work_which_is_the_first() {
        let mut queue = Queue::new();
        queue.place_with(Ticket(1), "first");
        queue.work(Ticket(2), "third");
        queue.work(Ticket(1), "second");
        queue.release(Ticket(1));
        queue.place_with(Ticket(2), "opening");
        queue.release(Ticket(2));
        let order: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        let expected = [(1, "first"), (1, "second"), (2, "opening"), (2, "third")];
        assert_eq!(order, expected.map(|(ticket, work)| (Ticket(ticket), work)));
        assert_eq!(queue.depth(), 0);
    }

    #[test]
    fn what_comes_before_its_place_is_kept() {
        let mut queue = Queue::new();
        queue.work(Ticket(5), "early");
        queue.release(Ticket(5));
        assert_eq!(queue.next(), None);
        queue.place(Ticket(5));
        assert_eq!(queue.next(), Some((Ticket(5), "early")));
        assert_eq!(queue.next(), None);
        assert_eq!(queue.depth(), 0);
    }
}
