//! The module's own tests: `cargo test` runs them without a node. The bank is what the test says
//! it is.

use interstice_sdk::testing;

use super::{Account, Report, audit, history, init, on_change, on_close, on_open};

fn account(id: u64, balance: i64) -> Account {
    Account { id, balance }
}

fn bank_says(total: i64) {
    testing::answer_query("bank", "total", move |(): ()| Ok::<_, String>(total));
}

#[test]
fn books_that_are_right_agree() {
    testing::fill([account(1, 50)]);
    assert_eq!(testing::step(init), Ok(()));
    assert_eq!(testing::step(|ctx| on_open(ctx, account(2, 20))), Ok(()));
    assert_eq!(
        testing::step(|ctx| on_change(ctx, account(1, 50), account(1, 45))),
        Ok(())
    );
    assert_eq!(
        testing::step(|ctx| on_change(ctx, account(2, 20), account(2, 25))),
        Ok(())
    );
    assert_eq!(testing::step(|ctx| on_open(ctx, account(3, 9))), Ok(()));
    assert_eq!(testing::step(|ctx| on_close(ctx, account(3, 9))), Ok(()));
    testing::fill([account(2, 20)]);
    bank_says(70);
    assert_eq!(
        audit(testing::query_context()),
        Ok(Report {
            by_journal: 70,
            by_table: 70,
            by_bank: 70,
            agrees: true
        })
    );
}

#[test]
fn books_that_are_wrong_are_found_out() {
    testing::fill([account(1, 50)]);
    bank_says(60);
    let report = audit(testing::query_context()).expect("the bank answers");
    assert!(!report.agrees);
    assert_eq!(
        (report.by_journal, report.by_table, report.by_bank),
        (0, 50, 60)
    );
}

#[test]
fn the_history_of_an_account_is_in_order() {
    for (before, after) in [(1, 2), (2, 5)] {
        let step = testing::step(|ctx| on_change(ctx, account(7, before), account(7, after)));
        assert_eq!(step, Ok(()));
    }
    assert_eq!(testing::step(|ctx| on_open(ctx, account(8, 0))), Ok(()));
    let history: Vec<(Option<i64>, Option<i64>)> = history(testing::query_context(), 7)
        .into_iter()
        .map(|entry| (entry.before, entry.after))
        .collect();
    assert_eq!(history, [(Some(1), Some(2)), (Some(2), Some(5))]);
}
