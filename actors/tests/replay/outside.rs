//! Everything from outside that a reducer saw is in the log: the time, random numbers, and what
//! other nodes answered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::future::BoxFuture;
use interstice_abi::{
    codec::Column,
    event::RowEvent,
    failure::{Code, Failure},
    host_call::CallRequest,
};
use interstice_actors::{config::Placement, remote::Remote};
use interstice_host::module::CallKind;

use super::agreed;
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must, query, reg, when_equal},
    peer::{Order, Peer},
    world::World,
};

const CALLS: u64 = 40;

/// Never answers the same twice, across nodes too, and every fifth time not at all.
#[derive(Default)]
struct Moody(AtomicU64);

static ANSWERS: AtomicU64 = AtomicU64::new(1);

impl Remote for Moody {
    fn call<'a>(
        &'a self,
        kind: CallKind,
        _: &'a CallRequest,
    ) -> BoxFuture<'a, Result<Vec<u8>, Failure>> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        let answer = ANSWERS.fetch_add(7, Ordering::Relaxed);
        Box::pin(async move {
            // Answers come when they come.
            tokio::task::yield_now().await;
            match kind {
                _ if asked % 5 == 4 => Err(Failure::new(Code::Unavailable, "not now")),
                CallKind::Query => Ok(answer.to_bytes()),
                CallKind::Reducer => Ok(Vec::new()),
            }
        })
    }
}

fn far() -> GuestModule {
    GuestModule::new("far")
        .reducer("tell", 1, vec![])
        .query("ask", 1, vec![Op::Return(arg(0))])
}

/// `near.look` writes what it sees of the outside; `relay.pass` is called, asks, and fails now and
/// then.
fn modules() -> [GuestModule; 3] {
    let relay = GuestModule::new("relay")
        .depends_on(&far())
        .of_node("elsewhere")
        .table(GuestTable::new("Rows", &["answer", "time", "random"]).auto_inc())
        .reducer(
            "pass",
            1,
            vec![
                query("elsewhere/far", "ask", [arg(0).plus(100)], 0),
                insert("rows", [0.into(), reg(0), Value::Time, Value::Random]),
                when_equal(arg(0).modulo(4), 3, vec![Op::Fail("not today".into())]),
            ],
        );
    let near = GuestModule::new("near")
        .depends_on(&far())
        .of_node("elsewhere")
        .depends_on(&relay)
        .table(GuestTable::new("Rows", &["answer", "status", "time", "random"]).auto_inc())
        .reducer(
            "look",
            1,
            vec![
                query("elsewhere/far", "ask", [arg(0)], 0),
                must(insert(
                    "rows",
                    [0.into(), reg(0), Value::Status, Value::Time, Value::Random],
                )),
                call("relay", "pass", [arg(0)]),
                must(insert(
                    "rows",
                    [
                        0.into(),
                        1.into(),
                        Value::Status,
                        Value::Time,
                        Value::Random,
                    ],
                )),
                call("elsewhere/far", "tell", [arg(0)]),
                query("elsewhere/far", "ask", [reg(0)], 1),
                must(insert(
                    "rows",
                    [0.into(), reg(1), Value::Status, Value::Time, Value::Random],
                )),
            ],
        );
    let echo = GuestModule::new("echo")
        .depends_on(&near)
        .depends_on(&far())
        .of_node("elsewhere")
        .table(GuestTable::new("Rows", &["answer", "time", "random"]).auto_inc())
        .on_row(
            "near.rows",
            RowEvent::Insert,
            "hear",
            vec![
                query("elsewhere/far", "ask", [arg(1)], 0),
                insert("rows", [0.into(), reg(0), Value::Time, Value::Random]),
            ],
        );
    [relay, near, echo]
}

async fn lived(peer: &Peer) -> u64 {
    for module in modules() {
        peer.install(&module).await;
    }
    let orders: Vec<Order> = (0..CALLS)
        .map(|number| Order::new("near", "look", &[number]))
        .collect();
    for answer in peer.calls(&orders).await {
        answer.expect("it only writes");
    }
    let mut answers: Vec<u64> = Vec::new();
    for module in ["near", "relay", "echo"] {
        let rows = peer.rows(module, "rows").await.expect("owners read");
        assert!(!rows.is_empty(), "{module}");
        answers.extend(rows.iter().map(|row| row[1]).filter(|answer| *answer > 1));
    }
    let all = answers.len();
    answers.sort_unstable();
    answers.dedup();
    // A guest whose question is not answered writes what its register had before.
    assert!(answers.len() > all / 2, "they differ: {answers:?} of {all}");
    u64::try_from(answers.len()).expect("fits")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_from_outside_that_a_reducer_saw_is_in_the_log() {
    for workers in [1, 8] {
        let mut world = World::configured(|config| config.placement = Placement::Spread);
        let remote: Arc<dyn Remote> = Arc::new(Moody::default());
        world.start_beside(Some(workers), Some(remote)).await;
        let answers = lived(&world.owner().await).await;
        let killed = world.copy();
        world.stop().await;
        let replayed = agreed(&world, &format!("{workers} workers")).await;
        assert!(
            replayed.steps > 4 * CALLS && answers > CALLS,
            "{replayed:?}"
        );
        agreed(&killed, "as a kill would have left it").await;
        // Again, and from another's hands: replay asks nobody.
        agreed(&world.copy(), "a copy").await;
    }
}
