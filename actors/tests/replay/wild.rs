//! Random nodes to which everything happens: calls, timers, reactions, crimes, deploys, refused
//! deploys, grants, unloads, restarts, and logs that end in the middle of a turn. Whatever it was,
//! replay comes to the same.

use std::fs;

use interstice_abi::{
    schema::Access,
    wire::{GrantChange, GrantTarget, OnConflict, RequestBody},
};
use interstice_actors::config::Placement;

use super::agreed;
use crate::common::{
    graph::{Graph, Kind, Random, name},
    guest::{GuestModule, GuestTable},
    peer::Peer,
    world::World,
};

/// Seeds that every run tries, each on so many workers.
const SEEDS: [(u64, usize); 2] = [(1, 8), (2, 1)];

/// Things that happen to a node, each after some calls.
const EVENTS: u64 = 12;

/// Calls between two of them.
const CALLS: u64 = 25;

/// Bytes that a guest may have: little more than it begins with.
const MEMORY_BYTES: u64 = 4 * 1024 * 1024;

struct Wild {
    world: World,
    workers: usize,
    modules: Vec<GuestModule>,
    upgrades: u32,
    /// Where the newest segment ended before the last calls, if nothing else has happened to it.
    quiet_end: Option<u64>,
    /// Turns that were finished after a crash.
    finished: u64,
}

impl Wild {
    async fn happens(&mut self, random: &mut Random) {
        let count = u64::try_from(self.modules.len()).expect("fits");
        let place = usize::try_from(random.below(count)).expect("fits");
        let module = name(place);
        let peer = self.world.owner().await;
        match random.below(9) {
            0 => self.world.restart().await,
            1 | 2 => self.crash(random).await,
            3 => {
                // A module that was quarantined meanwhile is stopped already.
                let named = || module.clone();
                let unload = RequestBody::UnloadNeeded { module: named() };
                drop(peer.request(unload).await);
                drop(peer.call("m0", "r0", &[1, 2]).await);
                drop(peer.request(RequestBody::Load { module: named() }).await);
            }
            4 => self.upgrade(place, &peer).await,
            5 => self.refused_upgrade(place, &peer).await,
            6 => self.wiping_upgrade(place, &peer).await,
            7 => self.grants(place, &peer, random).await,
            _ => drop(peer.query(&module, "sum", &[1]).await),
        }
    }

    /// The log ends somewhere in what was written last, and the store was never written.
    async fn crash(&mut self, random: &mut Random) {
        let begin = self.quiet_end;
        self.world.stop().await;
        let end = self.world.log_end();
        if let Some(begin) = begin.filter(|begin| *begin < end) {
            self.world.cut_log(begin + random.below(end - begin));
        }
        self.world.lose_store();
        agreed(&self.world, "a log that was cut").await;
        self.world.start_with(Some(self.workers)).await;
        let lines = fs::read_to_string(self.world.directory().join("node.log"));
        let lines = lines.expect("the node has said something");
        let finished = lines.lines().rev().find_map(|line| {
            let (_, rest) = line.split_once("records redone, ")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        });
        self.finished += finished.unwrap_or(0);
    }

    async fn upgrade(&mut self, place: usize, peer: &Peer) {
        self.upgrades += 1;
        let table = GuestTable::new(&format!("Extra{}", self.upgrades), &["value"]);
        let next = self.modules[place]
            .clone()
            .version(0, 1, self.upgrades)
            .table(table);
        if peer.deploy(&next, OnConflict::Refuse).await.is_ok() {
            self.modules[place] = next;
        }
    }

    /// The same module with another private table.
    fn other_table(&self, place: usize) -> GuestModule {
        let mut next = self.modules[place].clone();
        let own = next
            .tables
            .iter_mut()
            .find(|table| table.type_name == "Own")
            .expect("all have one");
        *own = if own.fields.len() == 2 {
            GuestTable::new("Own", &["value", "more"]).private()
        } else {
            GuestTable::new("Own", &["value"]).private()
        };
        next
    }

    /// Refused where the table has rows.
    async fn refused_upgrade(&mut self, place: usize, peer: &Peer) {
        let next = self.other_table(place);
        if peer.deploy(&next, OnConflict::Refuse).await.is_ok() {
            self.modules[place] = next;
        }
    }

    async fn wiping_upgrade(&mut self, place: usize, peer: &Peer) {
        let next = self.other_table(place);
        if peer.deploy(&next, OnConflict::Wipe).await.is_ok() {
            self.modules[place] = next;
        }
    }

    async fn grants(&mut self, place: usize, peer: &Peer, random: &mut Random) {
        let module = name(place);
        let tables = peer.schema(&module).await.expect("it is there");
        let target = match random.below(3) {
            0 => GrantTarget::Time,
            1 if place > 0 => GrantTarget::Calls {
                module: name(place - 1),
            },
            _ => {
                let functions = tables.reducers.iter();
                let mut wanted = functions.flat_map(|reducer| &reducer.capabilities);
                let Some(capability) = wanted.next() else {
                    return;
                };
                GrantTarget::Table {
                    table: capability.table.clone(),
                    access: Access(capability.access.0),
                }
            }
        };
        for change in [GrantChange::Revoke, GrantChange::Grant] {
            let module = module.clone();
            let target = target.clone();
            let body = RequestBody::ChangeGrant {
                module,
                target,
                change,
            };
            // What a module has never asked for cannot be taken back.
            drop(peer.request(body).await);
            drop(peer.call(&name(place), "r1", &[3, 4]).await);
        }
    }
}

async fn check(seed: u64, workers: usize) {
    let mut random = Random(seed);
    let graph = Graph::new(&mut random, Kind::Wild);
    let (first, second) = graph.modules(&mut random);
    let mut world = World::configured(|config| {
        config.placement = Placement::Spread;
        config.limits.deadline_ms = 60;
        config.limits.memory_bytes = MEMORY_BYTES;
        config.limits.steps_per_turn_max = 30;
    });
    world.start_with(Some(workers)).await;
    let peer = world.owner().await;
    for module in first.iter().chain(&second) {
        peer.install(module).await;
    }
    let mut wild = Wild {
        world,
        workers,
        modules: second,
        upgrades: 0,
        quiet_end: None,
        finished: 0,
    };
    for event in 0..EVENTS {
        wild.quiet_end = Some(wild.world.log_end());
        let peer = wild.world.owner().await;
        peer.calls(&graph.inputs(CALLS, &mut random)).await;
        if event == EVENTS / 2 {
            // From here on cascades may be longer; replay must know.
            wild.world.stop().await;
            wild.world
                .configure(|config| config.limits.steps_per_turn_max = 60);
            wild.world.start_with(Some(workers)).await;
        }
        wild.happens(&mut random).await;
    }
    wild.world.stop().await;
    let what = format!("seed {seed}, {workers} workers");
    let replayed = agreed(&wild.world, &what).await;
    eprintln!(
        "{what}: {} turns, {} steps, {} of them taken, {:?}; {} turns were finished after crashes",
        replayed.turns, replayed.steps, replayed.taken, replayed.elapsed, wild.finished
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happened_to_a_node_replay_comes_to_the_same() {
    let seeds: Vec<(u64, usize)> = match std::env::var("INTERSTICE_REPLAY_SEEDS") {
        Ok(list) => list
            .split(',')
            .map(|seed| seed.trim().parse())
            .map(|seed| seed.expect("INTERSTICE_REPLAY_SEEDS is numbers with commas"))
            .flat_map(|seed: u64| [1, 2, 8].map(|workers| (seed, workers)))
            .collect(),
        Err(_) => SEEDS.to_vec(),
    };
    for (seed, workers) in seeds {
        check(seed, workers).await;
    }
}
