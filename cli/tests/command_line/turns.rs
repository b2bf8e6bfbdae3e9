//! `turns` and `turns drop`: what owners see of a turn that holds a module, and how they end it.

use std::{
    fs,
    time::{Duration, Instant},
};

use interstice_abi::event::RowEvent;
use serde_json::{Value as Json, json};

use crate::guest::{GuestModule, GuestTable};
use crate::op::{Op, arg, insert, must};
use crate::place::Place;

/// Longer than anything takes here on a machine under load.
const SOON: Duration = Duration::from_secs(60);

/// `feed` starts as many reactions as it is asked for, each of which runs until its deadline.
fn victim() -> GuestModule {
    let begin = Op::Repeat {
        register: 3,
        times: arg(0),
        body: vec![must(insert("links", [0.into(), 1.into()]))],
    };
    GuestModule::new("victim")
        .table(GuestTable::new("Links", &["depth"]).auto_inc())
        .reducer("feed", 1, vec![begin])
        .on_row("links", RowEvent::Insert, "stuck", vec![Op::LoopForever])
}

#[test]
fn a_turn_that_holds_a_module_is_listed_and_dropped() {
    let place = Place::new();
    let wasm = place.path().join("victim.wasm");
    fs::write(&wasm, victim().wasm()).expect("writes");
    place.up("one", &[]);
    place.ok(&["load", "one", wasm.to_str().expect("is text")]);
    assert_eq!(place.json(&["turns", "one"]), json!([]));
    let mut call = place.go(&["call", "victim", "feed", "20"]);
    let begun = Instant::now();
    let turn = loop {
        let turns = place.json(&["turns", "one"]);
        if let Some(turn) = turns.get(0) {
            break turn.clone();
        }
        assert!(begun.elapsed() < SOON, "the call has begun");
    };
    let field = |name: &str| turn.get(name).cloned().unwrap_or(Json::Null);
    assert_eq!(field("module"), "victim");
    assert_eq!(field("holds"), json!(["victim"]));
    assert_eq!(field("resumed"), false);
    let began = field("began");
    assert_eq!(began.get("reducer"), Some(&json!("feed")), "{turn}");
    let text = place.ok(&["turns", "one"]);
    assert!(text.contains("victim.stuck"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let seq = field("seq").to_string();
    let said = place.ok(&["turns", "drop", "one", &seq]);
    assert!(said.contains(&format!("turn {seq} has ended")), "{said}");
    call.wait_for("seq");
    assert_eq!(call.leave(), Some(0));
    let again = place.fails(1, &["turns", "drop", "one", &seq]);
    assert!(again.contains("is not under way"), "{again}");
    let log = place.ok(&["logs", "one", "--module", "victim"]);
    assert!(log.contains("has dropped the turn"), "{log}");
}
