//! `benchmark scenario`: the loads of scenario files, one after the other.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::{Value as Json, json};

use super::{machine, print, repeat, subject};
use crate::{
    app::App,
    benchmark::{
        limit::{self, Limit},
        report::Report,
        run::Subject,
        scenario::{self, Work},
    },
    home,
    problem::{Outcome, Problem},
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
        let (mut reports, mut limits) = (Vec::new(), Vec::new());
        for scenario in scenarios {
            let done = match (&scenario.work, &subject) {
                (Work::Limit { name, duration_ms }, _) => {
                    let measured = floor(app, name, *duration_ms, scenario.repeat)?;
                    limits.extend(measured.clone());
                    measured
                }
                (Work::Load(load), Some(subject)) => {
                    prepare(app, subject, &load.module, &scenario.setup).await?;
                    let report = repeat(app, subject, load, scenario.repeat).await?;
                    let done = json!(report);
                    reports.push(report);
                    vec![done]
                }
                (Work::Load(_), None) => Vec::new(),
            };
            if let Some(path) = &scenario.output {
                home::write_private(path, format!("{:#}\n", json!(done)).as_bytes())?;
            }
        }
        finish(app, &reports, &limits, self.output.as_deref())
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

/// Measures the floor so often; a JSON document each.
fn floor(app: &App, name: &str, duration_ms: u64, times: u32) -> Outcome<Vec<Json>> {
    let sources = Sources::unpack(&app.home)?;
    let module = app.builder().module(&sources.module("benchmark"))?;
    let machine = machine(app)?;
    let duration = Duration::from_millis(duration_ms);
    let mut found = Vec::new();
    for _ in 0..times {
        let limit = limit::measure(&module.wasm, app.home.root(), duration)?;
        found.push(json!({"name": name, "machine": machine, "limit": limit}));
    }
    Ok(found)
}

fn finish(
    app: &App,
    reports: &[Report],
    limits: &[Json],
    output: Option<&std::path::Path>,
) -> Outcome<()> {
    let mut floor = None;
    for found in limits {
        let limit: Limit = serde_json::from_value(found.get("limit").cloned().unwrap_or_default())
            .map_err(Problem::failed)?;
        floor = Some(limit);
        if app.output.is_json() {
            continue;
        }
        app.output.line(format!(
            "floor: {:.0} empty calls, {:.0} inserts in memory, {:.0} inserts synced, per second; {:.0} us there and back over TCP",
            limit.noop, limit.insert_in_memory, limit.insert_synced, limit.round_trip_us
        ))?;
    }
    match (reports.is_empty(), limits.is_empty()) {
        (true, _) if app.output.is_json() => {
            let all = json!(limits);
            if let Some(path) = output {
                home::write_private(path, format!("{all:#}\n").as_bytes())?;
            }
            app.output.json(&all)
        }
        (true, _) => Ok(()),
        (false, _) => print(app, reports, floor.as_ref(), output),
    }
}
