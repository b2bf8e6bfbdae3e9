//! One report: when, how bad, from where, and the text with its fields.

use std::{
    fmt::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use interstice_abi::wire::LogLevel;
use serde_json::{Map, Value as Json, json};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;

use crate::{clock, output};

/// The field that is the text.
const MESSAGE: &str = "message";

/// Before the names of fields that say where a `log` record was made.
const ORIGIN_PREFIX: &str = "log.";

/// Longest text of one field in bytes: peers name themselves, and errors quote what they have got.
const FIELD_BYTES_MAX: usize = 4096;

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) time_ms: u64,
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Report {
    /// What an event says. Records of `log` are events, too.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let of_log = event.normalized_metadata();
        let metadata = of_log.as_ref().unwrap_or_else(|| event.metadata());
        let mut report = Self::new(*metadata.level(), metadata.target(), String::new());
        event.record(&mut report);
        report
    }

    /// A report of this program's own.
    pub(super) fn new(level: Level, target: &str, message: String) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let time_ms = since.unwrap_or_default().as_millis();
        Self {
            time_ms: u64::try_from(time_ms).unwrap_or(u64::MAX),
            level,
            target: target.to_string(),
            message,
            fields: Vec::new(),
        }
    }

    /// How bad it is, in the words of the node's log.
    pub(super) fn log_level(&self) -> LogLevel {
        match self.level {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warning,
            _ => LogLevel::Message,
        }
    }

    /// Its text in the node's log, which has the time and level itself.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}", self.target, self.message);
        for (name, value) in &self.fields {
            // Writing into a string does not fail.
            let _ = write!(text, " {name}={value}");
        }
        text
    }

    /// A line for people.
    pub(super) fn line(&self) -> String {
        let text = output::clean(&self.text());
        format!("{} {} {text}", clock::timestamp(self.time_ms), self.level)
    }

    /// A JSON object in a line.
    pub(super) fn json(&self) -> String {
        let fields = self.fields.iter();
        let fields: Map<String, Json> = fields
            .map(|(name, value)| ((*name).to_string(), value.as_str().into()))
            .collect();
        let document = json!({
            "time": clock::timestamp(self.time_ms),
            "level": self.level.as_str(),
            "target": self.target,
            "message": self.message,
            "fields": fields,
        });
        output::escaped_json(&document)
    }

    fn put(&mut self, field: &Field, value: &str) {
        let mut end = value.len().min(FIELD_BYTES_MAX);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let mut text = value.get(..end).unwrap_or_default().to_string();
        if end < value.len() {
            text.push('…');
        }
        match field.name() {
            MESSAGE => self.message = text,
            name if name.starts_with(ORIGIN_PREFIX) => {}
            name => self.fields.push((name, text)),
        }
    }
}

impl Visit for Report {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            time_ms: 0,
            level: Level::WARN,
            target: "libp2p_swarm".to_string(),
            message: "a peer\nlies\u{202e}".to_string(),
            fields: vec![("peer", "12D\u{1b}".to_string())],
        }
    }

    #[test]
    fn a_report_is_one_line_that_hides_nothing() {
        assert_eq!(
            report().line(),
            "1970-01-01T00:00:00.000Z WARN libp2p_swarm: a peer\\nlies\\u{202e} peer=12D\\u{1b}"
        );
        assert_eq!(
            report().json(),
            r#"{"time":"1970-01-01T00:00:00.000Z","level":"WARN","target":"libp2p_swarm","message":"a peer\nlies\u202e","fields":{"peer":"12D\u001b"}}"#
        );
        assert_eq!(report().log_level(), LogLevel::Warning);
    }
}
