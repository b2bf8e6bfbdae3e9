//! The module's own tests: `cargo test` runs them without a node. The other module is what the
//! test says it is.

use interstice_sdk::testing;

use super::{Greetings, greet, heard, latest, noted, on_greeting, on_hello};

const HELLO: &str = "hello-example";

fn greeting(id: u64, greeting: &str) -> Greetings {
    Greetings {
        id,
        greeting: greeting.to_string(),
    }
}

#[test]
fn a_greeting_is_asked_for_and_noted() {
    testing::answer_reducer(HELLO, "hello", |(name,): (String,)| {
        testing::fill([greeting(0, &format!("Hello, {name}!"))]);
        Ok::<(), String>(())
    });
    testing::set_time_ms(1_000);
    assert_eq!(
        greet(testing::plain_reducer_context(), "Ada".to_string()),
        Ok(())
    );
    for row in testing::rows::<Greetings>() {
        assert_eq!(testing::step(|ctx| on_greeting(ctx, row)), Ok(()));
    }
    let noted = noted(testing::query_context());
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].greeting, "Hello, Ada!");
    assert_eq!(noted[0].at_ms, 1_000);
}

#[test]
fn a_refusal_of_the_other_module_is_handed_on() {
    testing::answer_reducer(HELLO, "hello", |(_,): (String,)| Err::<(), _>("not today"));
    let refused = greet(testing::plain_reducer_context(), "Ada".to_string());
    assert!(refused.is_err_and(|error| error.to_string().contains("not today")));
}

#[test]
fn the_query_and_the_table_of_the_other_module_are_read() {
    testing::answer_query(HELLO, "list_greetings", |(): ()| {
        Ok::<_, String>(vec![greeting(1, "Hello, Ada!")])
    });
    assert_eq!(
        heard(testing::plain_query_context()),
        Ok(vec!["Hello, Ada!".to_string()])
    );
    assert_eq!(latest(testing::query_context()), None);
    testing::fill([greeting(1, "Hello, Ada!"), greeting(2, "Hello, Bob!")]);
    assert_eq!(
        latest(testing::query_context()),
        Some("Hello, Bob!".to_string())
    );
}

#[test]
fn calls_of_others_are_logged() {
    on_hello(testing::plain_reducer_context(), "Ada".to_string());
    assert_eq!(testing::logs(), ["Ada was greeted"]);
}
