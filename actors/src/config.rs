//! `node.toml`: the configuration of one node, validated once and handed down in parts.
//!
//! Every field but `name` and `port` has a default, with its reason at the constant. Unknown fields are refused, so that a
//! slip of the finger does not silently leave a default in place.

use std::path::Path;

use interstice_abi::id::{NodeId, check_name};
use interstice_host::limits::Limits;
use serde::{Deserialize, Serialize};

use crate::{
    base::history::History,
    node::{Listen, NodeError},
};

/// Turns that may wait for one module before callers get `Busy`: a fraction of a second of a fast module's work.
const TURNS_PER_MODULE_MAX: u64 = 8192;

/// Bytes of arguments that may wait for one module.
const BYTES_PER_MODULE_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of records after which a checkpoint is taken: bounds the time of a restart to a second or two.
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of log behind a base: two segments, so that history is never less than one.
const BASE_BYTES: u64 = 128 * 1024 * 1024;

/// Memory that sled may keep; the tables themselves are in memory already.
const STORE_CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Open connections: each costs some kilobytes.
const CONNECTIONS_MAX: u32 = 1024;

/// Requests of one connection that may be unanswered.
const REQUESTS_PER_CONNECTION_MAX: u32 = 16_384;

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
    /// Bytes of log behind the last base after which a new base is taken with a checkpoint, unless that base is larger.
    #[serde(default = "base_bytes")]
    pub base_bytes: u64,
    /// Memory that the store may keep, in bytes.
    #[serde(default = "store_cache_bytes")]
    pub store_cache_bytes: u64,
    /// Most open connections.
    #[serde(default = "connections_max")]
    pub connections_max: u32,
    /// Most unanswered requests of one connection.
    #[serde(default = "requests_per_connection_max")]
    pub requests_per_connection_max: u32,
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
    /// Modules that call each other share a thread: a call between them costs half a microsecond instead of several.
    #[default]
    Together,
    /// Each module goes where the fewest are.
    Spread,
}

/// What is admitted per module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionLimits {
    /// Turns and queries that have not ended.
    pub turns_per_module_max: u64,
    /// Bytes of their arguments.
    pub bytes_per_module_max: u64,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            turns_per_module_max: TURNS_PER_MODULE_MAX,
            bytes_per_module_max: BYTES_PER_MODULE_MAX,
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
            workers: 0,
            placement: Placement::default(),
            checkpoint_bytes: CHECKPOINT_BYTES,
            history: History::default(),
            base_bytes: BASE_BYTES,
            store_cache_bytes: STORE_CACHE_BYTES,
            connections_max: CONNECTIONS_MAX,
            requests_per_connection_max: REQUESTS_PER_CONNECTION_MAX,
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

const fn requests_per_connection_max() -> u32 {
    REQUESTS_PER_CONNECTION_MAX
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
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        config.check().map_err(wrong)?;
        Ok(config)
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

    fn check(&self) -> Result<(), String> {
        check_name("node name", &self.name, true)?;
        let positive = [
            ("checkpoint_bytes", self.checkpoint_bytes),
            ("base_bytes", self.base_bytes),
            ("store_cache_bytes", self.store_cache_bytes),
            ("connections_max", u64::from(self.connections_max)),
            (
                "requests_per_connection_max",
                u64::from(self.requests_per_connection_max),
            ),
            (
                "admission.turns_per_module_max",
                self.admission.turns_per_module_max,
            ),
            (
                "admission.bytes_per_module_max",
                self.admission.bytes_per_module_max,
            ),
            ("limits.deadline_ms", self.limits.deadline_ms),
            ("limits.memory_bytes", self.limits.memory_bytes),
            (
                "limits.steps_per_turn_max",
                u64::from(self.limits.steps_per_turn_max),
            ),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(format!("field `{field}` is 0; it must be at least 1"));
            }
        }
        for owner in &self.owners {
            owner.0.parse::<libp2p::PeerId>().map_err(|error| {
                format!("field `owners`: `{}` is not a node id: {error}; `interstice-cli whoami` prints one", owner.0.escape_debug())
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("writes");
        Config::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let config = read("name = \"a\"\nport = 4400\n").expect("is valid");
        assert_eq!(
            config,
            Config {
                name: "a".into(),
                port: 4400,
                ..Config::default()
            }
        );
        assert_eq!(read(&config.to_toml().expect("writes")), Ok(config));
    }

    #[test]
    fn a_mistake_names_the_file_the_line_and_the_field() {
        for (text, wanted) in [
            ("name = \"a\"\nport = 4400\nprot = 1\n", "prot"),
            ("name = \"a\"\nport = \"x\"\n", "line 2"),
            ("name = \"../a\"\nport = 1\n", "node name"),
            ("name = \"a\"\nport = 1\nowners = [\"me\"]\n", "owners"),
            (
                "name = \"a\"\nport = 1\n[limits]\ndeadline_ms = 0\n",
                "limits.deadline_ms",
            ),
        ] {
            let problem = read(text).expect_err(text);
            assert!(
                problem.contains(wanted) && problem.contains("node.toml"),
                "{problem}"
            );
        }
    }
}
