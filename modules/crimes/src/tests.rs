//! The module's own tests, of the crimes that end by themselves: `cargo test` runs them without a
//! node.

use interstice_sdk::testing;

use super::{
    Account, Loot, Spark, behave, bombs, cascade, fail_across, floods, init, on_spark,
    panic_across, timers,
};

fn account(id: u64) -> Account {
    Account { id, balance: 0 }
}

#[test]
fn an_honest_step_leaves_its_row() {
    assert_eq!(testing::step(|ctx| behave(ctx, 5)), Ok(()));
    let sizes: Vec<u64> = testing::rows::<Loot>()
        .iter()
        .map(|loot| loot.size)
        .collect();
    assert_eq!(sizes, [5]);
}

#[test]
fn it_crashes_at_its_installation_only_where_the_account_of_doom_is() {
    assert_eq!(testing::step(init), Ok(()));
    testing::fill([account(super::ACCOUNT_OF_DOOM)]);
    testing::answer_reducer("bank", "open", |(_, _): (u64, i64)| Ok::<_, String>(()));
    assert!(testing::step(init).is_err());
}

#[test]
fn what_fails_across_modules_leaves_no_loot() {
    testing::answer_reducer("bank", "open", |(_, _): (u64, i64)| Ok::<_, String>(()));
    let failed = testing::step(|ctx| fail_across(ctx, 9));
    assert_eq!(failed, Err("account 9 was a mistake".to_string()));
    assert!(testing::step(|ctx| panic_across(ctx, 9)).is_err());
    assert_eq!(testing::rows::<Loot>(), []);
}

#[test]
fn each_spark_makes_two() {
    assert_eq!(testing::step(cascade), Ok(()));
    let first = testing::rows::<Spark>().remove(0);
    assert_eq!(testing::step(|ctx| on_spark(ctx, first)), Ok(()));
    let generations: Vec<u64> = testing::rows::<Spark>()
        .iter()
        .map(|spark| spark.generation)
        .collect();
    assert_eq!(generations, [0, 1, 1]);
}

#[test]
fn storms_and_chatter_are_as_long_as_ordered() {
    assert_eq!(
        timers::timer_storm(testing::plain_reducer_context(), 7),
        Ok(())
    );
    assert_eq!(testing::timers().len(), 7);
    floods::chatter(testing::plain_reducer_context(), 3, 10);
    assert_eq!(testing::logs(), ["yyyyyyyyyy"; 3]);
    assert_eq!(
        bombs::huge_answer(testing::plain_query_context(), 9),
        [7; 9]
    );
}
