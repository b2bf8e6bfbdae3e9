//! The module's own tests: `cargo test` runs them without a node.

use interstice_sdk::testing;

use super::{
    Beat, Course, Entry, Page, Recent, Rung, add, by_number, by_token, discard, revise, timers,
};

fn vault_agrees() {
    testing::answer_reducer(
        "vault",
        "deposit",
        |(_, _, _, fails): (u64, u64, u64, bool)| {
            if fails { Err("it was to fail") } else { Ok(()) }
        },
    );
    testing::answer_reducer("vault", "revise", |_: (u64, u64)| Ok::<_, String>(()));
    testing::answer_reducer("vault", "withdraw", |(_,): (u64,)| Ok::<_, String>(()));
}

#[test]
fn an_entry_is_made_revised_and_dropped() {
    vault_agrees();
    assert_eq!(
        testing::step(|ctx| add(ctx, 9, 1, 5, Course::Straight)),
        Ok(())
    );
    assert_eq!(
        testing::step(|ctx| add(ctx, 8, 1, 5, Course::Detour)),
        Ok(())
    );
    assert_eq!(testing::step(|ctx| revise(ctx, 9, 2)), Ok(()));
    let entry = by_token(testing::query_context(), 9).expect("is there");
    assert_eq!(
        (entry.id, entry.number, entry.amount, entry.changes),
        (1, 1, 7, 1)
    );
    assert_eq!(by_number(testing::query_context(), 1, 2).len(), 2);
    assert_eq!(testing::step(|ctx| discard(ctx, 9)), Ok(()));
    assert_eq!(by_token(testing::query_context(), 9), None);
    assert_eq!(testing::rows::<Page>().len(), 1);
}

#[test]
fn what_is_refused_leaves_nothing() {
    vault_agrees();
    assert!(testing::step(|ctx| add(ctx, 9, 1, 5, Course::Refused)).is_err());
    assert_eq!(testing::rows::<Entry>(), []);
    assert_eq!(testing::rows::<Recent>(), []);
}

#[test]
fn timers_and_chains_fire() {
    assert_eq!(testing::step(timers::init), Ok(()));
    assert_eq!(testing::step(timers::load), Ok(()));
    assert_eq!(testing::step(|ctx| timers::alarm(ctx, 1, 10)), Ok(()));
    let due = testing::advance_ms(25);
    assert_eq!(due.len(), 3);
    assert_eq!(testing::step(timers::ring), Ok(()));
    assert_eq!(testing::step(timers::beat), Ok(()));
    assert_eq!(testing::rows::<Rung>().len(), 1);
    let beats = testing::rows::<Beat>();
    let beats: Vec<(u64, u64)> = beats.iter().map(|beat| (beat.count, beat.early)).collect();
    assert_eq!(beats, [(1, 0), (0, 0)]);
}
