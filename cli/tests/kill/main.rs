//! Nothing that was acknowledged is lost, whenever the node's process is killed.
//!
//! Real nodes run under a mixed load of several clients and an owner who deploys, upgrades,
//! unloads, removes, revokes; checkpoints are taken all the time. SIGKILL comes after so many
//! acknowledgements, after so many milliseconds, in the middle of an orderly stop, and in the
//! middle of the start that follows. What clients were told is in a [`book::Book`]; after each
//! start the node has to agree with it ([`check`]).
//!
//! `INTERSTICE_KILLS=300` kills so often; `INTERSTICE_SEEDS=7` takes the load and the moments from
//! that seed, which is printed. `INTERSTICE_PROGRAM` names another build of `interstice-cli`.

mod book;
mod check;
#[path = "../shared/follow.rs"]
mod follow;
mod load;
mod modules;
#[path = "../shared/node.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod node;
mod owner;
#[path = "../shared/random.rs"]
mod random;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use book::{Book, Event, Orders};
use follow::Follower;
use interstice_client::Identity;
use load::{CLIENTS, Load, Round};
use modules::Modules;
use node::{DEADLINE, Node, Place};
use owner::Owner;
use random::Random;
use tokio::task::JoinHandle;

/// Kills where nobody asks for more.
const KILLS: u64 = 24;

/// Kills after which a fresh node begins, because checks take longer the more there is.
const KILLS_PER_LIFE: u64 = 60;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What has been done so far.
#[derive(Default)]
struct Total {
    kills: u64,
    kills_in_start: u64,
    kills_in_stop: u64,
    acknowledged: u64,
    watched: u64,
}

/// What lasts from the first start of a node to its last.
struct Life {
    place: Place,
    owner: Identity,
    clients: Vec<Identity>,
    book: Book,
    followers: Vec<Follower>,
    random: Random,
    /// How long the last start took.
    start: Duration,
}

/// Who works on the node.
struct AtWork {
    clients: Vec<JoinHandle<Vec<Event>>>,
    owner: JoinHandle<Orders>,
    followers: Vec<JoinHandle<Follower>>,
}

/// When a round's process is killed.
#[derive(Debug)]
enum Moment {
    Acknowledged(u64),
    After(Duration),
    InStop { after: Duration, wait: Duration },
}

impl Moment {
    fn choose(random: &mut Random) -> Self {
        let millis = Duration::from_millis;
        match random.below(8) {
            0..4 => Self::Acknowledged(1 + random.below(150)),
            4..6 => Self::After(millis(random.below(400))),
            _ => Self::InStop {
                after: millis(random.below(200)),
                wait: millis(random.below(80)),
            },
        }
    }
}

impl Life {
    /// A fresh node with all modules but the one that comes and goes.
    async fn begin(modules: &Modules, seed: u64) -> (Self, Node) {
        let place = Place::new();
        let mut node = place.start();
        node.kill();
        place.configure();
        let began = Instant::now();
        let node = place.start();
        let start = began.elapsed();
        let owner = Identity::load(&place.key()).expect("`up` has made a key");
        let mut book = Book::default();
        let client = node.connect(&owner).await;
        for wasm in [&modules.vault, &modules.ledger, &modules.mirror] {
            let deployed = client.deploy(wasm, Default::default(), |_| {}).await;
            let report = deployed.expect("it fits");
            assert_eq!(report.load_failure, None);
        }
        book.starts = 1;
        let followers = vec![
            Follower::new(Identity::generate(), "ledger", "entry"),
            Follower::new(owner.clone(), "mirror", "heard"),
        ];
        let life = Self {
            place,
            owner,
            clients: (0..CLIENTS).map(|_| Identity::generate()).collect(),
            book,
            followers,
            random: Random::new(seed),
            start,
        };
        (life, node)
    }

    /// Load, a kill in the middle of it, starts that are killed too, and the check.
    async fn round(&mut self, modules: &Modules, mut node: Node, total: &mut Total) -> Node {
        self.book.rounds += 1;
        let moment = Moment::choose(&mut self.random);
        let kill_at = match moment {
            Moment::Acknowledged(count) => count,
            _ => u64::MAX,
        };
        let round = Round::new(kill_at);
        let at_work = self.work(modules, &node, &round).await;
        match &moment {
            Moment::Acknowledged(_) => round.reached().await,
            Moment::After(after) => tokio::time::sleep(*after).await,
            Moment::InStop { after, wait } => {
                tokio::time::sleep(*after).await;
                node.terminate();
                tokio::time::sleep(*wait).await;
                total.kills_in_stop += 1;
            }
        }
        node.kill();
        total.acknowledged += self.take_in(at_work).await;
        let starts = self.killed_starts().await;
        total.kills += 1 + starts;
        total.kills_in_start += starts;

        let began = Instant::now();
        let node = self.place.start();
        self.start = began.elapsed();
        let checked = check::all(&node, &self.owner, &mut self.book, starts);
        let client = within(checked).await;
        let (book, followers) = (&mut self.book, &mut self.followers);
        within(check::followers(&node, &client, book, followers)).await;
        eprintln!(
            "{} kills: {moment:?} and {starts} in the start; {} entries, {} acknowledged in all",
            total.kills,
            self.book.entries(),
            total.acknowledged,
        );
        node
    }

    /// Lets everybody begin.
    async fn work(&mut self, modules: &Modules, node: &Node, round: &Arc<Round>) -> AtWork {
        let mut clients = Vec::new();
        for (number, identity) in (0..).zip(&self.clients) {
            let client = node.connect(identity).await;
            let (rounds, alive) = (self.book.rounds, self.book.alive(number));
            let load = Load::new(client, number, rounds, alive, self.random.fork());
            clients.push(tokio::spawn(load.run(round.clone())));
        }
        let owner = Owner::new(
            node.connect(&self.owner).await,
            modules.clone(),
            self.book.orders.clone(),
            self.random.fork(),
        );
        let owner = tokio::spawn(owner.run());
        let mut followers = Vec::new();
        for follower in self.followers.drain(..) {
            let following = follower.follow(node.address.clone(), self.random.fork());
            followers.push(tokio::spawn(following));
        }
        AtWork {
            clients,
            owner,
            followers,
        }
    }

    /// Waits until everybody has noticed that the node is gone, and takes in what they know. How
    /// many acknowledgements there are.
    async fn take_in(&mut self, at_work: AtWork) -> u64 {
        const GOES_ON: &str = "it goes on until the node is gone";
        let mut acknowledged = 0;
        for client in at_work.clients {
            let events = client.await.expect(GOES_ON);
            acknowledged += self.book.note(events);
        }
        self.book.orders = at_work.owner.await.expect(GOES_ON);
        for follower in at_work.followers {
            self.followers.push(follower.await.expect(GOES_ON));
        }
        acknowledged
    }

    /// Starts that do not get far. How many.
    async fn killed_starts(&mut self) -> u64 {
        let count = self.random.below(6).saturating_sub(3);
        for _ in 0..count {
            let longest = u64::try_from(self.start.as_micros()).unwrap_or(u64::MAX);
            let wait = Duration::from_micros(self.random.below(longest.max(1)));
            let mut child = self.place.spawn();
            tokio::time::sleep(wait).await;
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
        count
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(DEADLINE, future).await;
    answer.expect("the node answers in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_doubled_or_torn_when_the_process_is_killed() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = number_of("INTERSTICE_SEEDS").unwrap_or(clock);
    let kills = number_of("INTERSTICE_KILLS").unwrap_or(KILLS);
    eprintln!("INTERSTICE_SEEDS={seed} INTERSTICE_KILLS={kills}");
    let modules = Modules::build();
    let began = Instant::now();
    let mut total = Total::default();
    let mut life_seed = seed;
    while total.kills < kills {
        let (mut life, mut node) = Life::begin(&modules, life_seed).await;
        let end = kills.min(total.kills + KILLS_PER_LIFE);
        while total.kills < end {
            node = life.round(&modules, node, &mut total).await;
        }
        node.kill();
        total.watched += life.followers.iter().map(|one| one.seen).sum::<u64>();
        life_seed = life_seed.wrapping_add(1);
    }
    eprintln!(
        "{} kills survived, {} of them in a start and {} in a stop; {} operations acknowledged as durable; \
         {} changes watched; {:?}",
        total.kills,
        total.kills_in_start,
        total.kills_in_stop,
        total.acknowledged,
        total.watched,
        began.elapsed()
    );
}
