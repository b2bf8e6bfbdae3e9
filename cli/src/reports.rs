//! What a node and the libraries below it report by `tracing` and `log`: to the node's log, and to
//! standard error of a node in the foreground.
//!
//! Warnings and errors are reported unless `RUST_LOG` says otherwise. The thread that reports only
//! puts the text into a bounded queue; one thread of this program's own writes (`writer`). So
//! nothing that reports waits for a disk or a terminal, and a report of the log itself does not
//! come back to it.

mod record;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use interstice_actors::node::NodeLog;
use tracing::{Event, Subscriber, level_filters::LevelFilter, subscriber::set_global_default};
use tracing_log::{AsLog, LogTracer};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::{Context, SubscriberExt},
};

use self::{
    record::Report,
    writer::{Message, Writer},
};
use crate::problem::{Outcome, Problem};

/// The environment variable that says what is reported.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// What is reported when it says nothing.
const DEFAULT_FILTER: &str = "warn";

/// Reports that may wait for the writer. More come only when something reports in a loop, and then
/// the first ones matter.
const WAITING_MAX: usize = 1024;

/// How reports look on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// A JSON object in a line
    Json,
}

/// The way of reports, from [`begin`] on.
#[derive(Debug)]
pub struct Reports {
    queue: SyncSender<Message>,
    writer: JoinHandle<()>,
}

/// Begins to gather reports. `format` is that of standard error; `None` for a node whose standard
/// error nobody reads.
///
/// # Errors
/// When `RUST_LOG` is not a filter, or this process gathers them already.
pub fn begin(format: Option<LogFormat>) -> Outcome<Reports> {
    let wanted = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|filter| !filter.is_empty());
    let filter =
        EnvFilter::try_new(wanted.as_deref().unwrap_or(DEFAULT_FILTER)).map_err(|error| {
            Problem::usage(format!("{FILTER_VARIABLE} is not a filter: {error}"))
                .advise("write a level (warn), or levels of parts (warn,libp2p_swarm=debug)")
        })?;
    let (queue, reports) = sync_channel(WAITING_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    // Who asks for more than warnings wants all of it.
    let writer = Writer::new(format, wanted.is_none(), dropped.clone());
    let writer = std::thread::Builder::new()
        .name("reports".to_string())
        .spawn(move || writer.run(&reports))
        .map_err(|error| Problem::failed(format!("cannot start a thread: {error}")))?;
    let gather = Gather {
        queue: queue.clone(),
        dropped,
    };
    // What no filter lets through costs `log`'s users a comparison.
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let bridge = LogTracer::builder().with_max_level(most.as_log());
    let is_new = set_global_default(Registry::default().with(filter).with(gather)).is_ok()
        && bridge.init().is_ok();
    if is_new {
        Ok(Reports { queue, writer })
    } else {
        Err(Problem::failed("this process gathers reports already"))
    }
}

impl Reports {
    /// Writes reports into this node's log, too, those that have come before among them.
    pub fn attach(&self, log: NodeLog) {
        // The writer ends only with this value.
        let _ = self.queue.send(Message::Attach(log));
    }

    /// Writes what is waiting. What is reported afterwards is lost.
    pub fn end(self) {
        let ended = self.queue.send(Message::End).is_ok() && self.writer.join().is_ok();
        debug_assert!(ended, "the writer of reports has panicked");
    }
}

/// Puts events into the queue.
struct Gather {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<S: Subscriber> Layer<S> for Gather {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let report = Report::of(event);
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Report(report)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
