//! What the command line does without a node.

use std::{fs, process::Stdio};

use crate::place::{Place, free_port};

const ID: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

#[test]
fn help_names_every_command() {
    let place = Place::new();
    insta::assert_snapshot!("help", place.ok(&["--help"]));
    insta::assert_snapshot!("help_call", place.ok(&["call", "--help"]));
    let version = place.ok(&["--version"]);
    assert!(version.ends_with(env!("CARGO_PKG_VERSION")), "{version}");
    assert!(
        place
            .ok(&["node", "add", "--version"])
            .ends_with(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn mistakes_of_usage_end_with_2() {
    let place = Place::new();
    for words in [
        vec![],
        vec!["cal"],
        vec!["call", "bank"],
        vec!["call", "bank", "--nod", "a"],
        vec!["watch", "bank", "account", "--from", "7"],
        vec!["grant", "bank", "tim"],
        vec!["up", "--port", "0"],
        vec!["--node", "a:b:c", "modules"],
        vec!["modules", "--node", "a:1", "--node", "b:1"],
        vec!["init", "a/b"],
    ] {
        let ran = place.run(&words);
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(
            ran.out.is_empty() && !ran.err.is_empty(),
            "{words:?}: {ran:?}"
        );
    }
}

#[test]
fn errors_are_json_when_json_is_asked_for() {
    let place = Place::new();
    for (code, words) in [
        (2, vec!["cal", "--json"]),
        (2, vec!["init", "a/b", "--json"]),
        (1, vec!["node", "show", "nobody", "--json"]),
        (3, vec!["modules", "--json"]),
    ] {
        let error = place.fails(code, &words);
        let json: serde_json::Value = serde_json::from_str(error.trim_end()).expect("is JSON");
        assert_eq!(
            json.pointer("/exit_code")
                .and_then(serde_json::Value::as_i64),
            Some(code.into()),
            "{json}"
        );
        assert!(json.pointer("/error/message").is_some(), "{json}");
    }
}

#[test]
fn a_node_that_does_not_answer_ends_with_3() {
    let place = Place::new();
    let port = free_port();
    let error = place.fails(3, &["modules", "--node", &format!("127.0.0.1:{port}")]);
    assert!(error.contains(&port.to_string()), "{error}");
    let error = place.fails(3, &["modules"]);
    assert!(
        error.contains("no node of this machine is running") && error.contains("`up`"),
        "{error}"
    );
}

#[test]
fn orders_go_only_to_nodes_whose_id_is_known() {
    let place = Place::new();
    let error = place.fails(1, &["remove", "127.0.0.1:1", "bank", "--yes"]);
    assert!(error.contains("node add"), "{error}");
    let error = place.fails(1, &["deploy", "a.wasm", "--node", "127.0.0.1:1"]);
    assert!(error.contains("node add"), "{error}");
}

#[test]
fn whoami_is_the_same_every_time() {
    let place = Place::new();
    let first = place.json(&["whoami"]);
    assert_eq!(place.json(&["whoami"]), first);
    let id = first
        .get("id")
        .and_then(|id| id.as_str())
        .expect("has an id");
    assert!(place.ok(&["whoami"]).starts_with(id));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = place.path().join("home/key");
        assert_eq!(
            fs::metadata(key).expect("is there").permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn nodes_are_created_named_and_removed() {
    let place = Place::new();
    let port = free_port().to_string();
    let garden = place.json(&["node", "create", "garden", "--port", &port]);
    let folder = garden
        .get("folder")
        .and_then(|folder| folder.as_str())
        .expect("has a folder")
        .to_string();
    assert!(fs::exists(&folder).expect("can be asked"));
    place.ok(&["node", "add", "far", "10.0.0.1:4400", "--id", ID]);
    assert!(
        place
            .fails(1, &["node", "create", "garden"])
            .contains("already")
    );
    assert!(
        place
            .fails(1, &["node", "add", "farther", "10.0.0.2:4400", "--id", ID])
            .contains("`far`")
    );
    place.ok(&["node", "rename", "garden", "shed"]);
    let list = place.json(&["node", "list"]);
    let names: Vec<_> = list
        .as_array()
        .expect("is a list")
        .iter()
        .filter_map(|node| node.get("name")?.as_str())
        .collect();
    assert_eq!(names, ["shed", "far"]);
    let toml = fs::read_to_string(format!("{folder}/node.toml")).expect("reads");
    assert!(toml.contains("\"shed\"") && toml.contains(&port), "{toml}");

    assert!(
        place
            .fails(1, &["node", "remove", "shd"])
            .contains("`shed`")
    );
    assert!(
        place
            .fails(1, &["node", "remove", "shed"])
            .contains("--yes")
    );
    assert!(fs::exists(&folder).expect("can be asked"));
    place.ok(&["node", "remove", "shed", "--yes"]);
    assert!(!fs::exists(&folder).expect("can be asked"));
    place.ok(&["node", "remove", "far"]);
    assert_eq!(place.json(&["node", "list"]), serde_json::json!([]));
}

#[test]
fn a_mistake_in_the_registry_names_file_line_and_field() {
    let place = Place::new();
    fs::create_dir(place.path().join("home")).expect("is made");
    fs::write(
        place.path().join("home/nodes.toml"),
        "[[nodes]]\nname = \"a\"\nadres = \"b:1\"\n",
    )
    .expect("writes");
    let error = place.fails(1, &["node", "list"]);
    assert!(
        error.contains("nodes.toml") && error.contains("line 3") && error.contains("adres"),
        "{error}"
    );
}

#[test]
fn completions_are_made_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.ok(&["completions", shell]);
        assert!(
            script.contains("interstice-cli") && script.contains("call_reducer"),
            "{shell}"
        );
    }
}

#[test]
fn a_reader_that_leaves_is_no_mistake() {
    let place = Place::new();
    let mut child = place
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn init_overwrites_nothing() {
    let place = Place::new();
    place.ok(&["init", "greeter"]);
    let before = fs::read(place.path().join("greeter/src/lib.rs")).expect("reads");
    assert!(place.fails(1, &["init", "greeter"]).contains("already"));
    assert_eq!(
        fs::read(place.path().join("greeter/src/lib.rs")).expect("reads"),
        before
    );
    assert!(place.fails(2, &["init", "fn"]).contains("Rust"));
}

#[test]
fn what_is_no_module_is_refused_by_name() {
    let place = Place::new();
    fs::write(place.path().join("not.wasm"), "not WASM").expect("writes");
    let error = place.fails(1, &["schema", "not.wasm"]);
    assert!(error.contains("not.wasm"), "{error}");
    let error = place.fails(1, &["schema", "./nothing"]);
    assert!(error.contains("nothing"), "{error}");
}
