//! Whether an actor's work begins on its arbiter or on the slow lane: by how long it has held
//! threads before.

use std::time::{Duration, Instant};

use super::HELD_MAX;

/// How long many short pieces of work may hold an arbiter together.
const BATCH_HELD_MAX: Duration = HELD_MAX.saturating_mul(2);

/// Up to this, an actor is forgiven that holds its arbiter now and then with many short pieces of
/// work: the first touch of fresh memory may cost that much, and the system charges whoever runs
/// for what devices want of it.
const FORGIVEN_MAX: Duration = Duration::from_micros(1500);

/// Pieces of up to this are short.
const SHORT_MAX: Duration = Duration::from_micros(150);

/// Among so many pieces a longer one may be the system's doing.
const PIECES_MIN: u32 = 8;

/// Which part of the time may be forgiven: one in so many.
const FORGIVEN_PART: u32 = 20;

/// How much may be forgiven at once.
const FORGIVEN_TOTAL: Duration = Duration::from_millis(2);

/// How many times as long as it has held its thread for once an actor begins on the lane.
const ONCE: u32 = 16;

/// How many times as long it is watched, and begins on the lane when it does so again: its
/// neighbours' p99 does not see the rest.
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

    /// The work has held a thread, until `now`.
    pub(super) fn has_held(&mut self, held: Held, now: Instant) {
        let is_batch = held.longest <= SHORT_MAX || held.pieces >= PIECES_MIN;
        let held = held.time;
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

/// Shorter times between two yields are not added up: whoever waits for others makes way by that.
pub(super) const ADDED_MIN: Duration = Duration::from_micros(50);

/// How a thread was held by one poll. A poll ends pieces of work, and may begin and end in the
/// middle of one.
#[derive(Clone, Copy)]
pub(super) struct Polled {
    began: Instant,
    /// When the last piece ended, or the poll began.
    since: Instant,
    /// The first piece's part in it, when that has ended.
    first: Option<Duration>,
    /// The longest of the others that have ended.
    longest: Duration,
    /// How many have ended.
    pieces: u32,
    /// Whether it ends because the work lets others have the thread.
    makes_way: bool,
}

impl Polled {
    /// A poll that begins.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            since: now,
            first: None,
            longest: Duration::ZERO,
            pieces: 0,
            makes_way: false,
        }
    }

    /// How long the thread has been held.
    pub(super) fn held(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// How long it has been held by the piece of work that has not ended.
    fn piece(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// A piece of work has ended.
    pub(super) fn piece_ended(&mut self, now: Instant) {
        let piece = self.piece(now);
        self.since = now;
        self.pieces = self.pieces.saturating_add(1);
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.longest = self.longest.max(piece),
        }
    }

    /// The work lets others have the thread before it goes on: that ends a piece.
    pub(super) fn makes_way(&mut self, now: Instant) {
        self.piece_ended(now);
        self.makes_way = true;
    }
}

/// What an actor has held its thread for since it took up its work. A guest yields at ticks that
/// have nothing to do with when it began, so the first and the last part of what computes for half
/// a millisecond may both be short.
#[derive(Clone, Copy, Default)]
pub(super) struct SoFar {
    /// Of all polls that were not short, up to [`HELD_MAX`].
    time: Duration,
    /// Of the piece of work that has not ended yet.
    piece: Duration,
    longest: Duration,
    pieces: u32,
}

impl SoFar {
    /// Adds a poll that has computed for `time`, until `now`. What counts is that poll when it was
    /// long, or else all of them, but those that have made way.
    pub(super) fn with(&mut self, poll: Polled, time: Duration, now: Instant) -> Held {
        self.pieces = self.pieces.saturating_add(poll.pieces);
        if poll.makes_way && time < HELD_MAX {
            self.piece = Duration::ZERO;
        } else if time >= ADDED_MIN {
            self.time = self.time.saturating_add(time).min(HELD_MAX);
            let rest = poll.piece(now);
            match poll.first {
                None => self.piece = self.piece.saturating_add(rest),
                Some(first) => {
                    let first = self.piece.saturating_add(first);
                    self.longest = self.longest.max(first).max(poll.longest);
                    self.piece = rest;
                }
            }
            self.longest = self.longest.max(self.piece);
        } else if poll.first.is_some() {
            self.piece = Duration::ZERO;
        }
        Held {
            time: if time >= HELD_MAX { time } else { self.time },
            longest: self.longest,
            pieces: self.pieces,
        }
    }
}

/// How long a thread was held.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    /// Computing time.
    pub(super) time: Duration,
    /// The longest piece of work in it, by the clock on the wall.
    pub(super) longest: Duration,
    /// How many have ended.
    pub(super) pieces: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of short pieces.
    fn batch(time: Duration) -> Held {
        Held {
            time,
            longest: SHORT_MAX,
            pieces: 1,
        }
    }

    /// One piece.
    fn piece(time: Duration) -> Held {
        Held {
            time,
            longest: time,
            pieces: 1,
        }
    }

    /// A poll in which pieces end after these times, and another begins.
    fn poll(so_far: &mut SoFar, ended: &[Duration], rest: Duration) -> Held {
        let started = Instant::now();
        let mut now = started;
        let mut polled = Polled::new(now);
        for piece in ended {
            now += *piece;
            polled.piece_ended(now);
        }
        now += rest;
        so_far.with(polled, now - started, now)
    }

    #[test]
    fn an_actor_stays_away_for_long_only_when_it_holds_its_thread_again() {
        let started = Instant::now();
        let after = |held: Duration| started + held;
        let mut conduct = Conduct::default();
        conduct.has_held(piece(HELD_MAX / 2), after(HELD_MAX / 2));
        assert!(!conduct.is_suspect(after(HELD_MAX / 2)));
        conduct.has_held(piece(HELD_MAX), after(HELD_MAX));
        assert!(conduct.is_suspect(after(HELD_MAX * ONCE)));
        assert!(!conduct.is_suspect(after(HELD_MAX * (ONCE + 1))));
        let mut for_once = conduct;
        for_once.has_held(piece(HELD_MAX), after(HELD_MAX * (WATCHED + 1)));
        assert!(!for_once.is_suspect(after(HELD_MAX * (WATCHED + 1 + ONCE))));
        conduct.has_held(piece(HELD_MAX), after(HELD_MAX * WATCHED));
        assert!(conduct.is_suspect(after(HELD_MAX * (2 * WATCHED - 1))));
        assert!(!conduct.is_suspect(after(HELD_MAX * 2 * WATCHED)));
        let (mut conduct, long) = (Conduct::default(), FORGIVEN_MAX * 2);
        conduct.has_held(batch(long), after(long));
        assert!(conduct.is_suspect(after(long * ONCE)));
    }

    #[test]
    fn a_step_that_yields_in_between_is_counted_as_a_whole_and_calls_of_others_are_not() {
        let mut step = SoFar::default();
        assert!(poll(&mut step, &[], HELD_MAX * 2 / 3).time < HELD_MAX);
        let whole = poll(&mut step, &[HELD_MAX * 2 / 3], Duration::ZERO);
        assert_eq!(
            (whole.time, whole.longest),
            (HELD_MAX, 2 * (HELD_MAX * 2 / 3))
        );
        let long = poll(&mut step, &[], HELD_MAX * 3);
        assert_eq!(long.time, HELD_MAX * 3);
        let mut calls = SoFar::default();
        for _ in 0..1000 {
            assert!(poll(&mut calls, &[], ADDED_MIN / 2).time < HELD_MAX);
            let started = Instant::now();
            let mut polled = Polled::new(started);
            let now = started + HELD_MAX * 2 / 3;
            polled.makes_way(now);
            assert!(calls.with(polled, now - started, now).time < HELD_MAX);
        }
        let started = Instant::now();
        let mut polled = Polled::new(started);
        let now = started + HELD_MAX;
        polled.makes_way(now);
        let held = calls.with(polled, HELD_MAX, now);
        assert_eq!((held.time, held.longest), (HELD_MAX, HELD_MAX));
    }

    #[test]
    fn the_longest_piece_tells_a_batch_from_one_that_is_long() {
        let is_suspect_after = |pieces: &[Duration]| {
            let mut so_far = SoFar::default();
            let mut conduct = Conduct::default();
            (0..1000).any(|_| {
                let now = Instant::now();
                // It yields in the middle of a piece.
                conduct.has_held(poll(&mut so_far, &[], SHORT_MAX / 3), now);
                conduct.has_held(poll(&mut so_far, pieces, Duration::ZERO), now);
                conduct.is_suspect(now)
            })
        };
        assert!(!is_suspect_after(&[SHORT_MAX * 2 / 3; 3]));
        assert!(is_suspect_after(&[SHORT_MAX * 3 / 4; 3]));
        let one_is_long = [ADDED_MIN, HELD_MAX * 2 / 3, ADDED_MIN];
        assert!(is_suspect_after(&one_is_long));
        let many = [
            [ADDED_MIN / 10; PIECES_MIN as usize].as_slice(),
            &one_is_long,
        ]
        .concat();
        assert!(!is_suspect_after(&many));
    }

    #[test]
    fn what_is_short_and_rare_is_forgiven_and_what_is_frequent_is_not() {
        let started = Instant::now();
        let holding_every = |times: u32| {
            let mut conduct = Conduct::default();
            (1..100).any(|round| {
                let now = started + BATCH_HELD_MAX * times * round;
                conduct.has_held(batch(BATCH_HELD_MAX), now);
                conduct.is_suspect(now)
            })
        };
        assert!(!holding_every(FORGIVEN_PART));
        assert!(holding_every(FORGIVEN_PART / 2));
        assert!(holding_every(1));
    }
}
