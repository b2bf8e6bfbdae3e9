//! A node from its first start to its last, and who works with it.

use std::time::Duration;

use interstice_client::Identity;
use tokio::task::JoinHandle;

use crate::{
    check,
    clock::WallClock,
    common::peer::Peer,
    ends::End,
    follow::Follower,
    model::Model,
    modules::{mirror, store},
    node::{DEADLINE, Node, Place},
    random::Random,
};

/// Steps of a round.
const STEPS_MAX: u64 = 16;

/// What lasts from the first start to the last.
pub(crate) struct Life {
    pub(crate) place: Place,
    pub(crate) node: Node,
    /// The clock of the node's process.
    pub(crate) clock: WallClock,
    pub(crate) owner: Identity,
    pub(crate) stranger: Identity,
    pub(crate) model: Model,
    pub(crate) random: Random,
    /// Values that were not used yet: each is used once, so that a row says which call has written
    /// it.
    next_value: u64,
    followers: Vec<Follower>,
    following: Vec<JoinHandle<Follower>>,
}

/// The connections of a round.
pub(crate) struct Peers {
    pub(crate) owner: Peer,
    pub(crate) stranger: Peer,
}

impl Life {
    pub(crate) async fn begin(random: Random) -> Self {
        let (place, clock) = home();
        let mut node = place.start();
        node.kill();
        place.configure();
        let node = place.start();
        let owner = Identity::load(&place.key()).expect("`up` has made a key");
        let stranger = Identity::generate();
        let mut life = Self {
            followers: followers(&owner, &stranger),
            following: Vec::new(),
            place,
            node,
            clock,
            owner,
            stranger,
            model: Model::default(),
            random,
            next_value: 1,
        };
        let peers = life.peers().await;
        for module in [store(0), mirror()] {
            peers.owner.install(&module).await;
        }
        life.follow();
        life
    }

    pub(crate) async fn peers(&self) -> Peers {
        let address = &self.node.address;
        Peers {
            owner: Peer::connect(address, &self.owner).await,
            stranger: Peer::connect(address, &self.stranger).await,
        }
    }

    /// Steps, an end, and the check. How many steps.
    pub(crate) async fn round(&mut self, end: End) -> u64 {
        let steps = 1 + self.random.below(STEPS_MAX);
        let peers = self.peers().await;
        for _ in 0..steps {
            let step = self.step(&peers);
            let step = tokio::time::timeout(DEADLINE, step).await;
            step.expect("the node answers in time");
        }
        eprintln!(
            "{end:?} after {steps} steps, {} changes",
            self.model.changes
        );
        self.end(end, peers).await;
        self.check().await;
        self.follow();
        steps
    }

    /// The last end, in order.
    pub(crate) async fn finish(mut self) {
        let peers = self.peers().await;
        self.end(End::Stop, peers).await;
        self.node.kill();
    }

    pub(crate) fn value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }

    /// Watchers begin to watch, until the node is gone.
    fn follow(&mut self) {
        for follower in self.followers.drain(..) {
            let following = follower.follow(self.node.address.clone(), self.random.fork());
            self.following.push(tokio::spawn(following));
        }
    }

    /// The process has ended: waits until the watchers know.
    pub(crate) async fn take_in_followers(&mut self) {
        for following in self.following.drain(..) {
            let follower = tokio::time::timeout(DEADLINE, following).await;
            let follower = follower.expect("a watch ends with its node");
            self.followers
                .push(follower.expect("it goes on until then"));
        }
    }

    /// A restored node is of another epoch, where positions of the one before mean nothing.
    pub(crate) fn forget_positions(&mut self) {
        self.followers = followers(&self.owner, &self.stranger);
        self.model.deploys = 0;
    }

    async fn check(&mut self) {
        let peers = self.peers().await;
        let checked = check::all(&peers, &mut self.model, &mut self.random);
        tokio::time::timeout(DEADLINE, checked)
            .await
            .expect("the node answers in time");
        let id = u64::MAX;
        let value = self.value();
        check::put(&peers.owner, &mut self.model, id, value).await;
        for follower in &mut self.followers {
            check::follower(&self.node, &peers.owner, follower, &self.model, value).await;
        }
    }
}

/// A home for a node whose clock can be set.
pub(crate) fn home() -> (Place, WallClock) {
    let mut place = Place::new();
    let clock = WallClock::new(place.path());
    place.environment.extend(clock.environment());
    (place, clock)
}

fn followers(owner: &Identity, stranger: &Identity) -> Vec<Follower> {
    vec![
        Follower::new(stranger.clone(), "store", "rows"),
        Follower::new(owner.clone(), "mirror", "copy"),
    ]
}

/// A pause that is no wait for anything.
pub(crate) async fn pause(random: &mut Random, millis_max: u64) {
    tokio::time::sleep(Duration::from_millis(random.below(millis_max))).await;
}
