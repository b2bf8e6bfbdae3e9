//! `modules`: what is installed on a node, and how it does.

use clap::Args;
use interstice_abi::wire::{ModuleState, ModuleStatus, TimerCounts};
use serde_json::{Value as Json, json};

use crate::{app::App, clock, problem::Outcome, schema_text, session::Session};

/// Digits of a digest in the list; `node show` and `--json` have all 64.
const DIGEST_DIGITS: usize = 16;

/// List the modules of a node
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli modules\n  \
    interstice-cli modules --node garden --json\n\n\
    A failed timer is a run by a timer that was undone; each is a warning in the module's log (`logs NODE --module MODULE`). \
    Counts begin with the module's load.")]
pub(crate) struct Modules {}

impl Modules {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open(app, None).await?;
        let modules = session.modules().await?;
        // A node of an older program does not know the question.
        let counts = session.client().timer_counts().await.unwrap_or_default();
        let of = |module: &ModuleStatus| counts.iter().find(|known| known.module == module.name);
        if app.output.is_json() {
            let all = modules.iter().map(|module| {
                let mut json = to_json(module);
                json["timers_pending"] = of(module).map(|counts| counts.pending).into();
                json["timers_failed"] = of(module).map(|counts| counts.failed).into();
                json
            });
            return app.output.json(&Json::Array(all.collect()));
        }
        let header = [
            "module",
            "version",
            "state",
            "visibility",
            "tables",
            "rows",
            "size",
            "calls",
            "queries",
            "waiting",
            "timers",
            "failed timers",
            "digest",
        ];
        let rows = modules.iter().map(|module| row(module, of(module)));
        app.output.table(&header, rows)?;
        for module in &modules {
            if let ModuleState::Quarantined { reason } = &module.state {
                app.output.warn(format!(
                    "{} is quarantined: {reason}; mend it and deploy it again, or `load` it",
                    module.name
                ));
            }
        }
        Ok(())
    }
}

fn row(module: &ModuleStatus, timers: Option<&TimerCounts>) -> Vec<String> {
    let count = |count: Option<u64>| count.map_or("-".to_string(), |count| count.to_string());
    let rows: u64 = module.tables.iter().map(|table| table.rows).sum();
    let size: u64 = module.tables.iter().map(|table| table.bytes).sum();
    vec![
        module.name.to_string(),
        module.version.to_string(),
        state(&module.state).to_string(),
        schema_text::visibility(module.visibility).to_string(),
        module.tables.len().to_string(),
        rows.to_string(),
        clock::bytes(size),
        module.counters.reducers.to_string(),
        module.counters.queries.to_string(),
        module.queue_depth.to_string(),
        count(timers.map(|timers| timers.pending)),
        count(timers.map(|timers| timers.failed)),
        shortened(digest_of(module)),
    ]
}

const fn state(state: &ModuleState) -> &'static str {
    match state {
        ModuleState::Loaded => "loaded",
        ModuleState::Unloaded => "unloaded",
        ModuleState::Quarantined { .. } => "quarantined",
        ModuleState::CatchingUp => "catching up",
    }
}

/// A module's state as JSON.
pub(crate) fn to_json(module: &ModuleStatus) -> Json {
    let tables: Vec<Json> = module
        .tables
        .iter()
        .map(|table| {
            json!({
                "name": table.name,
                "visibility": schema_text::visibility(table.visibility),
                "persistence": format!("{:?}", table.persistence).to_lowercase(),
                "rows": table.rows,
                "bytes": table.bytes,
            })
        })
        .collect();
    let reason = match &module.state {
        ModuleState::Quarantined { reason } => Some(reason),
        _ => None,
    };
    json!({
        "module": module.name.as_str(),
        "version": module.version.to_string(),
        "state": state(&module.state),
        "reason": reason,
        "visibility": schema_text::visibility(module.visibility),
        "hash": blake3::Hash::from_bytes(module.hash).to_hex().to_string(),
        "tables": tables,
        "reducers_run": module.counters.reducers,
        "queries_run": module.counters.queries,
        "rejected": module.counters.rejected,
        "faults": module.counters.faults,
        "restarts": module.counters.restarts,
        "queue_depth": module.queue_depth,
        "last_fault": module.last_fault,
        "digest": digest_of(module),
    })
}

/// A digest as text: 64 hexadecimal digits.
pub(super) fn digest(words: [u64; 4]) -> String {
    words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The digest of a module's tables, in hexadecimal digits. `None` for guests, and while a step has
/// the tables open.
pub(crate) fn digest_of(module: &ModuleStatus) -> Option<String> {
    module.digest.map(digest)
}

/// The beginning of a digest: enough to see that two are the same.
fn shortened(digest: Option<String>) -> String {
    digest.map_or_else(
        || "-".to_string(),
        |digest| digest.chars().take(DIGEST_DIGITS).collect(),
    )
}
