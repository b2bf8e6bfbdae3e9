//! The past of a real node: history, tables as they were, digests.

use serde_json::{Value as Json, json};

use crate::place::Place;

fn lines(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("is JSON"))
        .collect()
}

#[test]
fn history_shows_turns_and_a_table_shows_how_it_was() {
    let place = Place::new();
    place.up("one", &["bank"]);
    place.ok(&["call", "bank", "open", "1", "100"]);
    place.ok(&["call", "bank", "open", "2", "0"]);
    let called = place.json(&["call", "bank", "transfer", "1", "2", "30"]);
    let seq = called.get("seq").map(ToString::to_string).expect("a seq");
    let before = called.get("seq").and_then(Json::as_u64).expect("a seq") - 1;
    place.fails(1, &["call", "bank", "transfer", "1", "2", "1000"]);

    let shown = place.ok(&["history", "bank", "--from", &seq]);
    assert!(shown.starts_with(&format!("turn {seq} ")), "{shown}");
    for wanted in [
        " call bank.transfer(1,2,30) by owner "
            .replace(",", ", ")
            .as_str(),
        "  0 bank.transfer: committed",
        r#"    update bank.account {"id":1,"balance":100} -> {"id":1,"balance":70}"#,
        "  0 bank.transfer: failed: ",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }

    let turns = lines(&place.ok(&["history", "bank", "--from", &seq, "--json"]));
    let [transfer, refused] = turns.as_slice() else {
        panic!("two turns: {turns:?}");
    };
    assert_eq!(
        transfer.pointer("/input/arguments"),
        Some(&json!([1, 2, 30]))
    );
    assert_eq!(
        transfer.pointer("/steps/0/effects/0/after"),
        Some(&json!({"id": 1, "balance": 70}))
    );
    assert_eq!(transfer.get("ended"), Some(&json!(true)));
    assert_eq!(refused.pointer("/steps/0/outcome"), Some(&json!("failed")));

    // Without --from the last turns, the newest last; the way to the earlier ones is said.
    let tail = place.run(&["history", "bank", "--limit", "2", "--json"]);
    assert_eq!(lines(&tail.out), turns);
    let wanted = format!("earlier turns: interstice-cli history bank --from {before} --reverse");
    assert!(tail.err.contains(&wanted), "{tail:?}");
    let first = place.run(&["history", "bank", "--from", &seq, "--limit", "1", "--json"]);
    assert_eq!(lines(&first.out), *std::slice::from_ref(transfer));
    assert!(first.err.contains("later turns: "), "{first:?}");
    let back = lines(&place.ok(&["history", "bank", "--reverse", "--limit", "2", "--json"]));
    assert_eq!(back, [refused.clone(), transfer.clone()]);

    let at = before.to_string();
    let rows = place.ok(&["table", "bank", "account", "--at", &at, "--json"]);
    assert_eq!(
        lines(&rows),
        [
            json!({"id": 1, "balance": 100}),
            json!({"id": 2, "balance": 0})
        ]
    );
    let one = place.ok(&[
        "table", "bank", "account", "--at", &seq, "--where", "id=2", "--json",
    ]);
    assert_eq!(lines(&one), [json!({"id": 2, "balance": 30})]);
    let one = place.ok(&["table", "bank", "account", "--at", &seq, "--limit", "1"]);
    assert_eq!(one.lines().count(), 2, "{one}");
    let error = place.fails(1, &["table", "bank", "account", "--at", "1000000000"]);
    assert!(error.contains("has not been yet"), "{error}");

    let of_module = place.json(&["modules"]);
    let digest = of_module.pointer("/0/digest").and_then(Json::as_str);
    let digest = digest.expect("owners see it").to_string();
    assert_eq!(digest.len(), 64);
    assert_eq!(
        place.json(&["node", "show"]).pointer("/digests/bank"),
        Some(&json!(digest))
    );
    assert!(
        place
            .ok(&["node", "show"])
            .contains(&format!("{digest} bank"))
    );
    assert!(place.ok(&["modules"]).contains(&digest[..16]));
    place.ok(&["call", "bank", "open", "3", "1"]);
    let other = place.json(&["modules"]);
    assert_ne!(other.pointer("/0/digest"), Some(&json!(digest)));

    place.ok(&["remove", "one", "bank", "--yes"]);
    assert_eq!(
        lines(&place.ok(&["history", "bank", "--from", &seq, "--limit", "2", "--json"])),
        turns
    );
    let rows = place.ok(&["table", "bank", "account", "--at", &at, "--json"]);
    assert_eq!(lines(&rows).len(), 2);
}
