//! From source to a running module, with the sources that the program carries: `init`, `deploy`,
//! `dev`, `example`.
//!
//! One test, because one home's build is used by all of it.

use std::{fs, net::TcpListener};

use serde_json::json;

use crate::place::Place;

#[test]
fn what_init_and_example_make_builds_and_answers() {
    let place = Place::new();
    place.ok(&["init", "greeter"]);
    place.up("one", &[]);
    what_a_module_may_bring_along(&place);
    let said = place.ok(&["deploy", "greeter"]);
    assert!(said.starts_with("installed greeter 0.1.0 on one"), "{said}");
    place.ok(&["call", "greeter", "add", "buy milk"]);
    assert_eq!(
        place.json(&["query", "greeter", "list"]),
        json!([{"id": 1, "text": "buy milk"}])
    );
    assert!(
        !place.path().join("greeter/target").exists()
            && !place.path().join("greeter/elsewhere").exists()
    );

    what_does_not_build_is_shown(&place);
    what_is_saved_is_deployed(&place);
    what_does_not_fit_is_refused(&place);
    place.ok(&["down", "one"]);
    the_example_starts_afresh(&place);
}

/// A configuration that is meant for the person's own builds, and a lock file that is older than
/// the manifest.
fn what_a_module_may_bring_along(place: &Place) {
    let folder = place.path().join("greeter");
    fs::create_dir(folder.join(".cargo")).expect("is made");
    let config = "[build]\ntarget = \"wasm32-unknown-unknown\"\ntarget-dir = \"elsewhere\"\n";
    fs::write(folder.join(".cargo/config.toml"), config).expect("writes");
    let lock = "version = 4\n\n[[package]]\nname = \"greeter\"\nversion = \"0.0.1\"\ndependencies = [\n \"interstice-sdk\",\n]\n\n\
        [[package]]\nname = \"interstice-sdk\"\nversion = \"0.4.0\"\n";
    fs::write(folder.join("Cargo.lock"), lock).expect("writes");
}

fn edit(place: &Place, from: &str, to: &str) {
    let path = place.path().join("greeter/src/lib.rs");
    let source = fs::read_to_string(&path).expect("reads");
    assert!(source.contains(from), "{from}");
    fs::write(&path, source.replace(from, to)).expect("writes");
}

fn what_does_not_build_is_shown(place: &Place) {
    edit(place, "kept note {}", "kept {} note {}");
    let error = place.fails(1, &["deploy", "greeter"]);
    assert!(
        error.contains("src/lib.rs") && error.contains("does not build"),
        "{error}"
    );
    let error = place.fails(1, &["deploy", "greeter", "--json"]);
    assert!(
        error.contains("src/lib.rs") && error.starts_with('{'),
        "{error}"
    );
    edit(place, "kept {} note {}", "kept note {}");
}

fn what_is_saved_is_deployed(place: &Place) {
    let mut dev = place.go(&["dev", "greeter"]);
    dev.wait_for("replaced greeter");
    edit(place, "kept note {}", "noted {}");
    dev.wait_for("replaced greeter");
    place.ok(&["call", "greeter", "add", "sell milk"]);
    dev.wait_for("noted 2");
    assert_eq!(dev.signal("-INT"), Some(0));
}

fn what_does_not_fit_is_refused(place: &Place) {
    edit(place, "pub text: String", "pub text: Vec<String>");
    edit(
        place,
        "Note { id: 0, text }",
        "Note { id: 0, text: vec![text] }",
    );
    let error = place.fails(1, &["deploy", "greeter"]);
    assert!(
        error.contains("note") && error.contains("--wipe"),
        "{error}"
    );
    assert_eq!(
        place
            .json(&["query", "greeter", "list"])
            .as_array()
            .map(Vec::len),
        Some(2),
        "nothing has changed"
    );
    let planned = place.fails(1, &["deploy", "greeter", "--dry-run"]);
    assert!(planned.contains("does not fit"), "{planned}");
    let plan = place.json(&["deploy", "greeter", "--dry-run", "--wipe"]);
    let table = &plan[0]["modules"][0]["tables"][0];
    assert_eq!(table["fate"], json!("dropped"), "{plan}");
    assert_eq!(table["rows"], json!(2), "{plan}");
    let refused = place.fails(1, &["deploy", "greeter", "--wipe"]);
    assert!(
        refused.contains("--yes") && refused.contains("note of greeter with its 2 rows"),
        "{refused}"
    );
    place.ok(&["deploy", "greeter", "--wipe", "--yes"]);
    assert_eq!(place.json(&["query", "greeter", "list"]), json!([]));
}

fn the_example_starts_afresh(place: &Place) {
    let Ok(taken) = TcpListener::bind(("127.0.0.1", 8080)) else {
        // Somebody else has the example's port: then the error is all that can be seen.
        assert!(place.fails(1, &["example", "hello"]).contains("8080"));
        return;
    };
    assert!(place.fails(1, &["example", "hello"]).contains("8080"));
    drop(taken);
    for _ in 0..2 {
        let mut example = place.go(&["example", "hello"]);
        example.wait_for("127.0.0.1/tcp/8080");
        let line = example.wait_for(" call ");
        assert!(line.ends_with("hello-example hello Bob"), "{line}");
        assert!(place.fails(1, &["example", "hello"]).contains("running"));
        place.ok(&["call", "hello-example", "hello", "Bob"]);
        assert_eq!(
            place
                .json(&["query", "hello-example", "list_greetings"])
                .as_array()
                .map(Vec::len),
            Some(1),
            "it is fresh"
        );
        assert_eq!(example.signal("-TERM"), Some(0));
    }
    place.will_run("hello-example");
    place.json(&["node", "start", "hello-example", "--detach"]);
    assert_eq!(
        place
            .json(&["query", "hello-example", "list_greetings"])
            .as_array()
            .map(Vec::len),
        Some(1),
        "its data are back"
    );
    place.ok(&["down", "hello-example"]);
}
