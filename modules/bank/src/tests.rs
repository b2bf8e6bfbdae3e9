//! The module's own tests: `cargo test` runs them without a node.

use interstice_sdk::testing;

use super::{Account, Refusal, balance, open, total, transfer};

fn with_accounts(accounts: &[(u64, i64)]) {
    testing::fill(
        accounts
            .iter()
            .map(|&(id, balance)| Account { id, balance }),
    );
}

fn balances() -> Vec<(u64, i64)> {
    testing::rows::<Account>()
        .into_iter()
        .map(|account| (account.id, account.balance))
        .collect()
}

#[test]
fn money_moves_and_the_total_stays() {
    assert_eq!(testing::step(|ctx| open(ctx, 1, 100)), Ok(()));
    assert_eq!(testing::step(|ctx| open(ctx, 2, 0)), Ok(()));
    assert_eq!(testing::step(|ctx| transfer(ctx, 1, 2, 30)), Ok(()));
    assert_eq!(balances(), [(1, 70), (2, 30)]);
    assert_eq!(total(testing::query_context()), 100);
    assert_eq!(balance(testing::query_context(), 2), Some(30));
    assert_eq!(balance(testing::query_context(), 3), None);
}

#[test]
fn a_transfer_to_oneself_changes_nothing() {
    with_accounts(&[(1, 100)]);
    assert_eq!(testing::step(|ctx| transfer(ctx, 1, 1, 100)), Ok(()));
    assert_eq!(balances(), [(1, 100)]);
}

#[test]
fn an_overdraft_is_refused_with_its_reason() {
    with_accounts(&[(1, 100), (2, 0)]);
    assert_eq!(
        transfer(testing::reducer_context(), 1, 2, 101),
        Err(Refusal::Overdraft {
            account: 1,
            balance: 100,
            amount: 101
        })
    );
    assert_eq!(
        testing::step(|ctx| transfer(ctx, 1, 2, 101)),
        Err("account 1 holds 100, less than 101".to_string())
    );
    assert_eq!(balances(), [(1, 100), (2, 0)]);
}

#[test]
fn what_fails_halfway_is_undone() {
    with_accounts(&[(1, 100), (2, i64::MAX)]);
    for (to, reason) in [
        (3, "there is no account 3"),
        (2, "account 2 cannot hold that much"),
    ] {
        assert_eq!(
            testing::step(|ctx| transfer(ctx, 1, to, 1)),
            Err(reason.to_string())
        );
    }
    assert_eq!(balances(), [(1, 100), (2, i64::MAX)]);
}

#[test]
fn senseless_amounts_and_debts_are_refused() {
    for amount in [0, -1] {
        assert!(testing::step(|ctx| transfer(ctx, 1, 2, amount)).is_err());
    }
    assert_eq!(
        open(testing::reducer_context(), 1, -5),
        Err(Refusal::NegativeBalance(-5))
    );
}

#[test]
fn an_account_is_opened_once() {
    assert_eq!(testing::step(|ctx| open(ctx, 1, 5)), Ok(()));
    let again = testing::step(|ctx| open(ctx, 1, 6));
    assert!(again.is_err_and(|message| message.contains("account")));
    assert_eq!(balances(), [(1, 5)]);
}
