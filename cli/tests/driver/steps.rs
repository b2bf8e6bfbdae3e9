//! The steps of a round, one after the other: each is acknowledged or refused before the next, so
//! the model is exact.

use std::time::Duration;

use interstice_abi::{
    failure::{Code, Failure},
    wire::{Called, OnConflict},
};

use crate::{
    check,
    life::{Life, Peers},
    model::Plain,
    modules::{APPENDED_MAX, Version, mirror, plain, store},
};

/// Keys of rows.
const IDS: u64 = 30;

/// Longest delay of a timer in milliseconds.
const DELAY_MAX: u64 = 200;

/// By how many seconds the system's clock is wrong at most: two days, more than time zones differ.
const CLOCK_MAX: u64 = 48 * 3600;

impl Life {
    pub(crate) async fn step(&mut self, peers: &Peers) {
        match self.random.below(40) {
            0..12 => self.put(peers).await,
            12..16 => self.take(peers).await,
            16 => self.clear(peers).await,
            17..20 => self.fail(peers).await,
            20..23 => self.later(peers).await,
            23..28 => self.put_plain(peers).await,
            28..32 => self.deploy_plain(peers).await,
            32..35 => self.stop_plain(peers).await,
            35 => self.deploy_again(peers).await,
            36 => self.intrude(peers).await,
            37 => self.set_clock(),
            38 => self.pause_mirror(peers).await,
            _ => check::past(peers, &self.model, &mut self.random).await,
        }
    }

    /// A durable call of an owner or a stranger.
    async fn call(
        &mut self,
        peers: &Peers,
        module: &str,
        reducer: &str,
        arguments: &[u64],
    ) -> Result<Called, Failure> {
        let peer = match self.random.below(2) {
            0 => &peers.owner,
            _ => &peers.stranger,
        };
        let called = peer.call(module, reducer, arguments).await;
        if let Ok(called) = &called {
            assert_eq!(
                (called.failed, called.dropped),
                (0, 0),
                "{module}.{reducer}"
            );
        }
        called
    }

    async fn put(&mut self, peers: &Peers) {
        let (id, value) = (self.random.below(IDS), self.value());
        let called = self.call(peers, "store", "put", &[id, value]).await;
        self.model.put(id, value);
        self.model.acknowledged(called.expect("it fits").seq.0);
    }

    async fn take(&mut self, peers: &Peers) {
        let id = self.random.below(IDS);
        let called = self.call(peers, "store", "take", &[id]).await;
        match (self.model.rows.remove(&id), called) {
            (Some(_), Ok(called)) => {
                self.model.changes += 1;
                self.model.acknowledged(called.seq.0);
            }
            (None, Err(failure)) => assert_eq!(failure.code, Code::Rejected, "{failure}"),
            (before, called) => unreachable!("row {id} was {before:?}: {called:?}"),
        }
    }

    async fn clear(&mut self, peers: &Peers) {
        let called = self.call(peers, "store", "clear", &[]).await;
        self.model.changes += self.model.rows.len() as u64;
        self.model.rows.clear();
        self.model
            .acknowledged(called.expect("it is allowed").seq.0);
    }

    /// A step that writes and is undone.
    async fn fail(&mut self, peers: &Peers) {
        let (reducer, code) = match self.random.below(2) {
            0 => ("refuse", Code::Rejected),
            _ => ("break", Code::Trap),
        };
        let (id, value) = (self.random.below(IDS), self.value());
        let failed = self.call(peers, "store", reducer, &[id, value]).await;
        assert_eq!(failed.expect_err("it fails").code, code);
    }

    async fn later(&mut self, peers: &Peers) {
        let delay_ms = self.random.below(DELAY_MAX);
        let called = self.call(peers, "store", "later", &[delay_ms]).await;
        self.model.timers += 1;
        self.model
            .acknowledged(called.expect("it is allowed").seq.0);
    }

    async fn put_plain(&mut self, peers: &Peers) {
        let (id, value) = (self.random.below(IDS), self.value());
        let called = self.call(peers, "plain", "put", &[id, value]).await;
        match (&mut self.model.plain, called) {
            (Some(plain), Ok(called)) if plain.runs => {
                plain.rows.insert(id, plain.version.row(id, value));
                self.model.acknowledged(called.seq.0);
            }
            (Some(Plain { runs: false, .. }) | None, Err(_)) => {}
            (plain, called) => unreachable!("{plain:?}: {called:?}"),
        }
    }

    /// Another version, or the same; what does not fit is refused, or dropped where that is wanted.
    async fn deploy_plain(&mut self, peers: &Peers) {
        let place = usize::try_from(self.random.below(3)).expect("it is small");
        let next = Version::ALL[place];
        let wipe = self.random.below(3) == 0;
        let on_conflict = if wipe {
            OnConflict::Wipe
        } else {
            OnConflict::Refuse
        };
        let deployed = peers.owner.deploy(&plain(next), on_conflict).await;
        let before = self.model.plain.take();
        let fits = before.as_ref().is_none_or(|plain| plain.fits(next));
        match deployed {
            Ok(report) if fits || wipe => {
                assert_eq!(report.load_failure, None);
                self.model.plain = Some(Plain::deployed(before, next));
            }
            Err(failure) if !fits && !wipe => {
                assert_eq!(failure.code, Code::SchemaConflict, "{failure}");
                self.model.plain = before;
            }
            other => unreachable!("{before:?} to {next:?}, wipe {wipe}: {other:?}"),
        }
    }

    /// Unloads, loads or removes it.
    async fn stop_plain(&mut self, peers: &Peers) {
        let client = peers.owner.client();
        let Some(plain) = &mut self.model.plain else {
            assert!(client.unload("plain").await.is_err(), "it is not there");
            return;
        };
        match self.random.below(4) {
            0 => {
                client.remove("plain").await.expect("it is there");
                self.model.plain = None;
            }
            _ if plain.runs => {
                client.unload("plain").await.expect("it runs");
                plain.runs = false;
            }
            _ => {
                client.load("plain").await.expect("it is there");
                plain.runs = true;
            }
        }
    }

    /// The same binaries once more, or one whose subscriber reads fewer columns than there are.
    async fn deploy_again(&mut self, peers: &Peers) {
        let module = match self.random.below(3) {
            0 => mirror(),
            1 => store(self.model.appended),
            _ => {
                self.model.appended = APPENDED_MAX.min(self.model.appended + 1);
                store(self.model.appended)
            }
        };
        peers.owner.install(&module).await;
        self.model.deploys += 1;
        if module.name == "store" {
            // A module that is loaded anew begins without them.
            self.model.notes.clear();
        }
    }

    /// The system's clock jumps. The node's time goes on, so that timers ring as before.
    fn set_clock(&mut self) {
        let offset = Duration::from_secs(self.random.below(CLOCK_MAX));
        self.clock.set(offset, self.random.below(2) == 0);
    }

    /// `mirror` is stopped for some steps, and hears of all that it has missed when it comes back.
    async fn pause_mirror(&mut self, peers: &Peers) {
        let client = peers.owner.client();
        client.unload("mirror").await.expect("nobody needs it");
        for _ in 0..self.random.below(6) {
            match self.random.below(5) {
                0 => self.clear(peers).await,
                1 | 2 => self.take(peers).await,
                _ => self.put(peers).await,
            }
        }
        if self.random.below(2) == 0 {
            client.load("mirror").await.expect("it is stopped");
        } else {
            peers.owner.install(&mirror()).await;
            self.model.deploys += 1;
        }
        check::mirror(peers, &self.model).await;
    }

    /// What a stranger is refused.
    async fn intrude(&mut self, peers: &Peers) {
        let denied = peers.stranger.rows("store", "secret").await;
        assert_eq!(denied.expect_err("it is private").code, Code::NotFound);
        let stranger = peers.stranger.client();
        assert!(stranger.unload("store").await.is_err(), "owners unload");
        assert!(stranger.remove("mirror").await.is_err(), "owners remove");
        assert!(stranger.stop().await.is_err(), "owners stop");
        let deployed = peers
            .stranger
            .deploy(&plain(Version::One), OnConflict::Wipe)
            .await;
        assert_eq!(deployed.expect_err("owners deploy").code, Code::Denied);
    }
}
