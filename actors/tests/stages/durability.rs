//! What was acknowledged stays: rows, counters and numbers over restarts, at both levels of
//! acknowledgement.

use interstice_abi::{
    failure::Code,
    schema::{IndexKind, Persistence},
    wire::Ack,
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, delete, insert, must, reg, when_equal},
    peer::Order,
    world::World,
};

fn counts() -> GuestModule {
    let same = |value| Op::ScanEqual {
        table: "rows".into(),
        index: 1,
        value,
        into: 0,
    };
    GuestModule::new("counts")
        .table(
            GuestTable::new("Rows", &["value", "unique"])
                .auto_inc()
                .index(1, IndexKind::Btree, false)
                .index(2, IndexKind::Hash, true),
        )
        .table(
            GuestTable::new("Passing", &["value"])
                .auto_inc()
                .kept(Persistence::Ephemeral),
        )
        .table(
            GuestTable::new("Large", &["value"])
                .auto_inc()
                .kept(Persistence::Stateful),
        )
        .reducer(
            "put",
            2,
            vec![
                must(insert("rows", [0.into(), arg(0), arg(1)])),
                must(insert("passing", [0.into(), arg(0)])),
                must(insert("large", [0.into(), arg(0)])),
                when_equal(arg(0), 13, vec![Op::Fail("not this one".into())]),
            ],
        )
        .reducer("drop", 1, vec![must(delete("rows", arg(0)))])
        .query("same", 1, vec![same(arg(0)), Op::Return(reg(0))])
        .query("random", 1, vec![Op::Return(Value::Random)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_key_is_not_used_twice_and_not_spent_by_what_fails() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&counts()).await;
    for unique in 1..=3 {
        peer.call("counts", "put", &[5, unique])
            .await
            .expect("commits");
    }
    let taken = peer
        .call("counts", "put", &[5, 3])
        .await
        .expect_err("the value is taken");
    assert_eq!(taken.code, Code::Rejected);
    assert!(taken.message.contains("unique"), "{taken}");
    peer.call("counts", "put", &[13, 4])
        .await
        .expect_err("fails by itself");
    peer.call("counts", "drop", &[3]).await.expect("is there");
    let gone = peer
        .call("counts", "drop", &[3])
        .await
        .expect_err("is gone");
    assert_eq!(gone.code, Code::Rejected);
    for clean in [false, true] {
        if clean {
            world.restart().await
        } else {
            world.crash().await
        }
        let peer = world.owner().await;
        assert_eq!(
            peer.query("counts", "same", &[5]).await,
            Ok(if clean { 3 } else { 2 }),
            "the index agrees"
        );
        peer.call("counts", "put", &[5, if clean { 7 } else { 6 }])
            .await
            .expect("commits");
    }
    let peer = world.owner().await;
    let rows = vec![vec![1, 5, 1], vec![2, 5, 2], vec![4, 5, 6], vec![5, 5, 7]];
    assert_eq!(peer.rows("counts", "rows").await, Ok(rows));
    let large: Vec<u64> = peer
        .rows("counts", "large")
        .await
        .expect("is there")
        .into_iter()
        .map(|row| row[0])
        .collect();
    assert_eq!(large, [1, 2, 3, 4, 5]);
    assert_eq!(
        peer.rows("counts", "passing")
            .await
            .expect("is there")
            .len(),
        1,
        "ephemeral rows end with the node"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_levels_of_acknowledgement_are_answered_and_read_their_writes() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&counts()).await;
    let applied = peer
        .call_at(Ack::Applied, "counts", "put", &[1, 1])
        .await
        .expect("is visible");
    assert_eq!(
        peer.query_at(Ack::Applied, "counts", "same", &[1]).await,
        Ok(1)
    );
    let durable = peer
        .call_at(Ack::Durable, "counts", "put", &[1, 2])
        .await
        .expect("is synced");
    assert!(durable.seq > applied.seq);
    assert_eq!(
        peer.query_at(Ack::Durable, "counts", "same", &[1]).await,
        Ok(2)
    );
    let orders: Vec<Order> = (10..210)
        .map(|unique| Order::new("counts", "put", &[2, unique]))
        .collect();
    let answers = peer.calls(&orders).await;
    let seqs: Vec<u64> = answers
        .into_iter()
        .map(|answer| answer.expect("commits").seq.0)
        .collect();
    assert!(
        seqs.windows(2).all(|pair| pair[0] < pair[1]),
        "numbers follow the order of the calls of one client"
    );
    // The durable answers came, so all of it is there after a crash, what was only applied before
    // them too.
    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.query("counts", "same", &[1]).await, Ok(2));
    assert_eq!(peer.query("counts", "same", &[2]).await, Ok(200));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_under_load_lose_and_double_nothing() {
    let mut world = World::configured(|config| config.checkpoint_bytes = 4096);
    world.start().await;
    let peer = world.owner().await;
    peer.install(&counts()).await;
    for round in 0..4_u64 {
        let peer = world.owner().await;
        let orders: Vec<Order> = (0..300)
            .map(|call| Order::new("counts", "put", &[call % 7, round * 1000 + call + 1]))
            .collect();
        let all = peer.calls(&orders).await;
        let refused: Vec<_> = all.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, []);
        let digest = peer.status("counts").await.digest;
        world.crash().await;
        let peer = world.owner().await;
        let rows = peer.rows("counts", "rows").await.expect("is there");
        assert_eq!(
            rows.len(),
            usize::try_from((round + 1) * 300).expect("fits")
        );
        assert_eq!(peer.status("counts").await.digest, digest, "round {round}");
        let counted = peer.query("counts", "same", &[3]).await.expect("answers");
        assert_eq!(
            counted,
            rows.iter().filter(|row| row[1] == 3).count() as u64,
            "the index agrees"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_changes_nothing_and_sees_every_earlier_call() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&counts()).await;
    let before = peer.node().await.seq;
    let first = peer.query("counts", "random", &[1]).await.expect("answers");
    assert_eq!(
        peer.query("counts", "random", &[1]).await,
        Ok(first),
        "the same state and question, the same numbers"
    );
    assert_ne!(peer.query("counts", "random", &[2]).await, Ok(first));
    assert_eq!(peer.node().await.seq, before, "queries have no number");
    let other = world.stranger().await;
    for unique in 1..20 {
        peer.call_at(Ack::Applied, "counts", "put", &[1, unique])
            .await
            .expect("commits");
        assert_eq!(other.query("counts", "same", &[1]).await, Ok(unique));
    }
}
