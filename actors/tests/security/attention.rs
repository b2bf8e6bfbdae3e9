//! A guest that asks for much and reads nothing: what it may hold, and what is left to others.

use std::time::Duration;

use interstice_abi::wire::{Request, RequestBody};
use interstice_client::{Identity, frame::encode};

use crate::{
    common::{
        guest::{GuestModule, GuestTable},
        world::World,
    },
    raw::Raw,
};

/// Requests of a flood.
const REQUESTS: u64 = 1500;

/// What a flood may add to the process, in which other tests run as well.
const GROWTH_MAX: u64 = 300 * 1024 * 1024;

async fn guest(world: &World) -> Raw {
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port());
    Raw::greeted_at(&address.parse().unwrap(), &Identity::generate()).await
}

/// A module of many tables.
fn city_hall() -> GuestModule {
    (0..600).fold(GuestModule::new("city-hall"), |module, place| {
        let columns = ["first", "second", "third", "fourth"];
        module.table(GuestTable::new(&format!("Register{place}"), &columns))
    })
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_status_requests_hold_little_and_are_answered_one_by_one() {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&city_hall()).await;
    let mut raw = guest(&world).await;
    let before = resident_bytes();
    let mut bytes = Vec::new();
    for id in 2..REQUESTS + 2 {
        let body = match id % 6 {
            0 => RequestBody::Schema {
                module: "city-hall".into(),
            },
            1 => RequestBody::NodeStatus,
            _ => RequestBody::ModuleStatus { module: None },
        };
        encode(&Request { id, body }, &mut bytes).unwrap();
    }
    raw.say(&bytes).await;
    // Others are served meanwhile, and what the flood holds is little.
    for _ in 0..20 {
        owner.node().await;
        assert_eq!(owner.modules().await.len(), 1);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    for _ in 0..REQUESTS {
        let answer = tokio::time::timeout(Duration::from_secs(60), raw.answer()).await;
        let answer = answer.expect("an answer comes").expect("nothing is cut");
        assert!(answer.body.is_ok(), "{answer:?}");
    }
}
