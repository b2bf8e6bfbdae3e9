//! Crimes that end by themselves or by a limit, one after the other: the error, the undoing, the
//! next call.

use std::time::{Duration, Instant};

use interstice_abi::failure::{Code, Failure};
use interstice_abi::wire::ModuleState;

use super::{amount, deployed, state_of};
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{arg, insert, must},
    peer::Peer,
};

/// Far more than a deadline on a machine under load, far less than for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// A crime and how it may end: with which code, and what its message names.
struct Crime {
    function: &'static str,
    arguments: &'static [u64],
    kind: Kind,
    ends: &'static [(Code, &'static str)],
}

#[derive(Clone, Copy)]
enum Kind {
    Reducer,
    Query,
}

const fn crime(
    function: &'static str,
    arguments: &'static [u64],
    ends: &'static [(Code, &'static str)],
) -> Crime {
    Crime {
        function,
        arguments,
        kind: Kind::Reducer,
        ends,
    }
}

impl Crime {
    const fn asked(mut self) -> Self {
        self.kind = Kind::Query;
        self
    }
}

const DEADLINE: (Code, &str) = (Code::Deadline, "deadline of 500 ms");
const STEP_BYTES: (Code, &str) = (
    Code::Rejected,
    "the limit is 4194304 (step_bytes_max in node.toml)",
);

const CRIMES: &[Crime] = &[
    crime("endless_loop", &[], &[DEADLINE]),
    crime("endless_query", &[], &[DEADLINE]).asked(),
    crime("deep_recursion", &[], &[(Code::StackOverflow, "stack")]),
    crime(
        "memory_bomb",
        &[],
        &[(Code::OutOfMemory, "the limit is 67108864")],
    ),
    crime("table_bomb", &[10], &[DEADLINE, STEP_BYTES]),
    crime("table_bomb", &[100_000], &[STEP_BYTES]),
    crime(
        "undo_bomb",
        &[2000],
        &[(Code::Trap, "2000 rows for nothing")],
    ),
    crime(
        "clear_and_panic",
        &[],
        &[(Code::Trap, "everything was burnt")],
    ),
    crime("huge_row", &[17 << 20], &[(Code::Rejected, "limit is")]),
    crime(
        "huge_answer",
        &[17 << 20],
        &[(Code::TooLarge, "arguments_bytes_max in node.toml")],
    )
    .asked(),
    crime("huge_error", &[1 << 20], &[(Code::Rejected, "xxx")]),
    crime(
        "huge_error",
        &[17 << 20],
        &[(Code::TooLarge, "arguments_bytes_max in node.toml")],
    ),
    crime("host_call_flood", &[], &[DEADLINE]),
    crime("scan_flood", &[], &[DEADLINE]),
    crime("call_flood", &[], &[DEADLINE]),
    crime("log_flood", &[10_000], &[DEADLINE]),
    crime("timer_flood", &[], &[DEADLINE, STEP_BYTES]),
    crime(
        "panic_across",
        &[7],
        &[(Code::Trap, "caught with account 7")],
    ),
    crime(
        "fail_across",
        &[7],
        &[(Code::Rejected, "account 7 was a mistake")],
    ),
    crime("crash", &[], &[(Code::Trap, "a timer crashes")]),
];

async fn commit(peer: &Peer, crime: &Crime) -> Failure {
    let ended = match crime.kind {
        Kind::Reducer => peer
            .call("crimes", crime.function, crime.arguments)
            .await
            .map(drop),
        Kind::Query => peer
            .query("crimes", crime.function, crime.arguments)
            .await
            .map(drop),
    };
    ended.expect_err(crime.function)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_crime_is_an_error_that_names_its_limit_leaves_nothing_and_is_outlived() {
    let (mut world, owner) = deployed().await;
    let neighbour = GuestModule::new("neighbour")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer("put", 1, vec![must(insert("rows", [0.into(), arg(0)]))]);
    owner.install(&neighbour).await;
    let stranger = world.stranger().await;
    stranger
        .call("bank", "open", &[1, amount(100)])
        .await
        .expect("it opens");
    let mut honest = 0;
    for crime in CRIMES {
        let name = crime.function;
        let before = (
            state_of(&owner, "crimes").await,
            state_of(&owner, "bank").await,
        );
        let started = Instant::now();
        let (failure, lived) = tokio::join!(
            commit(&stranger, crime),
            owner.call("neighbour", "put", &[1])
        );
        assert!(
            started.elapsed() < PATIENCE,
            "{name}: {:?}",
            started.elapsed()
        );
        lived.expect("the neighbour serves meanwhile");
        let told = crime
            .ends
            .iter()
            .any(|(code, words)| failure.code == *code && failure.message.contains(words));
        assert!(told, "{name}: {:?} {failure}", failure.code);
        assert!(
            failure.message.len() < 20_000,
            "{name}: its message is bounded"
        );
        let after = (
            state_of(&owner, "crimes").await,
            state_of(&owner, "bank").await,
        );
        assert_eq!(
            before, after,
            "{name} is undone: rows, counters and timers, here and there"
        );
        stranger
            .call("crimes", "behave", &[7])
            .await
            .expect("it serves the next call");
        honest += 1;
        let rows = owner.rows("crimes", "loot").await.expect("is there");
        let ids: Vec<u64> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(
            ids,
            (1..=honest).collect::<Vec<u64>>(),
            "{name} has spent no number"
        );
    }
    assert_eq!(
        owner.status("crimes").await.state,
        ModuleState::Loaded,
        "whoever calls cannot have it quarantined"
    );
    let balance = owner.rows("bank", "account").await;
    assert_eq!(balance, Ok(vec![vec![1, amount(100)]]));
    let state = state_of(&owner, "crimes").await;
    world.crash().await;
    let owner = world.owner().await;
    assert_eq!(
        state_of(&owner, "crimes").await,
        state,
        "a restart finds the same"
    );
    world.stop().await;
}
