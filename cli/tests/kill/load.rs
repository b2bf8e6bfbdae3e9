//! A client of the ledger: makes, revises and drops entries, sets timers, looks at what it has
//! made, several calls at a time, until the node is gone. It remembers what it was told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use interstice_abi::{
    failure::Code,
    wire::{Ack, Called},
};
use interstice_client::{Client, Error};

use crate::{
    book::{Done, Event},
    check::EntryRow,
    random::Random,
};

/// Clients that call at the same time, each on a connection of its own.
pub(crate) const CLIENTS: u64 = 3;

/// Most calls that a client has under way.
const IN_FLIGHT: u64 = 8;

/// Tokens that a client can use in a round.
const TOKENS_PER_ROUND: u64 = 1_000_000;

/// What all clients of a round share.
pub(crate) struct Round {
    acknowledged: AtomicU64,
    kill_at: u64,
    kill: tokio::sync::Notify,
}

/// How far a new entry gets; the numbers of the ledger's `Course`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Straight,
    Detour,
    Refused,
    Panic,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Make(Course),
    Revise,
    Discard,
    Alarm { delay_ms: u64 },
    Look,
}

enum Answer {
    Called(Result<Called, Error>),
    Looked(Result<Vec<u8>, Error>),
}

struct Sent {
    op: Op,
    token: u64,
    ack: Ack,
    answer: BoxFuture<'static, Answer>,
}

/// One client.
pub(crate) struct Load {
    client: Client,
    number: u64,
    next_token: u64,
    alive: Vec<u64>,
    random: Random,
    events: Vec<Event>,
    is_over: bool,
}

/// The amount that an entry begins with.
pub(crate) fn first_amount(token: u64) -> u64 {
    token % 97 + 1
}

impl Round {
    pub(crate) fn new(kill_at: u64) -> Arc<Self> {
        Arc::new(Self {
            acknowledged: AtomicU64::new(0),
            kill_at,
            kill: tokio::sync::Notify::new(),
        })
    }

    /// Waits until the node has acknowledged enough.
    pub(crate) async fn reached(&self) {
        self.kill.notified().await;
    }

    fn acknowledged(&self) {
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == self.kill_at {
            self.kill.notify_one();
        }
    }
}

impl Load {
    pub(crate) fn new(
        client: Client,
        number: u64,
        round: u64,
        alive: Vec<u64>,
        random: Random,
    ) -> Self {
        Self {
            client,
            number,
            next_token: ((number + 1) << 48) + round * TOKENS_PER_ROUND,
            alive,
            random,
            events: Vec::new(),
            is_over: false,
        }
    }

    pub(crate) async fn run(mut self, round: Arc<Round>) -> Vec<Event> {
        while !self.is_over {
            let count = 1 + self.random.below(IN_FLIGHT);
            let batch: Vec<Sent> = (0..count).map(|_| self.send()).collect();
            let (asked, answers): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .map(|sent| ((sent.op, sent.token, sent.ack), sent.answer))
                .unzip();
            let answers = answers.into_iter().map(|answer| async {
                let answer = answer.await;
                if matches!(answer, Answer::Called(Ok(_))) {
                    round.acknowledged();
                }
                answer
            });
            for ((op, token, ack), answer) in asked.into_iter().zip(join_all(answers).await) {
                match answer {
                    Answer::Called(answer) => self.called(op, token, ack, answer).await,
                    Answer::Looked(answer) => self.looked(token, answer),
                }
            }
        }
        self.events
    }

    fn send(&mut self) -> Sent {
        let ack = match self.random.below(5) {
            0 => Ack::Applied,
            _ => Ack::Durable,
        };
        let (op, token) = self.choose();
        let client = self.client.clone();
        let amount = first_amount(token);
        let call = |reducer: &str, arguments: Vec<u8>| {
            let called = client.call("ledger", reducer, arguments, ack);
            Box::pin(async move { Answer::Called(called.await) }) as BoxFuture<'static, Answer>
        };
        let answer = match op {
            Op::Make(course) => {
                let course = course as u32;
                call("add", encoded(&(token, self.number, amount, course)))
            }
            Op::Revise => call("revise", encoded(&(token, 1_u64))),
            Op::Discard => call("discard", encoded(&(token,))),
            Op::Alarm { delay_ms } => call("alarm", encoded(&(token, delay_ms))),
            Op::Look => {
                let client = self.client.clone();
                Box::pin(async move {
                    let arguments = encoded(&(token,));
                    let looked = client.query("ledger", "by_token", arguments, Ack::Durable);
                    Answer::Looked(looked.await.map(|(bytes, _)| bytes))
                })
            }
        };
        Sent {
            op,
            token,
            ack,
            answer,
        }
    }

    fn choose(&mut self) -> (Op, u64) {
        let count = u64::try_from(self.alive.len()).unwrap_or(0);
        let place = usize::try_from(self.random.below(count.max(1))).unwrap_or(0);
        let one = self.alive.get(place).copied();
        match (self.random.below(20), one) {
            (0..3, Some(token)) => (Op::Revise, token),
            (3..5, Some(token)) => {
                self.alive.swap_remove(place);
                (Op::Discard, token)
            }
            (5..8, Some(token)) => (Op::Look, token),
            (8..11, _) => {
                let delay_ms = self.random.below(300);
                (Op::Alarm { delay_ms }, self.token())
            }
            (11, _) => (Op::Make(Course::Refused), self.token()),
            (12, _) => (Op::Make(Course::Panic), self.token()),
            (13, _) => (Op::Make(Course::Detour), self.token()),
            _ => (Op::Make(Course::Straight), self.token()),
        }
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    async fn called(&mut self, op: Op, token: u64, ack: Ack, answer: Result<Called, Error>) {
        let done = match op {
            Op::Make(_) => Done::Made {
                client: self.number,
            },
            Op::Revise => Done::Revised,
            Op::Discard => Done::Discarded,
            Op::Alarm { .. } | Op::Look => Done::Alarmed,
        };
        let must_fail = matches!(op, Op::Make(Course::Refused | Course::Panic));
        match answer {
            Ok(called) => {
                assert!(!must_fail, "{op:?} has succeeded");
                assert_eq!((called.failed, called.dropped), (0, 0), "{op:?}");
                let seq = called.seq.0;
                self.events.push(match ack {
                    Ack::Durable => Event::Sure { done, token, seq },
                    Ack::Applied => Event::Open { done, token, seq },
                });
                if matches!(op, Op::Make(_)) {
                    self.alive.push(token);
                }
            }
            Err(error) => {
                self.refused(op, error, (!must_fail).then_some((done, token)))
                    .await
            }
        }
    }

    async fn refused(&mut self, op: Op, error: Error, open: Option<(Done, u64)>) {
        let may_have_happened = match &error {
            Error::OutcomeUnknown { .. } => {
                self.is_over = true;
                true
            }
            Error::Lost { .. } => {
                self.is_over = true;
                false
            }
            Error::Failed(failure) => match failure.code {
                Code::Rejected | Code::Trap if open.is_none() => false,
                // The ledger is unloaded, or the node stops.
                Code::NotFound | Code::Busy => false,
                Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    true
                }
                _ => unreachable!("{op:?}: {error}"),
            },
            _ => unreachable!("{op:?}: {error}"),
        };
        if let Some((done, token)) = open.filter(|_| may_have_happened) {
            self.events.push(Event::Open {
                done,
                token,
                seq: 0,
            });
        }
    }

    fn looked(&mut self, asked: u64, answer: Result<Vec<u8>, Error>) {
        match answer {
            Ok(bytes) => {
                let entry: Option<EntryRow> = postcard::from_bytes(&bytes).expect("an entry");
                if let Some(entry) = entry {
                    assert_eq!(entry.token, asked);
                    self.events.push(Event::Seen {
                        token: entry.token,
                        id: entry.id,
                        number: entry.number.into(),
                    });
                }
            }
            Err(Error::OutcomeUnknown { .. } | Error::Lost { .. }) => self.is_over = true,
            Err(Error::Failed(failure))
                if matches!(
                    failure.code,
                    Code::NotFound | Code::Busy | Code::Unavailable
                ) => {}
            Err(error) => unreachable!("a query: {error}"),
        }
    }
}

pub(crate) fn encoded<T: serde::Serialize>(arguments: &T) -> Vec<u8> {
    postcard::to_allocvec(arguments).expect("it encodes")
}
