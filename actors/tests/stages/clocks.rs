//! The system's clock is set, back and ahead, while the node runs and while it does not: the
//! node's time goes on, timers become due when they should, and the log says what has happened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use interstice_abi::wire::LogLevel;
use interstice_actors::{
    clock::{Clocks, SystemClocks},
    node::Ground,
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Value, insert, must, schedule},
    peer::Peer,
    world::World,
};

const HOUR_MS: u64 = 3_600_000;

/// The machine's clocks, of which the system's can be set.
#[derive(Default)]
struct Settable {
    real: SystemClocks,
    /// How far the system's clock is ahead, in milliseconds.
    ahead: AtomicI64,
}

impl Settable {
    fn set_ahead(&self, ms: u64) {
        let ms = i64::try_from(ms).expect("fits");
        self.ahead.store(ms, Ordering::Relaxed);
    }

    fn ground(self: &Arc<Self>) -> Ground {
        Ground {
            clocks: self.clone(),
            ..Ground::default()
        }
    }
}

impl Clocks for Settable {
    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn wall(&self) -> Duration {
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.real.wall() + Duration::from_millis(ahead.unsigned_abs())
    }

    fn slept(&self) -> Duration {
        Duration::ZERO
    }
}

/// A module that writes down the time, at once and by timers.
fn clock() -> GuestModule {
    let tick = || vec![must(insert("ticks", [0.into(), Value::Time]))];
    GuestModule::new("clock")
        .table(GuestTable::new("Ticks", &["time"]).auto_inc())
        .reducer("now", 0, tick())
        .hidden("tick", 0, tick())
        .reducer("soon", 0, vec![must(schedule("tick", 50))])
        .reducer("late", 0, vec![must(schedule("tick", HOUR_MS / 2))])
}

/// The time of a turn.
async fn now(peer: &Peer) -> u64 {
    peer.call("clock", "now", &[]).await.expect("commits");
    let rows = peer.rows("clock", "ticks").await.expect("it is there");
    rows.last().expect("one was inserted")[1]
}

/// The first warning of the node's log that says this. The clock is looked at with the next
/// request.
async fn warned(peer: &Peer, what: &str) {
    let looking = async {
        loop {
            now(peer).await;
            let lines = peer.lines_of_node().await.into_iter();
            let mut warnings = lines.filter(|line| line.level == LogLevel::Warning);
            if warnings.any(|line| line.text.contains(what)) {
                return;
            }
        }
    };
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, looking)
        .await
        .expect("a warning comes");
}

/// A timer that is set now becomes due within the deadline of a watch.
async fn a_timer_fires(peer: &Peer) {
    let mut ticks = peer.watch("clock", "ticks", None).await;
    ticks.rows().await;
    peer.call("clock", "soon", &[]).await.expect("commits");
    ticks.changes(1).await;
}

/// All timers have fired within the deadline.
async fn no_timer_waits(peer: &Peer) {
    let looking = async {
        loop {
            let page = peer.client().timers("clock", None, 10).await;
            if page.expect("owners see it").timers.is_empty() {
                return;
            }
        }
    };
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, looking)
        .await
        .expect("they fire in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_leaves_turns_and_timers_at_their_pace() {
    let clocks = Arc::new(Settable::default());
    clocks.set_ahead(HOUR_MS);
    let mut world = World::configured(|_| {});
    world.start_on(clocks.ground()).await.expect("it starts");
    let peer = world.owner().await;
    peer.install(&clock()).await;
    let before = now(&peer).await;

    clocks.set_ahead(0);
    warned(&peer, "set back by 3").await;
    a_timer_fires(&peer).await;
    let after = now(&peer).await;
    assert!(
        after > before && after - before < HOUR_MS / 2,
        "{before} to {after}"
    );

    clocks.set_ahead(2 * HOUR_MS);
    warned(&peer, "set ahead by 7").await;
    peer.call("clock", "late", &[]).await.expect("commits");
    a_timer_fires(&peer).await;
    let page = peer
        .client()
        .timers("clock", None, 10)
        .await
        .expect("owners see it");
    assert_eq!(page.timers.len(), 1, "the other one is not due for long");
    let last = now(&peer).await;
    assert!(
        last > after && last - after < HOUR_MS / 2,
        "{after} to {last}"
    );
    world.stop().await;
    assert!(world.replay().await.expect("it replays").agrees());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_ahead_goes_on_after_a_restart() {
    let clocks = Arc::new(Settable::default());
    clocks.set_ahead(HOUR_MS);
    let mut world = World::configured(|_| {});
    world.start_on(clocks.ground()).await.expect("it starts");
    let peer = world.owner().await;
    peer.install(&clock()).await;
    let before = now(&peer).await;
    peer.call("clock", "soon", &[]).await.expect("commits");
    world.stop().await;

    clocks.set_ahead(0);
    world.start_on(clocks.ground()).await.expect("it starts");
    let peer = world.owner().await;
    warned(&peer, "behind the node's last turn").await;
    // That of before the restart, and a new one.
    a_timer_fires(&peer).await;
    no_timer_waits(&peer).await;
    let times: Vec<u64> = {
        let mut times = Vec::new();
        while times.len() < 3 || times.first() == times.last() {
            times.push(now(&peer).await);
        }
        times
    };
    assert!(
        times.is_sorted() && times[0] >= before,
        "{before}, {times:?}"
    );
    world.stop().await;
    assert!(world.replay().await.expect("it replays").agrees());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_of_a_time_when_the_clock_was_ahead_grows_old() {
    let clocks = Arc::new(Settable::default());
    clocks.set_ahead(HOUR_MS);
    let mut world = World::configured(|config| {
        config.checkpoint_bytes = 2000;
        config.base_bytes = 2000;
        config.history = "1 seconds".parse().expect("a span");
    });
    world.start_on(clocks.ground()).await.expect("it starts");
    let peer = world.owner().await;
    peer.install(&clock()).await;
    for _ in 0..200 {
        now(&peer).await;
    }
    world.stop().await;
    clocks.set_ahead(0);
    world.start_on(clocks.ground()).await.expect("it starts");
    let peer = world.owner().await;
    let first = peer.node().await.seq;
    let dropping = async {
        loop {
            now(&peer).await;
            let page = peer.history("clock", None, Default::default(), 1).await;
            if page.expect("owners see it").kept_from > first {
                return;
            }
        }
    };
    let deadline = Duration::from_secs(60);
    tokio::time::timeout(deadline, dropping)
        .await
        .expect("it is dropped");
    world.stop().await;
}
