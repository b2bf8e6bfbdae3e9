//! Somebody who watches a table through all kills: each time from the position at which the last
//! watch ended. Every change has to fit what was seen before it, so one that is missed, doubled or
//! taken back shows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::StreamExt;
use interstice_abi::{
    failure::{Code, Failure},
    id::Position,
    wire::WatchEvent,
};
use interstice_client::{Client, Error, Identity, Watch};

use crate::{
    node::{self, PATIENCE},
    random::Random,
};

/// A watcher and the table as it has seen it.
pub(crate) struct Follower {
    identity: Identity,
    pub(crate) module: &'static str,
    pub(crate) table: &'static str,
    /// Rows by key, encoded.
    pub(crate) rows: BTreeMap<u64, Vec<u8>>,
    position: Option<Position>,
    /// Whether the rows of a snapshot have begun to come.
    is_filling: bool,
    /// How often it had to begin with all rows again: at most once for each deploy of the module.
    pub(crate) anew: u64,
    /// Changes that were seen.
    pub(crate) seen: u64,
    /// Why the last watch was refused or ended by the node.
    refused: Option<Failure>,
}

/// Why a watch has ended.
#[derive(PartialEq, Eq)]
enum End {
    /// Somebody wants to begin again from the last position.
    Again,
    /// The connection is lost.
    Lost,
}

impl Follower {
    pub(crate) fn new(identity: Identity, module: &'static str, table: &'static str) -> Self {
        Self {
            identity,
            module,
            table,
            rows: BTreeMap::new(),
            position: None,
            is_filling: false,
            anew: 0,
            seen: 0,
            refused: None,
        }
    }

    /// Watches until the node is gone; now and then it stops and resumes, and begins watches that
    /// it gives up at once.
    pub(crate) async fn follow(mut self, address: String, mut random: Random) -> Self {
        let Ok(client) = node::connect(&address, &self.identity).await else {
            return self;
        };
        loop {
            let changes = 1 + random.below(200);
            if random.below(3) == 0 {
                drop(client.watch(self.module, self.table, self.position));
            }
            if self.watch(&client, |_, seen| seen >= changes).await == End::Lost {
                return self;
            }
        }
    }

    /// Resumes and watches until there is a row of this key's table that `is_wanted`.
    pub(crate) async fn catch_up(&mut self, address: &str, is_wanted: impl Fn(&[u8]) -> bool) {
        let client = node::connect(address, &self.identity).await;
        let client = client.expect("the node answers");
        let wanted = |follower: &Self, _| follower.rows.values().any(|row| is_wanted(row));
        let began = Instant::now();
        while !wanted(self, 0) {
            let watched = tokio::time::timeout(PATIENCE, self.watch(&client, wanted)).await;
            let (module, table, position) = (self.module, self.table, self.position);
            let end = watched.unwrap_or_else(|_| {
                unreachable!("{module}.{table}: nothing comes behind {position:?}")
            });
            assert!(
                end == End::Again && began.elapsed() < PATIENCE,
                "{module}.{table} cannot be watched from {position:?}: {:?}",
                self.refused
            );
        }
    }

    async fn watch(&mut self, client: &Client, is_enough: impl Fn(&Self, u64) -> bool) -> End {
        let Ok(mut watch) = client.watch(self.module, self.table, self.position) else {
            return End::Lost;
        };
        let before = self.seen;
        self.is_filling = false;
        loop {
            match self.next(&mut watch).await {
                Ok(()) if self.position.is_some() && is_enough(self, self.seen - before) => {
                    return End::Again;
                }
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn next(&mut self, watch: &mut Watch) -> Result<(), End> {
        match watch.next().await {
            Some(Ok(event)) => {
                self.take(event);
                Ok(())
            }
            None | Some(Err(Error::Lost { .. } | Error::OutcomeUnknown { .. })) => Err(End::Lost),
            Some(Err(Error::Lagging { .. })) => Err(End::Again),
            // The module was deployed again meanwhile: the node says that it cannot resume across
            // that.
            Some(Err(Error::Failed(failure))) if failure.message.contains("no longer resumes") => {
                self.refused = Some(failure);
                self.position = None;
                self.anew += 1;
                Err(End::Again)
            }
            // The module is unloaded, replaced or has grown, or the node stops.
            Some(Err(Error::Failed(failure)))
                if matches!(
                    failure.code,
                    Code::Unavailable | Code::NotFound | Code::Busy
                ) || failure.message.contains("was upgraded") =>
            {
                self.refused = Some(failure);
                tokio::time::sleep(Duration::from_millis(2)).await;
                Err(End::Again)
            }
            Some(Err(error)) => unreachable!(
                "{}.{} from {:?}: {error}",
                self.module, self.table, self.position
            ),
        }
    }

    fn take(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Rows { rows, complete } => {
                assert_eq!(self.position, None, "rows come only at the very beginning");
                if !self.is_filling {
                    self.rows.clear();
                    self.is_filling = true;
                }
                self.rows
                    .extend(rows.into_iter().map(|row| (key(&row), row)));
                self.position = complete;
            }
            WatchEvent::Changes(changes) => {
                for change in changes {
                    self.seen += 1;
                    assert!(
                        self.position < Some(change.position),
                        "{} after {:?}",
                        change.position,
                        self.position
                    );
                    self.position = Some(change.position);
                    let row = change.after.as_ref().or(change.before.as_ref());
                    let key = key(row.expect("a change has a row"));
                    let known = self.rows.remove(&key);
                    assert!(
                        is_grown(known.as_deref(), change.before.as_deref()),
                        "{}.{}: the row {key} was {known:?}, and {:?} before {}",
                        self.module,
                        self.table,
                        change.before,
                        change.position
                    );
                    if let Some(after) = change.after {
                        self.rows.insert(key, after);
                    }
                }
            }
        }
    }
}

/// Whether `now` is the row `known`, which may have got columns at its end meanwhile.
fn is_grown(known: Option<&[u8]>, now: Option<&[u8]>) -> bool {
    match (known, now) {
        (Some(known), Some(now)) => now.starts_with(known),
        (known, now) => known == now,
    }
}

/// The primary key, which is the first column of the tables that are watched.
pub(crate) fn key(row: &[u8]) -> u64 {
    let (key, _) = postcard::take_from_bytes(row).expect("the first column is a number");
    key
}
