//! What has to hold after a start, whatever was killed when: the tables agree with what clients
//! know, and with each other.

mod ledger;
mod others;
mod owned;
mod timers;

use interstice_abi::wire::Ack;
use interstice_client::{Client, Identity};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    book::{Book, Done, Event},
    follow::{self, Follower},
    load::{encoded, first_amount},
    node::{Node, PATIENCE},
};

/// Rows per page.
const PAGE: u32 = 1000;

/// The number of the client that the check itself is.
const CHECKER: u64 = 99;

/// A row of `ledger.entry`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct EntryRow {
    pub(crate) id: u64,
    pub(crate) token: u64,
    pub(crate) client: u64,
    pub(crate) number: u32,
    pub(crate) amount: u64,
    pub(crate) changes: u64,
}

/// A row of `mirror.heard`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HeardRow {
    pub(crate) id: u64,
    pub(crate) entry: u64,
    pub(crate) token: u64,
    pub(crate) kind: u64,
    pub(crate) amount: u64,
}

/// Everything. The connection on which it was asked.
pub(crate) async fn all(
    node: &Node,
    owner: &Identity,
    book: &mut Book,
    killed_starts: u64,
) -> Client {
    let client = node.connect(owner).await;
    book.last_seq = book.last_seq.max(book.orders.last_seq);
    others::presence(&client, owner).await;
    owned::orders(&client, book).await;
    timers::starts(&client, book, killed_starts).await;
    let recent: Vec<(u64,)> = rows(&client, "ledger", "recent").await;
    assert_eq!(
        recent,
        [(0,)],
        "ephemeral tables are empty, and `load` has filled them"
    );

    let entries: Vec<EntryRow> = rows(&client, "ledger", "entry").await;
    let heard: Vec<HeardRow> = rows(&client, "mirror", "heard").await;
    ledger::entries(book, &entries, &heard);
    ledger::pages(&client, &entries).await;
    ledger::indexes(&client, &entries).await;
    others::vault(&client, book, &entries).await;
    others::echo(&client, book, &heard).await;
    timers::alarms(&client, book).await;
    timers::beats(&client, book).await;
    client
}

/// Everybody who watches has exactly the rows of the table, once a last change has come through.
pub(crate) async fn followers(
    node: &Node,
    client: &Client,
    book: &mut Book,
    followers: &mut [Follower],
) {
    let token = book.sentinel();
    let arguments = encoded(&(token, CHECKER, first_amount(token), 0_u32));
    let called = client.call("ledger", "add", arguments, Ack::Durable);
    let called = timeout(PATIENCE, called).await.expect("a call is answered");
    let seq = called.expect("the ledger runs").seq.0;
    assert!(
        seq > book.last_seq,
        "turn {seq} comes after {}, which somebody was told before",
        book.last_seq
    );
    book.note(vec![Event::Sure {
        done: Done::Made { client: CHECKER },
        token,
        seq,
    }]);
    for follower in followers {
        let is_entry = follower.table == "entry";
        let is_wanted = |row: &[u8]| {
            let (head, _) = postcard::take_from_bytes::<(u64, u64, u64)>(row).expect("numbers");
            token == if is_entry { head.1 } else { head.2 }
        };
        follower.catch_up(&node.address, is_wanted).await;
        let rows = raw_rows(client, follower.module, follower.table).await;
        let (module, table) = (follower.module, follower.table);
        let deploys = match module {
            "ledger" => book.orders.ledger_deploys,
            _ => book.orders.mirror_deploys,
        };
        assert!(follower.anew <= deploys, "{module}.{table} is not resumed");
        assert_eq!(rows.len(), follower.rows.len(), "{module}.{table}");
        for row in rows {
            let seen = follower.rows.get(&follow::key(&row));
            assert_eq!(seen, Some(&row), "{module}.{table} as it was watched");
        }
    }
}

/// Every row, decoded, in key order.
async fn rows<T: DeserializeOwned>(client: &Client, module: &str, table: &str) -> Vec<T> {
    let raw = raw_rows(client, module, table).await;
    raw.iter()
        .map(|row| postcard::from_bytes(row).expect("it is such a row"))
        .collect()
}

async fn raw_rows(client: &Client, module: &str, table: &str) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = client.rows(module, table, after, PAGE, None);
        let page = timeout(PATIENCE, page).await;
        let page = page.unwrap_or_else(|_| unreachable!("{module}.{table} does not answer"));
        let page = page.unwrap_or_else(|error| unreachable!("{module}.{table}: {error}"));
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

async fn query<T: DeserializeOwned>(client: &Client, query: &str, arguments: Vec<u8>) -> T {
    let answer = client.query("ledger", query, arguments, Ack::Durable);
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.unwrap_or_else(|_| unreachable!("{query} does not answer"));
    let (bytes, _) = answer.unwrap_or_else(|error| unreachable!("{query}: {error}"));
    postcard::from_bytes(&bytes).expect("it is of that type")
}
