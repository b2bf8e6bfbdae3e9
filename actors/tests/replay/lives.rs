//! The lives of instances, which guests see in their memory: replay begins and ends them where the
//! node did.

use interstice_abi::{
    event::RowEvent,
    wire::{OnConflict, RequestBody},
};

use super::agreed;
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must, upsert, when_equal},
    peer::Order,
    world::World,
};

fn keeper() -> GuestModule {
    GuestModule::new("keeper")
        .table(GuestTable::new("Rows", &["memory"]).auto_inc())
        .table(GuestTable::new("Own", &["value"]).private())
        .table(GuestTable::new("Cells", &["value"]))
        .reducer(
            "run",
            1,
            vec![
                must(insert("rows", [0.into(), Value::Memory])),
                when_equal(arg(0), 1, vec![Op::Fail("no".into())]),
            ],
        )
        .query("ask", 0, vec![Op::Return(Value::Memory)])
}

async fn memory(world: &World) -> u64 {
    let peer = world.owner().await;
    peer.call("keeper", "run", &[0]).await.expect("commits");
    let rows = peer.rows("keeper", "rows").await.expect("owners read");
    rows.last().map_or(0, |row| row[1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_deploy_leaves_the_running_instance_and_its_counts() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&keeper()).await;
    assert_eq!((memory(&world).await, memory(&world).await), (1, 2));
    let mut other = keeper();
    other.tables[0] = GuestTable::new("Rows", &["memory", "more"]).auto_inc();
    peer.deploy(&other, OnConflict::Refuse)
        .await
        .expect_err("the table has rows");
    assert_eq!(memory(&world).await, 3, "the instance goes on");
    let counters = peer.status("keeper").await.counters;
    assert_eq!(counters.reducers, 3, "so does what is counted");
    world.stop().await;
    agreed(&world, "a refused deploy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_begins_again_in_a_replay_where_it_did_in_the_node() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let caller = GuestModule::new("caller")
        .depends_on(&keeper())
        .table(GuestTable::new("Rows", &["memory", "status"]).auto_inc())
        .reducer(
            "go",
            1,
            vec![
                call("keeper", "run", [arg(0)]),
                must(insert("rows", [0.into(), Value::Memory, Value::Status])),
                when_equal(arg(0), 2, vec![Op::Fail("no".into())]),
            ],
        );
    peer.install(&keeper()).await;
    peer.install(&caller).await;
    assert_eq!((memory(&world).await, memory(&world).await), (1, 2));
    assert_eq!(
        peer.query("keeper", "ask", &[]).await,
        Ok(1),
        "a query's own instance"
    );
    assert_eq!(memory(&world).await, 3);
    peer.call("keeper", "run", &[1])
        .await
        .expect_err("it says so");
    assert_eq!(memory(&world).await, 1, "a failed step");
    peer.call("caller", "go", &[1]).await.expect("it goes on");
    assert_eq!(memory(&world).await, 1, "a failed call inside of a step");
    peer.call("caller", "go", &[2])
        .await
        .expect_err("it says so");
    assert_eq!(memory(&world).await, 1, "a call inside of a failed step");
    let wrong = peer.call("keeper", "run", &[]).await;
    wrong.expect_err("an argument is missing");
    assert_eq!(
        memory(&world).await,
        2,
        "a call that was refused before it ran"
    );
    let named = || "keeper".to_string();
    peer.request(RequestBody::UnloadNeeded { module: named() })
        .await
        .expect("it runs");
    peer.request(RequestBody::Load { module: named() })
        .await
        .expect("it stands");
    assert_eq!(memory(&world).await, 1, "a load");
    peer.install(&keeper().version(0, 1, 1)).await;
    assert_eq!(memory(&world).await, 1, "an upgrade");
    world.restart().await;
    assert_eq!(
        (memory(&world).await, memory(&world).await),
        (1, 2),
        "a start"
    );
    world.stop().await;
    agreed(&world, "lives").await;
}

/// Not a promise: prints how fast records are replayed, for `INTERSTICE_REPLAY_CALLS` calls with a
/// reaction each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_are_replayed_and_the_speed_is_printed() {
    let calls = std::env::var("INTERSTICE_REPLAY_CALLS");
    let calls: u64 = calls.map_or(500, |calls| calls.parse().expect("a number"));
    let mut world = World::started().await;
    let peer = world.owner().await;
    let module = keeper().on_row(
        "rows",
        RowEvent::Insert,
        "react",
        vec![must(upsert("cells", [arg(0).modulo(100), arg(1)]))],
    );
    peer.install(&module).await;
    let orders: Vec<Order> = (0..calls)
        .map(|_| Order::new("keeper", "run", &[0]))
        .collect();
    for some in orders.chunks(2000) {
        let answers = peer.calls(some).await;
        assert!(answers.iter().all(Result::is_ok));
    }
    world.stop().await;
    let replayed = agreed(&world, "many calls").await;
    assert!(replayed.steps >= 2 * calls);
    let seconds = replayed.elapsed.as_secs_f64();
    let steps = u32::try_from(replayed.steps).map_or(f64::MAX, f64::from);
    eprintln!(
        "{} steps replayed in {seconds:.2} s: {:.0} per second",
        replayed.steps,
        steps / seconds
    );
}
