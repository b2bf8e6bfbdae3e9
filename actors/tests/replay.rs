//! What a node's log says happens again when it is replayed, and what does not is told: the first
//! turn, step and row.
//!
//! `INTERSTICE_REPLAY_SEEDS=7,8,9` tries other seeds of random nodes than the fixed ones.

#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

#[path = "replay/altered.rs"]
mod altered;
#[path = "replay/cut.rs"]
mod cut;
#[path = "replay/held.rs"]
mod held;
#[path = "replay/limits.rs"]
mod limits;
#[path = "replay/lives.rs"]
mod lives;
#[path = "replay/outside.rs"]
mod outside;
#[path = "replay/wild.rs"]
mod wild;

use common::world::World;
use interstice_actors::replay::Replayed;

/// Replays the log of a stopped node, which must agree.
async fn agreed(world: &World, what: &str) -> Replayed {
    let replayed = world.replay().await;
    let replayed = replayed.unwrap_or_else(|error| unreachable!("{what}: {error}"));
    let difference = replayed.difference.as_ref().map(ToString::to_string);
    assert!(replayed.agrees(), "{what}: {difference:?}: {replayed:#?}");
    replayed
}
