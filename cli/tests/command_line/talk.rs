//! Calls, queries, tables, watches and logs of a real node.

use std::{fs, io::Write, process::Stdio};

use interstice_abi::schema::{IndexKind, IndexSchema};
use serde_json::json;

use crate::{
    guest::{GuestModule, GuestTable},
    op::{must, upsert},
    place::{Place, built},
};

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

#[test]
fn arguments_begin_with_anything_and_stand_in_files() {
    let place = Place::new();
    place.up("one", &["hello"]);
    let say = |words: &[&str]| place.ok(&[&["call", "hello-example", "hello"], words].concat());
    for name in ["-y", "-inf", "-n", "--sale", "\"@home\""] {
        say(&[name]);
    }
    fs::write(place.path().join("name.txt"), "Ada\n").expect("writes");
    say(&["@name.txt", "--json"]);
    let mut child = place
        .command(&["call", "hello-example", "hello", "@-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("is piped");
    input.write_all("Bob\u{2028}".as_bytes()).expect("writes");
    drop(input);
    assert!(child.wait().expect("it ends").success());
    let greetings = place.json(&["query", "hello-example", "list_greetings"]);
    let greetings: Vec<_> = greetings
        .as_array()
        .expect("is a list")
        .iter()
        .filter_map(|row| row.get("greeting")?.as_str())
        .collect();
    let names = [
        "-y",
        "-inf",
        "-n",
        "--sale",
        "@home",
        "Ada\n",
        "Bob\u{2028}",
    ];
    assert_eq!(greetings, names.map(|name| format!("Hello, {name}!")));
    let error = place.fails(2, &["call", "hello-example", "hello", "@nobody"]);
    assert!(error.contains("\"@nobody\""), "{error}");
    let error = place.fails(2, &["call", "hello-example", "hello", "@/dev/zero"]);
    assert!(error.contains("has not ended"), "{error}");
}

#[test]
fn a_watch_ends_with_its_reader_on_an_idle_node() {
    let place = Place::new();
    place.up("one", &["bank"]);
    for words in [
        &["watch", "bank", "account"][..],
        &["logs", "one", "--follow"],
    ] {
        let mut going = place.go(words);
        // The reader leaves after the first line, as `head -1` does.
        going.wait_for("");
        assert_eq!(going.leave(), Some(0), "{words:?}");
    }
}

#[test]
fn a_schema_is_that_of_the_module_and_not_of_a_folder_of_its_name() {
    let place = Place::new();
    place.up("one", &["bank"]);
    fs::create_dir(place.path().join("bank")).expect("is made");
    fs::create_dir(place.path().join("shop")).expect("is made");
    for name in ["bank", "shop"] {
        fs::write(place.path().join(name).join("Cargo.toml"), "no manifest").expect("writes");
    }
    assert!(place.ok(&["schema", "bank"]).contains("transfer"));
    let error = place.fails(1, &["schema", "shop"]);
    assert!(error.contains("schema ./shop"), "{error}");
    let error = place.fails(1, &["schema", "./shop"]);
    assert!(error.contains("Cargo.toml"), "{error}");
}

#[test]
fn an_upsert_of_a_row_that_is_there_gets_the_next_number() {
    let place = Place::new();
    place.up("one", &[]);
    let mut table = GuestTable::new("Visits", &["number"]);
    table.indexes.push(IndexSchema {
        field: 1,
        kind: IndexKind::Btree,
        unique: false,
        auto_inc: true,
    });
    let visit = must(upsert("visits", [7.into(), 0.into()]));
    let module = GuestModule::new("counter")
        .table(table)
        .reducer("visit", 0, vec![visit]);
    fs::write(place.path().join("counter.wasm"), module.wasm()).expect("writes");
    place.ok(&["deploy", "counter.wasm"]);
    for number in 1..=3 {
        place.ok(&["call", "counter", "visit"]);
        let row = place.json(&["table", "counter", "visits"]);
        assert_eq!(row, json!({"id": 7, "number": number}));
    }
}
