//! What a node tells of its past: turns with their inputs, outcomes and changes, and tables as
//! they were.

use std::collections::BTreeMap;

use interstice_abi::{
    codec::Column,
    event::{Event, RowEvent},
    failure::Code,
    id::{Seq, StepIndex},
    schema::Persistence,
    types::{ColumnType, Field},
    wire::{
        HistoryBytes, HistoryCursor, HistoryEffect, HistoryInput, HistoryOrder, HistoryPage,
        HistoryStep, RequestBody, TimerChange,
    },
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, delete, insert, must, reg, update},
    peer::{Order, Peer, decoded},
    world::World,
};

/// Prices that can be put, changed and ended; many can be put by one turn.
fn market() -> GuestModule {
    GuestModule::new("market")
        .table(GuestTable::new("Prices", &["value"]))
        .table(GuestTable::new("Secret", &["value"]).private())
        .table(GuestTable::new("Passing", &["value"]).kept(Persistence::Ephemeral))
        .table(GuestTable::new("Large", &["value"]).kept(Persistence::Stateful))
        .reducer(
            "put",
            2,
            vec![
                must(insert("prices", [arg(0), arg(1)])),
                must(insert("secret", [arg(0), arg(1)])),
            ],
        )
        .reducer("change", 2, vec![must(update("prices", [arg(0), arg(1)]))])
        .reducer("end", 1, vec![must(delete("prices", arg(0)))])
        .reducer(
            "later",
            1,
            vec![Op::Schedule {
                reducer: "tick".into(),
                delay_ms: arg(0),
                into: 0,
            }],
        )
        .reducer("tick", 0, vec![])
        .reducer(
            "many",
            1,
            vec![Op::Repeat {
                register: 0,
                times: arg(0),
                body: vec![must(insert("prices", [reg(0).plus(1_000_000), reg(0)]))],
            }],
        )
}

/// Hears of every price.
fn gazette() -> GuestModule {
    GuestModule::new("gazette")
        .table(GuestTable::new("Lines", &["value"]).auto_inc())
        .depends_on(&market())
        .on_row(
            "market.prices",
            RowEvent::Insert,
            "print",
            vec![must(insert("lines", [0.into(), arg(1)]))],
        )
}

async fn all(peer: &Peer, module: &str, order: HistoryOrder, limit: u32) -> Vec<HistoryPage> {
    let mut pages = Vec::new();
    let mut from = None;
    loop {
        let page = peer.history(module, from, order, limit).await;
        let page = page.expect("is told");
        from = page.next;
        pages.push(page);
        if from.is_none() {
            return pages;
        }
    }
}

/// The steps of all pages, parts of the same step joined, without the places of schemas.
fn joined(pages: Vec<HistoryPage>) -> Vec<HistoryStep> {
    let mut steps: Vec<HistoryStep> = Vec::new();
    for mut step in pages.into_iter().flat_map(|page| page.steps) {
        for effect in &mut step.effects {
            if let HistoryEffect::Change { schema, .. } = effect {
                *schema = None;
            }
        }
        if let Some(HistoryInput::Call { schema, .. }) = &mut step.input {
            *schema = None;
        }
        match steps.last_mut() {
            Some(last) if step.first_effect > 0 => {
                assert_eq!((last.seq, last.step), (step.seq, step.step));
                assert_eq!(last.effects.len(), step.first_effect as usize, "no gap");
                last.effects.extend(step.effects);
            }
            _ => {
                assert_eq!(step.first_effect, 0, "a step begins at its beginning");
                steps.push(step);
            }
        }
    }
    steps
}

fn numbers(bytes: Option<&HistoryBytes>) -> Option<Vec<u64>> {
    bytes.map(|bytes| match bytes {
        HistoryBytes::Whole(bytes) => decoded(bytes),
        HistoryBytes::LeftOut { .. } => unreachable!("rows of these guests are small"),
    })
}

/// Module, table, row before, row after.
type Seen = (String, String, Option<Vec<u64>>, Option<Vec<u64>>);

fn changes(step: &HistoryStep) -> Vec<Seen> {
    let changes = step.effects.iter().filter_map(|effect| match effect {
        HistoryEffect::Change {
            module,
            table,
            before,
            after,
            ..
        } => Some((
            module.to_string(),
            table.clone(),
            numbers(before.as_ref()),
            numbers(after.as_ref()),
        )),
        _ => None,
    });
    changes.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_has_the_input_the_outcome_the_changes_and_the_reactions_of_a_turn() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market()).await;
    peer.install(&gazette()).await;
    let called = peer.call("market", "put", &[1, 10]).await.expect("commits");
    let failed = peer.call("market", "change", &[2, 20]).await;
    let failed = failed.expect_err("there is no such row");
    let begin = Some(HistoryCursor {
        seq: called.seq,
        ..HistoryCursor::default()
    });
    let page = peer
        .history("market", begin, HistoryOrder::Forward, 10)
        .await
        .expect("is told");
    let [put, print, change] = page.steps.as_slice() else {
        panic!("two turns of two steps and one: {page:?}");
    };
    let Some(HistoryInput::Call {
        module,
        reducer,
        arguments,
        schema: Some(place),
        caller_is_owner: true,
        ..
    }) = &put.input
    else {
        panic!("a call: {put:?}");
    };
    assert_eq!((module.as_str(), reducer.as_str()), ("market", "put"));
    assert_eq!(numbers(Some(arguments)), Some(vec![1, 10]));
    assert_eq!(page.schemas[*place as usize].name.as_str(), "market");
    assert_eq!((put.seq, put.step), (called.seq, StepIndex(0)));
    assert_eq!(put.failure, None);
    let row = Some(vec![1, 10]);
    let inserted = |table: &str| ("market".into(), table.into(), None, row.clone());
    assert_eq!(changes(put), [inserted("prices"), inserted("secret")]);
    let start = put.starts.first().expect("a reaction");
    assert_eq!(
        (start.module.as_str(), start.reducer.as_str()),
        ("gazette", "print")
    );

    assert_eq!((print.seq, print.step), (called.seq, StepIndex(1)));
    let line = ("gazette".into(), "lines".into(), None, Some(vec![1, 10]));
    assert_eq!(changes(print), [line]);

    assert!(change.seq > called.seq && change.time_ms >= put.time_ms);
    assert_eq!(change.failure, Some(failed));
    assert_eq!(changes(change), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_has_installs_loads_timers_stops_and_the_end_of_a_module_and_outlives_it() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market().on(Event::Load, "wake", vec![]))
        .await;
    peer.call("market", "later", &[3_600_000])
        .await
        .expect("commits");
    for body in [
        RequestBody::Unload {
            module: "market".into(),
        },
        RequestBody::Load {
            module: "market".into(),
        },
        RequestBody::Remove {
            module: "market".into(),
        },
    ] {
        peer.request(body).await.expect("is done");
    }
    world.restart().await;
    let peer = world.owner().await;
    let steps = joined(all(&peer, "market", HistoryOrder::Forward, 100).await);
    let inputs: Vec<&str> = steps
        .iter()
        .filter_map(|step| step.input.as_ref())
        .map(|input| match input {
            HistoryInput::Install { .. } => "install",
            HistoryInput::Load { .. } => "load",
            HistoryInput::Call { .. } => "call",
            HistoryInput::Unload { .. } => "unload",
            HistoryInput::Remove { .. } => "remove",
            _ => "other",
        })
        .collect();
    assert_eq!(
        inputs,
        ["install", "load", "call", "unload", "load", "remove"]
    );
    let timers: Vec<_> = steps
        .iter()
        .flat_map(|step| &step.effects)
        .filter_map(|effect| match effect {
            HistoryEffect::Timer {
                reducer, change, ..
            } => Some((reducer.as_str(), *change)),
            _ => None,
        })
        .collect();
    assert_eq!(timers, [("tick", TimerChange::Set)]);
    let failure = peer.history("markt", None, HistoryOrder::Forward, 1).await;
    assert_eq!(failure.expect_err("never was").code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_join_to_the_whole_history_both_ways_also_inside_a_large_turn() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market()).await;
    peer.install(&gazette()).await;
    let mut orders: Vec<Order> = (0..40)
        .map(|number| Order::new("market", "put", &[number, number * 10]))
        .collect();
    orders.insert(20, Order::new("market", "many", &[12_000]));
    let answers = peer.calls(&orders).await;
    // The budget of a turn's steps drops reactions of the large one; its changes are there all the
    // same.
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");

    let whole = joined(all(&peer, "market", HistoryOrder::Forward, 1000).await);
    let turns = |steps: &[HistoryStep]| {
        let mut turns: Vec<Seq> = steps.iter().map(|step| step.seq).collect();
        turns.dedup();
        turns
    };
    let in_order = turns(&whole);
    assert!(in_order.is_sorted(), "each turn once, by seq");
    let called: Vec<Seq> = answers.iter().flatten().map(|called| called.seq).collect();
    assert!(called.iter().all(|seq| in_order.contains(seq)));
    let large = whole.iter().map(|step| step.effects.len()).max();
    assert_eq!(large, Some(12_000));

    let pages = all(&peer, "market", HistoryOrder::Forward, 7).await;
    assert!(pages.len() > 6, "{} pages", pages.len());
    let entries = |page: &HistoryPage| {
        let effects = page.steps.iter().map(|step| step.effects.len() + 1);
        effects.sum::<usize>()
    };
    assert!(pages.iter().all(|page| entries(page) <= 10_001), "bounded");
    assert_eq!(joined(pages), whole);

    let reverse = joined(all(&peer, "market", HistoryOrder::Reverse, 3).await);
    let mut backwards = turns(&reverse);
    backwards.reverse();
    assert_eq!(backwards, in_order);
    let mut sorted = reverse;
    sorted.sort_by_key(|step| (step.seq, step.step));
    assert_eq!(sorted, whole);

    // Only turns that touch the module, but those whole.
    let lines = joined(all(&peer, "gazette", HistoryOrder::Forward, 50).await);
    let of_gazette: Vec<HistoryStep> = whole
        .iter()
        .filter(|step| turns(&lines).contains(&step.seq))
        .cloned()
        .collect();
    let shared: Vec<HistoryStep> = lines
        .into_iter()
        .filter(|step| in_order.contains(&step.seq))
        .collect();
    assert_eq!(shared, of_gazette);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_can_be_read_as_it_was_at_the_end_of_every_turn() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let install = peer.install(&market()).await;
    let mut rows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut expected = vec![(install.seq, rows.clone())];
    for number in 0..40_u64 {
        let (reducer, arguments): (&str, Vec<u64>) = match number % 4 {
            0 | 1 => ("put", vec![number, number * 10]),
            2 => ("change", vec![number - 1, number * 10]),
            _ => ("end", vec![number - 3]),
        };
        let called = peer.call("market", reducer, &arguments).await;
        match reducer {
            "end" => drop(rows.remove(&(number - 3))),
            _ => drop(rows.insert(arguments[0], arguments)),
        }
        expected.push((called.expect("commits").seq, rows.clone()));
        if number == 20 {
            // The same rows with one more column.
            let mut wider = market().version(0, 1, 1);
            wider.tables[0].fields.push(Field {
                default: Some(9_u64.to_bytes()),
                ..Field::new("extra", ColumnType::U64)
            });
            wider.reducers.iter_mut().for_each(|reducer| {
                // Their rows have the new column.
                for op in &mut reducer.body {
                    widen(op);
                }
            });
            let report = peer.install(&wider).await;
            rows.values_mut().for_each(|row| row.push(9));
            expected.push((report.seq, rows.clone()));
        }
        if number > 20 {
            let last = expected.last_mut().expect("was pushed");
            for row in last.1.values_mut().filter(|row| row.len() == 2) {
                row.push(7);
            }
            rows = last.1.clone();
        }
    }
    check_all(&peer, &expected).await;
    world.restart().await;
    let peer = world.owner().await;
    check_all(&peer, &expected).await;

    let (at, then) = &expected[30];
    let two = peer.some_rows_at("market", "prices", *at, 2, None).await;
    let first: Vec<Vec<u64>> = then.values().take(2).cloned().collect();
    assert_eq!(two, Ok(first));
    let wanted = then.values().nth(3).expect("there are more").clone();
    let one = peer
        .some_rows_at("market", "prices", *at, 10, Some(("value", wanted[1])))
        .await;
    assert_eq!(one, Ok(vec![wanted]));

    let remove = RequestBody::Remove {
        module: "market".into(),
    };
    peer.request(remove).await.expect("goes");
    check_all(&peer, &expected).await;
    let last = peer.node().await.seq;
    let failure = peer.rows_at("market", "prices", last).await;
    let failure = failure.expect_err("it was removed");
    assert_eq!(failure.code, Code::NotFound);
    assert!(failure.message.contains("was removed at turn"), "{failure}");
}

/// Rows of `prices` get a third column.
fn widen(op: &mut Op) {
    match op {
        Op::Must(op) => widen(op),
        Op::Repeat { body, .. } => body.iter_mut().for_each(widen),
        Op::Insert { table, row, .. } | Op::Update { table, row } if table == "prices" => {
            row.push(7.into());
        }
        _ => {}
    }
}

async fn check_all(peer: &Peer, expected: &[(Seq, BTreeMap<u64, Vec<u64>>)]) {
    for (at, rows) in expected {
        let rows: Vec<Vec<u64>> = rows.values().cloned().collect();
        assert_eq!(
            peer.rows_at("market", "prices", *at).await,
            Ok(rows),
            "turn {at}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_older_turns_come_with_the_schema_of_their_time() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&market()).await;
    peer.call("market", "put", &[1, 10]).await.expect("commits");
    let mut wider = market().version(0, 1, 1);
    wider.tables[0].fields.push(Field {
        default: Some(9_u64.to_bytes()),
        ..Field::new("extra", ColumnType::U64)
    });
    // Another place in the schema for every table of before.
    wider.tables.insert(0, GuestTable::new("First", &["value"]));
    for reducer in &mut wider.reducers {
        reducer.body.iter_mut().for_each(widen);
    }
    peer.install(&wider).await;
    peer.call("market", "put", &[2, 20]).await.expect("commits");
    world.restart().await;
    let peer = world.owner().await;
    let pages = all(&peer, "market", HistoryOrder::Forward, 100).await;
    let mut seen = Vec::new();
    for page in &pages {
        for effect in page.steps.iter().flat_map(|step| &step.effects) {
            let HistoryEffect::Change {
                schema: Some(place),
                table,
                after: Some(after),
                ..
            } = effect
            else {
                continue;
            };
            let schema = &page.schemas[*place as usize];
            let (_, found) = schema.table(table).expect("the table of then");
            let row = numbers(Some(after)).expect("a row");
            assert_eq!(found.fields.len(), row.len(), "{table}: {row:?}");
            seen.push((schema.version.patch, table.clone(), row));
        }
    }
    let prices: Vec<_> = seen
        .into_iter()
        .filter(|(_, table, _)| table == "prices")
        .collect();
    assert_eq!(
        prices,
        [
            (0, "prices".to_string(), vec![1, 10]),
            (1, "prices".to_string(), vec![2, 20, 7]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_as_it_was_says_why() {
    let world = World::started().await;
    let peer = world.owner().await;
    let report = peer.install(&market()).await;
    let called = peer.call("market", "put", &[1, 10]).await.expect("commits");
    let refused = async |table: &str, at: Seq| {
        let failure = peer.rows_at("market", table, at).await;
        let failure = failure.expect_err("cannot be read");
        (failure.code, failure.message)
    };
    for table in ["passing", "large"] {
        let (code, message) = refused(table, called.seq).await;
        assert_eq!(code, Code::BadArguments);
        assert!(message.contains("keeps no history"), "{message}");
    }
    let (code, message) = refused("prices", Seq(1_000_000_000)).await;
    assert_eq!(code, Code::BadArguments);
    assert!(message.contains("has not been yet"), "{message}");
    let (code, message) = refused("prices", Seq(report.seq.0 - 1)).await;
    assert_eq!(code, Code::NotFound);
    assert!(message.contains("it came at turn"), "{message}");
    let (code, message) = refused("price", called.seq).await;
    assert_eq!(code, Code::NotFound);
    assert!(message.contains("did you mean `prices`"), "{message}");
    let from = Some(HistoryCursor {
        seq: Seq(1_000_000_000),
        ..HistoryCursor::default()
    });
    let failure = peer
        .history("market", from, HistoryOrder::Forward, 1)
        .await
        .expect_err("has not been");
    assert_eq!(failure.code, Code::BadArguments);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_read_public_tables_as_they_were_and_nothing_else_of_the_past() {
    let world = World::started().await;
    let peer = world.owner().await;
    // Prices were private once.
    let mut hidden = market();
    hidden.tables[0] = GuestTable::new("Prices", &["value"]).private();
    peer.install(&hidden).await;
    let before = peer.call("market", "put", &[1, 10]).await.expect("commits");
    peer.install(&market().version(0, 1, 1)).await;
    let after = peer.call("market", "put", &[2, 20]).await.expect("commits");
    let stranger = world.stranger().await;
    let rows = stranger.rows_at("market", "prices", after.seq).await;
    assert_eq!(rows, Ok(vec![vec![1, 10], vec![2, 20]]));
    for (table, at) in [("secret", after.seq), ("prices", before.seq)] {
        let failure = stranger.rows_at("market", table, at).await;
        assert_eq!(failure.expect_err("was private").code, Code::NotFound);
        assert!(peer.rows_at("market", table, at).await.is_ok());
    }
    let failure = stranger
        .history("market", None, HistoryOrder::Forward, 1)
        .await
        .expect_err("is for owners");
    assert_eq!(failure.code, Code::Denied);
    let remove = RequestBody::Remove {
        module: "market".into(),
    };
    peer.request(remove).await.expect("goes");
    let failure = stranger.rows_at("market", "prices", after.seq).await;
    assert_eq!(failure.expect_err("is gone").code, Code::NotFound);
}
