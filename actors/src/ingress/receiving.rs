//! How much of unfinished frames a node holds, over all its connections: one client may send a
//! large message, but a thousand clients cannot make the node hold a thousand halves of one.

use std::sync::atomic::{AtomicUsize, Ordering};

use interstice_abi::failure::{Code, Failure};

/// Bytes of unfinished frames that all connections together may hold: several of the largest.
const UNFINISHED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What each connection may hold however much the others do: most requests are smaller.
const FAIR_BYTES: usize = 64 * 1024;

/// The count of all connections.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    bytes: AtomicUsize,
}

/// One connection's part of the count, given back when dropped.
#[derive(Debug)]
pub(super) struct Unfinished<'a> {
    all: &'a Receiving,
    bytes: usize,
}

impl Receiving {
    pub(super) fn part(&self) -> Unfinished<'_> {
        Unfinished {
            all: self,
            bytes: 0,
        }
    }
}

impl Unfinished<'_> {
    /// This connection holds `bytes`.
    ///
    /// # Errors
    /// `Busy`, when it holds more than before and than [`FAIR_BYTES`], and that is too much with
    /// what the others hold.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes <= before {
            self.all.bytes.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        let more = bytes - before;
        let all = self
            .all
            .bytes
            .fetch_add(more, Ordering::Relaxed)
            .saturating_add(more);
        if all <= UNFINISHED_BYTES_MAX || bytes <= FAIR_BYTES {
            return Ok(());
        }
        let text = format!(
            "{all} bytes of unfinished messages are arriving at the node; the limit is {UNFINISHED_BYTES_MAX}"
        );
        Err(Failure::new(Code::Busy, text))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_messages_are_bounded_over_all_connections() {
        let all = Receiving::default();
        let (mut one, mut two) = (all.part(), all.part());
        one.set(UNFINISHED_BYTES_MAX).unwrap();
        two.set(FAIR_BYTES).unwrap();
        assert_eq!(two.set(FAIR_BYTES + 1).unwrap_err().code, Code::Busy);
        one.set(0).unwrap();
        two.set(FAIR_BYTES + 2).unwrap();
        drop((one, two));
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }
}
