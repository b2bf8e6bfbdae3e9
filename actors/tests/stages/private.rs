//! Private reducers: their own module, its timers and its events run them, and nobody else.

use interstice_abi::{event::Event, failure::Code, schema::ModuleSchema, wire::OnConflict};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Value, call, insert, must, schedule},
    world::World,
};

/// A module whose reducer `ring` is private, and is run by a timer that `wind` sets.
fn bell() -> GuestModule {
    GuestModule::new("bell")
        .table(GuestTable::new("Rings", &["time"]).auto_inc())
        .on(
            Event::Private,
            "ring",
            vec![must(insert("rings", [0.into(), Value::Time]))],
        )
        .reducer("wind", 0, vec![must(schedule("ring", 0))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_reducer_runs_by_a_timer_and_by_no_call() {
    let world = World::started().await;
    let owner = world.owner().await;
    let caller = GuestModule::new("caller")
        .depends_on(&bell())
        .table(GuestTable::new("Seen", &["status"]).auto_inc())
        .reducer(
            "try_it",
            0,
            vec![
                call("bell", "ring", []),
                must(insert("seen", [0.into(), Value::Status])),
            ],
        );
    owner.install(&bell()).await;
    owner.install(&caller).await;
    let refused = owner.call("bell", "ring", &[]).await;
    let failure = refused.expect_err("nobody calls it");
    assert_eq!(failure.code, Code::Denied);
    assert!(failure.message.contains("private"), "{failure}");
    let stranger = world.stranger().await;
    let refused = stranger.call("bell", "ring", &[]).await;
    let failure = refused.expect_err("nobody calls it");
    assert_eq!(failure.code, Code::NotFound, "a guest does not see it");
    for peer in [&owner, &stranger] {
        let near = peer.call("bell", "rin", &[]).await;
        let failure = near.expect_err("there is no such reducer");
        assert!(!failure.message.contains("`ring`"), "{failure}");
    }
    owner.call("caller", "try_it", &[]).await.expect("commits");
    assert_eq!(
        owner.rows("caller", "seen").await,
        Ok(vec![vec![1, u64::from(Code::Denied as u16)]])
    );
    let mut rings = owner.watch("bell", "rings", None).await;
    assert_eq!(rings.rows().await.0, Vec::<Vec<u64>>::new());
    owner.call("bell", "wind", &[]).await.expect("commits");
    rings.changes(1).await;

    let shown = |schema: ModuleSchema| {
        let names = schema.reducers.into_iter().map(|reducer| reducer.name);
        names.collect::<Vec<_>>()
    };
    let stranger = world.stranger().await;
    let schema = stranger.schema("bell").await.expect("it is public");
    assert_eq!(shown(schema), ["wind"]);
    let schema = owner.schema("bell").await.expect("owners see it");
    assert_eq!(shown(schema), ["ring", "wind"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reducer_that_others_call_does_not_become_private() {
    let world = World::started().await;
    let owner = world.owner().await;
    let before = GuestModule::new("bell").reducer("ring", 0, Vec::new());
    let caller = GuestModule::new("caller").depends_on(&before);
    owner.install(&before).await;
    owner.install(&caller).await;
    let bell = bell().version(0, 1, 1);
    let refused = owner.deploy(&bell, OnConflict::Refuse).await;
    let failure = refused.expect_err("the binding of `caller` has it");
    assert!(failure.message.contains("is private"), "{failure}");
}
