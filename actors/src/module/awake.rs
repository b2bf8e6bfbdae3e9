//! Staying awake between two messages: a thread that has gone to sleep takes tens of microseconds
//! to wake up, several times as long as a message takes between two threads that are awake.
//!
//! While an answer from another arbiter is waited for, and after one was given, an arbiter's
//! thread looks for messages again and again for a moment before it sleeps. Its other actors go on
//! meanwhile.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::module::lane::is_on_lane;

/// Between the calls of a step: several times as long as a call takes that finds the other thread
/// awake, and no longer than waking up takes, so that what is wasted at worst is what a sleep
/// would have cost.
pub(crate) const BETWEEN_CALLS: Duration = Duration::from_micros(20);

/// Until a caller who is alone on the node has its answer: the module's thread wakes up and runs a
/// short step meanwhile.
pub(crate) const FOR_ONE_ANSWER: Duration = Duration::from_micros(60);

thread_local! {
    /// Until when this thread stays awake; `None` while it does not.
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Keeps this arbiter's thread awake for so long from now on.
pub(crate) fn stay_awake(time: Duration) {
    if is_on_lane() {
        // It has to make way for others.
        return;
    }
    let until = Instant::now() + time;
    if UNTIL.replace(Some(until)).is_none() {
        actix::spawn(async {
            while UNTIL.get().is_some_and(|until| Instant::now() < until) {
                tokio::task::yield_now().await;
            }
            UNTIL.set(None);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn a_thread_is_awake_for_a_moment_and_as_often_as_it_is_asked() {
        for _ in 0..2 {
            stay_awake(BETWEEN_CALLS);
            stay_awake(FOR_ONE_ANSWER);
            assert!(UNTIL.get().is_some());
            while UNTIL.get().is_some() {
                tokio::task::yield_now().await;
            }
        }
    }
}
