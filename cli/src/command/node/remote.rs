//! What a node is asked about itself: add, show, ping, schema.

use std::time::Instant;

use interstice_client::Target as Address;
use serde_json::{Map, Value as Json, json};

use super::{Add, Ping, Schema, Show};
use crate::{
    address::check_id,
    app::App,
    clock,
    command::modules::digest_of,
    output::plain_lines,
    problem::{Outcome, Problem},
    registry::{Entry, Registry},
    schema_text,
    session::Session,
    target::Target,
};

pub(super) async fn add(app: &App, command: Add) -> Outcome<()> {
    let address: Address = command.address.parse().map_err(Problem::usage)?;
    let given = command
        .id
        .clone()
        .or_else(|| address.pin().map(|id| id.to_string()));
    if let Some(id) = &given {
        check_id(id).map_err(Problem::usage)?;
    }
    let id = match given {
        Some(id) if address.pin().is_none_or(|other| other.as_str() == id) => id,
        Some(_) => return Err(Problem::usage("the address ends in another id than --id")),
        None => {
            let target = Target {
                label: command.address.clone(),
                address: address.clone(),
                id: None,
                folder: None,
            };
            Session::to(app, &target).await?.node().to_string()
        }
    };
    let entry = Entry {
        name: command.name,
        address: command.address,
        id,
    };
    Registry::change(&app.home, |registry| registry.add(entry.clone()))?;
    if app.output.is_json() {
        app.output
            .json(&json!({"name": entry.name, "address": entry.address, "id": entry.id}))
    } else {
        app.output.line(format!(
            "added {} at {} with id {}",
            entry.name, entry.address, entry.id
        ))
    }
}

pub(super) async fn show(app: &App, command: &Show) -> Outcome<()> {
    let target = Target::chosen(app, command.name.as_deref())?;
    let session = Session::to(app, &target).await?;
    let status = session.status().await?;
    let modules = session.modules().await?;
    let digests = modules.iter().filter_map(|module| {
        digest_of(module).map(|digest| (module.name.to_string(), Json::from(digest)))
    });
    let digests: Map<String, Json> = digests.collect();
    let standing = if session.is_owner() { "owner" } else { "guest" };
    let folder = target
        .folder
        .as_ref()
        .map(|folder| folder.display().to_string());
    if app.output.is_json() {
        let mut json = serde_json::to_value(&status).map_err(|error| {
            Problem::failed(format!(
                "the node's state cannot be written as JSON: {error}"
            ))
        })?;
        if let Some(object) = json.as_object_mut() {
            object.insert("version".to_string(), status.version.to_string().into());
            object.insert("standing".to_string(), standing.into());
            object.insert("folder".to_string(), folder.into());
            object.insert("digests".to_string(), Json::Object(digests));
        }
        return app.output.json(&json);
    }
    let mut lines = vec![
        ("node", status.name.clone()),
        ("id", status.node.to_string()),
        ("version", status.version.to_string()),
        ("you are", standing.to_string()),
    ];
    lines.extend(
        status
            .addresses
            .iter()
            .map(|address| ("address", address.clone())),
    );
    lines.extend(folder.map(|folder| ("folder", folder)));
    lines.extend([
        ("up for", clock::duration(status.uptime_ms)),
        ("modules", status.modules.to_string()),
        ("connections", status.connections.to_string()),
        ("last seq", status.seq.to_string()),
        (
            "turns",
            format!(
                "{} since the start, {} in flight",
                status.turns, status.turns_in_flight
            ),
        ),
        ("memory", clock::bytes(status.memory_bytes)),
        (
            "log",
            format!(
                "{}, last sync {} us",
                clock::bytes(status.log_bytes),
                status.sync_us
            ),
        ),
    ]);
    lines.extend(digests.iter().map(|(module, digest)| {
        let digest = digest.as_str().unwrap_or_default();
        ("digest", format!("{digest} {module}"))
    }));
    for (name, value) in lines {
        app.output
            .line(format!("{name:<12}{}", plain_lines(&value)))?;
    }
    if let Some(reason) = status.poisoned {
        app.output
            .warn(format!("the node takes no more turns: {reason}"));
    }
    Ok(())
}

pub(super) async fn ping(app: &App, command: &Ping) -> Outcome<()> {
    let target = Target::chosen(app, command.name.as_deref())?;
    let session = Session::to(app, &target).await?;
    for number in 1..=command.count {
        let begun = Instant::now();
        session.ping().await?;
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if app.output.is_json() {
            app.output
                .json_line(&json!({"node": session.label(), "ping": number, "us": us}))?;
        } else {
            app.output.line(format!(
                "{} {number}: {}.{:03} ms",
                session.label(),
                us / 1000,
                us % 1000
            ))?;
        }
    }
    Ok(())
}

pub(super) async fn schema(app: &App, command: &Schema) -> Outcome<()> {
    let session = Session::open(app, command.name.as_deref()).await?;
    let mut schemas = Vec::new();
    for module in session.modules().await? {
        schemas.push(session.schema(module.name.as_str()).await?);
    }
    if app.output.is_json() {
        let schemas = schemas
            .iter()
            .map(schema_text::to_json)
            .collect::<Outcome<Vec<Json>>>()?;
        return app
            .output
            .json(&json!({"node": session.node(), "modules": schemas}));
    }
    let texts: Vec<String> = schemas.iter().map(schema_text::text).collect();
    app.output.line(plain_lines(&texts.join("\n\n")))
}
