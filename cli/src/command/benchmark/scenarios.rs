//! `benchmark scenario`: the loads of scenario files, one after the other.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::Value as Json;

use super::{machine, print, repeat, subject, write};
use crate::{
    app::App,
    benchmark::{
        limit,
        report::{Entry, Floor},
        run::Subject,
        scenario::{self, Work},
    },
    problem::Outcome,
    sources::Sources,
    target::Target,
};

/// Run the loads of scenario files
#[derive(Debug, Args)]
#[command(
    long_about = "Run the loads of scenario files, one after the other, on the node that --node names, and print a table that compares \
        them. A scenario with `limit = true` measures the floor of this machine instead: the guest called directly, a BTreeMap, and a \
        bare file with group sync.",
    after_help = "Examples:\n  \
        interstice-cli benchmark scenario scenarios/limit.toml scenarios/durable.toml --node benchmark-example"
)]
pub(crate) struct Scenario {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write all reports there, as JSON
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Scenario {
    pub(super) async fn run(self, app: &App) -> Outcome<()> {
        let mut scenarios = Vec::new();
        for file in &self.files {
            scenarios.extend(scenario::read(file)?);
        }
        let needs_node = |scenario: &scenario::Scenario| matches!(scenario.work, Work::Load(_));
        let subject = if scenarios.iter().any(needs_node) {
            Some(subject(app, &Target::chosen(app, None)?).await?)
        } else {
            None
        };
        let mut entries = Vec::new();
        for scenario in scenarios {
            let done = match (&scenario.work, &subject) {
                (Work::Limit { name, duration_ms }, _) => {
                    floor(app, name, *duration_ms, scenario.repeat)?
                }
                (Work::Load(load), Some(subject)) => {
                    prepare(app, subject, &load.module, &scenario.setup).await?;
                    vec![Entry::Load(
                        repeat(app, subject, load, scenario.repeat).await?,
                    )]
                }
                (Work::Load(_), None) => Vec::new(),
            };
            if let Some(path) = &scenario.output {
                write(path, &done)?;
            }
            entries.extend(done);
        }
        print(app, &entries, self.output.as_deref())
    }
}

async fn prepare(
    app: &App,
    subject: &Subject,
    module: &str,
    setup: &[(String, Vec<Json>)],
) -> Outcome<()> {
    for (reducer, arguments) in setup {
        app.output.say(format!("preparing: {reducer}"));
        subject.call(module, reducer, arguments).await?;
    }
    Ok(())
}

/// Measures the floor so often.
fn floor(app: &App, name: &str, duration_ms: u64, times: u32) -> Outcome<Vec<Entry>> {
    let sources = Sources::unpack(&app.home)?;
    let module = app.builder().module(&sources.module("benchmark"))?;
    let machine = machine(app)?;
    let duration = Duration::from_millis(duration_ms);
    let mut found = Vec::new();
    for _ in 0..times {
        let limit = limit::measure(&module.wasm, app.home.root(), duration)?;
        if !app.output.is_json() {
            app.output.line(format!(
                "floor: {:.0} empty calls, {:.0} inserts in memory, {:.0} inserts synced, per second; {:.0} us there and back over TCP",
                limit.noop, limit.insert_in_memory, limit.insert_synced, limit.round_trip_us
            ))?;
        }
        found.push(Entry::Floor(Floor {
            name: name.to_string(),
            machine: machine.clone(),
            limit,
        }));
    }
    Ok(found)
}
