//! Same inputs, same state: random modules with random calls, reactions and failures, run on 1, 2
//! and 8 workers, end with equal rows, equal digests and equal answers; and so they do after a
//! restart, clean or not. A replay of their logs agrees.
//!
//! `INTERSTICE_SEEDS=7,8,9` tries other seeds than the fixed ones. Time stays out of the rows: it
//! is an input of its own.

#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

use common::{
    graph::{Graph, Kind, Random, TABLES, name},
    guest::GuestModule,
    peer::{Order, Peer},
    world::World,
};
use interstice_abi::failure::Code;
use interstice_actors::config::Placement;

/// Seeds that every run tries.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Calls per run.
const INPUTS: u64 = 80;

/// What can be seen of a node from outside.
#[derive(Debug, PartialEq)]
struct State {
    digests: Vec<[u64; 4]>,
    rows: Vec<(String, Vec<Vec<u64>>)>,
}

async fn state(peer: &Peer, modules: usize, tables: &[&str]) -> State {
    let mut state = State {
        digests: Vec::new(),
        rows: Vec::new(),
    };
    for place in 0..modules {
        let module = name(place);
        for table in tables {
            let rows = peer.rows(&module, table).await.expect("the table is there");
            state.rows.push((format!("{module}.{table}"), rows));
        }
        state.digests.push(
            peer.status(&module)
                .await
                .digest
                .expect("owners see digests"),
        );
    }
    state
}

/// How a call ended, without what differs between runs.
type Answer = Result<(u64, u32, u32), (Code, String)>;

async fn run(
    world: &World,
    graph: &Graph,
    modules: &(Vec<GuestModule>, Vec<GuestModule>),
    inputs: &[Order],
) -> (Vec<Answer>, State) {
    let peer = world.owner().await;
    for module in modules.0.iter().chain(&modules.1) {
        peer.install(module).await;
    }
    let answers = peer
        .calls(inputs)
        .await
        .into_iter()
        .map(|answer| match answer {
            Ok(called) => Ok((called.seq.0, called.failed, called.dropped)),
            Err(failure) => Err((failure.code, failure.message)),
        });
    let answers = answers.collect();
    (answers, state(&peer, graph.len(), &TABLES).await)
}

async fn check(seed: u64) {
    let mut random = Random(seed);
    let graph = Graph::new(&mut random, Kind::Calm);
    let modules = graph.modules(&mut random);
    let inputs = graph.inputs(INPUTS, &mut random);
    let world = World::configured(|config| config.placement = Placement::Spread);
    let mut expected: Option<(Vec<Answer>, State)> = None;
    let logged: Vec<&str> = TABLES
        .into_iter()
        .filter(|table| *table != "ticks")
        .collect();
    for workers in [1, 2, 8] {
        let mut world = world.copy();
        world.start_with(Some(workers)).await;
        let outcome = run(&world, &graph, &modules, &inputs).await;
        match &expected {
            None => {
                assert!(
                    outcome.0.iter().any(Result::is_ok),
                    "seed {seed}: some calls succeed"
                );
                assert!(
                    outcome.0.iter().any(Result::is_err),
                    "seed {seed}: some calls fail"
                );
                let failed: u32 = outcome
                    .0
                    .iter()
                    .flatten()
                    .map(|(_, failed, _)| failed)
                    .sum();
                let deep = outcome
                    .1
                    .rows
                    .iter()
                    .filter(|(table, _)| table.ends_with(".rows"))
                    .flat_map(|(_, rows)| rows);
                let deepest = deep.map(|row| row[1]).max().unwrap_or(0);
                assert!(
                    failed > 0 && deepest > 0,
                    "seed {seed}: reactions run, and some fail"
                );
                eprintln!(
                    "seed {seed}: {} modules, {failed} failed reactions, depth {deepest}",
                    graph.len()
                );
            }
            Some(expected) => {
                assert_eq!(
                    outcome.0, expected.0,
                    "seed {seed}: answers on {workers} workers"
                );
                assert_eq!(
                    outcome.1, expected.1,
                    "seed {seed}: state on {workers} workers"
                );
            }
        }
        let peer = world.owner().await;
        let before = state(&peer, graph.len(), &logged).await;
        let mut killed = world.copy();
        world.restart().await;
        let after = state(&world.owner().await, graph.len(), &logged).await;
        assert_eq!(
            after, before,
            "seed {seed}: state after a clean restart, {workers} workers"
        );
        killed.start_with(Some(workers)).await;
        let after = state(&killed.owner().await, graph.len(), &logged).await;
        assert_eq!(
            after, before,
            "seed {seed}: state after an unclean end, {workers} workers"
        );
        let ticks = state(&killed.owner().await, graph.len(), &["ticks"]).await;
        assert!(
            ticks.rows.iter().all(|(_, rows)| rows.is_empty()),
            "seed {seed}: ephemeral tables start empty"
        );
        world.stop().await;
        killed.stop().await;
        for (world, end) in [(&world, "a clean"), (&killed, "an unclean")] {
            let replayed = world.replay().await.expect("the log is whole");
            assert!(
                replayed.agrees(),
                "seed {seed}: replay after {end} end, {workers} workers: {replayed:#?}"
            );
        }
        expected = Some(outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_inputs_lead_to_the_same_state_on_any_number_of_workers() {
    let seeds: Vec<u64> = match std::env::var("INTERSTICE_SEEDS") {
        Ok(list) => list
            .split(',')
            .map(|seed| {
                seed.trim()
                    .parse()
                    .expect("INTERSTICE_SEEDS is numbers with commas")
            })
            .collect(),
        Err(_) => SEEDS.to_vec(),
    };
    for seed in seeds {
        check(seed).await;
    }
}
