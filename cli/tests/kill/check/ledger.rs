//! The ledger against what clients know, against what the mirror has heard, and its indexes
//! against its rows.

use std::collections::BTreeMap;

use interstice_client::Client;

use super::{EntryRow, HeardRow, query, rows};
use crate::{
    book::{Book, Fate, Known},
    load::{encoded, first_amount},
};

/// Entries that are looked up one by one.
const LOOKED_UP: usize = 40;

/// What the mirror has heard of one token.
#[derive(Default)]
struct Told {
    inserted: u64,
    updated: u64,
    deleted: u64,
}

/// Every sure operation is there once, no other one is there, and each was heard once. Settles
/// what was open.
pub(super) fn entries(book: &mut Book, entries: &[EntryRow], heard: &[HeardRow]) {
    let mut told: BTreeMap<u64, Told> = BTreeMap::new();
    for row in heard {
        book.given("entry ids", row.entry, row.token);
        book.given(
            "ids of what was heard",
            row.id,
            row.token ^ (row.kind << 62),
        );
        let told = told.entry(row.token).or_default();
        let updated = told.updated + u64::from(row.kind == 2);
        assert_eq!(row.amount, first_amount(row.token) + updated, "{row:?}");
        assert_eq!(row.kind == 1, told.inserted == 0, "{row:?}");
        assert_eq!(told.deleted, 0, "{row:?} after its deletion");
        match row.kind {
            1 => told.inserted += 1,
            2 => told.updated += 1,
            _ => told.deleted += 1,
        }
    }
    let mut present = BTreeMap::new();
    for row in entries {
        book.given("entry ids", row.id, row.token);
        book.given("entry numbers", row.number.into(), row.token);
        assert_eq!(present.insert(row.token, row), None, "a call has run twice");
        let Some(known) = book.tokens.get(&row.token) else {
            unreachable!("nobody has sent {row:?}, or it was refused");
        };
        let told = told.remove(&row.token).unwrap_or_default();
        is_as_known(row, known, &told);
    }
    for (token, known) in &mut book.tokens {
        if let Some(row) = present.get(token) {
            known.made = Fate::Sure;
            known.discarded = Fate::Never;
            known.revised = (row.changes, 0);
        } else {
            let told = told.remove(token).unwrap_or_default();
            is_rightly_absent(*token, known, &told);
            known.discarded = if told.deleted > 0 {
                Fate::Sure
            } else {
                known.made = Fate::Never;
                Fate::Never
            };
            known.revised = (told.updated, 0);
        }
    }
    let strangers: Vec<&u64> = told.keys().collect();
    assert!(
        strangers.is_empty(),
        "heard of nobody's entries: {strangers:?}"
    );
}

fn is_as_known(row: &EntryRow, known: &Known, told: &Told) {
    assert_ne!(
        known.made,
        Fate::Never,
        "{row:?} had never been made: {known:?}"
    );
    assert_ne!(
        known.discarded,
        Fate::Sure,
        "{row:?} was discarded: {known:?}"
    );
    assert_eq!(row.client, known.client, "{row:?}");
    assert_eq!(row.amount, first_amount(row.token) + row.changes, "{row:?}");
    let (sure, open) = known.revised;
    assert!(
        (sure..=sure + open).contains(&row.changes),
        "{row:?}: {known:?}"
    );
    assert_eq!(
        (told.inserted, told.updated, told.deleted),
        (1, row.changes, 0),
        "every change of {row:?} was heard once"
    );
}

fn is_rightly_absent(token: u64, known: &Known, told: &Told) {
    assert!(
        known.made != Fate::Sure || known.discarded != Fate::Never,
        "{token} was acknowledged and is lost: {known:?}"
    );
    if told.inserted == 0 {
        assert_ne!(known.made, Fate::Sure, "{token} is lost: {known:?}");
        return;
    }
    assert_ne!(known.made, Fate::Never, "{token} had never been made");
    assert_ne!(known.discarded, Fate::Never, "{token} is gone: {known:?}");
    assert_eq!((told.inserted, told.deleted), (1, 1), "{token}: {known:?}");
    let (sure, open) = known.revised;
    assert!(
        (sure..=sure + open).contains(&told.updated),
        "{token}: {known:?}, {} heard",
        told.updated
    );
}

/// Each entry has its page, whole.
pub(super) async fn pages(client: &Client, entries: &[EntryRow]) {
    let pages: Vec<(u64, Vec<u8>)> = rows(client, "ledger", "page").await;
    let mut tokens: Vec<u64> = entries.iter().map(|row| row.token).collect();
    tokens.sort_unstable();
    let found: Vec<u64> = pages.iter().map(|page| page.0).collect();
    assert_eq!(found, tokens, "one page for each entry");
    for (token, bytes) in pages {
        let length = usize::try_from(token % 3000).expect("it is small");
        let byte = u8::try_from(token % 251).expect("it is small");
        assert!(
            bytes.len() == length && bytes.iter().all(|is| *is == byte),
            "the page of {token} is damaged"
        );
    }
}

/// Every index finds what a scan finds.
pub(super) async fn indexes(client: &Client, entries: &[EntryRow]) {
    let mut by_client: BTreeMap<u64, Vec<EntryRow>> = BTreeMap::new();
    for row in entries {
        by_client.entry(row.client).or_default().push(row.clone());
    }
    for (number, wanted) in by_client {
        let mut found: Vec<EntryRow> = query(client, "by_client", encoded(&(number,))).await;
        found.sort_by_key(|row| row.id);
        assert_eq!(found, wanted, "the index of clients");
    }
    let mut wanted = entries.to_vec();
    wanted.sort_by_key(|row| row.number);
    let middle = wanted.get(wanted.len() / 2).map_or(0, |row| row.number);
    for (min, max) in [(0, u32::MAX), (0, middle), (middle, middle)] {
        let found: Vec<EntryRow> = query(client, "by_number", encoded(&(min, max))).await;
        let wanted: Vec<&EntryRow> = wanted
            .iter()
            .filter(|row| (min..=max).contains(&row.number))
            .collect();
        assert!(found.iter().eq(wanted), "the index of numbers");
    }
    let step = entries.len() / LOOKED_UP + 1;
    for row in entries.iter().step_by(step) {
        let found: Option<EntryRow> = query(client, "by_token", encoded(&(row.token,))).await;
        assert_eq!(found.as_ref(), Some(row), "the index of tokens");
        let none: Option<EntryRow> =
            query(client, "by_token", encoded(&(row.token + 1_000_000_000,))).await;
        assert_eq!(none, None, "the index of tokens");
    }
}
