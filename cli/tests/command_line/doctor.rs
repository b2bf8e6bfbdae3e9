//! `doctor`, of a node whose files are damaged.

use std::{fs, path::PathBuf};

use serde_json::{Value as Json, json};

use crate::place::Place;

fn id(node: &Json) -> &str {
    node.get("id").and_then(Json::as_str).expect("it has one")
}

/// The digests of a node's modules; a module that is at work has none at that moment.
fn digests(place: &Place, node: &str) -> Json {
    loop {
        let shown = place.json(&["--node", node, "node", "show"]);
        let digests = shown.get("digests").expect("they are shown");
        if digests.as_object().is_some_and(|all| !all.is_empty()) {
            return digests.clone();
        }
    }
}

#[test]
fn the_doctor_explains_and_repairs_a_damaged_node() {
    let place = Place::new();
    let node = place.up("garden", &["bank"]);
    for account in ["1", "2", "3"] {
        place.ok(&["call", "bank", "open", account, "5"]);
    }
    let was = digests(&place, "garden");
    let refused = place.fails(1, &["doctor", "garden"]);
    assert!(refused.contains("stop it first"), "{refused}");
    place.ok(&["down", "garden"]);
    let healthy = place.ok(&["doctor", "garden"]);
    assert!(healthy.contains("is healthy"), "{healthy}");
    assert_eq!(
        place.json(&["doctor", "garden"]).get("healthy"),
        Some(&json!(true))
    );
    place.fails(2, &["doctor", "garden", "--cut-log"]);

    let folder: PathBuf = place.path().join("home/nodes").join(id(&node));
    let marker = folder.join("db/marker");
    let mut bytes = fs::read(&marker).expect("reads");
    bytes[30] ^= 1;
    fs::write(&marker, bytes).expect("writes");
    place.fails(1, &["node", "start", "garden", "--detach"]);
    let found = place.run(&["doctor", "garden"]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(
        found.out.contains("marker") && found.out.contains("damaged"),
        "{found:?}"
    );
    assert!(found.err.contains("`doctor garden --repair`"), "{found:?}");
    let report = place.run(&["doctor", "garden", "--json"]);
    let report: Json = serde_json::from_str(&report.out).expect("is JSON");
    assert_eq!(report.pointer("/findings/0/part"), Some(&json!("tables")));
    assert_eq!(
        report.pointer("/findings/0/remedy/by"),
        Some(&json!("--repair"))
    );

    let repaired = place.ok(&["doctor", "garden", "--repair"]);
    assert!(
        repaired.contains("damaged-1") && repaired.contains("is healthy"),
        "{repaired}"
    );
    assert!(folder.join("damaged-1/db/marker").is_file());
    place.ok(&["node", "start", "garden", "--detach"]);
    assert_eq!(digests(&place, "garden"), was);
}
