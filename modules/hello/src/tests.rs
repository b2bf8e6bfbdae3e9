//! The module's own tests: `cargo test` runs them without a node.

use interstice_sdk::testing;

use super::{
    Greetings, HasGreetingsEditHandle, count_greetings, hello, init, list_greetings, load,
    on_greeting,
};

#[test]
fn a_greeting_is_stored_and_listed() {
    assert_eq!(testing::step(|ctx| hello(ctx, "Ada".to_string())), Ok(()));
    assert_eq!(testing::step(|ctx| hello(ctx, "Bob".to_string())), Ok(()));
    let greetings: Vec<String> = list_greetings(testing::query_context())
        .into_iter()
        .map(|row| format!("{} {}", row.id, row.greeting))
        .collect();
    assert_eq!(greetings, ["1 Hello, Ada!", "2 Hello, Bob!"]);
}

#[test]
fn the_count_is_said() {
    assert_eq!(testing::step(|ctx| hello(ctx, "Ada".to_string())), Ok(()));
    assert_eq!(testing::step(count_greetings), Ok(()));
    assert_eq!(testing::logs(), ["1 greetings so far"]);
}

#[test]
fn events_leave_a_line_in_the_log() {
    init(testing::plain_reducer_context());
    load(testing::plain_reducer_context());
    let table = testing::reducer_context().current.tables.greetings();
    let row = table.insert(Greetings {
        id: 0,
        greeting: "Hi".to_string(),
    });
    on_greeting(
        testing::plain_reducer_context(),
        row.expect("the key is free"),
    );
    assert_eq!(testing::logs(), ["installed", "loaded", "greeting 1: Hi"]);
}
