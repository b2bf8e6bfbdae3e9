//! What a node and its libraries report reaches its log and standard error.

use std::io::{BufRead, BufReader};

use crate::place::{Place, free_port};

/// Runs a node in the foreground that may open few files, which it reports. What it has printed on
/// standard error, and its log.
fn reported(filter: Option<&str>, options: &[&str]) -> (String, String) {
    let place = Place::new();
    let port = free_port().to_string();
    let words = ["up", "--name", "one", "--local", "--port", &port];
    let mut command = place.shell("ulimit -n 400", &[&words, options].concat());
    match filter {
        Some(filter) => command.env("RUST_LOG", filter),
        None => command.env_remove("RUST_LOG"),
    };
    place.will_run("one");
    let mut node = command.spawn().expect("the shell runs");
    let mut lines = BufReader::new(node.stdout.take().expect("is piped")).lines();
    let listens = lines.any(|line| line.is_ok_and(|line| line.contains("address")));
    assert!(listens, "it starts");
    place.ok(&["down", "one"]);
    let output = node.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stderr).expect("is text");
    place.ok(&["node", "start", "one", "--local", "--detach"]);
    (said, place.ok(&["logs", "one"]))
}

const FEW_FILES: &str = "may open too few files";

#[test]
fn a_warning_is_in_the_log_and_on_standard_error() {
    let (said, log) = reported(None, &["--log-format", "json"]);
    let line = said.lines().find(|line| line.contains(FEW_FILES));
    let report: serde_json::Value =
        serde_json::from_str(line.expect("is reported")).expect("is JSON");
    assert_eq!(report.get("level"), Some(&"WARN".into()));
    assert_eq!(
        report.get("target"),
        Some(&"interstice_actors::network::descriptors".into())
    );
    assert!(report.pointer("/fields/guests").is_some(), "{report}");
    let warns = |line: &str| line.contains("warning:") && line.contains(FEW_FILES);
    assert!(log.lines().any(warns), "{log}");
}

#[test]
fn rust_log_says_what_is_reported_of_every_library() {
    let (said, log) = reported(Some("off,sled=debug,libp2p_tcp=trace"), &[]);
    assert!(
        said.contains(" sled::") && said.contains(" libp2p_tcp"),
        "{said}"
    );
    assert!(!said.contains(FEW_FILES), "{said}");
    assert!(log.contains(" sled::"), "{log}");
    let place = Place::new();
    let output = place
        .command(&["up", "--local"])
        .env("RUST_LOG", "a=b=c")
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("RUST_LOG"));
}
