//! The modules that the ledger reaches: the vault by calls inside its steps, the echo by a chain
//! of reactions.

use std::collections::BTreeMap;

use interstice_client::{Client, Identity};

use super::{EntryRow, HeardRow, rows};
use crate::book::Book;

/// Every connection that was open when the node was killed has ended; the check's own is open.
pub(super) async fn presence(client: &Client, owner: &Identity) {
    let presence: Vec<(String, u64, u64)> = rows(client, "vault", "presence").await;
    for (node, opened, closed) in presence {
        let open = u64::from(node == owner.id().to_string());
        assert_eq!(opened, closed + open, "connections of {node}");
    }
}

/// The vault has a slip for each entry and nothing else, and its sums are right.
pub(super) async fn vault(client: &Client, book: &mut Book, entries: &[EntryRow]) {
    let slips: Vec<(u64, u64, u64, u64)> = rows(client, "vault", "slip").await;
    let mut wanted: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut sums: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for row in entries {
        wanted.insert(row.token, (row.client, row.amount));
        let sum = sums.entry(row.client).or_default();
        *sum = (sum.0 + row.amount, sum.1 + 1);
    }
    for (id, token, owner, amount) in slips {
        book.given("slip ids", id, token);
        let entry = wanted.remove(&token);
        assert_eq!(entry, Some((owner, amount)), "a slip of {token} alone");
    }
    assert!(wanted.is_empty(), "entries without slips: {wanted:?}");
    let accounts: Vec<(u64, u64, u64)> = rows(client, "vault", "account").await;
    for (number, balance, slips) in accounts {
        let sum = sums.remove(&number).unwrap_or_default();
        assert_eq!((balance, slips), sum, "the account of {number}");
    }
    assert!(sums.is_empty(), "slips without accounts: {sums:?}");
}

/// Where the echo is there, it has heard everything once.
pub(super) async fn echo(client: &Client, book: &Book, heard: &[HeardRow]) {
    let mut found: Vec<u64> = match book.orders.echo.last() {
        None => return,
        Some(1) => {
            let rows: Vec<(u64, u64)> = rows(client, "echo", "echo").await;
            rows.into_iter().map(|row| row.1).collect()
        }
        Some(_) => {
            let rows: Vec<(u64, u64, u64)> = rows(client, "echo", "echo").await;
            assert!(
                rows.iter().all(|row| matches!(row.2, 7 | 9)),
                "the column that was added is filled"
            );
            rows.into_iter().map(|row| row.1).collect()
        }
    };
    found.sort_unstable();
    let wanted: Vec<u64> = heard.iter().map(|row| row.id).collect();
    assert_eq!(found, wanted, "the second link of the chain");
}
