//! `benchmark`: loads that are driven against a node, and what came of them.

mod scenarios;
mod table;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use interstice_client::Identity;
use serde_json::json;

use crate::{
    app::App,
    benchmark::{
        fanout,
        load::{Ack, Kind, Load, Transport},
        machine::Machine,
        profile::{self, MODULE, Part},
        report::{self, Entry, Report},
        run::{Subject, run},
        scenario::arguments,
    },
    home,
    problem::{Outcome, Problem},
    target::Target,
};

/// What is done with benchmarks.
#[derive(Debug, Subcommand)]
pub(crate) enum Benchmark {
    /// The profiles that there are
    #[command(after_help = "Examples:\n  interstice-cli benchmark list-profiles")]
    ListProfiles,
    Profile(Profile),
    Run(Run),
    Scenario(scenarios::Scenario),
    Table(table::Table),
}

/// Run a profile of the module benchmark-workload
#[derive(Debug, Args)]
#[command(
    long_about = "Run a profile: one or more loads of the module benchmark-workload, and a table of what came of them.",
    after_help = "Examples:\n  \
        interstice-cli example benchmark --detach\n  \
        interstice-cli benchmark profile vm-noop benchmark-example\n  \
        interstice-cli benchmark profile transfer benchmark-example --repeat 5 --output transfer.json"
)]
pub(crate) struct Profile {
    /// The profile
    profile: String,
    /// The node
    at: String,
    /// How often each load runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// How long each load is measured, in milliseconds, instead of the profile's own time
    #[arg(long)]
    duration_ms: Option<u64>,
    /// Write the reports there, as JSON
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Run a load on any reducer of any module
#[derive(Debug, Args)]
#[command(
    long_about = "Run a load on any reducer (or query) of any module. Arguments may have placeholders: $seq, $worker, $op, $client, \
        $now_ms, $now_us, $max_seq, $max_client, $total_sent, $uniform:N, $zipf:N:S. One that is a whole string becomes a number, \
        one inside of a string becomes text.",
    after_help = "Examples:\n  \
        interstice-cli benchmark run benchmark-example benchmark-workload noop --in-flight 256\n  \
        interstice-cli benchmark run benchmark-example benchmark-workload insert_logged --args-json '[\"$client\", \"$seq\", 64, false]'\n  \
        interstice-cli benchmark run garden bank transfer --rate 1000 --args-json '[\"$uniform:100\", 7, 1]'"
)]
pub(crate) struct Run {
    /// The node
    at: String,
    /// The module, or MODULE@MAJOR
    module: String,
    /// Its reducer, or its query with --kind query
    reducer: String,
    /// Whether it is a reducer or a query
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Connections
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Calls of one connection without an answer
    #[arg(long, default_value_t = 32)]
    in_flight: u32,
    /// How long it is measured, in milliseconds
    #[arg(long, default_value_t = 30_000)]
    duration_ms: u64,
    /// How long it runs before that, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    warmup_ms: u64,
    /// How long an acknowledgement waits
    #[arg(long, value_enum, default_value_t)]
    ack: Ack,
    /// An open loop: calls per second of all connections together
    #[arg(long)]
    rate: Option<u64>,
    /// How calls travel
    #[arg(long, value_enum, default_value_t)]
    transport: Transport,
    /// The arguments, a JSON array
    #[arg(long, default_value = "[]")]
    args_json: String,
    /// How often it runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Write the report there, as JSON
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Benchmark {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        // Latencies are taken here, and are not to be this program's own.
        crate::node_process::keep_pages_small();
        match self {
            Self::ListProfiles => list(app),
            Self::Profile(command) => command.run(app).await,
            Self::Run(command) => command.run(app).await,
            Self::Scenario(command) => command.run(app).await,
            Self::Table(command) => command.run(app),
        }
    }
}

fn list(app: &App) -> Outcome<()> {
    let profiles = profile::all();
    if app.output.is_json() {
        let profiles: Vec<_> = profiles
            .iter()
            .map(|profile| json!({"name": profile.name, "about": profile.about}))
            .collect();
        return app.output.json(&json!(profiles));
    }
    let rows = profiles
        .iter()
        .map(|profile| vec![profile.name.to_string(), profile.about.to_string()]);
    app.output.table(&["profile", "shows"], rows)
}

impl Profile {
    async fn run(self, app: &App) -> Outcome<()> {
        let Some(profile) = profile::named(&self.profile) else {
            let all: Vec<_> = profile::all().iter().map(|profile| profile.name).collect();
            return Err(Problem::usage(format!(
                "there is no profile `{}`; there are {}",
                self.profile.escape_debug(),
                all.join(", ")
            )));
        };
        let subject = subject(app, &Target::named(app, &self.at)?).await?;
        for (reducer, arguments) in &profile.setup {
            app.output.say(format!("preparing: {reducer}"));
            subject.call(MODULE, reducer, arguments).await?;
        }
        let mut entries = Vec::new();
        match profile.part {
            Part::Loads(loads) => {
                for mut load in loads {
                    if let Some(duration_ms) = self.duration_ms {
                        load.duration_ms = duration_ms;
                    }
                    let report = repeat(app, &subject, &load, self.repeat).await?;
                    entries.push(Entry::Load(report));
                }
            }
            Part::Fanout | Part::Tick => {
                let machine = machine(app)?;
                let mut runs = Vec::new();
                for _ in 0..self.repeat {
                    app.output.say(format!("running {}", profile.name));
                    runs.push(match profile.part {
                        Part::Fanout => fanout::fanout(&subject).await?,
                        _ => fanout::tick(&subject).await?,
                    });
                }
                entries.push(Entry::Load(Report {
                    name: profile.name.to_string(),
                    machine,
                    runs,
                }));
            }
        }
        print(app, &entries, self.output.as_deref())
    }
}

impl Run {
    async fn run(self, app: &App) -> Outcome<()> {
        let load = Load {
            kind: self.kind,
            connections: self.connections,
            in_flight: self.in_flight,
            duration_ms: self.duration_ms,
            warmup_ms: self.warmup_ms,
            ack: self.ack,
            rate: self.rate,
            transport: self.transport,
            ..Load::new(
                &self.reducer,
                &self.module,
                &self.reducer,
                arguments(Some(&self.args_json)).map_err(Problem::usage)?,
            )
        };
        load.check()?;
        let subject = subject(app, &Target::named(app, &self.at)?).await?;
        let report = repeat(app, &subject, &load, self.repeat).await?;
        print(app, &[Entry::Load(report)], self.output.as_deref())
    }
}

/// The node to load, and this command line's key to load it with.
async fn subject(app: &App, target: &Target) -> Outcome<Subject> {
    app.home.make()?;
    let identity = Identity::load_or_create(&app.home.key()).map_err(Problem::failed)?;
    let address = match &target.id {
        Some(id) => target.address.clone().pinned(id).map_err(Problem::failed)?,
        None => target.address.clone(),
    };
    Subject::connect(identity, address).await
}

/// Runs a load so often, with what it ran on.
async fn repeat(app: &App, subject: &Subject, load: &Load, times: u32) -> Outcome<Report> {
    let machine = machine(app)?;
    let mut runs = Vec::new();
    for number in 1..=times {
        let seconds = (load.warmup_ms + load.duration_ms).div_ceil(1000);
        let bar = app.output.spinner(format!(
            "{}: run {number} of {times}, {seconds} s",
            load.name
        ));
        let measured = run(subject, load).await;
        bar.finish_and_clear();
        let measured = measured?;
        for (code, count) in &measured.failed {
            app.output
                .warn(format!("{}: {count} calls failed: {code}", load.name));
        }
        runs.push(measured);
    }
    Ok(Report {
        name: load.name.clone(),
        machine,
        runs,
    })
}

fn machine(app: &App) -> Outcome<Machine> {
    app.home.make()?;
    let folder = app.home.root();
    Machine::look(folder).map_err(|error| Problem::file("write in", folder, &error))
}

/// Prints what was measured, and writes it where it shall go.
fn print(app: &App, entries: &[Entry], output: Option<&Path>) -> Outcome<()> {
    if let Some(path) = output {
        write(path, entries)?;
    }
    if app.output.is_json() {
        return app.output.json(&json!(entries));
    }
    let rows = report::rows(entries);
    if !rows.is_empty() {
        app.output.table(&report::HEADER, rows)?;
    }
    if let Some(entry) = entries.last() {
        let machine = entry.machine();
        app.output.say(format!(
            "{} build of {}, {} x {}, kernel {}, load {}, sync p50 {} us, p99 {} us",
            machine.build,
            machine.commit,
            machine.cores,
            machine.processor,
            machine.kernel,
            machine.load_average,
            machine.sync_p50_us,
            machine.sync_p99_us
        ));
    }
    Ok(())
}

/// Writes the JSON document.
fn write(path: &Path, entries: &[Entry]) -> Outcome<()> {
    home::write_private(path, format!("{:#}\n", json!(entries)).as_bytes())
}
