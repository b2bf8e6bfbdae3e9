//! What a deploy would do, for people and as JSON.

use interstice_abi::wire::{DeployPlan, ModulePlan, TableFate, TablePlan};
use serde_json::{Value as Json, json};

/// The plan, a line each.
pub(super) fn lines(plan: &DeployPlan) -> Vec<String> {
    plan.modules.iter().flat_map(module_lines).collect()
}

fn module_lines(plan: &ModulePlan) -> Vec<String> {
    let ModulePlan {
        module, version, ..
    } = plan;
    let mut lines = vec![match plan.replaces {
        None => format!("install {module} {version}"),
        Some(old) if old == *version => format!("replace {module} {version}"),
        Some(old) => format!("upgrade {module} {old} to {version}"),
    }];
    lines.extend(plan.changes.iter().map(|change| format!("  {change}")));
    lines.extend(
        plan.tables
            .iter()
            .map(|table| format!("  {}", table_line(table))),
    );
    let timers = plan.timers.iter();
    lines.extend(timers.map(|(id, reducer)| format!("  timer {id} for {reducer}: dropped")));
    if !plan.used_by.is_empty() {
        let names: Vec<&str> = plan.used_by.iter().map(|name| name.as_str()).collect();
        lines.push(format!("  used by {}", names.join(", ")));
    }
    lines
}

fn table_line(plan: &TablePlan) -> String {
    let TablePlan { table, rows, .. } = plan;
    let rows = match rows {
        1 => "1 row".to_string(),
        rows => format!("{rows} rows"),
    };
    let fate = match plan.fate {
        TableFate::Added => "is new".to_string(),
        TableFate::Kept => format!("keeps its {rows}"),
        TableFate::Extended => format!("keeps its {rows}, each with the added columns"),
        TableFate::Ephemeral => format!("starts empty, as it is ephemeral ({rows})"),
        TableFate::Dropped => format!("does not fit: its {rows} are dropped"),
    };
    format!("table {table} {fate}")
}

/// What it would drop, for a question; `None` when that is nothing.
pub(super) fn dropped(plan: &DeployPlan) -> Option<String> {
    let mut what = Vec::new();
    for module in &plan.modules {
        let tables = module.tables.iter();
        let tables = tables.filter(|table| table.fate == TableFate::Dropped);
        what.extend(tables.map(|table| {
            format!(
                "table {} of {} with its {} rows",
                table.table, module.module, table.rows
            )
        }));
        let timers = module.timers.iter();
        what.extend(
            timers.map(|(id, reducer)| format!("timer {id} of {} for {reducer}", module.module)),
        );
    }
    (!what.is_empty()).then(|| what.join(", "))
}

/// The plan as JSON.
pub(super) fn json(node: &str, plan: &DeployPlan) -> Json {
    let modules = plan.modules.iter().map(|module| {
        let tables = module.tables.iter().map(
            |table| json!({"table": table.table, "rows": table.rows, "fate": word(table.fate)}),
        );
        let timers = module
            .timers
            .iter()
            .map(|(id, reducer)| json!({"timer": id.0, "reducer": reducer}));
        let used_by: Vec<&str> = module.used_by.iter().map(|name| name.as_str()).collect();
        json!({
            "module": module.module.as_str(),
            "version": module.version.to_string(),
            "replaces": module.replaces.map(|version| version.to_string()),
            "changes": module.changes,
            "tables": tables.collect::<Vec<_>>(),
            "dropped_timers": timers.collect::<Vec<_>>(),
            "used_by": used_by,
        })
    });
    json!({
        "node": node,
        "modules": modules.collect::<Vec<_>>(),
        "refused": plan.refused.as_ref().map(|failure| failure.message.clone()),
    })
}

fn word(fate: TableFate) -> &'static str {
    match fate {
        TableFate::Added => "added",
        TableFate::Kept => "kept",
        TableFate::Extended => "extended",
        TableFate::Ephemeral => "ephemeral",
        TableFate::Dropped => "dropped",
    }
}
