//! The workload does what the benchmarks count on.

use interstice_sdk::testing;

use super::{
    accounts::{Account, open_accounts, total, transfer},
    bulk::{add_to_cells, clear_cells, fill_cells, sum_of_cells},
    events::{emit, heard},
    payload,
    rows::{Item, count_logged, fill_logged, insert_logged, mix_logged},
};

#[test]
fn a_payload_has_the_size_that_was_asked_for() {
    for bytes in [0, 1, 7, 8, 64, 100] {
        assert_eq!(payload(bytes, 3).len(), bytes as usize);
    }
    assert_ne!(payload(64, 1), payload(64, 2));
}

#[test]
fn rows_are_appended_or_replaced() {
    for seq in [0, 1, 1] {
        assert_eq!(
            testing::step(|ctx| insert_logged(ctx, 9, seq, 10, false)),
            Ok(())
        );
    }
    assert_eq!(count_logged(testing::query_context()), 3);
    assert_eq!(
        testing::step(|ctx| insert_logged(ctx, 9, 0, 10, true)),
        Ok(())
    );
    assert_eq!(count_logged(testing::query_context()), 3);
}

#[test]
fn the_mix_keeps_the_size_of_the_table() {
    assert_eq!(testing::step(|ctx| fill_logged(ctx, 10, 10)), Ok(()));
    for seq in 0..40 {
        assert_eq!(testing::step(|ctx| mix_logged(ctx, 1, seq, 10)), Ok(()));
    }
    assert_eq!(testing::rows::<Item>().len(), 10);
}

#[test]
fn transfers_keep_the_total_and_never_overdraw() {
    assert_eq!(testing::step(|ctx| open_accounts(ctx, 3, 10)), Ok(()));
    for (from, to, amount) in [(0, 1, 7), (0, 2, 7), (1, 1, 5), (2, 0, -4)] {
        assert_eq!(testing::step(|ctx| transfer(ctx, from, to, amount)), Ok(()));
    }
    assert_eq!(total(testing::query_context()), 30);
    let balances: Vec<i64> = testing::rows::<Account>()
        .iter()
        .map(|row| row.balance)
        .collect();
    assert_eq!(balances, [0, 17, 13]);
    assert!(testing::step(|ctx| transfer(ctx, 0, 9, 1)).is_err());
}

#[test]
fn cells_are_changed_and_summed_whole() {
    assert_eq!(testing::step(|ctx| fill_cells(ctx, 100)), Ok(()));
    assert_eq!(testing::step(|ctx| add_to_cells(ctx, 2)), Ok(()));
    assert_eq!(sum_of_cells(testing::query_context()), (4950 + 200, 100));
    assert_eq!(testing::step(clear_cells), Ok(()));
    assert_eq!(sum_of_cells(testing::query_context()), (0, 0));
}

#[test]
fn what_was_never_said_was_never_heard() {
    assert_eq!(testing::step(|ctx| emit(ctx, 1, 0, 0)), Ok(()));
    assert_eq!(heard(testing::query_context(), 2), 0);
}
