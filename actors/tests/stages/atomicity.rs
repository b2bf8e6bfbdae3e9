//! A step is whole or nothing, over all modules that it calls; reactions come in one order;
//! cascades and chains end.

use interstice_abi::{event::RowEvent, failure::Code};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, must, reg, when_equal},
    peer::Peer,
    world::World,
};

const REJECTED: u64 = Code::Rejected as u64;
const TRAPPED: u64 = Code::Trap as u64;

/// `inner.put(key, mode)`: stores a row, then does well (0), fails (1) or traps (2).
fn inner() -> GuestModule {
    GuestModule::new("inner")
        .table(GuestTable::new("Rows", &["value"]))
        .reducer(
            "put",
            2,
            vec![
                must(insert("rows", [arg(0), arg(1)])),
                when_equal(arg(1), 1, vec![Op::Fail("inner does not want to".into())]),
                when_equal(arg(1), 2, vec![Op::Trap]),
            ],
        )
}

/// `middle.put(key, of_inner, of_itself)`: stores a row, calls `inner`, stores the status of that,
/// then ends as asked.
fn middle(inner: &GuestModule) -> GuestModule {
    GuestModule::new("middle")
        .depends_on(inner)
        .table(GuestTable::new("Rows", &["status"]))
        .reducer(
            "put",
            3,
            vec![
                call("inner", "put", [arg(0), arg(1)]),
                Op::Set(0, Value::Status),
                must(insert("rows", [arg(0), reg(0)])),
                when_equal(arg(2), 1, vec![Op::Fail("middle does not want to".into())]),
                when_equal(arg(2), 2, vec![Op::Trap]),
            ],
        )
}

/// `outer.put(key, of_inner, of_middle, of_itself)`.
fn outer(middle: &GuestModule) -> GuestModule {
    GuestModule::new("outer")
        .depends_on(middle)
        .table(GuestTable::new("Rows", &["status"]))
        .reducer(
            "put",
            4,
            vec![
                call("middle", "put", [arg(0), arg(1), arg(2)]),
                Op::Set(0, Value::Status),
                must(insert("rows", [arg(0), reg(0)])),
                when_equal(arg(3), 1, vec![Op::Fail("outer does not want to".into())]),
                when_equal(arg(3), 2, vec![Op::Trap]),
            ],
        )
}

/// Counts what it sees of `inner`, to show that what was undone was never told.
fn witness(inner: &GuestModule) -> GuestModule {
    GuestModule::new("witness")
        .depends_on(inner)
        .table(GuestTable::new("Rows", &["key", "kind"]).auto_inc())
        .on_row(
            "inner.rows",
            RowEvent::Insert,
            "row",
            vec![must(insert("rows", [0.into(), arg(0), 1.into()]))],
        )
        .on_call(
            "inner",
            "put",
            "called",
            vec![must(insert("rows", [0.into(), arg(0), 2.into()]))],
        )
}

async fn rows(peer: &Peer, module: &str) -> Vec<Vec<u64>> {
    peer.rows(module, "rows").await.expect("the table is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_whole_or_nothing_over_all_modules_that_it_calls() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let (inner, middle) = (inner(), middle(&inner()));
    for module in [&inner, &middle, &outer(&middle), &witness(&inner)] {
        peer.install(module).await;
    }
    // Key 1: all is well.
    peer.call("outer", "put", &[1, 0, 0, 0])
        .await
        .expect("is well");
    // Key 2 and 3: the caller at the top fails or traps; what its callees did is undone.
    let failure = peer
        .call("outer", "put", &[2, 0, 0, 1])
        .await
        .expect_err("fails");
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (Code::Rejected, "outer does not want to")
    );
    let failure = peer
        .call("outer", "put", &[3, 0, 0, 2])
        .await
        .expect_err("traps");
    assert_eq!(failure.code, Code::Trap);
    // Key 4 and 5: the one in the middle fails; what it and the innermost did is undone, the
    // caller reads it and goes on.
    peer.call("outer", "put", &[4, 0, 1, 0])
        .await
        .expect("goes on");
    peer.call("outer", "put", &[5, 0, 2, 0])
        .await
        .expect("goes on");
    // Key 6 and 7: the innermost fails; the one in the middle reads it and goes on.
    peer.call("outer", "put", &[6, 1, 0, 0])
        .await
        .expect("goes on");
    peer.call("outer", "put", &[7, 2, 0, 0])
        .await
        .expect("goes on");

    let expected_inner = vec![vec![1, 0]];
    let expected_middle = vec![vec![1, 0], vec![6, REJECTED], vec![7, TRAPPED]];
    let expected_outer = vec![
        vec![1, 0],
        vec![4, REJECTED],
        vec![5, TRAPPED],
        vec![6, 0],
        vec![7, 0],
    ];
    assert_eq!(rows(&peer, "inner").await, expected_inner);
    assert_eq!(rows(&peer, "middle").await, expected_middle);
    assert_eq!(rows(&peer, "outer").await, expected_outer);
    // The row, then the call that had returned: in the order of the effects, and nothing of what
    // was undone.
    assert_eq!(rows(&peer, "witness").await, [vec![1, 1, 1], vec![2, 1, 2]]);

    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(rows(&peer, "inner").await, expected_inner);
    assert_eq!(rows(&peer, "middle").await, expected_middle);
    assert_eq!(rows(&peer, "outer").await, expected_outer);
    assert_eq!(rows(&peer, "witness").await.len(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_back_is_refused_and_a_reaction_that_comes_back_is_not() {
    let mut world = World::configured(|config| config.limits.steps_per_turn_max = 20);
    world.start().await;
    let peer = world.owner().await;
    let ping = GuestModule::new("ping")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("play", 1, vec![must(insert("rows", [0.into(), arg(0)]))]);
    let pong = GuestModule::new("pong")
        .depends_on(&ping)
        .table(GuestTable::new("Rows", &["status"]).auto_inc())
        .reducer(
            "play",
            1,
            vec![
                call("ping", "play", [arg(0)]),
                insert("rows", [0.into(), Value::Status]),
            ],
        );
    let circular = GuestModule::new("ping")
        .depends_on(&pong)
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("play", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
        .reducer("begin", 1, vec![must(call("pong", "play", [arg(0)]))])
        .on_row(
            "pong.rows",
            RowEvent::Insert,
            "answer",
            vec![when_equal(
                arg(1),
                u64::from(Code::CallCycle as u16),
                vec![must(call("pong", "play", [8.into()]))],
            )],
        );
    for module in [&ping, &pong, &circular] {
        peer.install(module).await;
    }
    // ping -> pong -> ping is refused, and pong reads why. Its row wakes ping, which may call pong
    // again, but pong calls back.
    let called = peer
        .call("pong", "play", &[1])
        .await
        .expect("is a plain call");
    assert_eq!((called.failed, called.dropped), (0, 0));
    assert_eq!(rows(&peer, "ping").await, [[1, 1]]);
    let called = peer.call("ping", "begin", &[2]).await.expect("goes on");
    assert!(
        called.dropped > 0,
        "the circle of reactions ends at the budget: {called:?}"
    );
    let statuses: Vec<u64> = rows(&peer, "pong")
        .await
        .into_iter()
        .map(|row| row[1])
        .collect();
    assert_eq!(statuses[..2], [0, u64::from(Code::CallCycle as u16)]);
    assert_eq!(
        rows(&peer, "ping").await,
        [[1, 1]],
        "what was refused has done nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_that_feeds_itself_ends_at_the_budget_and_says_so() {
    let mut world = World::configured(|config| config.limits.steps_per_turn_max = 50);
    world.start().await;
    let peer = world.owner().await;
    let echo = GuestModule::new("echo")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("shout", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
        .on_row(
            "rows",
            RowEvent::Insert,
            "again",
            vec![must(insert("rows", [0.into(), arg(1).plus(1)]))],
        );
    peer.install(&echo).await;
    let called = peer
        .call("echo", "shout", &[100])
        .await
        .expect("the first step commits");
    assert_eq!((called.failed, called.dropped), (0, 1));
    let expected: Vec<Vec<u64>> = (0..50).map(|step| vec![step + 1, step + 100]).collect();
    assert_eq!(rows(&peer, "echo").await, expected);
    let said = peer
        .lines("echo")
        .await
        .into_iter()
        .any(|line| line.seq == Some(called.seq) && line.text.contains("50 steps"));
    assert!(said, "the log says that reactions were dropped");
    peer.call("echo", "shout", &[0])
        .await
        .expect("the node goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactions_run_by_change_then_module_then_reducer_first_in_first_out() {
    let world = World::started().await;
    let peer = world.owner().await;
    let journal = GuestModule::new("journal")
        .table(GuestTable::new("Rows", &["who", "key"]).auto_inc())
        .reducer(
            "add",
            2,
            vec![must(insert("rows", [0.into(), arg(0), arg(1)]))],
        );
    let source = GuestModule::new("source")
        .table(GuestTable::new("Items", &["depth"]).auto_inc())
        .reducer(
            "two",
            0,
            vec![
                must(insert("items", [0.into(), 0.into()])),
                must(insert("items", [0.into(), 0.into()])),
            ],
        )
        .reducer("deep", 1, vec![must(insert("items", [0.into(), arg(0)]))])
        .reducer(
            "sweep",
            0,
            vec![must(Op::Clear {
                table: "items".into(),
            })],
        );
    let tell = |who: u64| vec![must(call("journal", "add", [who.into(), arg(0)]))];
    let deeper = vec![
        must(call("journal", "add", [10.into(), arg(0)])),
        when_equal(arg(1), 0, vec![must(call("source", "deep", [1.into()]))]),
    ];
    let alpha = GuestModule::new("alpha")
        .depends_on(&journal)
        .depends_on(&source)
        .on_row("source.items", RowEvent::Insert, "m", deeper)
        .on_row("source.items", RowEvent::Delete, "gone", tell(40));
    let beta = GuestModule::new("beta")
        .depends_on(&journal)
        .depends_on(&source)
        // Declared against the order of the names.
        .on_row("source.items", RowEvent::Insert, "z", tell(30))
        .on_row("source.items", RowEvent::Insert, "a", tell(20));
    // Installed against the order of the names.
    for module in [&journal, &source, &beta, &alpha] {
        peer.install(module).await;
    }
    let called = peer.call("source", "two", &[]).await.expect("commits");
    assert_eq!((called.failed, called.dropped), (0, 0));
    let told = |rows: Vec<Vec<u64>>| {
        rows.into_iter()
            .map(|row| (row[1], row[2]))
            .collect::<Vec<_>>()
    };
    let first = [(10, 1), (20, 1), (30, 1), (10, 2), (20, 2), (30, 2)];
    // Rows 3 and 4 were made by reactions, so theirs come after all of the first step's.
    let second = [(10, 3), (20, 3), (30, 3), (10, 4), (20, 4), (30, 4)];
    assert_eq!(told(rows(&peer, "journal").await), [first, second].concat());
    peer.call("source", "sweep", &[]).await.expect("commits");
    let swept = [(40, 1), (40, 2), (40, 3), (40, 4)];
    assert_eq!(
        told(rows(&peer, "journal").await)[12..],
        swept,
        "a clear is a delete per row in key order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_that_fails_undoes_only_itself_and_is_counted() {
    let world = World::started().await;
    let peer = world.owner().await;
    let inner = inner();
    let picky = GuestModule::new("picky")
        .depends_on(&inner)
        .table(GuestTable::new("Rows", &["value"]))
        .on_row(
            "inner.rows",
            RowEvent::Insert,
            "look",
            vec![
                must(insert("rows", [arg(0), 0.into()])),
                when_equal(arg(0), 13, vec![Op::Fail("not this one".into())]),
            ],
        );
    peer.install(&inner).await;
    peer.install(&picky).await;
    let called = peer
        .call("inner", "put", &[13, 0])
        .await
        .expect("the first step commits");
    assert_eq!((called.failed, called.dropped), (1, 0));
    peer.call("inner", "put", &[14, 0]).await.expect("commits");
    assert_eq!(rows(&peer, "inner").await, [[13, 0], [14, 0]]);
    assert_eq!(rows(&peer, "picky").await, [[14, 0]]);
    let said = peer
        .lines("picky")
        .await
        .into_iter()
        .any(|line| line.seq == Some(called.seq) && line.text.contains("not this one"));
    assert!(said, "the log has the reaction's error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_in_a_callee_ends_the_whole_step() {
    let mut world = World::configured(|config| config.limits.deadline_ms = 50);
    world.start().await;
    let peer = world.owner().await;
    let slow = GuestModule::new("slow")
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("spin", 0, vec![Op::LoopForever])
        .reducer("put", 1, vec![must(insert("rows", [arg(0), 0.into()]))]);
    let waits = GuestModule::new("waits")
        .depends_on(&slow)
        .table(GuestTable::new("Rows", &["status"]).auto_inc())
        .reducer(
            "go",
            0,
            vec![
                call("slow", "put", [1.into()]),
                call("slow", "spin", []),
                insert("rows", [0.into(), Value::Status]),
            ],
        );
    peer.install(&slow).await;
    peer.install(&waits).await;
    let failure = peer.call("waits", "go", &[]).await.expect_err("ends");
    assert_eq!(failure.code, Code::Deadline);
    assert_eq!(rows(&peer, "waits").await, Vec::<Vec<u64>>::new());
    assert_eq!(rows(&peer, "slow").await, Vec::<Vec<u64>>::new());
    peer.call("slow", "put", &[2])
        .await
        .expect("the module goes on");
}
