//! What runs by itself: `load` once per start, timers once each, one chain of each kind.

use std::time::{Duration, Instant};

use interstice_client::Client;

use super::{PATIENCE, rows};
use crate::book::{Book, Fate};

/// Between two looks at a table that changes by itself.
const PAUSE: Duration = Duration::from_millis(5);

/// `load` has run once for each start and each load, and its turns are in order.
pub(super) async fn starts(client: &Client, book: &mut Book, killed_starts: u64) {
    let starts: Vec<(u64, u64)> = rows(client, "ledger", "start").await;
    let (sure, open) = std::mem::take(&mut book.orders.loads);
    let count = u64::try_from(starts.len()).expect("they are few");
    let least = book.starts + 1 + sure;
    assert!(
        (least..=least + open + killed_starts).contains(&count),
        "{count} loads, {} before, {sure} sure, {open} open, {killed_starts} starts killed",
        book.starts
    );
    book.starts = count;
    assert!(
        starts.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1),
        "{starts:?}"
    );
    for (id, seq) in &starts {
        book.given("start ids", *id, *seq);
    }
    let last = starts.last().map_or(0, |start| start.1);
    assert!(
        last > book.last_seq,
        "turn {last} comes after {}, which somebody was told before",
        book.last_seq
    );
}

/// Each timer that is durable fires once.
pub(super) async fn alarms(client: &Client, book: &mut Book) {
    let set: Vec<(u64,)> = rows(client, "ledger", "alarm").await;
    let set: Vec<u64> = set.into_iter().map(|row| row.0).collect();
    for token in &set {
        let fate = book.alarms.insert(*token, Fate::Sure).unwrap_or_default();
        assert_ne!(fate, Fate::Never, "nobody has set the timer {token}");
    }
    book.alarms.retain(|token, fate| {
        let is_there = set.binary_search(token).is_ok();
        assert!(is_there || *fate != Fate::Sure, "the timer {token} is lost");
        is_there
    });
    let began = Instant::now();
    loop {
        let rung: Vec<(u64,)> = rows(client, "ledger", "rung").await;
        assert!(
            began.elapsed() < PATIENCE,
            "{} timers were set and {} have fired",
            set.len(),
            rung.len()
        );
        assert!(rung.len() <= set.len(), "a timer has fired twice");
        if rung.len() == set.len() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Both chains go on, and there is one of each.
pub(super) async fn beats(client: &Client, book: &mut Book) {
    let mut first: Option<[u64; 2]> = None;
    let began = Instant::now();
    loop {
        let rows: Vec<(u64, u64, u64, u64)> = rows(client, "ledger", "beat").await;
        assert!(began.elapsed() < PATIENCE, "a chain has ended: {rows:?}");
        let [one, two] = <[_; 2]>::try_from(rows).expect("there are two chains");
        assert_eq!((one.3, two.3), (0, 0), "a chain has doubled");
        let counts = [one.1, two.1];
        assert!(
            counts
                .iter()
                .zip(&book.beats)
                .all(|(now, before)| now >= before),
            "beats were lost: {counts:?}, {:?} before",
            book.beats
        );
        let first = first.get_or_insert(counts);
        if counts.iter().zip(first).all(|(now, first)| now > first) {
            book.beats = counts;
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
