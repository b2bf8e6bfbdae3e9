//! Changes of the catalogue: what comes in between is answered, what is refused leaves nothing,
//! data stay.

use interstice_abi::{
    codec::Column,
    event::{Event, RowEvent},
    failure::Code,
    types::{ColumnType, Field},
    wire::{ModuleState, OnConflict, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, call, insert, must, reg, schedule, when_equal},
    peer::{Order, Peer},
    world::World,
};

/// `store.put(value)` in a version that tells itself apart by what it adds.
fn store(patch: u32) -> GuestModule {
    GuestModule::new("store")
        .version(0, 1, patch)
        .table(GuestTable::new("Rows", &["value", "version"]).auto_inc())
        .reducer(
            "put",
            1,
            vec![must(insert(
                "rows",
                [0.into(), arg(0), u64::from(patch).into()],
            ))],
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_during_a_deploy_are_all_answered_each_by_one_version() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let deployer = world.owner().await;
    peer.install(&store(0)).await;
    let mut sent = 0_u64;
    for patch in 1..=3 {
        let orders: Vec<Order> = (0..400)
            .map(|call| Order::new("store", "put", &[sent + call]))
            .collect();
        let next = store(patch);
        let (answers, report) = tokio::join!(
            peer.calls(&orders),
            deployer.deploy(&next, OnConflict::Refuse)
        );
        let report = report.expect("it fits");
        assert_eq!(
            (report.version, report.replaced.map(|old| old.patch)),
            (next.version, Some(patch - 1))
        );
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, []);
        sent += 400;
        // One after the deploy, so that each version is seen.
        peer.call("store", "put", &[sent]).await.expect("commits");
        sent += 1;
    }
    let rows = peer.rows("store", "rows").await.expect("is there");
    assert_eq!(
        rows.iter().map(|row| row[1]).collect::<Vec<_>>(),
        (0..sent).collect::<Vec<_>>(),
        "in the order sent, each once"
    );
    assert!(
        rows.windows(2).all(|pair| pair[0][2] <= pair[1][2]),
        "no call runs in an older version than one before it"
    );
    assert_eq!(rows.last().map(|row| row[2]), Some(3));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_init_that_fails_refuses_the_install_and_leaves_nothing() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let base = || GuestModule::new("fresh").table(GuestTable::new("Rows", &["value"]).auto_inc());
    let witness = GuestModule::new("witness")
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("put", 1, vec![must(insert("rows", [arg(0), arg(0)]))]);
    peer.install(&witness).await;
    let fails = base().depends_on(&witness).on(
        Event::Init,
        "begin",
        vec![
            must(insert("rows", [0.into(), 1.into()])),
            must(call("witness", "put", [1.into()])),
            Op::Fail("the stars are wrong".into()),
        ],
    );
    let traps = base().on(
        Event::Init,
        "begin",
        vec![must(insert("rows", [0.into(), 1.into()])), Op::Trap],
    );
    for (module, code) in [(&fails, Code::Rejected), (&traps, Code::Trap)] {
        let failure = peer
            .deploy(module, OnConflict::Refuse)
            .await
            .expect_err("init fails");
        assert_eq!(failure.code, code);
        assert!(failure.message.contains("init"), "{failure}");
    }
    let names = |modules: Vec<interstice_abi::wire::ModuleStatus>| {
        modules
            .into_iter()
            .map(|module| module.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(peer.modules().await), ["witness"]);
    assert_eq!(
        peer.rows("witness", "rows").await,
        Ok(vec![]),
        "what init did elsewhere is undone"
    );
    assert_eq!(
        peer.call("fresh", "anything", &[])
            .await
            .expect_err("is not there")
            .code,
        Code::NotFound
    );
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(names(peer.modules().await), ["witness"]);
    let works = base().on(
        Event::Init,
        "begin",
        vec![must(insert("rows", [0.into(), 7.into()]))],
    );
    peer.install(&works).await;
    assert_eq!(
        peer.rows("fresh", "rows").await,
        Ok(vec![vec![1, 7]]),
        "from the first number on"
    );
    peer.install(&works.version(0, 1, 1)).await;
    assert_eq!(
        peer.rows("fresh", "rows").await,
        Ok(vec![vec![1, 7]]),
        "init runs once"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_fails_is_reported_and_the_module_stays() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let module = GuestModule::new("stiff")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .on(
            Event::Load,
            "begin",
            vec![
                must(insert("rows", [0.into(), 1.into()])),
                Op::Fail("will not start".into()),
            ],
        )
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))]);
    let report = peer.install(&module).await;
    assert!(
        report
            .load_failure
            .is_some_and(|text| text.contains("will not start"))
    );
    peer.call("stiff", "put", &[5])
        .await
        .expect("serves all the same");
    assert_eq!(
        peer.rows("stiff", "rows").await,
        Ok(vec![vec![1, 5]]),
        "what load did is undone"
    );
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.rows("stiff", "rows").await, Ok(vec![vec![1, 5]]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_strangers_cause_do_not_quarantine_and_those_of_an_owners_timers_do() {
    let mut world = World::started().await;
    let owner = world.owner().await;
    let [source, weak] = source_and_weak();
    let source = source.reducer("ring", 0, vec![Op::Trap]).reducer(
        "later",
        0,
        vec![must(schedule("ring", 0))],
    );
    owner.install(&source).await;
    owner.install(&weak).await;
    let stranger = world.stranger().await;
    for _ in 0..40 {
        let called = stranger.call("source", "put", &[0]).await;
        assert_eq!(called.expect("commits").failed, 1);
        let called = stranger.call("source", "later", &[]).await;
        called.expect("commits");
    }
    owner
        .status_when("source", |status| status.counters.faults == 40)
        .await;
    for module in ["source", "weak"] {
        assert_eq!(owner.status(module).await.state, ModuleState::Loaded);
    }
    let said = owner.lines("weak").await;
    assert!(
        said.iter()
            .any(|line| line.text.contains("the module goes on serving")),
        "the log says how often it failed"
    );
    for _ in 0..16 {
        let called = owner.call("source", "later", &[]).await;
        called.expect("commits");
    }
    owner
        .status_when("source", |status| status.state != ModuleState::Loaded)
        .await;
    world.stop().await;
    world.replay().await.expect("the log replays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_module_has_a_second_chance_and_then_another_later() {
    let mut world = World::configured(|config| config.second_chance_ms = 300);
    world.start().await;
    let peer = world.owner().await;
    let [source, weak] = source_and_weak();
    peer.install(&source).await;
    peer.install(&weak).await;
    let fail = async |peer: &Peer| {
        while peer.status("weak").await.state == ModuleState::Loaded {
            let called = peer.call("source", "put", &[0]).await;
            called.expect("commits");
        }
    };
    let serves_again = async |peer: &Peer, key: u64| {
        peer.status_when("weak", |status| status.state == ModuleState::Loaded)
            .await;
        let called = peer.call("weak", "put", &[key]).await;
        called.expect("it serves");
    };
    fail(&peer).await;
    serves_again(&peer, 1000).await;
    fail(&peer).await;
    world.restart().await;
    let peer = world.owner().await;
    serves_again(&peer, 1001).await;
    world.stop().await;
    world.replay().await.expect("the log replays");
}

/// A module that clients make fault, and one whose reactions do.
fn source_and_weak() -> [GuestModule; 2] {
    let source = GuestModule::new("source")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
        .reducer("trap", 0, vec![Op::Trap]);
    let weak = GuestModule::new("weak")
        .depends_on(&source)
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("put", 1, vec![must(insert("rows", [arg(0), 0.into()]))])
        .on_row(
            "source.rows",
            RowEvent::Insert,
            "faints",
            vec![
                must(insert("rows", [arg(0), arg(1)])),
                when_equal(arg(1), 0, vec![Op::Trap]),
            ],
        );
    [source, weak]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_faults_of_reactions_in_a_row_quarantine_and_those_of_calls_do_not() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let [source, weak] = source_and_weak();
    peer.install(&source).await;
    peer.install(&weak).await;
    for _ in 0..20 {
        assert_eq!(
            peer.call("source", "trap", &[])
                .await
                .expect_err("traps")
                .code,
            Code::Trap
        );
    }
    assert_eq!(
        peer.status("source").await.state,
        ModuleState::Loaded,
        "strangers could do that"
    );
    for _ in 0..15 {
        assert_eq!(
            peer.call("source", "put", &[0])
                .await
                .expect("commits")
                .failed,
            1
        );
    }
    assert_eq!(
        peer.call("source", "put", &[1])
            .await
            .expect("commits")
            .failed,
        0,
        "the row ends here"
    );
    for _ in 0..16 {
        assert_eq!(
            peer.call("source", "put", &[0])
                .await
                .expect("commits")
                .failed,
            1
        );
    }
    let state = peer
        .status_when("weak", |status| status.state != ModuleState::Loaded)
        .await
        .state;
    assert!(
        matches!(&state, ModuleState::Quarantined { reason } if reason.contains("faints")),
        "{state:?}"
    );
    assert_eq!(
        peer.call("weak", "put", &[100])
            .await
            .expect_err("is stopped")
            .code,
        Code::Quarantined
    );
    let called = peer
        .call("source", "put", &[0])
        .await
        .expect("others go on");
    assert_eq!(called.failed, 0, "nothing is told to it");
    world.crash().await;
    let peer = world.owner().await;
    assert!(
        matches!(
            peer.status("weak").await.state,
            ModuleState::Quarantined { .. }
        ),
        "a restart does not free it"
    );
    peer.request(RequestBody::Load {
        module: "weak".into(),
    })
    .await
    .expect("an owner does");
    assert_eq!(peer.status("weak").await.state, ModuleState::Loaded);
    peer.call("weak", "put", &[100])
        .await
        .expect("serves again");
    let keys: Vec<u64> = peer
        .rows("weak", "rows")
        .await
        .expect("is there")
        .into_iter()
        .map(|row| row[0])
        .collect();
    assert_eq!(keys, [16, 100], "its data are kept");
    world.stop().await;
}

/// `grows` with columns, a table and a query more.
fn grown() -> GuestModule {
    let option = Field::new("note", ColumnType::Option(Box::new(ColumnType::U64)));
    let default = Field {
        default: Some(9_u64.to_bytes()),
        ..Field::new("level", ColumnType::U64)
    };
    GuestModule::new("grows")
        .version(0, 1, 1)
        .table(
            GuestTable::new("Rows", &["value"])
                .auto_inc()
                .field(option)
                .field(default),
        )
        .table(GuestTable::new("Others", &["value"]))
        .table(GuestTable::new("Added", &["value"]))
        // `None` is encoded as 0.
        .reducer(
            "put",
            1,
            vec![must(insert("rows", [0.into(), arg(0), 0.into(), 1.into()]))],
        )
        .query(
            "level",
            1,
            vec![
                Op::Get {
                    table: "rows".into(),
                    index: 0,
                    key: arg(0),
                    columns: 4,
                    into: 0,
                },
                Op::Return(reg(4)),
            ],
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeploy_keeps_what_fits_refuses_what_does_not_and_wipes_when_told() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let first = GuestModule::new("grows")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .table(GuestTable::new("Others", &["value"]))
        .reducer(
            "put",
            1,
            vec![
                must(insert("rows", [0.into(), arg(0)])),
                must(insert("others", [arg(0), 1.into()])),
            ],
        );
    peer.install(&first).await;
    peer.call("grows", "put", &[5]).await.expect("commits");

    let second = grown();
    let report = peer.install(&second).await;
    assert!(!report.changes.is_empty(), "it says what is different");
    peer.call("grows", "put", &[6]).await.expect("commits");
    let rows = vec![vec![1, 5, 0, 9], vec![2, 6, 0, 1]];
    assert_eq!(peer.rows("grows", "rows").await, Ok(rows.clone()));
    assert_eq!(peer.query("grows", "level", &[1]).await, Ok(9));

    let third = GuestModule::new("grows")
        .version(0, 1, 2)
        .table(
            GuestTable::new("Rows", &[])
                .auto_inc()
                .field(Field::new("value", ColumnType::String)),
        )
        .table(GuestTable::new("Others", &["value"]))
        .query("one", 0, vec![Op::Return(1.into())]);
    let failure = peer
        .deploy(&third, OnConflict::Refuse)
        .await
        .expect_err("does not fit");
    assert_eq!(failure.code, Code::SchemaConflict);
    assert!(
        failure.message.contains("rows") && failure.message.contains("value"),
        "it says what does not fit: {failure}"
    );
    assert_eq!(peer.status("grows").await.version, second.version);
    assert_eq!(peer.rows("grows", "rows").await, Ok(rows));
    peer.call("grows", "put", &[7])
        .await
        .expect("the old version serves on");

    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(
        peer.rows("grows", "rows").await.map(|rows| rows.len()),
        Ok(3)
    );
    peer.deploy(&third, OnConflict::Wipe)
        .await
        .expect("is told to");
    assert_eq!(
        peer.rows("grows", "rows").await,
        Ok(vec![]),
        "what did not fit is gone"
    );
    assert_eq!(
        peer.rows("grows", "others").await,
        Ok(vec![vec![5, 1]]),
        "what fits is kept"
    );
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.rows("grows", "rows").await, Ok(vec![]));
    assert_eq!(peer.rows("grows", "others").await, Ok(vec![vec![5, 1]]));
    assert_eq!(peer.query("grows", "one", &[]).await, Ok(1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unload_keeps_data_and_remove_deletes_them() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&store(0)).await;
    peer.call("store", "put", &[1]).await.expect("commits");
    peer.request(RequestBody::Unload {
        module: "store".into(),
    })
    .await
    .expect("stops");
    assert_eq!(
        peer.call("store", "put", &[2])
            .await
            .expect_err("is stopped")
            .code,
        Code::Unavailable
    );
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.status("store").await.state, ModuleState::Unloaded);
    peer.request(RequestBody::Load {
        module: "store".into(),
    })
    .await
    .expect("starts");
    peer.call("store", "put", &[3]).await.expect("commits");
    assert_eq!(
        peer.rows("store", "rows").await,
        Ok(vec![vec![1, 1, 0], vec![2, 3, 0]])
    );
    peer.request(RequestBody::Remove {
        module: "store".into(),
    })
    .await
    .expect("goes");
    assert_eq!(
        peer.call("store", "put", &[4])
            .await
            .expect_err("is gone")
            .code,
        Code::NotFound
    );
    peer.install(&store(0)).await;
    peer.call("store", "put", &[5]).await.expect("commits");
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(
        peer.rows("store", "rows").await,
        Ok(vec![vec![1, 5, 0]]),
        "from nothing"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_comes_only_where_its_bindings_are_kept() {
    let world = World::started().await;
    let peer = world.owner().await;
    let user = GuestModule::new("user").depends_on(&store(0)).reducer(
        "go",
        0,
        vec![call("store", "put", [1.into()])],
    );
    let failure = peer
        .deploy(&user, OnConflict::Refuse)
        .await
        .expect_err("nobody provides it");
    assert_eq!(failure.code, Code::NotFound);
    assert!(
        failure.message.contains("store") && failure.message.contains("0.1.0"),
        "{failure}"
    );
    peer.install(&store(3)).await;
    peer.install(&user).await;
    let other = GuestModule::new("store")
        .version(0, 2, 0)
        .table(GuestTable::new("Rows", &["value", "version"]).auto_inc());
    let failure = peer
        .deploy(&other, OnConflict::Refuse)
        .await
        .expect_err("`user` needs what it lacks");
    assert_eq!(failure.code, Code::SchemaConflict);
    let failure = peer
        .request(RequestBody::Remove {
            module: "store".into(),
        })
        .await
        .expect_err("`user` needs it");
    assert_eq!(failure.code, Code::SchemaConflict);
    peer.call("user", "go", &[]).await.expect("still works");
}
