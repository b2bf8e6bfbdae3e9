//! What has to hold: the node's tables are those of the model, as owners and strangers read them,
//! now and in the past; modules agree with each other; watchers have seen every change.

use std::{collections::BTreeMap, time::Instant};

use interstice_abi::{failure::Code, id::Seq};

use crate::{
    common::peer::{Peer, decoded},
    follow::Follower,
    life::Peers,
    model::{Model, Rows},
    node::{Node, PATIENCE},
    random::Random,
};

/// Everything.
pub(crate) async fn all(peers: &Peers, model: &mut Model, random: &mut Random) {
    let Peers { owner, stranger } = peers;
    for peer in [owner, stranger] {
        assert_eq!(pairs(peer, "store", "rows").await, model.rows, "store.rows");
        assert_eq!(
            pairs(peer, "store", "notes").await,
            model.notes,
            "store.notes"
        );
        let count = peer.query("store", "count", &[]).await;
        assert_eq!(count, Ok(model.rows.len() as u64));
    }
    assert_eq!(
        pairs(owner, "store", "secret").await,
        model.secret,
        "store.secret"
    );
    let denied = stranger.rows("store", "secret").await;
    assert_eq!(denied.expect_err("it is private").code, Code::NotFound);
    mirror(peers, model).await;
    plain(peers, model).await;
    timers(owner, model).await;
    past(peers, model, random).await;
}

/// The module that reacts to each change once.
pub(crate) async fn mirror(peers: &Peers, model: &Model) {
    let Peers { owner, stranger } = peers;
    for peer in [owner, stranger] {
        let copy = pairs(peer, "mirror", "copy").await;
        assert_eq!(copy, model.rows, "mirror.copy");
    }
    let heard = owner.rows("mirror", "heard").await.expect("it is public");
    assert_eq!(
        heard.len() as u64,
        model.changes,
        "each change is heard once"
    );
}

/// A table of pairs of numbers.
pub(crate) async fn pairs(peer: &Peer, module: &str, table: &str) -> Rows {
    let rows = peer.rows(module, table).await;
    let rows = rows.unwrap_or_else(|failure| unreachable!("{module}.{table}: {failure}"));
    rows.iter().map(|row| (row[0], row[1])).collect()
}

/// A row that must be written.
pub(crate) async fn put(peer: &Peer, model: &mut Model, id: u64, value: u64) {
    let called = peer.call("store", "put", &[id, value]).await;
    let called = called.expect("it fits");
    model.put(id, value);
    model.acknowledged(called.seq.0);
}

async fn plain(peers: &Peers, model: &Model) {
    let found = peers.owner.rows("plain", "rows").await;
    match &model.plain {
        None => assert_eq!(found.expect_err("it is gone").code, Code::NotFound),
        Some(plain) => {
            let found = found.expect("its rows stay, whether it runs or not");
            let expected: Vec<_> = plain.rows.values().cloned().collect();
            assert_eq!(found, expected, "plain.rows as {:?}", plain.version);
        }
    }
}

/// Each timer that was set rings once.
pub(crate) async fn timers(owner: &Peer, model: &Model) {
    let began = Instant::now();
    loop {
        let rung = owner.rows("store", "rung").await.expect("it is public");
        let rung = rung.len() as u64;
        assert!(rung <= model.timers, "a timer has rung twice");
        if rung == model.timers {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} timers were set and {rung} have rung",
            model.timers
        );
    }
}

/// The rows as they were after a turn that was acknowledged.
pub(crate) async fn past(peers: &Peers, model: &Model, random: &mut Random) {
    let Some(last) = (model.past.len() as u64).checked_sub(1) else {
        return;
    };
    let place = usize::try_from(random.below(last + 1)).expect("it is small");
    let (seq, rows) = &model.past[place];
    let peer = match random.below(2) {
        0 => &peers.owner,
        _ => &peers.stranger,
    };
    let found = peer.rows_at("store", "rows", Seq(*seq)).await;
    let found = found.unwrap_or_else(|failure| unreachable!("turn {seq}: {failure}"));
    let found: Rows = found.iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(found, *rows, "store.rows as of turn {seq}");
}

/// The digest of each module.
pub(crate) async fn digests(owner: &Peer) -> BTreeMap<String, String> {
    let modules = owner.modules().await;
    let digests = modules.into_iter();
    digests
        .map(|module| (module.name.to_string(), format!("{:?}", module.digest)))
        .collect()
}

/// A watcher that comes back has exactly the rows of the table once it has seen the row with this
/// value.
pub(crate) async fn follower(
    node: &Node,
    owner: &Peer,
    follower: &mut Follower,
    model: &Model,
    value: u64,
) {
    let (module, table) = (follower.module, follower.table);
    follower
        .catch_up(&node.address, |row| decoded(row)[1] == value)
        .await;
    let seen = follower.rows.values().map(|row| decoded(row));
    let seen: Rows = seen.map(|row| (row[0], row[1])).collect();
    assert_eq!(seen, model.rows, "{module}.{table} as it was watched");
    assert_eq!(pairs(owner, module, table).await, seen, "{module}.{table}");
    assert!(
        follower.anew <= model.deploys,
        "{module}.{table} is not resumed"
    );
}
