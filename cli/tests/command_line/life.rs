//! Nodes come up, stay, and go: in the foreground and the background, by signals and by orders.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, process::Command};

use interstice_abi::event::Event;
use serde_json::json;

use crate::guest::GuestModule;
use crate::op::Op;
use crate::place::{Place, built, free_port};

fn text<'a>(report: &'a serde_json::Value, field: &str) -> &'a str {
    report
        .get(field)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

#[test]
fn a_node_keeps_its_id_and_its_rows() {
    let place = Place::new();
    let first = place.up("garden", &["hello"]);
    place.ok(&["call", "hello-example", "hello", "Bob"]);
    assert_eq!(place.ok(&["down", "garden"]), "stopped garden");
    assert!(
        place
            .fails(3, &["modules", "--node", "garden"])
            .contains("garden")
    );
    let second = place.json(&["node", "start", "garden", "--detach", "--local"]);
    assert_eq!(text(&first, "id"), text(&second, "id"));
    assert_eq!(first.get("addresses"), second.get("addresses"));
    assert!(
        place
            .ok(&["query", "hello-example", "list_greetings"])
            .contains("Bob")
    );
    let shown = place.json(&["node", "show"]);
    assert_eq!(
        (text(&shown, "name"), text(&shown, "standing")),
        ("garden", "owner")
    );
    assert_eq!(text(&shown, "node"), text(&first, "id"));
    assert!(
        place
            .ok(&["node", "ping", "garden", "--count", "2"])
            .lines()
            .count()
            == 2
    );
    assert!(
        place
            .ok(&["node", "schema", "garden"])
            .contains("reducer hello(name: String)")
    );
    assert!(place.ok(&["node", "list"]).contains("running"));
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let place = Place::new();
    let port = free_port().to_string();
    let wasm = built("hello");
    let wasm = wasm.to_str().expect("is text");
    let mut node = place.go(&["up", "--local", "--port", &port, "--module", wasm]);
    node.wait_for("module  hello-example");
    for name in ["Ada", "Bob", "Cid"] {
        place.ok(&["call", "hello-example", "hello", name]);
    }
    assert_eq!(node.signal("-KILL"), None);
    place.up_with("local", &["--port", &port], &[]);
    let rows = place.json(&["query", "hello-example", "list_greetings"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
}

#[test]
fn a_signal_drains_and_stops() {
    for signal in ["-TERM", "-INT"] {
        let place = Place::new();
        let mut node = place.go(&["up", "--local", "--port", &free_port().to_string()]);
        node.wait_for("address");
        assert_eq!(node.signal(signal), Some(0), "{signal}");
        assert!(place.ok(&["node", "list"]).contains("stopped"));
    }
}

#[test]
fn a_second_process_on_one_node_gets_a_clear_error() {
    let place = Place::new();
    place.up("one", &[]);
    let error = place.fails(
        1,
        &[
            "up",
            "--name",
            "one",
            "--local",
            "--port",
            &free_port().to_string(),
        ],
    );
    assert!(error.contains("running already"), "{error}");
    assert!(
        place.ok(&["node", "list"]).contains("running"),
        "the first is unharmed"
    );
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken
        .local_addr()
        .expect("has an address")
        .port()
        .to_string();
    for words in [
        vec!["up", "--local", "--port", &port],
        vec!["up", "--local", "--detach", "--port", &port],
    ] {
        let error = place.fails(1, &words);
        assert!(error.contains(&port), "{error}");
    }
}

#[test]
fn a_stranger_may_call_but_not_deploy() {
    let place = Place::new();
    let node = place.up("one", &["hello"]);
    let address = node
        .pointer("/addresses/0")
        .and_then(serde_json::Value::as_str)
        .expect("has an address");
    let stranger = Place::new();
    stranger.ok(&["node", "add", "theirs", address]);
    stranger.ok(&["call", "--node", "theirs", "hello-example", "hello", "Eve"]);
    stranger.ok(&["watch", "--help"]);
    let wasm = built("hello");
    let path = wasm.to_str().expect("is text");
    for words in [
        vec!["deploy", path, "--node", "theirs"],
        vec!["remove", "theirs", "hello-example", "--yes"],
        vec!["down", "theirs"],
        vec!["logs", "theirs"],
        vec!["grants", "hello-example", "--node", "theirs"],
    ] {
        let error = stranger.fails(1, &words);
        assert!(error.contains("owner"), "{words:?}: {error}");
    }
    assert!(place.ok(&["modules"]).contains("loaded"));
}

#[test]
fn several_nodes_need_a_name() {
    let place = Place::new();
    place.up("one", &["hello"]);
    place.up("two", &["hello"]);
    let error = place.fails(2, &["modules"]);
    assert!(
        error.contains("one") && error.contains("two") && error.contains("--node"),
        "{error}"
    );
    place.ok(&["modules", "-n", "two"]);
    let output = place
        .command(&["modules"])
        .env("INTERSTICE_NODE", "one")
        .output()
        .expect("runs");
    assert!(output.status.success());
    let bank = built("bank");
    let both = place.json(&["deploy", bank.to_str().expect("is text"), "--all"]);
    assert_eq!(both.as_array().map(Vec::len), Some(2), "{both}");
    assert!(
        place
            .fails(1, &["node", "remove", "one", "--yes"])
            .contains("running")
    );
}

#[test]
fn a_damaged_configuration_names_file_and_field() {
    let place = Place::new();
    let node = place.json(&["node", "create", "one", "--port", &free_port().to_string()]);
    let path = format!("{}/node.toml", text(&node, "folder"));
    let toml = fs::read_to_string(&path).expect("reads");
    fs::write(&path, format!("prot = 1\n{toml}")).expect("writes");
    let error = place.fails(1, &["up", "--name", "one", "--local"]);
    assert!(
        error.contains("node.toml") && error.contains("prot"),
        "{error}"
    );
    let gone = Command::new(env!("CARGO_BIN_EXE_interstice"))
        .arg("--version")
        .output()
        .expect("runs");
    assert!(gone.status.success(), "the program has a short name, too");
}

#[test]
fn a_node_is_started_once_and_only_a_living_one_counts_as_running() {
    let place = Place::new();
    place.up("one", &[]);
    let error = place.fails(1, &["up", "--name", "one", "--local", "--detach"]);
    assert!(
        error.contains("`one` is running already") && error.contains("`down one`"),
        "{error}"
    );
    let port = place
        .json(&["node", "list"])
        .pointer("/0/address")
        .and_then(|address| address.as_str()?.rsplit(':').next().map(str::to_string))
        .expect("has an address");
    // The port is taken: no node is made for nothing.
    let error = place.fails(
        1,
        &[
            "up", "--name", "two", "--local", "--detach", "--port", &port,
        ],
    );
    assert!(error.contains("--port"), "{error}");
    assert!(!place.ok(&["node", "list"]).contains("two"));
    // One that stands in the registry with the same port does not run because the other does.
    place.ok(&["node", "create", "two", "--port", &port]);
    assert_eq!(
        text(&place.json(&["node", "show"]), "name"),
        "one",
        "the other is not running"
    );
    let error = place.fails(2, &["up", "--name", "../three"]);
    assert!(error.contains("is not allowed"), "{error}");
}

#[test]
fn a_hangup_drains_a_node_in_the_foreground() {
    let place = Place::new();
    let port = free_port().to_string();
    let mut node = place.go(&["up", "--name", "one", "--local", "--port", &port]);
    node.wait_for("address");
    assert_eq!(node.signal("-HUP"), Some(0));
    let log = node_log(&place, "one");
    assert!(log.contains("the node has stopped"), "{log}");
}

#[test]
fn a_node_without_its_configuration_is_still_one_of_this_machine() {
    let place = Place::new();
    let node = place.json(&["node", "create", "one", "--port", &free_port().to_string()]);
    let path = format!("{}/node.toml", text(&node, "folder"));
    fs::remove_file(&path).expect("is removed");
    let error = place.fails(1, &["up", "--name", "one", "--local"]);
    assert!(
        error.contains(&path) && !error.contains("not one of this machine"),
        "{error}"
    );
    let list = place.json(&["node", "list"]);
    assert_eq!(list.pointer("/0/state"), Some(&json!("stopped")));
}

#[test]
fn a_failing_load_is_reported_of_a_node_in_the_background() {
    let place = Place::new();
    let module =
        GuestModule::new("stubborn").on(Event::Load, "begin", vec![Op::Fail("never".to_string())]);
    // Not text in any encoding: such a path is handed over as it is.
    let path = place.path().join(OsStr::from_bytes(b"odd-\xff.wasm"));
    fs::write(&path, module.wasm()).expect("writes");
    place.will_run("one");
    let mut command = place.command(&["up", "--name", "one", "--local", "--detach", "--json"]);
    let port = free_port().to_string();
    let output = command
        .args(["--port", &port, "--module"])
        .arg(&path)
        .output()
        .expect("runs");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{err}");
    assert!(
        err.contains("`load` of stubborn failed") && err.contains("never"),
        "{err}"
    );
    assert!(out.contains("\"load_failures\":[{"), "{out}");
    let log = place.ok(&["logs", "one", "--module", "stubborn"]);
    assert!(
        log.contains("returned an error") && log.contains("never"),
        "{log}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_home_that_cannot_be_written_keeps_nobody_from_asking() {
    let place = Place::new();
    place.up("one", &["bank"]);
    let address = place.json(&["node", "list"]);
    let address = address
        .pointer("/0/address")
        .and_then(|address| address.as_str());
    let output = place
        .command(&[
            "query",
            "--node",
            address.expect("has one"),
            "bank",
            "total",
        ])
        // Nobody can make a folder there, whatever rights they have.
        .env("INTERSTICE_HOME", "/proc/interstice")
        .output()
        .expect("runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert!(err.contains("a key that is not kept"), "{err}");
}

/// The log file of a node.
fn node_log(place: &Place, name: &str) -> String {
    let show = place.json(&["node", "list"]);
    let id = show
        .as_array()
        .expect("is a list")
        .iter()
        .find(|node| text(node, "name") == name)
        .map(|node| text(node, "id"))
        .expect("is there");
    let path = place.path().join("home/nodes").join(id).join("node.log");
    fs::read_to_string(path).expect("reads")
}
