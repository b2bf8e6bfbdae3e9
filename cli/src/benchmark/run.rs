//! One run of one load: connect, count on the node, drive, count again, compare.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use interstice_abi::{fingerprint::Fingerprint, schema::ModuleSchema};
use interstice_client::{Client, ConnectOptions, Identity, Pipeline, Target};
use tokio::task::JoinSet;

use super::{
    drive::{Clock, Plan, Tally, persistent, reconnecting},
    load::{Kind, Load, Transport},
    numbers::Sent,
    report::Measured,
    template::Template,
};
use crate::{
    problem::{Outcome, Problem},
    signature,
};

/// Time to start all tasks before the first call.
const LEAD: Duration = Duration::from_millis(50);

/// How long the node may take to count what it has acknowledged: counts travel in batches.
const COUNT_DEADLINE: Duration = Duration::from_secs(5);

/// The node that is loaded, and who loads it.
#[derive(Debug)]
pub struct Subject {
    /// Its address.
    pub target: Target,
    /// Who calls.
    pub identity: Identity,
    /// A connection beside those of the load.
    pub control: Client,
}

impl Subject {
    /// Connects to the node at `target`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(identity: Identity, target: Target) -> Outcome<Self> {
        let control = Client::connect(&identity, &target, &ConnectOptions::default())
            .await
            .map_err(Problem::unreachable)?;
        Ok(Self {
            target,
            identity,
            control,
        })
    }

    /// The schema of a module of the node.
    ///
    /// # Errors
    /// When there is none, with what to do.
    pub async fn schema(&self, module: &str) -> Outcome<ModuleSchema> {
        self.control.schema(module).await.map_err(|error| {
            Problem::failed(error).advise(
                "`example benchmark` starts a node that has the module benchmark-workload; `deploy modules/benchmark` brings it to another",
            )
        })
    }

    /// Calls a reducer once, with arguments in JSON, and waits until it is durable.
    ///
    /// # Errors
    /// What is wrong with the arguments, or what the module says.
    pub async fn call(
        &self,
        module: &str,
        reducer: &str,
        arguments: &[serde_json::Value],
    ) -> Outcome<()> {
        let schema = self.schema(module).await?;
        let found = signature::reducer(&schema, reducer)?;
        let template = Template::new(arguments, &found.arguments, &schema.types)
            .map_err(|problem| Problem::usage(format!("`{reducer}`: {problem}")))?;
        let mut bytes = Vec::new();
        let mut numbers = super::numbers::Numbers::new(0, 1, 1, Arc::default());
        template
            .encode(&mut numbers, &mut bytes)
            .map_err(Problem::usage)?;
        let called = self
            .control
            .call_by(&schema, (module, reducer), bytes, Default::default())
            .await
            .map_err(|error| Problem::failed(format!("`{reducer}` of `{module}`: {error}")))?;
        if called.failed + called.dropped > 0 {
            return Err(Problem::failed(format!(
                "{} reactions to `{reducer}` failed and {} were dropped; `logs` says why",
                called.failed, called.dropped
            )));
        }
        Ok(())
    }

    /// What the node counts of a load.
    async fn counts(&self, load: &Load) -> Outcome<Counts> {
        let modules = self.control.module_status(Some(&load.module)).await;
        let modules = modules.map_err(Problem::failed)?;
        let counters = modules
            .first()
            .map(|module| module.counters)
            .unwrap_or_default();
        let undone = counters.rejected + counters.faults;
        Ok(match load.kind {
            Kind::Reducer => {
                let status = self.control.node_status().await.map_err(Problem::failed)?;
                Counts {
                    node: Some(status.committed),
                    module: counters.reducers.saturating_sub(undone),
                }
            }
            Kind::Query => Counts {
                node: None,
                module: counters.queries,
            },
        })
    }
}

/// What a node has counted since its start.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Turns of all modules that have committed. Timers of other modules are among them.
    node: Option<u64>,
    /// What the module itself has done: queries, or steps that have committed. Its reactions are
    /// among them.
    module: u64,
}

impl Counts {
    /// How many of them came after `before`.
    fn since(self, before: Self) -> Self {
        let node = self.node.zip(before.node);
        Self {
            node: node.map(|(now, before)| now.saturating_sub(before)),
            module: self.module.saturating_sub(before.module),
        }
    }

    /// Whether one of them is exactly what the client counts. Other modules that tick change the
    /// first, reactions of the loaded one the second.
    fn agrees(self, client: u64) -> bool {
        self.module == client || self.node == Some(client)
    }

    /// Whether none of them can come to what the client counts any more.
    fn is_beyond(self, client: u64) -> bool {
        self.module > client && self.node.is_none_or(|node| node > client)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(
                f,
                "{node} turns of all modules and {} steps of this one",
                self.module
            ),
            None => write!(f, "{}", self.module),
        }
    }
}

/// Runs a load once.
///
/// # Errors
/// When the load does not fit the module, the node is lost, or client and node do not count the
/// same.
pub async fn run(subject: &Subject, load: &Load) -> Outcome<Measured> {
    load.check()?;
    let plan = Arc::new(plan(subject, load).await?);
    let pipelines = match load.transport {
        Transport::Persistent => connect(&plan).await?,
        Transport::Reconnect => Vec::new(),
    };
    let before = subject.counts(load).await?;
    let start = Instant::now() + LEAD;
    let measured_from = start + Duration::from_millis(load.warmup_ms);
    let clock = Clock {
        start,
        measured_from,
        end: measured_from + Duration::from_millis(load.duration_ms),
    };
    let tally = drive(&plan, pipelines, clock).await?;
    let counted = agreed(subject, load, before, &tally).await?;
    Ok(Measured::new(load, &tally, counted))
}

async fn plan(subject: &Subject, load: &Load) -> Outcome<Plan> {
    let schema = subject.schema(&load.module).await?;
    let (fields, signature) = match load.kind {
        Kind::Reducer => {
            let found = signature::reducer(&schema, &load.reducer)?;
            let signature = Fingerprint::of_reducer(found, &schema.types);
            (&found.arguments, signature)
        }
        Kind::Query => {
            let found = signature::query(&schema, &load.reducer)?;
            let signature = Fingerprint::of_query(found, &schema.types);
            (&found.arguments, signature)
        }
    };
    let template = Template::new(&load.args_json, fields, &schema.types)
        .map_err(|problem| Problem::usage(format!("`{}`: {problem}", load.reducer)))?;
    Ok(Plan {
        load: load.clone(),
        template,
        signature,
        target: subject.target.clone(),
        identity: subject.identity.clone(),
    })
}

/// Opens the connections, one after the other: a node answers a greeting in well under a
/// millisecond.
async fn connect(plan: &Plan) -> Outcome<Vec<Pipeline>> {
    let mut pipelines = Vec::new();
    for client in 0..plan.load.connections {
        let options = ConnectOptions::default();
        let pipeline = Pipeline::connect(&plan.identity, &plan.target, &options)
            .await
            .map_err(|error| Problem::unreachable(error).about(format!("connection {client}")))?;
        pipelines.push(pipeline);
    }
    Ok(pipelines)
}

async fn drive(plan: &Arc<Plan>, pipelines: Vec<Pipeline>, clock: Clock) -> Outcome<Tally> {
    let sent = Arc::new(Sent::default());
    let mut tasks = JoinSet::new();
    match plan.load.transport {
        Transport::Persistent => {
            for (pipeline, client) in pipelines.into_iter().zip(0..) {
                tasks.spawn(persistent(
                    plan.clone(),
                    pipeline,
                    client,
                    sent.clone(),
                    clock,
                ));
            }
        }
        Transport::Reconnect => {
            let callers = plan.load.connections.saturating_mul(plan.load.in_flight);
            for client in 0..callers {
                tasks.spawn(reconnecting(plan.clone(), client, sent.clone(), clock));
            }
        }
    }
    let mut tally = Tally::default();
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.map_err(Problem::failed)?.map_err(Problem::failed)?;
        tally.add(&ended);
    }
    Ok(tally)
}

/// Waits until the node's count is what the client counted.
async fn agreed(subject: &Subject, load: &Load, before: Counts, tally: &Tally) -> Outcome<u64> {
    let deadline = Instant::now() + COUNT_DEADLINE;
    loop {
        let counted = subject.counts(load).await?.since(before);
        if counted.agrees(tally.succeeded) && tally.unanswered == 0 {
            return Ok(tally.succeeded);
        }
        if counted.is_beyond(tally.succeeded) || tally.unanswered > 0 || Instant::now() > deadline {
            return Err(Problem::failed(format!(
                "the run `{}` is rejected: the client counts {} acknowledged and {} unanswered, the node {counted}",
                load.name, tally.succeeded, tally.unanswered
            ))
            .advise("see that nothing else uses the node, then run it again"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
