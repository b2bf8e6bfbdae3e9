//! How a round ends: kills, stops, a backup that is restored elsewhere; and what is checked of a
//! node that does not run.

use std::{collections::BTreeMap, fs, process::Output};

use serde_json::Value as Json;

use crate::{
    burst::settle,
    check,
    life::{Life, Peers, home, pause},
    node::NAME,
};

/// How a round ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// The process is killed while calls are under way.
    KillInBurst,
    /// It is killed while nothing is under way but timers.
    Kill,
    /// It is killed in the middle of an orderly stop.
    KillInStop,
    /// It stops in order.
    Stop,
    /// It is backed up, killed, and restored in another home.
    Restore,
}

impl End {
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::KillInBurst,
            Self::Kill,
            Self::KillInStop,
            Self::Stop,
            Self::Restore,
        ]
    }
}

impl Life {
    /// Ends the process and starts another, which must come back to the same.
    pub(crate) async fn end(&mut self, end: End, peers: Peers) {
        let mut open = BTreeMap::new();
        let mut digests = None;
        let mut epoch = peers.owner.node().await.epoch;
        match end {
            End::KillInBurst => open = self.burst(&peers).await,
            End::Kill => self.node.kill(),
            End::KillInStop => {
                self.node.terminate();
                pause(&mut self.random, 60).await;
                self.node.kill();
            }
            End::Stop => {
                check::timers(&peers.owner, &self.model).await;
                digests = Some(check::digests(&peers.owner).await);
                self.node.terminate();
                assert!(self.node.ended().success(), "a stop in order");
            }
            End::Restore => {
                check::timers(&peers.owner, &self.model).await;
                digests = Some(check::digests(&peers.owner).await);
                self.move_to_another_home().await;
                epoch.0 += 1;
            }
        }
        drop(peers);
        if !matches!(end, End::Restore) {
            self.take_in_followers().await;
        }
        self.offline();
        self.node = self.place.start();
        self.model.started();
        let peers = self.peers().await;
        if !open.is_empty() {
            let rows = check::pairs(&peers.owner, "store", "rows").await;
            settle(&mut self.model, open, &rows);
            // Ephemeral rows went with the process, whenever they were written.
            self.model.started();
        }
        if let Some(digests) = digests {
            let after = check::digests(&peers.owner).await;
            assert_eq!(after, digests, "digests after {end:?}");
        }
        assert_eq!(peers.owner.node().await.epoch, epoch, "{end:?}");
    }

    /// Backs the running node up and restores it; the life goes on there.
    async fn move_to_another_home(&mut self) {
        let (next, clock) = home();
        let file = next.path().join("file.backup").display().to_string();
        succeeded("backup", &self.place.run(&["backup", NAME, &file]));
        self.node.kill();
        self.take_in_followers().await;
        succeeded("restore", &next.run(&["restore", &file]));
        // The owners of a restored node are those of the node that was copied.
        fs::copy(self.place.key(), next.key()).expect("it is copied");
        // Its machine has another clock.
        (self.place, self.clock) = (next, clock);
        self.forget_positions();
    }

    /// What a node that does not run says of itself.
    fn offline(&mut self) {
        if self.random.below(2) == 0 {
            let doctor = self.place.run(&["doctor", NAME, "--json"]);
            let report: Json = succeeded("doctor", &doctor);
            assert_eq!(report.get("healthy"), Some(&Json::Bool(true)), "{report}");
        }
        if self.random.below(2) == 0 {
            let replay = self.place.run(&["replay", NAME, "--json"]);
            let report = succeeded("replay", &replay);
            assert_eq!(report.get("agrees"), Some(&Json::Bool(true)), "{report}");
        }
    }
}

/// What a command that must succeed has printed, where that is JSON.
fn succeeded(command: &str, output: &Output) -> Json {
    let (out, err) = (&output.stdout, &output.stderr);
    assert!(
        output.status.success(),
        "{command}: {} {}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    );
    serde_json::from_slice(out).unwrap_or(Json::Null)
}
