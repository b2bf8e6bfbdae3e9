//! What the schema says is what is enforced: every capability bit, visibility, ownership, grants.

use interstice_abi::{
    event::{Event, RowEvent, TableRef},
    failure::Code,
    schema::Access,
    wire::{GrantChange, GrantTarget, LogsMode, OnConflict, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, delete, insert, must, query, reg, update, upsert},
    peer::Peer,
    world::World,
};

const DENIED: u64 = Code::Denied as u64;

/// `forged.try` does `op` with all bits on the table but those of `missing`, and leaves the status
/// in `results`.
fn forged(op: Op, missing: Access) -> GuestModule {
    let all = Access(15);
    GuestModule::new("forged")
        .table(GuestTable::new("Rows", &["value"]))
        .table(GuestTable::new("Results", &["status"]))
        .reducer("fill", 0, vec![must(insert("rows", [1.into(), 10.into()]))])
        .reducer(
            "try",
            0,
            vec![op, must(insert("results", [1.into(), Value::Status]))],
        )
        .forged(&[
            ("rows", Access(all.0 & !missing.0)),
            ("results", Access::INSERT),
        ])
}

/// Refused without `missing`, and done with everything.
async fn check(op: Op, missing: Access, done: &[[u64; 2]]) {
    let read = matches!(
        op,
        Op::Get { .. } | Op::Count { .. } | Op::Scan { .. } | Op::ScanEqual { .. }
    );
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&forged(op.clone(), missing)).await;
    peer.call("forged", "fill", &[]).await.expect("fills");
    let outcome = peer.call("forged", "try", &[]).await;
    if read {
        assert_eq!(
            outcome
                .expect_err("a read without the bit ends the step")
                .code,
            Code::Denied,
            "{op:?}"
        );
    } else {
        outcome.expect("the guest reads the refusal and goes on");
        assert_eq!(
            peer.rows("forged", "results").await,
            Ok(vec![vec![1, DENIED]]),
            "{op:?}"
        );
    }
    assert_eq!(
        peer.rows("forged", "rows").await,
        Ok(vec![vec![1, 10]]),
        "{op:?} has changed nothing"
    );
    if !read {
        peer.call("forged", "fill", &[])
            .await
            .expect_err("the row is there");
    }
    // The same guest with the bit: so it was the bit.
    let with = World::started().await;
    let peer = with.owner().await;
    peer.install(&forged(op.clone(), Access(0))).await;
    peer.call("forged", "fill", &[]).await.expect("fills");
    peer.call("forged", "try", &[]).await.expect("may do it");
    assert_eq!(
        peer.rows("forged", "results").await,
        Ok(vec![vec![1, 0]]),
        "{op:?}"
    );
    let done: Vec<Vec<u64>> = done.iter().map(|row| row.to_vec()).collect();
    assert_eq!(peer.rows("forged", "rows").await, Ok(done), "{op:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_the_bit_to_insert_cannot() {
    check(
        insert("rows", [2.into(), 20.into()]),
        Access::INSERT,
        &[[1, 10], [2, 20]],
    )
    .await;
    check(
        upsert("rows", [1.into(), 20.into()]),
        Access::INSERT,
        &[[1, 20]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_the_bit_to_update_cannot() {
    check(
        update("rows", [1.into(), 20.into()]),
        Access::UPDATE,
        &[[1, 20]],
    )
    .await;
    check(
        upsert("rows", [2.into(), 20.into()]),
        Access::UPDATE,
        &[[1, 10], [2, 20]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_the_bit_to_delete_cannot() {
    check(delete("rows", 1.into()), Access::DELETE, &[]).await;
    check(
        Op::Clear {
            table: "rows".into(),
        },
        Access::DELETE,
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_without_the_bit_to_read_cannot() {
    let table = || String::from("rows");
    for op in [
        Op::Get {
            table: table(),
            index: 0,
            key: 1.into(),
            columns: 2,
            into: 0,
        },
        Op::Count {
            table: table(),
            into: 0,
        },
        Op::Scan {
            table: table(),
            columns: 2,
            into: 0,
        },
        Op::ScanEqual {
            table: table(),
            index: 0,
            value: 1.into(),
            into: 0,
        },
    ] {
        check(op, Access::READ, &[[1, 10]]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_cannot_write_call_reducers_or_set_timers_whatever_it_declares() {
    let world = World::started().await;
    let peer = world.owner().await;
    let other = GuestModule::new("other")
        .table(GuestTable::new("Rows", &[]))
        .reducer("put", 1, vec![insert("rows", [arg(0)])]);
    let status = || Op::Return(Value::Status);
    let module = GuestModule::new("asks")
        .depends_on(&other)
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("tick", 0, vec![])
        .query(
            "inserts",
            0,
            vec![insert("rows", [1.into(), 1.into()]), status()],
        )
        .forged_query(&[("rows", Access::READ)])
        .query("calls", 0, vec![call("other", "put", [1.into()]), status()])
        .query(
            "schedules",
            0,
            vec![
                Op::Schedule {
                    reducer: "tick".into(),
                    delay_ms: 0.into(),
                    into: 0,
                },
                status(),
            ],
        );
    peer.install(&other).await;
    peer.install(&module).await;
    for query in ["inserts", "calls", "schedules"] {
        assert_eq!(peer.query("asks", query, &[]).await, Ok(DENIED), "{query}");
    }
    assert_eq!(peer.rows("asks", "rows").await, Ok(vec![]));
    assert_eq!(peer.rows("other", "rows").await, Ok(vec![]));
    // A query that declares more than reading lies.
    let liar = GuestModule::new("liar")
        .table(GuestTable::new("Rows", &["value"]))
        .query(
            "inserts",
            0,
            vec![insert("rows", [1.into(), 1.into()]), status()],
        )
        .forged_query(&[("rows", Access(15))]);
    let failure = peer
        .deploy(&liar, OnConflict::Refuse)
        .await
        .expect_err("a query only reads");
    assert_eq!(failure.code, Code::BadArguments, "{failure}");
}

/// A module with tables, one that is bound to it, one that is not.
fn neighbours() -> [GuestModule; 3] {
    let owner = GuestModule::new("owner")
        .table(GuestTable::new("Open", &["value"]))
        .table(GuestTable::new("Hidden", &["value"]).private())
        .reducer(
            "fill",
            0,
            vec![
                must(insert("open", [1.into(), 5.into()])),
                must(insert("hidden", [1.into(), 6.into()])),
            ],
        )
        .query(
            "value",
            0,
            vec![
                Op::Get {
                    table: "open".into(),
                    index: 0,
                    key: 1.into(),
                    columns: 2,
                    into: 0,
                },
                Op::Return(reg(2)),
            ],
        );
    let store = || must(insert("results", [0.into(), Value::Status]));
    let bound = GuestModule::new("bound")
        .depends_on(&owner)
        .table(GuestTable::new("Results", &["status"]).auto_inc())
        .reducer(
            "write",
            0,
            vec![insert("owner.open", [2.into(), 2.into()]), store()],
        )
        .forged(&[("owner.open", Access::READ), ("results", Access::INSERT)])
        .reducer(
            "hidden",
            0,
            vec![insert("owner.hidden", [2.into(), 2.into()]), store()],
        )
        .forged(&[("results", Access::INSERT)])
        .reducer(
            "read_undeclared",
            0,
            vec![
                Op::Count {
                    table: "owner.open".into(),
                    into: 0,
                },
                store(),
            ],
        )
        .forged(&[("results", Access::INSERT)])
        .query(
            "read",
            0,
            vec![
                Op::Get {
                    table: "owner.open".into(),
                    index: 0,
                    key: 1.into(),
                    columns: 2,
                    into: 0,
                },
                Op::Return(reg(2)),
            ],
        );
    let unbound = GuestModule::new("unbound")
        .table(GuestTable::new("Results", &["status"]).auto_inc())
        .reducer(
            "open",
            0,
            vec![insert("owner.open", [2.into(), 2.into()]), store()],
        )
        .forged(&[("results", Access::INSERT)])
        .reducer("call", 0, vec![call("owner", "fill", []), store()])
        .reducer("ask", 0, vec![query("owner", "value", [], 0), store()]);
    [owner, bound, unbound]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_modules_tables_are_read_only_and_only_with_a_binding() {
    let world = World::started().await;
    let peer = world.owner().await;
    let [owner, bound, unbound] = neighbours();
    let liar = GuestModule::new("liar").depends_on(&owner).reducer(
        "write",
        0,
        vec![insert("owner.open", [2.into(), 2.into()])],
    );
    for module in [&owner, &bound, &unbound] {
        peer.deploy(module, OnConflict::Refuse)
            .await
            .unwrap_or_else(|failure| unreachable!("{}: {failure}", module.name));
    }
    let failure = peer
        .deploy(&liar, OnConflict::Refuse)
        .await
        .expect_err("only its owner writes a table");
    assert_eq!(failure.code, Code::BadArguments, "{failure}");
    peer.call("owner", "fill", &[]).await.expect("fills");
    assert_eq!(peer.query("bound", "read", &[]).await, Ok(5));
    peer.call("bound", "write", &[])
        .await
        .expect("reads the refusal");
    peer.call("bound", "hidden", &[])
        .await
        .expect("reads the refusal");
    let failure = peer
        .call("bound", "read_undeclared", &[])
        .await
        .expect_err("a read has no error to give");
    assert_eq!(failure.code, Code::Denied);
    let results = peer.rows("bound", "results").await.expect("is there");
    assert_eq!(results[0][1], DENIED);
    assert!(
        results[1][1] == DENIED || results[1][1] == Code::NotFound as u64,
        "a table that is not in the binding is not there"
    );
    for reducer in ["open", "call", "ask"] {
        peer.call("unbound", reducer, &[])
            .await
            .expect("reads the refusal");
    }
    assert_eq!(
        peer.rows("unbound", "results").await,
        Ok(vec![vec![1, DENIED], vec![2, DENIED], vec![3, DENIED]])
    );
    assert_eq!(peer.rows("owner", "open").await, Ok(vec![vec![1, 5]]));
}

/// A public module with a private table, and a private one.
fn open_and_closed() -> [GuestModule; 2] {
    let open = GuestModule::new("open")
        .table(GuestTable::new("Rows", &["asked_by_owner"]).auto_inc())
        .table(GuestTable::new("Secrets", &["value"]).private())
        .reducer(
            "put",
            0,
            vec![must(insert("rows", [0.into(), Value::CallerIsOwner]))],
        )
        .query("answer", 0, vec![Op::Return(42.into())])
        .on_row(
            "rows",
            RowEvent::Insert,
            "reacts",
            vec![must(insert("secrets", [arg(0), arg(1)]))],
        );
    let closed = GuestModule::new("closed")
        .private()
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("put", 0, vec![must(insert("rows", [1.into(), 1.into()]))])
        .query("answer", 0, vec![Op::Return(43.into())]);
    [open, closed]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_see_and_call_what_is_public_and_owners_everything() {
    let world = World::started().await;
    let owner = world.owner().await;
    let stranger = world.stranger().await;
    let [open, closed] = open_and_closed();
    owner.install(&open).await;
    owner.install(&closed).await;

    stranger.call("open", "put", &[]).await.expect("is public");
    owner.call("open", "put", &[]).await.expect("is public");
    let rows = vec![vec![1, 0], vec![2, 1]];
    assert_eq!(stranger.rows("open", "rows").await, Ok(rows.clone()));
    assert_eq!(stranger.query("open", "answer", &[]).await, Ok(42));
    assert_eq!(owner.rows("open", "secrets").await, Ok(rows));
    assert_eq!(owner.query("closed", "answer", &[]).await, Ok(43));
    owner.call("closed", "put", &[]).await.expect("owners may");

    let hidden =
        |outcome: Result<(), Code>, what: &str| assert_eq!(outcome, Err(Code::NotFound), "{what}");
    let code = |failure: interstice_abi::failure::Failure| failure.code;
    hidden(
        stranger
            .rows("open", "secrets")
            .await
            .map(|_| ())
            .map_err(code),
        "a private table",
    );
    hidden(
        stranger
            .rows("closed", "rows")
            .await
            .map(|_| ())
            .map_err(code),
        "a private module's table",
    );
    hidden(
        stranger
            .query("closed", "answer", &[])
            .await
            .map(|_| ())
            .map_err(code),
        "a private module's query",
    );
    hidden(
        stranger
            .call("closed", "put", &[])
            .await
            .map(|_| ())
            .map_err(code),
        "a private module's reducer",
    );
    for (peer, expected) in [(&owner, Code::Denied), (&stranger, Code::NotFound)] {
        let failure = peer
            .call("open", "reacts", &[1, 1])
            .await
            .expect_err("handles events");
        assert_eq!(failure.code, expected);
    }
    let seen: Vec<String> = stranger
        .modules()
        .await
        .into_iter()
        .map(|module| module.name.to_string())
        .collect();
    assert_eq!(seen, ["open"]);
    let schema = stranger.schema("open").await.expect("is public");
    let tables: Vec<&str> = schema
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(tables, ["rows"]);
    assert_eq!(
        owner
            .schema("open")
            .await
            .expect("owners see it")
            .tables
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_owners_may_do_is_refused_to_strangers() {
    let world = World::started().await;
    let owner = world.owner().await;
    let stranger = world.stranger().await;
    let module = GuestModule::new("mine")
        .table(GuestTable::new("Rows", &[]))
        .query("answer", 0, vec![Op::Return(1.into())]);
    owner.install(&module).await;
    let failure = stranger
        .deploy(&module.clone().version(0, 1, 1), OnConflict::Refuse)
        .await
        .expect_err("strangers may not");
    assert_eq!(failure.code, Code::Denied);
    let named = || String::from("mine");
    let target = GrantTarget::Time;
    for body in [
        RequestBody::Unload { module: named() },
        RequestBody::Load { module: named() },
        RequestBody::Remove { module: named() },
        RequestBody::Grants { module: named() },
        RequestBody::ChangeGrant {
            module: named(),
            target,
            change: GrantChange::Revoke,
        },
        RequestBody::Logs {
            module: None,
            tail: 10,
            after: None,
            follow: LogsMode::Kept,
        },
        RequestBody::Stop,
    ] {
        let failure = stranger
            .request(body.clone())
            .await
            .expect_err("strangers may not");
        assert_eq!(failure.code, Code::Denied, "{body:?}");
    }
    assert_eq!(
        stranger.query("mine", "answer", &[]).await,
        Ok(1),
        "nothing has happened"
    );
    assert_eq!(owner.status("mine").await.version, module.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_taken_back_holds_from_the_next_turn_on_and_after_a_restart() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let module = GuestModule::new("held")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .table(GuestTable::new("Results", &["status"]).auto_inc())
        .reducer(
            "put",
            0,
            vec![
                insert("rows", [0.into(), 1.into()]),
                must(insert("results", [0.into(), Value::Status])),
            ],
        )
        .on_connection(Event::Connect, "comes", vec![]);
    peer.install(&module).await;
    peer.call("held", "put", &[]).await.expect("may");
    let target = GrantTarget::Table {
        table: TableRef {
            node: None,
            module: None,
            table: "rows".into(),
        },
        access: Access::INSERT,
    };
    let change = |change| RequestBody::ChangeGrant {
        module: "held".into(),
        target: target.clone(),
        change,
    };
    peer.request(change(GrantChange::Revoke))
        .await
        .expect("owners may");
    peer.call("held", "put", &[])
        .await
        .expect("reads the refusal");
    world.crash().await;
    let peer: Peer = world.owner().await;
    peer.call("held", "put", &[])
        .await
        .expect("reads the refusal");
    peer.request(change(GrantChange::Grant))
        .await
        .expect("owners may");
    peer.call("held", "put", &[]).await.expect("may again");
    let revoked = u64::from(Code::Revoked as u16);
    assert_eq!(
        peer.rows("held", "results").await,
        Ok(vec![
            vec![1, 0],
            vec![2, revoked],
            vec![3, revoked],
            vec![4, 0]
        ])
    );
    assert_eq!(peer.rows("held", "rows").await.expect("is there").len(), 2);
    world.stop().await;
}
