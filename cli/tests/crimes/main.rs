//! `modules/crimes` commits its crimes on a real node: each ends in an error that says what was
//! too much and what to do, leaves nothing behind, here or in the module that it called, and the
//! module serves the next call.
//!
//! How quick neighbours stay meanwhile is measured in `neighbours.rs`; what only a forged guest
//! can do is tried in the host's and the actors' tests.

#[path = "../../../actors/tests/common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

mod each;
mod lasting;
mod quarantine;

use std::path::Path;

use common::{peer::Peer, world::World};
use interstice_actors::config::Config;
use interstice_cli::build::{Builder, Talk};

/// Running time of a step: a crime meets it soon, and an honest step not even on a machine under
/// load.
const DEADLINE_MS: u64 = 500;

/// What a step may write.
const STEP_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn strict(config: &mut Config) {
    config.limits.deadline_ms = DEADLINE_MS;
    config.limits.step_bytes_max = STEP_BYTES_MAX;
    config.limits.memory_bytes = 64 * 1024 * 1024;
    config.limits.steps_per_turn_max = 300;
}

/// The binary of one of the modules that come with the program.
fn built(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../modules");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../modules")
        .join(name);
    let module = Builder::new(folder, Talk::Quiet).module(&path);
    module.expect("it compiles").wasm
}

/// A node with the bank and the criminal.
async fn deployed() -> (World, Peer) {
    let mut world = World::configured(strict);
    world.start().await;
    let owner = world.owner().await;
    for name in ["bank", "crimes"] {
        let deployed = owner.upload(&built(name)).await;
        deployed.expect("it is installed");
    }
    (world, owner)
}

/// An amount, as it stands in arguments of these guests: zigzag, like all signed numbers.
const fn amount(amount: u64) -> u64 {
    2 * amount
}

/// Where the state of the module is a number that differs when any row, counter or timer does.
async fn state_of(peer: &Peer, module: &str) -> [u64; 4] {
    let status = peer
        .status_when(module, |status| status.digest.is_some())
        .await;
    status.digest.expect("owners see it")
}
