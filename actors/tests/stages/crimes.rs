//! A module cannot hurt the node or another module: each crime ends in an error for its caller, is
//! undone, and the module and its neighbour go on.

use interstice_abi::{failure::Code, wire::ModuleState};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, insert, must},
    peer::Peer,
    world::World,
};

const MEBIBYTE: u64 = 1024 * 1024;

/// One reducer per crime, each after a row that must not stay, and the codes with which it may end.
fn crimes() -> Vec<(&'static str, Vec<Op>, &'static [Code])> {
    let flood = |op: Op| Op::Repeat {
        register: 0,
        times: u64::MAX.into(),
        body: vec![op],
    };
    vec![
        ("spins", vec![Op::LoopForever], &[Code::Deadline]),
        ("eats", vec![Op::EatMemory], &[Code::OutOfMemory]),
        ("recurses", vec![Op::Recurse], &[Code::StackOverflow]),
        ("traps", vec![Op::Trap], &[Code::Trap]),
        (
            "floods_with_rows",
            vec![flood(insert("rows", [0.into(), 1.into()]))],
            &[Code::Deadline, Code::TooLarge],
        ),
        (
            "floods_with_lines",
            vec![flood(Op::Log("more".into()))],
            &[Code::Deadline],
        ),
        (
            "floods_with_timers",
            vec![flood(crate::common::op::schedule("tick", 0))],
            &[Code::Deadline, Code::TooLarge],
        ),
        (
            "points_outside",
            vec![insert_at(u32::MAX - 3, 3)],
            &[Code::Trap],
        ),
        (
            "points_across_the_end",
            vec![insert_at(32 * 65_536 - 1, 2)],
            &[Code::Trap],
        ),
        (
            "claims_everything",
            vec![insert_at(1, u32::MAX)],
            &[Code::Trap],
        ),
        (
            "answers_outside",
            vec![Op::AnswerAt {
                ptr: u32::MAX,
                cap: 8,
            }],
            &[Code::Trap],
        ),
        (
            "answers_everywhere",
            vec![Op::AnswerAt {
                ptr: 8,
                cap: u32::MAX,
            }],
            &[Code::Trap],
        ),
    ]
}

fn insert_at(ptr: u32, len: u32) -> Op {
    Op::InsertAt {
        table: "rows".into(),
        ptr,
        len,
    }
}

fn criminal() -> GuestModule {
    let module = GuestModule::new("criminal")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("tick", 0, vec![])
        .reducer("behave", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
        // Bytes that are no row are a refusal, not a crime.
        .reducer("stores_nonsense", 0, vec![must(insert_at(0, 1000))]);
    crimes()
        .into_iter()
        .fold(module, |module, (name, crime, _)| {
            let body = std::iter::once(must(insert("rows", [0.into(), 66.into()])))
                .chain(crime)
                .collect();
            module.reducer(name, 0, body)
        })
}

fn neighbour() -> GuestModule {
    GuestModule::new("neighbour")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

async fn values(peer: &Peer, module: &str) -> Vec<u64> {
    peer.rows(module, "rows")
        .await
        .expect("is there")
        .into_iter()
        .map(|row| row[1])
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_crime_is_an_error_for_its_caller_and_nobody_else() {
    let mut world = World::configured(|config| {
        config.limits.deadline_ms = 500;
        config.limits.memory_bytes = 16 * MEBIBYTE;
        config.limits.step_bytes_max = MEBIBYTE;
    });
    world.start().await;
    let peer = world.owner().await;
    let other = world.stranger().await;
    peer.install(&criminal()).await;
    peer.install(&neighbour()).await;
    let mut expected = Vec::new();
    let mut done = Vec::new();
    for (number, (name, _, codes)) in (0..).zip(crimes()) {
        let mut crime = Box::pin(peer.call("criminal", name, &[]));
        // The neighbour is answered while the crime goes on, as often as it asks.
        let failure = loop {
            let arguments = [done.len() as u64];
            let put = other.call("neighbour", "put", &arguments);
            tokio::select! {
                biased;
                outcome = &mut crime => break outcome.expect_err(name),
                called = put => done.push(called.expect("the neighbour serves")),
            }
        };
        assert!(
            codes.contains(&failure.code),
            "{name}: {:?} {failure}",
            failure.code
        );
        peer.call("criminal", "behave", &[number])
            .await
            .expect("a fresh instance serves");
        expected.push(number);
        assert_eq!(
            values(&peer, "criminal").await,
            expected,
            "{name} is undone"
        );
    }
    let refused = peer
        .call("criminal", "stores_nonsense", &[])
        .await
        .expect_err("is no row");
    assert_eq!(refused.code, Code::Rejected, "{refused}");
    // Hundreds on an idle machine; a dozen where a guest that computes keeps its thread's sockets
    // waiting.
    assert!(
        done.len() > 40,
        "the neighbour was answered {} times",
        done.len()
    );
    assert_eq!(peer.status("criminal").await.state, ModuleState::Loaded);
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(values(&peer, "criminal").await, expected);
    assert!(values(&peer, "neighbour").await.len() >= done.len());
    world.stop().await;
}
