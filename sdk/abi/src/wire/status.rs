//! How a node and its modules do.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    id::{Epoch, ModuleName, NodeId, Seq},
    schema::{Persistence, Version, Visibility},
    text,
};

/// A node at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub node: NodeId,
    /// Its name in its own configuration.
    #[serde(with = "text")]
    pub name: String,
    /// The version of Interstice that it runs.
    pub version: Version,
    /// Where it listens, as multiaddresses.
    pub addresses: Vec<String>,
    /// Its epoch.
    pub epoch: Epoch,
    /// The last turn that was stamped.
    pub seq: Seq,
    /// How long it has been running, in milliseconds.
    pub uptime_ms: u64,
    /// Connections that are open.
    pub connections: u32,
    /// Turns that have ended since the start.
    pub turns: u64,
    /// Those of them whose first step has committed.
    pub committed: u64,
    /// Turns that are admitted and have not ended.
    pub turns_in_flight: u64,
    /// Resident memory in bytes; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// How long the last sync of the log took, in microseconds.
    pub sync_us: u64,
    /// Modules that are installed.
    pub modules: u32,
    /// Why the node takes no more turns, when it does not.
    pub poisoned: Option<String>,
}

/// What a module is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleState {
    /// It serves.
    Loaded,
    /// An owner has unloaded it.
    Unloaded,
    /// It failed again and again.
    Quarantined {
        /// Its last fault.
        reason: String,
    },
    /// It was stopped and runs again: it first hears of the changes that it has missed, and then
    /// serves.
    CatchingUp,
}

/// Counts since the module was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounters {
    /// Reducers that have run, reactions among them.
    pub reducers: u64,
    /// Queries that have run.
    pub queries: u64,
    /// Steps that were undone because the reducer returned an error.
    pub rejected: u64,
    /// Steps that were undone because the guest faulted.
    pub faults: u64,
    /// Fresh instances after the first.
    pub restarts: u64,
}

/// A table of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name.
    #[serde(with = "text")]
    pub name: String,
    /// Who may read it.
    pub visibility: Visibility,
    /// How it is kept.
    pub persistence: Persistence,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of its rows and keys.
    pub bytes: u64,
}

/// A module at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// Its name.
    pub name: ModuleName,
    /// Its version.
    pub version: Version,
    /// What it is doing.
    pub state: ModuleState,
    /// Who may use it.
    pub visibility: Visibility,
    /// BLAKE3 of its binary.
    pub hash: [u8; 32],
    /// Its tables; only the public ones for guests.
    pub tables: Vec<TableStatus>,
    /// Counts.
    pub counters: CallCounters,
    /// Turns that wait for it.
    pub queue_depth: u64,
    /// Its last fault.
    pub last_fault: Option<String>,
    /// The digest of its tables, 32 bytes as four little-endian words; `None` for guests.
    pub digest: Option<[u64; 4]>,
}
