//! What the types of `node.toml` do not say: ranges, names and ids, each mistake with its line and
//! field.

use std::string::FromUtf8Error;

use interstice_abi::{
    id::{NodeId, check_name},
    wire::FRAME_BYTES_MAX,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Config;

/// Most threads that run modules.
const WORKERS_MAX: u64 = 1024;

/// Most connections of a kind: each is an open file.
const CONNECTIONS_LIMIT: u64 = 1 << 20;

/// Most that can be counted of anything else: a pebibyte.
const COUNT_LIMIT: u64 = 1 << 50;

/// Largest row or argument list: it must fit into a frame.
const IN_FRAME: u64 = FRAME_BYTES_MAX as u64;

/// A guest's addresses have 32 bits.
const MEMORY_LIMIT: u64 = 1 << 32;

/// Most steps of a turn, and longest deadline in milliseconds: a quarter of an hour.
const STEPS_LIMIT: u64 = 1_000_000;
const DEADLINE_LIMIT: u64 = 900_000;

/// Deepest chain of calls: each level holds a stack.
const DEPTH_LIMIT: u64 = 64;

/// Checks `config`, which was read from `text`.
pub(super) fn check(config: &Config, text: &str) -> Result<(), String> {
    let mistake = |path: &str, place: Option<usize>, problem: String| {
        let line =
            line_of(text, path, place).map_or_else(String::new, |line| format!("line {line}, "));
        format!("{line}field `{path}`: {problem}")
    };
    check_name("node name", &config.name, true)
        .map_err(|problem| mistake("name", None, problem))?;
    for (path, value, least, most) in ranges(config) {
        if !(least..=most).contains(&value) {
            let problem = format!("it is {value}; it must be from {least} to {most}");
            return Err(mistake(path, None, problem));
        }
    }
    for (path, ids) in [("owners", &config.owners), ("allowed", &config.allowed)] {
        for (place, id) in ids.iter().enumerate() {
            check_id(id).map_err(|problem| mistake(path, Some(place), problem))?;
            if ids.iter().take(place).any(|other| other == id) {
                return Err(mistake(path, Some(place), format!("`{id}` is there twice")));
            }
        }
    }
    Ok(())
}

/// Each number with the least and the most that it may be.
#[expect(clippy::too_many_lines, reason = "one line per number")]
pub(super) fn ranges(config: &Config) -> [(&'static str, u64, u64, u64); 27] {
    let (admission, limits) = (&config.admission, &config.limits);
    let workers = u64::try_from(config.workers).unwrap_or(u64::MAX);
    [
        ("workers", workers, 0, WORKERS_MAX),
        ("checkpoint_bytes", config.checkpoint_bytes, 1, COUNT_LIMIT),
        ("base_bytes", config.base_bytes, 1, COUNT_LIMIT),
        (
            "store_cache_bytes",
            config.store_cache_bytes,
            1,
            COUNT_LIMIT,
        ),
        (
            "connections_max",
            config.connections_max.into(),
            1,
            CONNECTIONS_LIMIT,
        ),
        (
            "waiting_connections_max",
            config.waiting_connections_max.into(),
            1,
            CONNECTIONS_LIMIT,
        ),
        (
            "requests_per_connection_max",
            config.requests_per_connection_max.into(),
            1,
            COUNT_LIMIT,
        ),
        ("turn_ms", config.turn_ms, 1, DEADLINE_LIMIT),
        ("backup_wait_ms", config.backup_wait_ms, 1, DEADLINE_LIMIT),
        ("second_chance_ms", config.second_chance_ms, 0, COUNT_LIMIT),
        ("drain_ms", config.drain_ms, 1, DEADLINE_LIMIT),
        (
            "admission.turns_per_module_max",
            admission.turns_per_module_max,
            1,
            COUNT_LIMIT,
        ),
        (
            "admission.bytes_per_module_max",
            admission.bytes_per_module_max,
            1,
            COUNT_LIMIT,
        ),
        (
            "admission.bytes_per_client_max",
            admission.bytes_per_client_max,
            1,
            COUNT_LIMIT,
        ),
        (
            "admission.requests_max",
            admission.requests_max,
            1,
            COUNT_LIMIT,
        ),
        ("admission.bytes_max", admission.bytes_max, 1, COUNT_LIMIT),
        (
            "admission.unsent_bytes_max",
            admission.unsent_bytes_max,
            1,
            COUNT_LIMIT,
        ),
        ("limits.deadline_ms", limits.deadline_ms, 1, DEADLINE_LIMIT),
        ("limits.memory_bytes", limits.memory_bytes, 1, MEMORY_LIMIT),
        ("limits.row_bytes_max", limits.row_bytes_max, 1, IN_FRAME),
        (
            "limits.stateful_row_bytes_max",
            limits.stateful_row_bytes_max,
            1,
            IN_FRAME,
        ),
        (
            "limits.arguments_bytes_max",
            limits.arguments_bytes_max,
            1,
            IN_FRAME,
        ),
        (
            "limits.step_bytes_max",
            limits.step_bytes_max,
            1,
            COUNT_LIMIT,
        ),
        (
            "limits.turn_bytes_max",
            limits.turn_bytes_max,
            1,
            COUNT_LIMIT,
        ),
        (
            "limits.call_depth_max",
            limits.call_depth_max.into(),
            1,
            DEPTH_LIMIT,
        ),
        (
            "limits.steps_per_turn_max",
            limits.steps_per_turn_max.into(),
            1,
            STEPS_LIMIT,
        ),
        (
            "limits.module_bytes_max",
            limits.module_bytes_max,
            1,
            COUNT_LIMIT,
        ),
    ]
}

fn check_id(id: &NodeId) -> Result<(), String> {
    let parsed = id.as_str().parse::<libp2p::PeerId>();
    parsed.map(drop).map_err(|error| {
        format!(
            "`{}` is not the id of a key: {error}; `interstice-cli whoami` prints one",
            id.as_str().escape_debug()
        )
    })
}

/// The line, from 1 on, of the field at `path`, and of its element at `place`.
fn line_of(text: &str, path: &str, place: Option<usize>) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = path.split('.').peekable();
    let value: &Spanned<DeValue<'_>> = loop {
        let value = table.get(parts.next()?)?;
        match (parts.peek(), value.get_ref()) {
            (None, _) => break value,
            (Some(_), DeValue::Table(inner)) => table = inner,
            (Some(_), _) => return None,
        }
    };
    let span = match (place, value.get_ref()) {
        (Some(place), DeValue::Array(elements)) => elements.get(place)?.span(),
        _ => value.span(),
    };
    let before = text.as_bytes().get(..span.start)?;
    Some(1 + before.iter().filter(|byte| **byte == b'\n').count())
}

/// The message for a file that is no text.
pub(super) fn not_text(error: &FromUtf8Error) -> String {
    let at = error.utf8_error().valid_up_to();
    let before = error.as_bytes().get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    format!("line {line}: it is not UTF-8 text")
}
