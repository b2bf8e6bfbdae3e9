//! [`Apart`]: a shared reference that a batch of turns counts for itself.
//!
//! A count that several threads change moves between their cores each time, which costs as much as
//! a small step. What all turns hold is therefore counted twice: by the batch that they came in,
//! which one thread at a time works on, and by the batches.

use std::{ops::Deref, sync::Arc};

/// A reference whose clones are counted by themselves.
#[derive(Debug)]
#[expect(
    clippy::redundant_allocation,
    reason = "the outer count is what it is for"
)]
pub(crate) struct Apart<T>(Arc<Arc<T>>);

impl<T> Apart<T> {
    /// A count of its own for what `shared` refers to.
    pub(crate) fn new(shared: Arc<T>) -> Self {
        Self(Arc::new(shared))
    }

    /// What is counted by all.
    pub(crate) fn shared(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T> Clone for Apart<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_for_themselves_and_the_last_one_lets_go() {
        let shared = Arc::new(1);
        let apart = Apart::new(shared.clone());
        let clones = [apart.clone(), apart];
        assert_eq!((Arc::strong_count(&shared), *clones[1]), (2, 1));
        drop(clones);
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
