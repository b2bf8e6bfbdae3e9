//! Calls, queries, tables, watches and logs of a real node.

use std::fs;

use serde_json::json;

use crate::place::{Place, built};

#[test]
fn a_call_is_answered_and_its_row_is_there() {
    let place = Place::new();
    place.up("one", &["hello"]);
    assert!(
        place
            .ok(&["call", "hello-example", "hello", "Bob"])
            .starts_with("seq ")
    );
    let called = place.json(&["call_reducer", "one", "hello-example", "hello", "\"Ada\""]);
    assert_eq!(called.get("failed"), Some(&json!(0)));
    let greetings =
        json!([{"id": 1, "greeting": "Hello, Bob!"}, {"id": 2, "greeting": "Hello, Ada!"}]);
    assert_eq!(
        place.json(&["query", "hello-example", "list_greetings"]),
        greetings
    );
    assert_eq!(
        place.json(&["call_query", "one", "hello-example@0", "list_greetings"]),
        greetings
    );
    insta::assert_snapshot!(
        "query_rows",
        place.ok(&["query", "hello-example", "list_greetings"])
    );
    insta::assert_snapshot!(
        "table_rows",
        place.ok(&["table", "hello-example", "greetings"])
    );
    let one = place.json(&["table", "hello-example", "greetings", "--limit", "1"]);
    assert_eq!(one, json!({"id": 1, "greeting": "Hello, Bob!"}));
    let lines = place.ok(&["table", "hello-example", "greetings", "--json"]);
    assert_eq!(lines.lines().count(), 2);
    let log = place.ok(&["logs", "one", "--module", "hello-example"]);
    assert!(log.contains("greeting 1: Hello, Bob!"), "{log}");
}

#[test]
fn numbers_survive_and_mistakes_show_the_signature() {
    let place = Place::new();
    place.up("one", &["bank"]);
    place.ok(&["call", "bank", "open", "1", "100"]);
    place.ok(&[
        "call",
        "bank",
        "open",
        "18446744073709551615",
        "9223372036854775",
    ]);
    assert_eq!(
        place.ok(&["query", "bank", "balance", "18446744073709551615"]),
        "9223372036854775"
    );
    assert_eq!(place.ok(&["query", "bank", "balance", "7"]), "null");
    assert_eq!(place.ok(&["query", "bank", "total"]), "9223372036854875");
    let row = place.json(&[
        "table",
        "bank",
        "account",
        "--where",
        "id=18446744073709551615",
    ]);
    assert_eq!(
        row.get("id").map(ToString::to_string).as_deref(),
        Some("18446744073709551615")
    );

    let error = place.fails(1, &["call", "bank", "open", "2", "-5"]);
    insta::assert_snapshot!("rejected", error);
    let error = place.fails(
        1,
        &[
            "call",
            "bank",
            "transfer",
            "1",
            "18446744073709551615",
            "1000",
        ],
    );
    assert!(
        error.contains("account 1 holds 100, less than 1000"),
        "{error}"
    );
    insta::assert_snapshot!(
        "wrong_count",
        place.fails(2, &["call", "bank", "open", "1"])
    );
    insta::assert_snapshot!(
        "wrong_type",
        place.fails(2, &["call", "bank", "open", "one", "1"])
    );
    insta::assert_snapshot!(
        "wrong_reducer",
        place.fails(1, &["call", "bank", "opn", "1", "1"])
    );
    insta::assert_snapshot!("wrong_query", place.fails(1, &["query", "bank", "open"]));
    insta::assert_snapshot!("wrong_table", place.fails(1, &["table", "bank", "acount"]));
    insta::assert_snapshot!(
        "wrong_module",
        place.fails(1, &["call", "bnk", "open", "1", "1"])
    );
    let json = place.fails(1, &["call", "bank", "open", "1", "5", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(json.pointer("/exit_code"), Some(&json!(1)));
}

#[test]
fn a_watch_has_rows_then_changes_and_can_be_resumed() {
    let place = Place::new();
    place.up("one", &["bank"]);
    place.ok(&["call", "bank", "open", "1", "100"]);
    let mut watch = place.go(&["watch", "bank", "account", "--json"]);
    assert!(watch.wait_for("\"row\"").contains("100"));
    let complete: serde_json::Value =
        serde_json::from_str(&watch.wait_for("\"complete\"")).expect("is JSON");
    place.ok(&["call", "bank", "open", "2", "5"]);
    assert!(watch.wait_for("\"insert\"").contains("\"id\":2"));
    place.ok(&["call", "bank", "transfer", "1", "2", "30"]);
    let update = watch.wait_for("\"update\"");
    assert!(update.contains("100") && update.contains("70"), "{update}");
    assert_eq!(watch.signal("-INT"), Some(0));

    let position = complete
        .get("position")
        .and_then(|position| position.as_str())
        .expect("has a position");
    let mut resumed = place.go(&["watch", "bank", "account", "--from", position]);
    assert!(
        resumed.wait_for("").starts_with("insert"),
        "nothing is missed and no row comes twice"
    );
}

#[test]
fn logs_follow_what_comes() {
    let place = Place::new();
    place.up("one", &["hello"]);
    let mut logs = place.go(&["logs", "one", "--follow"]);
    logs.wait_for("installed");
    place.ok(&["call", "hello-example", "hello", "Bob"]);
    logs.wait_for("greeting 1: Hello, Bob!");
    assert_eq!(logs.signal("-TERM"), Some(0));
}

#[test]
fn a_module_is_upgraded_unloaded_and_removed() {
    let place = Place::new();
    place.up("one", &["hello", "caller"]);
    place.ok(&["call", "caller-example", "greet", "Bob"]);
    assert!(
        place
            .ok(&["query", "caller-example", "noted"])
            .contains("Hello, Bob!")
    );
    let hello = built("hello");
    let path = hello.to_str().expect("is text");
    let said = place.ok(&["deploy", path]);
    assert!(
        said.starts_with("replaced hello-example 0.1.0 on one"),
        "{said}"
    );
    assert!(
        place
            .ok(&["query", "hello-example", "list_greetings"])
            .contains("Bob"),
        "data stay"
    );

    place.ok(&["unload", "one", "caller-example"]);
    let state = |module: &str| {
        let modules = place.json(&["modules"]);
        let modules = modules.as_array().expect("is a list").clone();
        let found = modules
            .into_iter()
            .find(|entry| entry.get("module") == Some(&json!(module)));
        found.and_then(|entry| entry.get("state")?.as_str().map(str::to_string))
    };
    assert_eq!(state("caller-example").as_deref(), Some("unloaded"));
    place.fails(1, &["call", "caller-example", "greet", "Ada"]);
    place.ok(&["load", "one", "caller-example"]);
    assert_eq!(state("caller-example").as_deref(), Some("loaded"));
    assert!(
        place
            .fails(1, &["remove", "one", "caller-example"])
            .contains("--yes")
    );
    place.ok(&["remove", "one", "caller-example", "--yes"]);
    assert_eq!(state("caller-example"), None);
    assert!(place.ok(&["publish", "one", path]).starts_with("replaced"));
}

#[test]
fn grants_are_shown_taken_back_and_given_again() {
    let place = Place::new();
    place.up("one", &["hello"]);
    let grants = place.ok(&["grants", "hello-example"]);
    assert!(
        grants.contains("table:greetings:insert") && grants.contains("time"),
        "{grants}"
    );
    place.ok(&["revoke", "hello-example", "table:greetings:insert"]);
    let error = place.fails(1, &["call", "hello-example", "hello", "Bob"]);
    assert!(error.contains("greetings"), "{error}");
    place.ok(&["grant", "hello-example", "table:greetings:insert"]);
    place.ok(&["call", "hello-example", "hello", "Bob"]);
}

#[test]
fn what_is_no_module_is_refused_and_the_node_runs_on() {
    let place = Place::new();
    place.up("one", &["hello"]);
    let write =
        |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).expect("writes");
    let hello = fs::read(built("hello")).expect("reads");
    write("text.wasm", b"not WASM");
    write("empty.wasm", b"");
    write("half.wasm", &hello[..hello.len() / 2]);
    write("bare.wasm", b"\0asm\x01\0\0\0");
    for name in ["text.wasm", "empty.wasm", "half.wasm", "bare.wasm"] {
        let error = place.fails(1, &["deploy", name]);
        assert!(error.contains("module"), "{name}: {error}");
    }
    write("large.wasm", &vec![0; 65 * 1024 * 1024]);
    let error = place.fails(1, &["deploy", "large.wasm"]);
    assert!(error.contains("module_bytes_max"), "{error}");
    place.ok(&["call", "hello-example", "hello", "Bob"]);
    assert_eq!(place.json(&["modules"]).as_array().map(Vec::len), Some(1));
}
