//! `replay` of nodes that are stopped, that run, and whose log was changed.

use std::{fs, path::Path, sync::Arc};

use interstice_host::log::{Log, LogFiles, LogOptions, StdFiles, examine};
use serde_json::{Value as Json, json};

use crate::place::Place;

/// Writes the log again with the last `old` of the last record that has both words replaced by
/// `new`.
fn alter(folder: &Path, word: &[u8], old: &[u8], new: &[u8]) {
    let (from, to) = (folder.join("log"), folder.join("log-again"));
    let files: Arc<dyn LogFiles> = Arc::new(StdFiles);
    let found = examine(&from, files.as_ref()).expect("the log is whole");
    let mut records: Vec<Vec<u8>> = found
        .read(&from, files.clone(), found.start())
        .map(|record| record.expect("it reads").1)
        .collect();
    let has = |record: &[u8], part: &[u8]| record.windows(part.len()).any(|piece| piece == part);
    let record = records
        .iter_mut()
        .rfind(|record| has(record, word) && has(record, old))
        .expect("there is such a record");
    let place = record
        .windows(old.len())
        .rposition(|piece| piece == old)
        .expect("it was just found");
    record.splice(place..place + old.len(), new.iter().copied());
    let (log, _) = Log::open(&to, files, LogOptions::default()).expect("a log");
    log.reserve_seq(found.reserved_seq);
    for record in records {
        log.append(record);
    }
    log.close().expect("it is written");
    fs::remove_dir_all(&from).expect("it goes");
    fs::rename(to, from).expect("it takes its place");
}

fn number(report: &Json, field: &str) -> u64 {
    report.get(field).and_then(Json::as_u64).unwrap_or_default()
}

#[test]
fn a_node_is_replayed_while_it_runs_when_it_is_stopped_and_when_its_log_was_changed() {
    let place = Place::new();
    let node = place.up("garden", &["hello"]);
    let id = node.get("id").and_then(Json::as_str).expect("it has one");
    for name in ["Ada", "Bob", "Cid"] {
        place.ok(&["call", "hello-example", "hello", name]);
    }
    let running = place.json(&["replay"]);
    assert_eq!(running.get("agrees"), Some(&json!(true)), "{running}");
    assert_eq!(running.get("was_running"), Some(&json!(true)), "{running}");
    let of_node = place.json(&["modules"]);
    let digest = of_node
        .pointer("/0/digest")
        .or(of_node.pointer("/modules/0/digest"));
    assert!(digest.is_some_and(Json::is_string), "{of_node}");
    assert_eq!(running.pointer("/modules/0/replayed"), digest);
    place.ok(&["down", "garden"]);

    let stopped = place.json(&["replay", "garden"]);
    assert_eq!(stopped.get("was_running"), Some(&json!(false)), "{stopped}");
    assert!(number(&stopped, "turns") >= 6, "{stopped}");
    let text = place.ok(&["replay", "garden"]);
    assert!(text.ends_with("records and digests agree"), "{text}");
    assert!(text.contains("of 1 modules"), "{text}");

    let folder = place.path().join("home").join("nodes").join(id);
    alter(&folder, b"hello", b"Bob", b"Rob");
    let error = place.fails(1, &["replay", "garden"]);
    assert!(
        error.contains("reducer `hello` of module `hello-example`"),
        "{error}"
    );
    assert!(error.contains("hello-example.greeting"), "{error}");
    assert!(error.contains("Rob") && error.contains("Bob"), "{error}");
    let ran = place.run(&["replay", "garden", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: Json = serde_json::from_str(&ran.out).expect("is JSON");
    assert_eq!(report.get("agrees"), Some(&json!(false)), "{report}");
    let row = report.pointer("/difference/difference/row").expect("a row");
    assert!(
        row.get("recorded")
            .is_some_and(|row| row.to_string().contains("Rob")),
        "{row}"
    );
    assert!(
        row.get("replayed")
            .is_some_and(|row| row.to_string().contains("Bob")),
        "{row}"
    );

    fs::remove_dir_all(folder.join("modules")).expect("it goes");
    let error = place.fails(1, &["replay", "garden"]);
    assert!(
        error.contains(".wasm") && error.contains("cannot be read"),
        "{error}"
    );
}
