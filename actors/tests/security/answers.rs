//! Large answers are made beside the supervisor, and when their client has room for them: what was
//! asked after them does not wait for them.

use interstice_abi::{
    codec::Column as _,
    wire::{Ack, LogsMode, RequestBody, ResponseBody},
};

use crate::{
    common::{
        guest::{GuestModule, GuestTable},
        op::{Op, arg, insert, must},
        world::World,
    },
    raw::Raw,
};

/// Requests of the flood. All their answers together are less than what makes a node stop reading.
const REQUESTS: u64 = 50;

/// Lines of a log, of [`LINE_BYTES`] each: an answer has all of them.
const LINES: u64 = 50;

const LINE_BYTES: usize = 4000;

/// `say` writes one line.
fn talker() -> GuestModule {
    GuestModule::new("talker")
        .table(GuestTable::new("Marks", &["value"]))
        .reducer("say", 0, vec![Op::Log("x".repeat(LINE_BYTES))])
        .reducer("mark", 2, vec![must(insert("marks", [arg(0), arg(1)]))])
}

fn mark(key: u64) -> RequestBody {
    RequestBody::Call {
        module: "talker".into(),
        reducer: "mark".into(),
        arguments: [key.to_bytes(), key.to_bytes()].concat(),
        ack: Ack::Durable,
    }
}

fn lines(follow: LogsMode) -> RequestBody {
    RequestBody::Logs {
        module: None,
        tail: u32::MAX,
        after: None,
        follow,
    }
}

async fn talked() -> World {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&talker()).await;
    for _ in 0..LINES {
        owner.call("talker", "say", &[]).await.unwrap();
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_answered_before_the_large_answers_that_its_client_has_asked_for_earlier() {
    let mut world = talked().await;
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port());
    let mut raw = Raw::greeted_at(&address.parse().unwrap(), world.owner_key()).await;
    for id in 0..REQUESTS {
        raw.ask(2 + id, lines(LogsMode::Kept)).await;
    }
    let (call, watched) = (2 + REQUESTS, world.owner().await);
    raw.ask(call, mark(1)).await;
    while watched.rows("talker", "marks").await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // Answered in the order of the log, so the other call has its answer in the outbox.
    watched.call("talker", "mark", &[2, 2]).await.unwrap();
    let (mut before, mut ended, mut is_marked) = (0, 0, false);
    while ended < REQUESTS || !is_marked {
        let answer = raw.answer().await.unwrap();
        match answer.body.unwrap() {
            ResponseBody::Log(lines) => {
                assert!(lines.len() >= usize::try_from(LINES).unwrap());
                before += u64::from(!is_marked);
            }
            ResponseBody::Ended => ended += 1,
            ResponseBody::Called(_) => is_marked = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(before < REQUESTS / 2, "{before} of {REQUESTS} came before");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_come_after_a_follower_has_asked_reach_it_once_however_late_its_stream_begins() {
    let mut world = talked().await;
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port());
    let mut raw = Raw::greeted_at(&address.parse().unwrap(), world.owner_key()).await;
    let first = 2 + REQUESTS;
    for id in 2..first {
        raw.ask(id, lines(LogsMode::Kept)).await;
    }
    let follow = RequestBody::Logs {
        module: Some("talker".into()),
        tail: 2,
        after: None,
        follow: LogsMode::Follow,
    };
    raw.ask(first, follow).await;
    raw.ask(first + 1, mark(1)).await;
    let owner = world.owner().await;
    while owner.rows("talker", "marks").await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        owner.call("talker", "say", &[]).await.unwrap();
    }
    let mut numbers = Vec::new();
    while numbers.len() < 5 {
        let answer = raw.answer().await.unwrap();
        if let (id, ResponseBody::Log(lines)) = (answer.id, answer.body.unwrap())
            && id == first
        {
            numbers.extend(lines.iter().map(|line| line.number));
        }
    }
    // The last two of before, then the three of after.
    assert_eq!(numbers.len(), 5, "{numbers:?}");
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    raw.ask(first + 2, RequestBody::Cancel { id: first }).await;
    loop {
        let answer = raw.answer().await.unwrap();
        if answer.id == first {
            assert!(matches!(answer.body, Ok(ResponseBody::Ended)));
            break;
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_lines_that_is_cancelled_while_it_waits_ends_with_one_answer() {
    let mut world = talked().await;
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port());
    let mut raw = Raw::greeted_at(&address.parse().unwrap(), world.owner_key()).await;
    for id in 0..REQUESTS {
        raw.ask(2 + id, lines(LogsMode::Follow)).await;
    }
    for id in 0..REQUESTS {
        raw.ask(0, RequestBody::Cancel { id: 2 + id }).await;
    }
    let mut ended: Vec<u64> = Vec::new();
    while ended.len() < usize::try_from(REQUESTS).unwrap() {
        let answer = raw.answer().await.unwrap();
        if matches!(answer.body.unwrap(), ResponseBody::Ended) {
            ended.push(answer.id);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, (2..2 + REQUESTS).collect::<Vec<u64>>());
    // Nothing more comes of them.
    raw.ask(1000, RequestBody::Ping).await;
    assert_eq!(raw.answer().await.unwrap().id, 1000);
    world.stop().await;
}
