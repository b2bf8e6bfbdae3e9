//! Tables that are read page by page: all pages of one turn, whatever happens meanwhile.

use futures::TryStreamExt as _;
use interstice_abi::{
    failure::{Code, Failure},
    schema::Visibility,
    wire::{OnConflict, RequestBody, RowFilter, RowsPage},
};
use interstice_client::Error;

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, must, reg, update},
    peer::{Peer, decoded, encoded, within},
    world::World,
};

const ACCOUNTS: u64 = 2500;

const BALANCE: u64 = 100;

/// `bank.put(id, balance)` writes one account; `fill` opens [`ACCOUNTS`].
fn bank() -> GuestModule {
    let open = must(Op::Insert {
        table: "accounts".into(),
        row: vec![reg(0), BALANCE.into()],
        into: 1,
    });
    GuestModule::new("bank")
        .table(GuestTable::new("Accounts", &["balance"]))
        .reducer(
            "fill",
            0,
            vec![Op::Repeat {
                register: 0,
                times: ACCOUNTS.into(),
                body: vec![open],
            }],
        )
        .reducer("put", 2, vec![must(update("accounts", [arg(0), arg(1)]))])
}

async fn banked() -> (World, Peer) {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&bank()).await;
    owner.call("bank", "fill", &[]).await.expect("fills");
    (world, owner)
}

async fn page(peer: &Peer, after: Option<Vec<u8>>, limit: u32) -> Result<RowsPage, Failure> {
    let page = peer.client().rows("bank", "accounts", after, limit, None);
    within(page).await.map_err(|error| match error {
        Error::Failed(failure) => failure,
        other => unreachable!("{other}"),
    })
}

fn sum(page: &RowsPage) -> u64 {
    page.rows.iter().map(|row| decoded(row)[1]).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages_of_a_reading_show_the_table_at_one_turn() {
    let (world, owner) = banked().await;
    let reader = world.stranger().await;
    let first = page(&reader, None, 1000).await.expect("reads");
    // From an account that has been read to one that has not, and the other way round.
    for (id, balance) in [(0, 0), (2000, 200), (1, 300), (2001, 0)] {
        let paid = owner.call("bank", "put", &[id, balance]).await;
        paid.expect("commits");
    }
    let second = page(&reader, first.next.clone(), 1000)
        .await
        .expect("reads");
    owner.install(&bank().version(0, 1, 1)).await;
    let third = page(&reader, second.next.clone(), 1000)
        .await
        .expect("reads");
    assert_eq!(third.next, None);
    assert_eq!((second.seq, third.seq), (first.seq, first.seq));
    let pages = [&first, &second, &third];
    let rows: usize = pages.iter().map(|page| page.rows.len()).sum();
    assert_eq!(rows as u64, ACCOUNTS);
    let total: u64 = pages.into_iter().map(sum).sum();
    assert_eq!(total, ACCOUNTS * BALANCE);

    let now: Vec<RowsPage> = within(
        reader
            .client()
            .pages("bank", "accounts", None)
            .try_collect(),
    )
    .await
    .expect("reads");
    assert_eq!(now.iter().map(sum).sum::<u64>(), ACCOUNTS * BALANCE + 100);
    assert!(now.iter().all(|page| page.seq == now[0].seq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_with_a_filter_finds_the_rows_of_its_turn() {
    let (_world, owner) = banked().await;
    let filter = || {
        Some(RowFilter {
            column: "balance".into(),
            value: encoded(&[BALANCE]),
        })
    };
    let client = owner.client();
    let asked = client.rows("bank", "accounts", None, 1000, filter());
    let mut page = within(asked).await.expect("reads");
    let changed = owner.call("bank", "put", &[2400, 1]).await;
    changed.expect("commits");
    let mut found = page.rows.len() as u64;
    while let Some(next) = page.next {
        let asked = client.rows("bank", "accounts", Some(next), 1000, filter());
        page = within(asked).await.expect("reads");
        found += page.rows.len() as u64;
    }
    assert_eq!(found, ACCOUNTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_read_once_and_by_the_connection_that_asked_for_the_first() {
    let (world, owner) = banked().await;
    let reader = world.stranger().await;
    let first = page(&reader, None, 10).await.expect("reads");
    let stolen = page(&owner, first.next.clone(), 10).await;
    assert_eq!(stolen.expect_err("is another's").code, Code::NotFound);
    page(&reader, first.next.clone(), 10).await.expect("reads");
    let again = page(&reader, first.next, 10).await;
    assert_eq!(again.expect_err("was read").code, Code::BadArguments);
    let made_up = page(&reader, Some(vec![255; 20]), 10).await;
    assert_eq!(made_up.expect_err("means nothing").code, Code::BadArguments);

    let oldest = page(&reader, None, 10).await.expect("reads");
    for _ in 0..8 {
        page(&reader, None, 10).await.expect("reads");
    }
    let ended = page(&reader, oldest.next, 10).await;
    assert_eq!(ended.expect_err("gave way").code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_reading_ends_with_its_right_and_an_owners_goes_on() {
    let (world, owner) = banked().await;
    let guest = world.stranger().await;
    let theirs = page(&guest, None, 1000).await.expect("reads");
    let own = page(&owner, None, 1000).await.expect("reads");
    let mut closed = bank().version(0, 1, 1);
    closed.tables[0].visibility = Visibility::Private;
    let deployed = owner.deploy(&closed, OnConflict::Refuse).await;
    deployed.expect("fits");
    let denied = page(&guest, theirs.next, 1000).await;
    assert_eq!(denied.expect_err("may not go on").code, Code::Denied);
    let remove = RequestBody::Remove {
        module: "bank".into(),
    };
    owner.request(remove).await.expect("goes");
    let rest = page(&owner, own.next, 10_000).await.expect("goes on");
    assert_eq!(own.rows.len() + rest.rows.len(), 2500);
}
