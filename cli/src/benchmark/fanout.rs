//! Fan-out and ticks: what is measured is not the answer to a call, but what follows from it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use interstice_abi::{
    codec::Input,
    wire::{Request, RequestBody, ResponseBody, WatchEvent},
};
use interstice_client::{ConnectOptions, Pipeline};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet};

use super::{
    drive::Tally,
    load::Load,
    profile::MODULE,
    report::{Measured, per_second},
    run::{Subject, run},
};
use crate::problem::{Outcome, Problem};

/// Watches of the table, over all connections.
const WATCHES: u64 = 1000;

/// Connections that carry them.
const CONNECTIONS: u64 = 8;

/// Calls of the writer per second.
const RATE: u64 = 1000;

/// How long it writes before anything is measured, in milliseconds.
const WARMUP_MS: u64 = 2000;

/// How long it writes while it is measured, in milliseconds.
const DURATION_MS: u64 = 10_000;

/// How long the last changes may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// What the watchers know of the writer.
struct Writer {
    /// Changes that have arrived, over all watches.
    deliveries: AtomicU64,
    /// Those of them that were written while it was measured.
    measured: AtomicU64,
    /// From when on it is measured, in microseconds since 1970.
    measured_from_us: AtomicU64,
    /// How long they took.
    latencies: Mutex<Tally>,
}

/// One writer at so many calls a second, many watches. Every change must reach every watch.
///
/// # Errors
/// When a change does not arrive.
pub async fn fanout(subject: &Subject) -> Outcome<Measured> {
    let (tell_written, written) = watch::channel(None);
    let writer = Arc::new(Writer {
        deliveries: AtomicU64::new(0),
        measured: AtomicU64::new(0),
        measured_from_us: AtomicU64::new(u64::MAX),
        latencies: Mutex::default(),
    });
    let mut watchers = JoinSet::new();
    let ready = Arc::new(tokio::sync::Barrier::new(
        usize::try_from(CONNECTIONS).unwrap_or(1) + 1,
    ));
    for _ in 0..CONNECTIONS {
        let pipeline = Pipeline::connect(
            &subject.identity,
            &subject.target,
            &ConnectOptions::default(),
        )
        .await
        .map_err(Problem::unreachable)?;
        watchers.spawn(watch_table(
            pipeline,
            WATCHES / CONNECTIONS,
            writer.clone(),
            ready.clone(),
            written.clone(),
        ));
    }
    ready.wait().await;
    let load = Load {
        connections: 1,
        in_flight: 256,
        duration_ms: DURATION_MS,
        warmup_ms: WARMUP_MS,
        rate: Some(RATE),
        ..Load::new(
            "fanout 1 to 1000",
            MODULE,
            "emit",
            vec![json!(1), json!("$seq"), json!("$now_us")],
        )
    };
    let from_us = super::numbers::now_us() + WARMUP_MS * 1000;
    writer.measured_from_us.store(from_us, Ordering::Relaxed);
    let counted = run(subject, &load).await?.counted;
    // The receivers are in the watchers; one that has ended early says why below.
    let _ = tell_written.send(Some(counted));
    let arrived = tokio::time::timeout(ARRIVAL, async {
        while let Some(ended) = watchers.join_next().await {
            ended.map_err(Problem::failed)?.map_err(Problem::failed)?;
        }
        Ok::<_, Problem>(())
    });
    match arrived.await {
        Ok(ended) => ended?,
        Err(_) => {
            return Err(Problem::failed(format!(
                "the run is rejected: {} of {} deliveries have arrived",
                writer.deliveries.load(Ordering::Relaxed),
                counted * WATCHES
            )));
        }
    }
    let latencies = writer
        .latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let deliveries = writer.deliveries.load(Ordering::Relaxed);
    let mut measured = Measured::new(&load, &latencies, deliveries);
    measured.committed = deliveries;
    measured.throughput = per_second(writer.measured.load(Ordering::Relaxed), DURATION_MS);
    Ok(measured)
}

/// Watches so often on one connection, until every watch has seen every change.
async fn watch_table(
    mut pipeline: Pipeline,
    watches: u64,
    writer: Arc<Writer>,
    ready: Arc<tokio::sync::Barrier>,
    mut written: watch::Receiver<Option<u64>>,
) -> Result<(), String> {
    for id in 0..watches {
        let body = RequestBody::Watch {
            module: MODULE.to_string(),
            table: "signal".to_string(),
            from: None,
        };
        pipeline
            .push(&Request { id: id + 2, body })
            .map_err(|error| error.to_string())?;
    }
    let mut answers = Vec::new();
    let (mut begun, mut seen) = (0, 0);
    let (mut tally, mut measured) = (Tally::default(), 0);
    loop {
        let all = *written.borrow_and_update();
        if begun == watches && all.is_some_and(|all| seen >= watches * all) {
            break;
        }
        tokio::select! {
            turned = pipeline.turn(&mut answers) => turned.map_err(|error| error.to_string())?,
            changed = written.changed() => changed.map_err(|_| "the writer has failed".to_string())?,
        }
        let now_us = super::numbers::now_us();
        for answer in answers.drain(..) {
            match answer.body.map_err(|failure| failure.to_string())? {
                ResponseBody::Watch(WatchEvent::Rows { complete, .. }) => {
                    begun += u64::from(complete.is_some());
                    if begun == watches && complete.is_some() {
                        ready.wait().await;
                    }
                }
                ResponseBody::Watch(WatchEvent::Changes(changes)) => {
                    for change in changes {
                        let sent_us = change.after.as_deref().and_then(sent_us);
                        let sent_us = sent_us.ok_or("a row without its time")?;
                        if sent_us >= writer.measured_from_us.load(Ordering::Relaxed) {
                            let latency = now_us.saturating_sub(sent_us);
                            tally.latency_us.saturating_record(latency.max(1));
                            measured += 1;
                        }
                        seen += 1;
                        writer.deliveries.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => {}
            }
        }
    }
    writer.measured.fetch_add(measured, Ordering::Relaxed);
    let mut all = writer
        .latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    all.add(&tally);
    Ok(())
}

/// The third column of a signal.
fn sent_us(row: &[u8]) -> Option<u64> {
    let mut input = Input::new(row);
    let mut last = 0;
    for _ in 0..3 {
        last = input.varint(64).ok()?;
    }
    u64::try_from(last).ok()
}

/// Timers of the tick profile.
const TIMERS: u32 = 100;

/// Milliseconds between two ticks of one.
const EVERY_MS: u64 = 1;

/// How long they tick before it is measured, and while it is.
const TICKING: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Timers that set themselves again; how often they tick, as the module counts it.
///
/// # Errors
/// When the module refuses.
pub async fn tick(subject: &Subject) -> Outcome<Measured> {
    let start = |timers: u32, ticks: u64| vec![json!(timers), json!(EVERY_MS), json!(ticks)];
    let arguments = start(TIMERS, u64::MAX);
    subject.call(MODULE, "start_ticks", &arguments).await?;
    tokio::time::sleep(TICKING[0]).await;
    let (before, began) = (ticks(subject).await?, Instant::now());
    tokio::time::sleep(TICKING[1]).await;
    let ticked = ticks(subject).await? - before;
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    // None starts any more, and those that are pending end.
    subject.call(MODULE, "start_ticks", &start(0, 0)).await?;
    let load = Load {
        connections: 1,
        in_flight: TIMERS,
        duration_ms: elapsed_ms,
        warmup_ms: 1000,
        ..Load::new("tick", MODULE, "start_ticks", arguments)
    };
    let mut measured = Measured::new(&load, &Tally::default(), ticked);
    measured.committed = ticked;
    measured.throughput = per_second(ticked, elapsed_ms);
    Ok(measured)
}

async fn ticks(subject: &Subject) -> Outcome<u64> {
    let asked = subject
        .control
        .query(MODULE, "ticks", Vec::new(), Default::default());
    let (value, _) = asked.await.map_err(Problem::failed)?;
    let ticks = Input::new(&value).varint(64).map_err(Problem::failed)?;
    Ok(u64::try_from(ticks).unwrap_or(u64::MAX))
}
