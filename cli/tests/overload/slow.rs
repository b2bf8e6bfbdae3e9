//! A watcher that reads slower than changes come: it is cut off with the position to resume from,
//! and from there on misses nothing and sees nothing twice. Each counter goes up by one with each
//! change, so a gap shows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use interstice_abi::{
    failure::{Code, Failure},
    id::Position,
    wire::{RequestBody, ResponseBody, WatchEvent},
};
use interstice_client::{Identity, Target};
use tokio::sync::watch;

use crate::{load::row, raw::Raw};

/// Answers that it takes before it rests.
const TAKEN: u32 = 200;

/// How long it rests.
const REST: Duration = Duration::from_secs(2);

/// What a watcher has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) changes: u64,
    pub(crate) cut: u64,
    pub(crate) resumed: u64,
    /// How often the log no longer had the position.
    pub(crate) anew: u64,
    counts: BTreeMap<u64, u64>,
}

impl Seen {
    /// Takes an answer; the position behind it.
    fn take(&mut self, event: WatchEvent) -> Option<Position> {
        match event {
            WatchEvent::Rows { rows, complete } => {
                self.counts.extend(rows.iter().map(|bytes| row(bytes)));
                complete
            }
            WatchEvent::Changes(changes) => {
                for change in &changes {
                    let (slot, count) = row(change.after.as_ref().expect("rows stay"));
                    let before = self.counts.insert(slot, count).unwrap_or(0);
                    assert_eq!(count, before + 1, "slot {slot} at {}", change.position);
                    self.changes += 1;
                }
                changes.last().map(|change| change.position)
            }
        }
    }
}

/// The position that a notice names.
fn named(failure: &Failure) -> Option<Position> {
    let (_, position) = failure.message.split_once("--from ")?;
    position.parse().ok()
}

async fn begin(address: &str, from: Option<Position>) -> Raw {
    let target: Target = address.parse().expect("an address");
    let to = format!("/ip4/127.0.0.1/tcp/{}", target.port());
    let to = to.parse().expect("an address");
    let mut raw = loop {
        // A node with more to do than it can may not come to a greeting in time.
        if let Some(raw) = Raw::try_greeted_at(&to, &Identity::generate()).await {
            break raw;
        }
        eprintln!("a slow watcher was not greeted, and tries again");
    };
    let watch = RequestBody::Watch {
        module: "counters".into(),
        table: "counts".into(),
        from,
    };
    raw.ask(2, watch).await;
    raw
}

/// Watches until `stop`, resuming wherever it is cut off.
pub(crate) async fn watch(address: Arc<String>, mut stop: watch::Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    let mut raw = begin(&address, None).await;
    let (mut last, mut taken) = (None, 0);
    loop {
        let answer = tokio::select! {
            _ = stop.changed() => return seen,
            answer = raw.answer() => answer,
        };
        match answer.map(|response| response.body) {
            Some(Ok(ResponseBody::Watch(event))) => last = seen.take(event).or(last),
            Some(Err(failure)) if failure.code == Code::Busy && named(&failure).is_some() => {
                seen.cut += 1;
                assert_eq!(named(&failure), last, "{failure}");
                seen.resumed += 1;
                raw = begin(&address, last).await;
            }
            Some(Err(failure)) if matches!(failure.code, Code::NotFound | Code::Busy) => {
                seen.anew += 1;
                seen.counts.clear();
                raw = begin(&address, None).await;
            }
            // Who takes nothing for long loses the connection, and knows its last position all the
            // same.
            None => {
                seen.cut += 1;
                seen.resumed += 1;
                raw = begin(&address, last).await;
            }
            other => unreachable!("{other:?}"),
        }
        taken += 1;
        if taken % TAKEN == 0 {
            tokio::select! {
                _ = stop.changed() => return seen,
                () = tokio::time::sleep(REST) => {}
            }
        }
    }
}
