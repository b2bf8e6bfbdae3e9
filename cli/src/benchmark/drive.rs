//! The connections of one load: each sends, takes answers, and notes how long they took.
//!
//! A connection is one task over one [`Pipeline`], so that the load generator costs the machine
//! little. A call that was sent is waited for, also behind the end, so that what is counted here
//! can be compared with what the node counts.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use interstice_abi::{
    fingerprint::Fingerprint,
    wire::{Request, RequestBody, Response, ResponseBody},
};
use interstice_client::{Client, ConnectOptions, Identity, Pipeline, Target};

use super::{
    load::{Kind, Load},
    numbers::{Numbers, Sent},
    template::Template,
};

/// The longest latency that is told apart, in microseconds: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// How long answers are waited for behind the end.
const DRAIN: Duration = Duration::from_secs(30);

/// Ids below are the greeting's.
const FIRST_ID: u64 = 2;

/// What every connection of a run needs.
#[derive(Debug)]
pub struct Plan {
    /// The load.
    pub load: Load,
    /// Its arguments.
    pub template: Template,
    /// The signature that these are for: an upgrade in the middle of a run is a failure and not
    /// another measurement.
    pub signature: Fingerprint,
    /// The node.
    pub target: Target,
    /// Who calls.
    pub identity: Identity,
}

/// When a run begins, is measured, and ends.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The first call.
    pub start: Instant,
    /// From here on, answers are counted.
    pub measured_from: Instant,
    /// Up to here. Nothing is sent any more.
    pub end: Instant,
}

/// What came of a run, or of one connection of it.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Latencies of the measured answers in microseconds.
    pub latency_us: Histogram<u64>,
    /// Committed calls, or answered queries, whose answers came while it was measured.
    pub measured: u64,
    /// Committed calls, or answered queries, of the whole run.
    pub succeeded: u64,
    /// Calls that failed, by their code.
    pub failed: BTreeMap<String, u64>,
    /// Calls whose answer never came.
    pub unanswered: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
            .expect("three digits up to a minute are within what a histogram can do");
        Self {
            latency_us,
            measured: 0,
            succeeded: 0,
            failed: BTreeMap::new(),
            unanswered: 0,
        }
    }
}

impl Tally {
    /// Adds what came of another connection.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.latency_us.add(&other.latency_us);
        self.measured += other.measured;
        self.succeeded += other.succeeded;
        self.unanswered += other.unanswered;
        for (code, count) in &other.failed {
            *self.failed.entry(code.clone()).or_default() += count;
        }
    }

    fn answer(&mut self, answer: Response, began: Instant, now: Instant, clock: &Clock) {
        match answer.body {
            Ok(ResponseBody::Called(_) | ResponseBody::Value { .. }) => {
                self.succeed(began, now, clock);
            }
            Ok(other) => self.fail(&format!("answered {other:?}")),
            Err(failure) => self.fail(failure.code.word()),
        }
    }

    fn succeed(&mut self, began: Instant, now: Instant, clock: &Clock) {
        self.succeeded += 1;
        if now >= clock.measured_from && now < clock.end {
            self.measured += 1;
            let latency = now.saturating_duration_since(began).as_micros();
            let latency = u64::try_from(latency).unwrap_or(u64::MAX);
            self.latency_us.saturating_record(latency.max(1));
        }
    }

    fn fail(&mut self, why: &str) {
        *self.failed.entry(why.to_string()).or_default() += 1;
    }
}

/// Drives one connection until the end of `clock`, and until everything is answered.
///
/// # Errors
/// When the connection is lost, or an argument does not encode.
pub async fn persistent(
    plan: Arc<Plan>,
    mut pipeline: Pipeline,
    client: u32,
    sent: Arc<Sent>,
    clock: Clock,
) -> Result<Tally, String> {
    let mut connection = Connection::new(&plan, client, sent, clock);
    let mut answers = Vec::new();
    loop {
        connection.send(&mut pipeline)?;
        let now = Instant::now();
        if connection.is_idle() && now >= clock.end {
            return Ok(connection.tally);
        }
        if now >= clock.end + DRAIN {
            connection.tally.unanswered = connection.in_flight();
            return Ok(connection.tally);
        }
        let wake = tokio::time::sleep_until(connection.wake(now).into());
        tokio::select! {
            turned = pipeline.turn(&mut answers) => turned.map_err(|error| error.to_string())?,
            () = wake => {}
        }
        let now = Instant::now();
        for answer in answers.drain(..) {
            connection.answer(answer, now)?;
        }
    }
}

/// One connection's calls: which are in flight since when, and when the next is due.
struct Connection<'a> {
    plan: &'a Plan,
    clock: Clock,
    numbers: Numbers,
    request: Request,
    /// Since when each call in flight counts.
    began: Vec<Instant>,
    /// Places of `began` without a call.
    free: Vec<usize>,
    calls: u64,
    /// Open loop: between two calls.
    interval: Option<Duration>,
    due: Instant,
    tally: Tally,
}

impl<'a> Connection<'a> {
    fn new(plan: &'a Plan, client: u32, sent: Arc<Sent>, clock: Clock) -> Self {
        let load = &plan.load;
        let slots = usize::try_from(load.in_flight).unwrap_or(1);
        let interval = load
            .rate
            .map(|rate| Duration::from_secs(1).mul_f64(f64::from(load.connections) / as_f64(rate)));
        // Connections take turns, so that an open loop is even.
        let offset = interval.map_or(Duration::ZERO, |interval| {
            interval.mul_f64(f64::from(client) / f64::from(load.connections))
        });
        let (module, name) = (load.module.clone(), load.reducer.clone());
        let body = match load.kind {
            Kind::Reducer => RequestBody::CallAs {
                module,
                reducer: name,
                arguments: Vec::new(),
                ack: load.ack.into(),
                signature: plan.signature,
            },
            Kind::Query => RequestBody::QueryAs {
                module,
                query: name,
                arguments: Vec::new(),
                ack: load.ack.into(),
                signature: plan.signature,
            },
        };
        Self {
            plan,
            clock,
            numbers: Numbers::new(client, load.connections, load.in_flight, sent),
            request: Request { id: 0, body },
            began: vec![clock.start; slots],
            free: (0..slots).rev().collect(),
            calls: 0,
            interval,
            due: clock.start + offset,
            tally: Tally::default(),
        }
    }

    /// Sends whatever is due and has a place.
    fn send(&mut self, pipeline: &mut Pipeline) -> Result<(), String> {
        let now = Instant::now();
        if now < self.clock.start || now >= self.clock.end {
            return Ok(());
        }
        while let Some(slot) = self.free.last().copied() {
            let began = match self.interval {
                None => now,
                Some(interval) if self.due <= now => {
                    let due = self.due;
                    self.due += interval;
                    due
                }
                Some(_) => break,
            };
            self.free.pop();
            self.numbers.next(slot);
            let slots = u64::try_from(self.began.len()).unwrap_or(1);
            self.request.id = FIRST_ID + self.calls * slots + u64::try_from(slot).unwrap_or(0);
            self.calls += 1;
            let (RequestBody::CallAs { arguments, .. } | RequestBody::QueryAs { arguments, .. }) =
                &mut self.request.body
            else {
                continue;
            };
            arguments.clear();
            self.plan.template.encode(&mut self.numbers, arguments)?;
            pipeline
                .push(&self.request)
                .map_err(|error| error.to_string())?;
            if let Some(place) = self.began.get_mut(slot) {
                *place = began;
            }
        }
        Ok(())
    }

    fn answer(&mut self, answer: Response, now: Instant) -> Result<(), String> {
        let slots = u64::try_from(self.began.len()).unwrap_or(1);
        if answer.id < FIRST_ID {
            let said = answer
                .body
                .err()
                .map_or_else(String::new, |failure| failure.to_string());
            return Err(format!("the node ends the connection: {said}"));
        }
        let slot = usize::try_from((answer.id - FIRST_ID) % slots).unwrap_or(0);
        let began = self.began.get(slot).copied().unwrap_or(now);
        self.free.push(slot);
        self.tally.answer(answer, began, now, &self.clock);
        Ok(())
    }

    fn in_flight(&self) -> u64 {
        u64::try_from(self.began.len() - self.free.len()).unwrap_or(0)
    }

    fn is_idle(&self) -> bool {
        self.in_flight() == 0
    }

    /// When there is something to do even if nothing arrives.
    fn wake(&self, now: Instant) -> Instant {
        if now < self.clock.start {
            return self.clock.start;
        }
        if now >= self.clock.end {
            return self.clock.end + DRAIN;
        }
        match self.interval {
            Some(_) if !self.free.is_empty() => self.due.min(self.clock.end),
            _ => self.clock.end,
        }
    }
}

/// One caller that connects anew for each call.
///
/// # Errors
/// When an argument does not encode.
pub async fn reconnecting(
    plan: Arc<Plan>,
    client: u32,
    sent: Arc<Sent>,
    clock: Clock,
) -> Result<Tally, String> {
    let load = &plan.load;
    let mut numbers = Numbers::new(client, load.connections, load.in_flight, sent);
    let mut tally = Tally::default();
    tokio::time::sleep_until(clock.start.into()).await;
    while Instant::now() < clock.end {
        numbers.next(0);
        let mut arguments = Vec::new();
        plan.template.encode(&mut numbers, &mut arguments)?;
        let began = Instant::now();
        let options = ConnectOptions::default();
        let client = match Client::connect(&plan.identity, &plan.target, &options).await {
            Ok(client) => client,
            Err(error) => {
                tally.fail(&error.to_string());
                continue;
            }
        };
        let named = (load.module.as_str(), load.reducer.as_str());
        let called = client.call_as(named, arguments, plan.signature, load.ack.into());
        match called.await {
            Ok(_) => tally.succeed(began, Instant::now(), &clock),
            Err(error) => tally.fail(&error.to_string()),
        }
    }
    Ok(tally)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is far below 2^53")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
