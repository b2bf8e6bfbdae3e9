//! `timers` and `timers cancel`, and the counts that `modules` shows.

use serde_json::json;

use crate::place::{Place, built};

#[test]
fn timers_are_listed_and_cancelled() {
    let place = Place::new();
    place.up("one", &["hello"]);
    let timers = place.json(&["timers", "hello-example"]);
    let timer = timers.get(0).expect("hello counts its greetings");
    for (field, value) in [
        ("reducer", json!("count_greetings")),
        ("arguments", json!([])),
        ("period_ms", json!(60_000)),
        ("kept", json!("every")),
    ] {
        assert_eq!(timer.get(field), Some(&value), "{timers}");
    }
    let number = timer.get("timer").expect("it has a number").to_string();
    let text = place.ok(&["timers", "hello-example"]);
    assert!(
        text.contains("count_greetings") && text.contains("1m"),
        "{text}"
    );
    let counts = |field: &str| {
        let modules = place.json(&["modules"]);
        modules.get(0).and_then(|module| module.get(field)).cloned()
    };
    assert_eq!(counts("timers_pending"), Some(json!(1)));
    assert_eq!(counts("timers_failed"), Some(json!(0)));

    let refused = place.fails(1, &["call", "hello-example", "count_greetings"]);
    assert!(refused.contains("is private"), "{refused}");
    let cancelled = place.json(&["timers", "cancel", "hello-example", &number]);
    assert!(cancelled.get("seq").is_some(), "{cancelled}");
    let again = place.fails(1, &["timers", "cancel", "hello-example", &number]);
    assert!(again.contains("not pending"), "{again}");
    assert_eq!(counts("timers_pending"), Some(json!(0)));
    let history = place.ok(&["history", "hello-example"]);
    assert!(history.contains("cancel-timer"), "{history}");
    // It belongs to the module, and comes back with its next load.
    place.ok(&["unload", "one", "hello-example"]);
    place.ok(&["load", "one", "hello-example"]);
    assert_eq!(counts("timers_pending"), Some(json!(1)));
}

#[test]
fn a_public_reducer_that_schedules_itself_is_warned_of_before_and_with_its_deploy() {
    let place = Place::new();
    place.up("one", &["hello", "bank"]);
    let crimes = built("crimes").display().to_string();
    for options in [&["--dry-run"][..], &[]] {
        let ran = place.run(&[&["deploy", &crimes], options].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let said = "the reducer `timer_fork` is public and schedules itself";
        assert!(ran.err.contains(said), "{ran:?}");
        assert!(ran.err.contains("#[reducer(private)]"), "{ran:?}");
        assert_eq!(ran.err.matches("schedules itself").count(), 1, "{ran:?}");
    }
    // Its timer runs by itself.
    let hello = built("hello").display().to_string();
    let ran = place.run(&["deploy", &hello]);
    assert!(!ran.err.contains("schedules itself"), "{ran:?}");
}
