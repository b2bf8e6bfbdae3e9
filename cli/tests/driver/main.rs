//! A real node under a random sequence of everything that its users do; after each part it has to
//! agree with a model.
//!
//! A round is a dozen random steps (calls of owners and strangers, steps that fail, timers,
//! upgrades, wipes, unloading, reads of the past, attempts of strangers, a system clock that is
//! set), and then an end: the process is killed while calls are under way, killed while it is
//! idle, killed while it stops, stopped in order, or backed up and restored in another home. A
//! stopped node is checked by `doctor` and `replay`. Watchers follow through all rounds.
//! [`model::Model`] is what was acknowledged; [`check`] compares all of it with the node and the
//! modules with each other.
//!
//! `INTERSTICE_DRIVE_SECONDS=600` goes on for so long; `INTERSTICE_SEEDS=7` takes the steps from
//! that seed, which is printed. `INTERSTICE_PROGRAM` names another build of `interstice-cli`.

mod burst;
mod check;
mod clock;
#[path = "../../../actors/tests/common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;
mod ends;
#[path = "../shared/follow.rs"]
mod follow;
mod life;
mod model;
mod modules;
#[path = "../shared/node.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod node;
#[path = "../shared/random.rs"]
mod random;
mod steps;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ends::End;
use life::Life;
use random::Random;

/// How long it goes on where nobody asks for more.
const SECONDS: u64 = 20;

/// Rounds after which a fresh node begins, because checks take longer the more there is.
const ROUNDS_PER_LIFE: u64 = 40;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_agrees_with_what_it_has_acknowledged_whatever_its_users_do() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_or(0, |since| u64::from(since.subsec_nanos()));
    let mut seed = number_of("INTERSTICE_SEEDS").unwrap_or(clock);
    let seconds = number_of("INTERSTICE_DRIVE_SECONDS").unwrap_or(SECONDS);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut rounds, mut steps) = (0, 0);
    while rounds == 0 || Instant::now() < until {
        eprintln!("INTERSTICE_SEEDS={seed} INTERSTICE_DRIVE_SECONDS={seconds}");
        let mut life = Life::begin(Random::new(seed)).await;
        let mut ends = End::all();
        for _ in 0..ROUNDS_PER_LIFE {
            if ends.is_empty() {
                ends = End::all();
            }
            let place = life.random.below(ends.len() as u64);
            let end = ends.swap_remove(usize::try_from(place).expect("it is small"));
            steps += life.round(end).await;
            rounds += 1;
            if Instant::now() >= until {
                break;
            }
        }
        life.finish().await;
        seed = seed.wrapping_add(1);
    }
    eprintln!("{steps} steps in {rounds} rounds");
}
