//! `node.toml`: the configuration of one node, validated once and handed down in parts.
//!
//! Every field but `name` and `port` has a default, with its reason at the constant. Unknown
//! fields are refused, so that a slip of the finger does not silently leave a default in place.

mod check;

use std::path::Path;

use interstice_abi::id::NodeId;
use interstice_client::read_small_file;
use interstice_host::limits::Limits;
use serde::{Deserialize, Serialize};

use crate::{
    base::history::History,
    ingress::Bounds,
    node::{Listen, NodeError},
};

/// Largest `node.toml` that is read: thousands of keys.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Turns that may wait for one module before callers get `Busy`: a fraction of a second of a fast
/// module's work.
const TURNS_PER_MODULE_MAX: u64 = 8192;

/// Bytes of arguments that may wait for one module.
const BYTES_PER_MODULE_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of records after which a checkpoint is taken: bounds the time of a restart to a second or
/// two, and pages that change often are written that much less often.
const CHECKPOINT_BYTES: u64 = 128 * 1024 * 1024;

/// Bytes of log behind a base: two segments, so that history is never less than one.
const BASE_BYTES: u64 = 128 * 1024 * 1024;

/// Memory that sled may keep; the tables themselves are in memory already.
const STORE_CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Open connections: each costs some kilobytes.
const CONNECTIONS_MAX: u32 = 1024;

/// Connections in each stage before the greeting: a client gets in when it is quicker than so many
/// others that arrive.
const WAITING_CONNECTIONS_MAX: u32 = 512;

/// Requests of one connection that may be unanswered.
const REQUESTS_PER_CONNECTION_MAX: u32 = 16_384;

/// Bytes of the large requests of one connection that may be unanswered: four of the largest.
const BYTES_PER_CLIENT_MAX: u64 = 64 * 1024 * 1024;

/// Requests of all connections: a few hundred bytes each.
const REQUESTS_MAX: u64 = 262_144;

/// Bytes of all large requests: eight clients at their bound.
const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Unsent bytes of all connections.
const UNSENT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How long the reactions of one turn may run together: as long as ten at their deadline. A
/// cascade that anyone can begin keeps the modules in its reach busy for no longer.
const TURN_MS: u64 = 10_000;

/// How long a backup waits for what is under way: calls that have not begun are refused after 10
/// s, and what has begun then ends well within the rest, unless it goes on and on.
const BACKUP_WAIT_MS: u64 = 60_000;

/// How long a quarantined module waits for its first second chance: long enough for a neighbour or
/// a disk to recover.
const SECOND_CHANCE_MS: u64 = 60_000;

/// How long a node that stops waits for what is under way: long enough for any honest queue, and
/// service managers kill after longer.
const DRAIN_MS: u64 = 10_000;

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What people call the node.
    pub name: String,
    /// The TCP port that it listens on.
    pub port: u16,
    /// Where it listens. `loopback` here holds however the node is started.
    #[serde(default)]
    pub listen: Listen,
    /// Ids of the keys that may deploy, remove, grant and stop.
    #[serde(default)]
    pub owners: Vec<NodeId>,
    /// Ids of the keys that may use the node at all, besides owners. Empty: every key may.
    #[serde(default)]
    pub allowed: Vec<NodeId>,
    /// Threads that run modules; 0: one per core.
    #[serde(default)]
    pub workers: usize,
    /// Where modules run.
    #[serde(default)]
    pub placement: Placement,
    /// Bytes of records after which a checkpoint is taken.
    #[serde(default = "checkpoint_bytes")]
    pub checkpoint_bytes: u64,
    /// How much history is kept for replay, for tables as they were, and for watchers that resume.
    #[serde(default)]
    pub history: History,
    /// Bytes of log behind the last base after which a new base is taken with a checkpoint, unless
    /// that base is larger.
    #[serde(default = "base_bytes")]
    pub base_bytes: u64,
    /// Memory that the store may keep, in bytes.
    #[serde(default = "store_cache_bytes")]
    pub store_cache_bytes: u64,
    /// Most connections that have greeted and are no owner's.
    #[serde(default = "connections_max")]
    pub connections_max: u32,
    /// Most connections in each of the stages before the greeting: silent, in their handshake,
    /// encrypted.
    #[serde(default = "waiting_connections_max")]
    pub waiting_connections_max: u32,
    /// Most unanswered requests of one connection.
    #[serde(default = "requests_per_connection_max")]
    pub requests_per_connection_max: u32,
    /// How long the reactions of one turn may run together, in milliseconds, waiting excluded.
    /// Those that are left then are dropped, and the answer and the log say so. A single step is
    /// bounded by `limits.deadline_ms`.
    #[serde(default = "turn_ms")]
    pub turn_ms: u64,
    /// How long a backup waits for what is under way when it is asked for, in milliseconds. Then
    /// it is refused, and the refusal names what it waited for.
    #[serde(default = "backup_wait_ms")]
    pub backup_wait_ms: u64,
    /// After how long a quarantined module is started again by itself, in milliseconds; each time
    /// that it fails soon again it waits twice as long, up to an hour. 0: never.
    #[serde(default = "second_chance_ms")]
    pub second_chance_ms: u64,
    /// How long a node that stops lets turns end, in milliseconds. Then it stops between two
    /// steps, and its next start finishes the turns that have begun.
    #[serde(default = "drain_ms")]
    pub drain_ms: u64,
    /// What is admitted before callers get `Busy`.
    #[serde(default)]
    pub admission: AdmissionLimits,
    /// What a module may use.
    #[serde(default)]
    pub limits: Limits,
}

/// Where modules run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Modules that call each other share a thread: a call between them costs half a microsecond
    /// instead of several.
    #[default]
    Together,
    /// Each module goes where the fewest are.
    Spread,
}

/// What is admitted per client, per module and in all. Per client there is
/// [`Config::requests_per_connection_max`], too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionLimits {
    /// Turns and queries that have not ended.
    pub turns_per_module_max: u64,
    /// Bytes of their arguments.
    pub bytes_per_module_max: u64,
    /// Bytes of one connection's unanswered requests; those of less than 4 KiB are bounded by
    /// their number.
    pub bytes_per_client_max: u64,
    /// Unanswered requests of all connections. Owners are admitted beyond it.
    pub requests_max: u64,
    /// Bytes of those that have 4 KiB or more.
    pub bytes_max: u64,
    /// Bytes of answers that wait to be sent, over all connections; beyond it each may have a
    /// quarter of a MiB.
    pub unsent_bytes_max: u64,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            turns_per_module_max: TURNS_PER_MODULE_MAX,
            bytes_per_module_max: BYTES_PER_MODULE_MAX,
            bytes_per_client_max: BYTES_PER_CLIENT_MAX,
            requests_max: REQUESTS_MAX,
            bytes_max: BYTES_MAX,
            unsent_bytes_max: UNSENT_BYTES_MAX,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "local".to_string(),
            port: 0,
            listen: Listen::default(),
            owners: Vec::new(),
            allowed: Vec::new(),
            workers: 0,
            placement: Placement::default(),
            checkpoint_bytes: CHECKPOINT_BYTES,
            history: History::default(),
            base_bytes: BASE_BYTES,
            store_cache_bytes: STORE_CACHE_BYTES,
            connections_max: CONNECTIONS_MAX,
            waiting_connections_max: WAITING_CONNECTIONS_MAX,
            requests_per_connection_max: REQUESTS_PER_CONNECTION_MAX,
            turn_ms: TURN_MS,
            backup_wait_ms: BACKUP_WAIT_MS,
            second_chance_ms: SECOND_CHANCE_MS,
            drain_ms: DRAIN_MS,
            admission: AdmissionLimits::default(),
            limits: Limits::default(),
        }
    }
}

const fn checkpoint_bytes() -> u64 {
    CHECKPOINT_BYTES
}

const fn base_bytes() -> u64 {
    BASE_BYTES
}

const fn store_cache_bytes() -> u64 {
    STORE_CACHE_BYTES
}

const fn connections_max() -> u32 {
    CONNECTIONS_MAX
}

const fn waiting_connections_max() -> u32 {
    WAITING_CONNECTIONS_MAX
}

const fn requests_per_connection_max() -> u32 {
    REQUESTS_PER_CONNECTION_MAX
}

const fn turn_ms() -> u64 {
    TURN_MS
}

const fn backup_wait_ms() -> u64 {
    BACKUP_WAIT_MS
}

const fn second_chance_ms() -> u64 {
    SECOND_CHANCE_MS
}

const fn drain_ms() -> u64 {
    DRAIN_MS
}

impl Config {
    /// Reads and checks `node.toml`.
    ///
    /// # Errors
    /// Names the file, the line and the field.
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        let wrong = |problem: String| NodeError::Config {
            path: path.to_path_buf(),
            problem,
        };
        let bytes =
            read_small_file(path, FILE_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| wrong(check::not_text(&error)))?;
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        check::check(&config, &text).map_err(wrong)?;
        Ok(config)
    }

    /// How long the reactions of one turn may run together.
    pub(crate) fn turn_time(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.turn_ms)
    }

    /// What connections may use.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let admission = &self.admission;
        Bounds {
            requests_in_flight: self.requests_per_connection_max,
            request_bytes: admission.bytes_per_client_max,
            module_bytes_max: self.limits.module_bytes_max,
            all_requests: admission.requests_max,
            all_request_bytes: admission.bytes_max,
            all_unsent_bytes: usize::try_from(admission.unsent_bytes_max).unwrap_or(usize::MAX),
            ..Bounds::default()
        }
    }

    /// The text of `node.toml`.
    ///
    /// # Errors
    /// Never for a valid configuration.
    pub fn to_toml(&self) -> Result<String, NodeError> {
        toml::to_string(self).map_err(|error| NodeError::Config {
            path: "node.toml".into(),
            problem: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
