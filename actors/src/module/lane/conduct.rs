//! Whether an actor's work begins on its arbiter or on the slow lane: by how long it has held threads before.

use std::time::{Duration, Instant};

use super::HELD_MAX;

/// How long many short pieces of work may hold an arbiter together.
const BATCH_HELD_MAX: Duration = HELD_MAX.saturating_mul(2);

/// Up to this, an actor is forgiven that holds its arbiter now and then with many short pieces of work: the first touch of fresh memory
/// may cost that much, and the system charges whoever runs for what devices want of it.
const FORGIVEN_MAX: Duration = Duration::from_micros(1500);

/// Who has done fewer pieces of work meanwhile has held the arbiter with one of them.
const PIECES_MIN: u32 = 8;

/// Which part of the time may be forgiven: one in so many.
const FORGIVEN_PART: u32 = 20;

/// How much may be forgiven at once.
const FORGIVEN_TOTAL: Duration = Duration::from_millis(2);

/// How many times as long as it has held its thread for once an actor begins on the lane.
const ONCE: u32 = 16;

/// How many times as long it is watched, and begins on the lane when it does so again: its neighbours' p99 does not see the rest.
pub(super) const WATCHED: u32 = 128;

/// Until when an actor's work begins on the slow lane, because it has held its arbiter for long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conduct {
    pub(super) suspect_until: Option<Instant>,
    /// Until when holding a thread once more counts as doing so often.
    watched_until: Option<Instant>,
    /// Until when what was forgiven is paid off.
    owes_until: Option<Instant>,
}

impl Conduct {
    pub(super) fn is_suspect(self, now: Instant) -> bool {
        self.suspect_until.is_some_and(|until| now < until)
    }

    /// The work has computed for `held` without a yield, until `now`, and ended so many pieces.
    pub(super) fn has_held(&mut self, Held { time: held, pieces }: Held, now: Instant) {
        let is_batch = pieces >= PIECES_MIN;
        if held < if is_batch { BATCH_HELD_MAX } else { HELD_MAX } {
            return;
        }
        let owes_from = self.owes_until.map_or(now, |until| until.max(now));
        let owes_until = owes_from.checked_add(held.saturating_mul(FORGIVEN_PART));
        let owes = owes_until.map_or(Duration::MAX, |until| until.duration_since(now));
        if !is_batch || held > FORGIVEN_MAX || owes > FORGIVEN_TOTAL.saturating_mul(FORGIVEN_PART) {
            let is_watched = self.watched_until.is_some_and(|until| now < until);
            let times = if is_watched { WATCHED } else { ONCE };
            let later = |times| now.checked_add(held.saturating_mul(times));
            self.suspect_until = self.suspect_until.max(later(times));
            self.watched_until = self.watched_until.max(later(WATCHED));
        } else {
            self.owes_until = owes_until;
        }
    }
}

/// Shorter pieces between two yields are not added up: whoever asks others for something makes way by that.
pub(super) const ADDED_MIN: Duration = Duration::from_micros(50);

/// What one piece of work has held its thread for so far. A guest yields at ticks that have nothing to do with when it began, so the
/// first and the last piece of what computes for half a millisecond may both be short.
#[derive(Clone, Copy, Default)]
pub(super) struct SoFar(Held);

impl SoFar {
    /// Adds a poll; what counts is the poll when it was long, or else all of them, up to [`HELD_MAX`].
    pub(super) fn with(&mut self, poll: Held) -> Held {
        let Self(all) = self;
        all.pieces = all.pieces.saturating_add(poll.pieces);
        if poll.time >= ADDED_MIN {
            all.time = all.time.saturating_add(poll.time).min(HELD_MAX);
        }
        if poll.time >= HELD_MAX { poll } else { *all }
    }
}

/// How long a thread was held.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    /// Computing time.
    pub(super) time: Duration,
    /// Pieces of work that have ended meanwhile.
    pub(super) pieces: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(time: Duration, pieces: u32) -> Held {
        Held { time, pieces }
    }

    #[test]
    fn an_actor_stays_away_for_long_only_when_it_holds_its_thread_again() {
        let started = Instant::now();
        let after = |held: Duration| started + held;
        let mut conduct = Conduct::default();
        conduct.has_held(held(HELD_MAX / 2, 1), after(HELD_MAX / 2));
        assert!(!conduct.is_suspect(after(HELD_MAX / 2)));
        conduct.has_held(held(HELD_MAX, 1), after(HELD_MAX));
        assert!(conduct.is_suspect(after(HELD_MAX * ONCE)));
        assert!(!conduct.is_suspect(after(HELD_MAX * (ONCE + 1))));
        let mut for_once = conduct;
        for_once.has_held(held(HELD_MAX, 1), after(HELD_MAX * (WATCHED + 1)));
        assert!(!for_once.is_suspect(after(HELD_MAX * (WATCHED + 1 + ONCE))));
        conduct.has_held(held(HELD_MAX, 1), after(HELD_MAX * WATCHED));
        assert!(conduct.is_suspect(after(HELD_MAX * (2 * WATCHED - 1))));
        assert!(!conduct.is_suspect(after(HELD_MAX * 2 * WATCHED)));
        let (mut conduct, long) = (Conduct::default(), FORGIVEN_MAX * 2);
        conduct.has_held(held(long, PIECES_MIN), after(long));
        assert!(conduct.is_suspect(after(long * ONCE)));
    }

    #[test]
    fn a_step_that_yields_in_between_is_counted_as_a_whole_and_calls_of_others_are_not() {
        let mut step = SoFar::default();
        assert!(step.with(held(HELD_MAX * 2 / 3, 0)).time < HELD_MAX);
        assert_eq!(step.with(held(HELD_MAX * 2 / 3, 1)).time, HELD_MAX);
        let long = step.with(held(HELD_MAX * 3, 1));
        assert_eq!((long.time, long.pieces), (HELD_MAX * 3, 1));
        let (mut calls, mut batch) = (SoFar::default(), SoFar::default());
        for _ in 0..1000 {
            assert!(calls.with(held(ADDED_MIN / 2, 0)).time < HELD_MAX);
            let mut conduct = Conduct::default();
            conduct.has_held(batch.with(held(ADDED_MIN, PIECES_MIN)), Instant::now());
            assert!(!conduct.is_suspect(Instant::now()));
        }
    }

    #[test]
    fn what_is_short_and_rare_is_forgiven_and_what_is_frequent_is_not() {
        let started = Instant::now();
        let holding_every = |times: u32| {
            let mut conduct = Conduct::default();
            (1..100).any(|round| {
                let now = started + BATCH_HELD_MAX * times * round;
                conduct.has_held(held(BATCH_HELD_MAX, PIECES_MIN), now);
                conduct.is_suspect(now)
            })
        };
        assert!(!holding_every(FORGIVEN_PART));
        assert!(holding_every(FORGIVEN_PART / 2));
        assert!(holding_every(1));
    }
}
