//! Orders of owners to drop a turn. Module actors look here between two steps and at the end of a
//! turn, running guests at each tick of the clock; without an order that is one load.
//!
//! An order goes when its turn ends. What an order does to a turn stands in the turn's records,
//! so recovery and replay need no order.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{NodeId, Seq},
};
use tokio::sync::oneshot;

/// How a turn has ended for which there was an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropEnd {
    /// As ordered.
    Dropped {
        /// Steps that had ended before.
        steps: u32,
        /// Steps that were dropped.
        dropped: u32,
    },
    /// By itself, before the order was noticed.
    ByItself,
}

/// The orders that hold.
#[derive(Default)]
pub(crate) struct Drops {
    /// Whether there is one. Relaxed: an actor that sees it a moment late runs one more step.
    any: AtomicBool,
    orders: Mutex<BTreeMap<Seq, Order>>,
}

struct Order {
    by: NodeId,
    tell: oneshot::Sender<DropEnd>,
}

impl Drops {
    /// An order; who waits for the turn's end is told on the channel. It is closed when the node
    /// stops before that.
    ///
    /// # Errors
    /// `Rejected` when there is such an order.
    pub(crate) fn give(&self, seq: Seq, by: NodeId) -> Result<oneshot::Receiver<DropEnd>, Failure> {
        let mut orders = self.locked();
        if orders.contains_key(&seq) {
            let text = format!("turn {seq} has been dropped already; it ends at its next step");
            return Err(Failure::new(Code::Rejected, text));
        }
        let (tell, told) = oneshot::channel();
        orders.insert(seq, Order { by, tell });
        self.any.store(true, Ordering::Relaxed);
        Ok(told)
    }

    /// Whether there is any order.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Who has ordered to drop a turn, if somebody has.
    pub(crate) fn by(&self, seq: Seq) -> Option<NodeId> {
        if !self.any() {
            return None;
        }
        self.locked().get(&seq).map(|order| order.by.clone())
    }

    /// Whether the step of a turn may go on.
    ///
    /// # Errors
    /// `Deadline` when an owner has dropped the turn: the record of such a step is taken as it is
    /// by replay.
    pub(crate) fn check(&self, seq: Seq) -> Result<(), Failure> {
        match self.any() && self.locked().contains_key(&seq) {
            false => Ok(()),
            true => Err(Failure::new(
                Code::Deadline,
                "the step was ended: an owner of the node has dropped the turn",
            )),
        }
    }

    /// Takes an order out: its turn ends, or is not under way.
    pub(crate) fn take(&self, seq: Seq) -> Option<oneshot::Sender<DropEnd>> {
        if !self.any() {
            return None;
        }
        let mut orders = self.locked();
        let order = orders.remove(&seq)?;
        self.any.store(!orders.is_empty(), Ordering::Relaxed);
        Some(order.tell)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Seq, Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_for_one_turn_until_it_is_taken_and_is_given_once() {
        let drops = Drops::default();
        let owner = || NodeId::from("owner");
        assert!(drops.check(Seq(7)).is_ok() && drops.by(Seq(7)).is_none());
        let told = drops.give(Seq(7), owner()).expect("the first");
        let again = drops.give(Seq(7), owner()).map(drop).unwrap_err();
        assert_eq!(again.code, Code::Rejected);
        assert_eq!(drops.check(Seq(7)).unwrap_err().code, Code::Deadline);
        assert!(drops.check(Seq(8)).is_ok());
        assert_eq!(drops.by(Seq(7)), Some(owner()));
        let tell = drops.take(Seq(7)).expect("it is there");
        assert!(!drops.any() && drops.take(Seq(7)).is_none());
        tell.send(DropEnd::ByItself).expect("somebody waits");
        assert_eq!(told.blocking_recv(), Ok(DropEnd::ByItself));
    }
}
