//! What is done to the registry and to folders of this machine: create, list, remove, rename,
//! start.

use std::fs;

use interstice_actors::{config::Config, node::Listen};
use serde_json::{Value as Json, json};

use super::{Create, Remove, Rename, Start};
use crate::{
    app::App,
    ask,
    command::up::{self, Manner},
    home,
    node_process::{self, LocalNode, Run, is_locked},
    problem::{Outcome, Problem},
    registry::Registry,
    target::Target,
};

/// The names that end like this belong to nodes of `example`.
const EXAMPLE_SUFFIX: &str = "-example";

pub(super) fn create(app: &App, command: &Create) -> Outcome<()> {
    let node = node_process::create(app, &command.name, command.port, Listen::default())?;
    let registry = Registry::read(&app.home)?;
    let entry = registry.get(node.id.as_str())?;
    if app.output.is_json() {
        return app.output.json(&json!({
            "name": node.name, "id": node.id, "address": entry.address, "folder": node.folder.display().to_string()
        }));
    }
    app.output.line(format!(
        "created {} at {} with id {}",
        node.name, entry.address, node.id
    ))?;
    app.output
        .say(format!("`node start {}` starts it", node.name));
    Ok(())
}

pub(super) fn list(app: &App) -> Outcome<()> {
    let registry = Registry::read(&app.home)?;
    let mut rows = Vec::new();
    for entry in registry.nodes() {
        let target = Target::named(app, &entry.name)?;
        let state = match &target.folder {
            Some(folder) if is_locked(folder) => "running",
            Some(_) => "stopped",
            None => "elsewhere",
        };
        rows.push((entry, state));
    }
    if app.output.is_json() {
        let nodes = rows.iter().map(|(entry, state)| {
            json!({"name": entry.name, "address": entry.address, "id": entry.id, "state": state})
        });
        return app.output.json(&Json::Array(nodes.collect()));
    }
    if rows.is_empty() {
        app.output
            .say("no nodes yet; `up` makes one and starts it, `node add` notes one elsewhere");
        return Ok(());
    }
    let rows = rows.iter().map(|(entry, state)| {
        vec![
            entry.name.clone(),
            (*state).to_string(),
            entry.address.clone(),
            entry.id.clone(),
        ]
    });
    app.output.table(&["name", "state", "address", "id"], rows)
}

pub(super) fn remove(app: &App, command: &Remove) -> Outcome<()> {
    let registry = Registry::read(&app.home)?;
    let entry = registry.get(&command.name)?.clone();
    let folder = app.home.node(&entry.id);
    let is_local = folder.is_dir();
    if is_local {
        stopped(&folder, &entry.name)?;
        ask::before(
            app,
            &format!(
                "delete node {} with all its data in {}",
                entry.name,
                folder.display()
            ),
        )?;
    }
    Registry::change(&app.home, |registry| {
        registry.remove(&entry.id);
        Ok(())
    })?;
    if is_local {
        fs::remove_dir_all(&folder).map_err(|error| Problem::file("remove", &folder, &error))?;
    }
    done(app, &entry.name, "removed")
}

pub(super) fn rename(app: &App, command: &Rename) -> Outcome<()> {
    let local = Registry::read(&app.home)?
        .get(&command.name)
        .map(|entry| app.home.node(&entry.id))?;
    let is_local = local.join("node.toml").is_file();
    if is_local {
        stopped(&local, &command.name)?;
    }
    Registry::change(&app.home, |registry| {
        registry.rename(&command.name, &command.to)
    })?;
    if is_local {
        let path = local.join("node.toml");
        let config = Config::read(&path).map_err(Problem::failed)?;
        let renamed = Config {
            name: command.to.clone(),
            ..config
        };
        home::write_private(
            &path,
            renamed.to_toml().map_err(Problem::failed)?.as_bytes(),
        )?;
    }
    done(app, &command.to, "renamed")
}

pub(super) async fn start(app: &App, command: &Start) -> Outcome<()> {
    let Some(node) = node_process::find(app, &command.name)? else {
        return Err(Registry::read(&app.home)?.unknown(&command.name));
    };
    let local = command.local || node.name.ends_with(EXAMPLE_SUFFIX);
    let manner = Manner::new(command.detach, local).with_log_format(command.log_format);
    let start = up::Start {
        run: Run {
            listen: manner.listen(),
            port: command.port,
        },
        node: LocalNode { ..node },
        modules: Vec::new(),
    };
    up::start(app, start, &manner, &[]).await
}

fn stopped(folder: &std::path::Path, name: &str) -> Outcome<()> {
    if is_locked(folder) {
        return Err(Problem::failed(format!("node `{name}` is running"))
            .advise(format!("`down {name}` stops it")));
    }
    Ok(())
}

fn done(app: &App, node: &str, what: &str) -> Outcome<()> {
    if app.output.is_json() {
        app.output.json(&json!({"node": node, "done": what}))
    } else {
        app.output.line(format!("{what} {node}"))
    }
}
