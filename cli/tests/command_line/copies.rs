//! `backup` and `restore` of real nodes: under load, what is refused and what is left then, and
//! what comes back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value as Json, json};

use crate::place::Place;

/// What a field of an answer says.
fn said(answer: &Json, field: &str) -> String {
    let found = answer.get(field).and_then(Json::as_str);
    found
        .unwrap_or_else(|| panic!("{field}: {answer}"))
        .to_string()
}

/// Nodes that are unpacked in a place.
fn nodes(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path().join("home/nodes"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn word(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_backup_of_a_node_under_load_is_whole_and_the_node_never_stops() {
    let place = Place::new();
    place.up("one", &["bank"]);
    let load = [
        "benchmark",
        "run",
        "one",
        "bank",
        "open",
        "--warmup-ms",
        "0",
        "--duration-ms",
        "8000",
        "--args-json",
        r#"["$seq", 5]"#,
        "--json",
    ];
    let mut load = place.go(&load);
    let mut turns = 0;
    while turns < 100 {
        let shown = place.json(&["node", "show", "one"]);
        turns = shown.get("committed").and_then(Json::as_u64).expect("some");
    }
    let under = place.json(&["backup", "one", "under.backup"]);
    let running = load.child.try_wait().expect("can be asked");
    assert!(running.is_none(), "the load goes on behind the backup");
    let later = place.json(&["node", "show", "one"]);
    let seq = |answer: &Json| answer.get("seq").and_then(Json::as_u64).expect("a seq");
    assert!(
        seq(&under) > 100 && seq(&later) > seq(&under),
        "{under} {later}"
    );
    assert!(load.child.wait().expect("it ends").success());

    let at = seq(&under).to_string();
    let rows = place.ok(&["table", "bank", "account", "--at", &at, "--json"]);
    place.ok(&["down", "one"]);
    let elsewhere = Place::new();
    let file = word(&place.path().join("under.backup"));
    elsewhere.json(&["restore", &file]);
    elsewhere.will_run("one");
    elsewhere.ok(&["node", "start", "one", "--detach"]);
    let restored = elsewhere.ok(&["table", "bank", "account", "--json"]);
    assert_eq!(restored, rows);
}

#[test]
fn a_restored_node_starts_with_the_same_digests_and_neither_files_nor_nodes_are_overwritten() {
    let place = Place::new();
    let node = place.up("one", &["bank"]);
    let (id, address) = (said(&node, "id"), node.pointer("/addresses/0"));
    let address = address.and_then(Json::as_str).expect("it has one");
    place.ok(&["call", "bank", "open", "1", "100"]);
    let copied = place.json(&["backup", "one", "a.backup"]);
    assert_eq!(said(&copied, "node"), id);
    let file = place.path().join("a.backup");
    let whole = fs::read(&file).expect("it is there");
    assert_eq!(copied.get("bytes"), Some(&json!(whole.len())));
    let shown = place.json(&["node", "show", "one"]);

    let error = place.fails(1, &["backup", "one", "a.backup"]);
    assert!(error.contains("a.backup is there already"), "{error}");
    assert!(error.contains("help: choose another name"), "{error}");
    assert_eq!(fs::read(&file).expect("it is there"), whole);
    let error = place.fails(1, &["restore", "a.backup"]);
    assert!(
        error.contains(&id) && error.contains("is not overwritten"),
        "{error}"
    );
    place.ok(&["call", "bank", "open", "2", "1"]);

    // As a node of another machine is named.
    let far = place.ok(&["backup", address, "far.backup"]);
    assert!(
        far.contains("far.backup: node ") && far.contains(" up to turn "),
        "{far}"
    );
    place.ok(&["down", "one"]);
    let error = place.fails(3, &["backup", "one", "late.backup"]);
    assert!(error.contains("node start"), "{error}");
    assert!(!place.path().join("late.backup").exists());

    let elsewhere = Place::new();
    let restored = elsewhere.json(&["restore", &word(&file), "--name", "again"]);
    let owner = said(&elsewhere.json(&["whoami"]), "id");
    assert_eq!(
        restored,
        json!({
            "name": "again", "id": id, "seq": copied["seq"], "epoch": 1, "modules": 1, "owner": owner,
        })
    );
    elsewhere.will_run("again");
    elsewhere.ok(&["node", "start", "again", "--detach"]);
    let config = elsewhere.path().join("home/nodes").join(&id);
    let config = fs::read_to_string(config.join("node.toml")).expect("it is there");
    let before = said(&place.json(&["whoami"]), "id");
    assert!(
        config.contains(&owner) && config.contains(&before),
        "{config}"
    );
    // What only owners may do, and what only they are shown.
    elsewhere.ok(&["backup", "again", "b.backup"]);
    let again = elsewhere.json(&["node", "show", "again"]);
    assert_eq!(again.get("digests"), shown.get("digests"));
    assert_eq!(again.get("epoch"), Some(&json!(1)));
    let error = elsewhere.fails(1, &["restore", &word(&file), "--name", "third"]);
    assert!(error.contains("is not overwritten"), "{error}");
}

#[test]
fn a_file_that_is_damaged_cut_or_none_is_refused_with_advice_and_leaves_nothing() {
    let place = Place::new();
    place.up("one", &["bank"]);
    place.ok(&["backup", "one", "a.backup"]);
    place.ok(&["down", "one"]);
    let whole = fs::read(place.path().join("a.backup")).expect("it is there");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let elsewhere = Place::new();
    for (bytes, wanted) in [
        (flipped.as_slice(), "is damaged at offset"),
        (&whole[..whole.len() - 1], "it ends too early"),
        (&whole[..whole.len() / 2], "it ends too early"),
        (b"something else entirely", "is no backup"),
        (b"", "is no backup"),
    ] {
        fs::write(elsewhere.path().join("bad"), bytes).expect("it is written");
        let error = elsewhere.fails(1, &["restore", "bad"]);
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert!(error.contains("help: "), "{error}");
        assert_eq!(nodes(&elsewhere), [] as [PathBuf; 0]);
        let ran = elsewhere.run(&["restore", "bad", "--json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        serde_json::from_str::<Json>(ran.err.trim()).expect("the error is JSON too");
        assert_eq!(elsewhere.json(&["node", "list"]), json!([]));
    }
    let error = elsewhere.fails(1, &["restore", "nothing.backup"]);
    assert!(error.contains("nothing.backup"), "{error}");
    elsewhere.fails(2, &["restore"]);
    elsewhere.fails(2, &["backup", "one"]);
}
