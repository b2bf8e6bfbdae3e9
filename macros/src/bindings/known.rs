//! What an event string may name of other modules: said where the string stands, with the nearest
//! name that exists.

use std::path::Path;

use interstice_abi::{event::Event, failure::nearest};

use super::load::{self, BoundModule};

/// What is wrong with the module, table or reducer that `event` names. Nothing when the binding
/// files are wrong themselves: `interstice_module!` reports that.
pub(crate) fn unbound(dir: &Path, event: &Event) -> Option<String> {
    let (node, module, kind, name) = match event {
        Event::Row { table, .. } | Event::Sync { table } | Event::Gap { table } => (
            table.node.as_deref(),
            table.module.as_deref()?,
            "table",
            &table.table,
        ),
        Event::Call { module, reducer } => (None, module.as_str(), "reducer", reducer),
        _ => return None,
    };
    let loaded = load::load(dir).ok()?;
    let modules: Vec<&BoundModule> = match node {
        None => loaded.modules.iter().collect(),
        Some(wanted) => {
            let nodes = loaded.nodes.iter().filter(|node| node.name.name == wanted);
            let modules: Vec<&BoundModule> = nodes.flat_map(|node| &node.modules).collect();
            if modules.is_empty() {
                let known = loaded.nodes.iter().map(|node| node.name.name.as_str());
                return Some(missing(event, "node", wanted, "src/bindings", known));
            }
            modules
        }
    };
    let Some(bound) = modules.iter().find(|bound| bound.name == module) else {
        let known = modules.iter().map(|bound| bound.name.as_str());
        return Some(missing(event, "module", module, "src/bindings", known));
    };
    let known: Vec<&str> = match kind {
        "table" => bound
            .schema
            .tables
            .iter()
            .map(|table| &*table.name)
            .collect(),
        _ => bound
            .schema
            .reducers
            .iter()
            .map(|reducer| &*reducer.name)
            .collect(),
    };
    if known.contains(&name.as_str()) {
        return None;
    }
    let place = format!("the binding of `{module}`");
    Some(missing(event, kind, name, &place, known))
}

fn missing<'a>(
    event: &Event,
    kind: &str,
    name: &str,
    place: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let hint = match nearest(name, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; `interstice-cli bindings add` fetches the binding of a module".to_string(),
    };
    format!("`{event}`: there is no {kind} `{name}` in {place}{hint}")
}
