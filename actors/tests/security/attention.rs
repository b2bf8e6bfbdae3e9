//! A guest that asks for much and reads nothing: what it may hold, and what is left to others.

use std::time::Duration;

use interstice_abi::{
    failure::Code,
    id::Seq,
    wire::{Ack, Request, RequestBody, ResponseBody},
};
use interstice_client::{Identity, frame::encode};

use crate::{
    common::{
        guest::{GuestModule, GuestTable},
        world::World,
    },
    overload::{ROWS, warehouse},
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_does_not_read_leaves_owners_slots_for_large_tables_and_resumed_watches() {
    let mut world = World::configured(|config| config.limits.deadline_ms = 30_000);
    world.start().await;
    let owner = world.owner().await;
    owner.install(&warehouse()).await;
    let (_, begin) = owner.watch("warehouse", "marks", None).await.rows().await;
    for call in 0..4 {
        owner
            .call("warehouse", "fill", &[call * ROWS, 1])
            .await
            .unwrap();
    }
    let mut raw = guest(&world).await;
    for id in 2..102 {
        let watch = RequestBody::Watch {
            module: "warehouse".into(),
            table: "goods".into(),
            from: (id % 2 == 0).then_some(begin),
        };
        raw.ask(id, watch).await;
    }
    let mark = RequestBody::Call {
        module: "warehouse".into(),
        reducer: "mark".into(),
        arguments: vec![1, 1],
        ack: Ack::Applied,
    };
    raw.ask(200, mark).await;
    let mut marks = owner.watch("warehouse", "marks", Some(begin)).await;
    marks.changes(1).await;
    // All its watches have begun or were refused.
    for from in [None, Some(begin)] {
        let mut watch = owner.watch("warehouse", "goods", from).await;
        match from {
            None => assert_eq!(watch.rows().await.0.len() as u64, 4 * ROWS),
            Some(_) => drop(watch.changes(4 * ROWS as usize).await),
        }
    }
    let mut busy = 0;
    while busy == 0 {
        let answer = raw.answer().await.expect("the connection stays");
        match answer.body {
            Err(failure) => {
                assert_eq!(failure.code, Code::Busy);
                busy += u32::from(failure.message.contains("for this key"));
            }
            Ok(ResponseBody::Watch(_) | ResponseBody::Called(_)) => {}
            Ok(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_has_an_answer_from_the_past_finds_its_slot_free() {
    let world = World::started().await;
    world.owner().await.install(&city_hall()).await;
    let mut raw = guest(&world).await;
    for id in 2..500 {
        let past = RequestBody::RowsAt {
            module: "city-hall".into(),
            table: "register0".into(),
            at: Seq(2),
            limit: 1,
            filter: None,
        };
        raw.ask(id, past).await;
        loop {
            let answer = raw.answer().await.expect("the connection stays");
            match answer.body.expect("it has a slot") {
                ResponseBody::Ended => break,
                ResponseBody::TableAt(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
