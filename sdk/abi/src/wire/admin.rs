//! What owners ask and are told: deploys, grants, logs.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    event::TableRef,
    failure::Failure,
    id::{ModuleName, Seq, TimerId},
    schema::{Access, Authority, Version},
    text,
};

/// What a deploy does with tables that do not fit the new schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnConflict {
    /// Refuse, and change nothing.
    #[default]
    Refuse,
    /// Drop the tables that do not fit, with their rows; keep the others.
    Wipe,
}

/// How a module is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployOptions {
    /// What happens to data that does not fit.
    pub on_conflict: OnConflict,
}

/// What a deploy has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReport {
    /// The module.
    pub module: ModuleName,
    /// Its version.
    pub version: Version,
    /// The version that it replaced.
    pub replaced: Option<Version>,
    /// The turn from which it runs.
    pub seq: Seq,
    /// What is different, a line each; empty when nothing but code has changed.
    pub changes: Vec<String>,
    /// The failure of its `load` reducer: the module stays.
    pub load_failure: Option<String>,
}

/// Whether a deploy of several modules is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeployHow {
    /// It is made.
    Install,
    /// It is only looked at: nothing changes.
    Plan,
}

/// What a deploy would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPlan {
    /// Each module, those first that others need.
    pub modules: Vec<ModulePlan>,
    /// Why it would be refused.
    pub refused: Option<Failure>,
}

/// What a deploy would do with a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulePlan {
    /// The module.
    pub module: ModuleName,
    /// The version that comes.
    pub version: Version,
    /// The version that it replaces.
    pub replaces: Option<Version>,
    /// What is different, a line each.
    pub changes: Vec<String>,
    /// What becomes of its tables.
    pub tables: Vec<TablePlan>,
    /// The pending timers that go, as (number, reducer).
    pub timers: Vec<(TimerId, String)>,
    /// The serving modules that were compiled against it.
    pub used_by: Vec<ModuleName>,
}

/// What becomes of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// What becomes of them.
    pub fate: TableFate,
}

/// What becomes of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableFate {
    /// The table comes.
    Added,
    /// They stay as they are.
    Kept,
    /// They stay, and each gets the columns that were added.
    Extended,
    /// They are in memory only and go with every stop of the module.
    Ephemeral,
    /// They do not fit: only a wipe drops them.
    Dropped,
}

/// What a grant is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GrantTarget {
    /// Bits of access to a table, its own or another module's.
    Table {
        /// The table.
        table: TableRef,
        /// What may be done.
        access: Access,
    },
    /// Calls and queries to another module.
    Calls {
        /// The other module.
        #[serde(with = "text")]
        module: String,
    },
    /// Reactions to another module's tables and calls.
    Subscriptions {
        /// The other module.
        #[serde(with = "text")]
        module: String,
    },
    /// An authority.
    Authority(Authority),
    /// The clock.
    Time,
    /// Writing into the log.
    Logging,
}

/// Who holds a grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// The whole module.
    Module,
    /// One reducer or query, because its signature asks for it.
    Function(#[serde(with = "text")] String),
}

/// One row of the table of grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEntry {
    /// Who in the module holds it.
    pub subject: Subject,
    /// What it allows.
    pub target: GrantTarget,
    /// The turn that gave it.
    pub since: Seq,
    /// The turn that took it back.
    pub revoked: Option<Seq>,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// What a module or the node says.
    Message,
    /// Something was refused or undone.
    Warning,
    /// Something broke.
    Error,
}

/// A line of the node's or a module's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number in the node's log: one more than that of the line before, across restarts.
    pub number: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// How important.
    pub level: LogLevel,
    /// The module that it is from or about; `None` for the node.
    pub module: Option<ModuleName>,
    /// The turn in which it was written.
    pub seq: Option<Seq>,
    /// The text, of any number of lines.
    pub text: String,
}
