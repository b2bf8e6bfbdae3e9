//! What owners are told of a node's past: turns with their steps and changes, and the rows of a
//! table as it was.
//!
//! Rows and arguments travel encoded, beside the schemas under which they were written. What is
//! larger than [`SHOWN_BYTES_MAX`] is told by its size, so that a page stays a page.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{GrantChange, GrantTarget, OnConflict, bytes};
use crate::{
    failure::Failure,
    id::{ModuleName, NodeId, Position, Seq, StepIndex, TimerId},
    schema::{ModuleSchema, Version},
    text,
};

/// Most turns in one page of history.
pub const TURNS_PER_PAGE_MAX: u32 = 1000;

/// Largest row or arguments, in bytes, that history shows.
pub const SHOWN_BYTES_MAX: usize = 1024 * 1024;

/// Which way history is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryOrder {
    /// From older turns to younger ones.
    #[default]
    Forward,
    /// From younger turns to older ones; the steps of each turn in their order all the same.
    Reverse,
}

/// A place in a module's history: that of a turn, or inside one that did not fit a page.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HistoryCursor {
    /// The turn.
    pub seq: Seq,
    /// The step to go on with.
    pub step: StepIndex,
    /// The effect of that step to go on with, from 0.
    pub effect: u32,
}

/// Some turns that have touched a module, whole: steps in other modules are among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Steps, those of a turn one after the other.
    pub steps: Vec<HistoryStep>,
    /// The schemas that rows and arguments point to.
    pub schemas: Vec<ModuleSchema>,
    /// Where the next page starts; `None` behind the last turn.
    pub next: Option<HistoryCursor>,
    /// The oldest turn that the node keeps.
    pub kept_from: Seq,
}

/// A step, or the part of it that fits the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStep {
    /// The turn.
    pub seq: Seq,
    /// The step inside the turn.
    pub step: StepIndex,
    /// The turn's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// What the turn began with: step 0 only.
    pub input: Option<HistoryInput>,
    /// The module and the reducer that ran; `None` where the step is the node's own.
    pub ran: Option<HistoryReducer>,
    /// Why the step was undone; `None` when its changes hold.
    pub failure: Option<Failure>,
    /// The place of the first of `effects` among all of the step: above 0 where a page before had
    /// the others.
    pub first_effect: u32,
    /// What it did, in order.
    pub effects: Vec<HistoryEffect>,
    /// What reacts to it, later in the turn.
    pub starts: Vec<HistoryReducer>,
    /// How many reactions were dropped because the turn had too many.
    pub dropped: u32,
}

/// A reducer of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryReducer {
    /// The module.
    pub module: ModuleName,
    /// The reducer; empty where the module has none for its load.
    #[serde(with = "text")]
    pub reducer: String,
}

/// Bytes that were recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryBytes {
    /// All of them.
    Whole(#[serde(with = "bytes")] Vec<u8>),
    /// They are too many to be shown.
    LeftOut {
        /// How many.
        bytes: u64,
    },
}

/// Something that a step did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryEffect {
    /// A row changed: an insert has only `after`, a delete only `before`.
    Change {
        /// Whose table.
        module: ModuleName,
        /// The place of the schema in [`HistoryPage::schemas`]; `None` when the node no longer has
        /// it.
        schema: Option<u32>,
        /// The table; `#` and its place where the schema is not known.
        #[serde(with = "text")]
        table: String,
        /// The row as it was.
        before: Option<HistoryBytes>,
        /// The row as it became.
        after: Option<HistoryBytes>,
    },
    /// A timer was set, or was cancelled or fired.
    Timer {
        /// Whose.
        module: ModuleName,
        /// Which.
        timer: TimerId,
        /// The reducer that it runs.
        #[serde(with = "text")]
        reducer: String,
        /// When it is due, in milliseconds since 1970.
        due_ms: u64,
        /// What became of it.
        change: TimerChange,
    },
    /// A reducer has returned that others react to.
    Called {
        /// Its module.
        module: ModuleName,
        /// The reducer.
        #[serde(with = "text")]
        reducer: String,
        /// As in [`HistoryEffect::Change`].
        schema: Option<u32>,
        /// Its arguments' encodings, one after the other.
        arguments: HistoryBytes,
    },
}

/// What became of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimerChange {
    /// It waits.
    Set,
    /// It is gone: fired, cancelled, or ended with its load.
    Gone,
}

/// What a turn began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryInput {
    /// A client or another node has called a reducer.
    Call {
        /// Who.
        caller: NodeId,
        /// Whether the caller is an owner of the node.
        caller_is_owner: bool,
        /// The module.
        module: ModuleName,
        /// The reducer.
        #[serde(with = "text")]
        reducer: String,
        /// As in [`HistoryEffect::Change`].
        schema: Option<u32>,
        /// The arguments' encodings, one after the other.
        arguments: HistoryBytes,
    },
    /// A timer was due.
    Timer {
        /// Whose.
        module: ModuleName,
        /// Which.
        timer: TimerId,
    },
    /// A module came, or took the place of its older self.
    Install {
        /// Its name.
        module: ModuleName,
        /// Its version.
        version: Version,
        /// BLAKE3 of its binary.
        hash: [u8; 32],
        /// What happened to tables that did not fit.
        on_conflict: OnConflict,
    },
    /// A module's instance began.
    Load {
        /// Which.
        module: ModuleName,
    },
    /// An owner stopped a module.
    Unload {
        /// Which.
        module: ModuleName,
    },
    /// A module failed again and again.
    Quarantine {
        /// Which.
        module: ModuleName,
        /// Its last fault.
        reason: String,
    },
    /// A module and its data went.
    Remove {
        /// Which.
        module: ModuleName,
    },
    /// A grant was given or taken back.
    Grant {
        /// The holder.
        module: ModuleName,
        /// What it is about.
        target: GrantTarget,
        /// The direction.
        change: GrantChange,
    },
    /// A node or client has connected.
    Connect {
        /// Its id.
        node: NodeId,
    },
    /// A node or client has gone.
    Disconnect {
        /// Its id.
        node: NodeId,
    },
    /// The node has started.
    NodeStart,
    /// Data that an upgrade drops went, before the upgrade.
    Drop {
        /// Whose.
        module: ModuleName,
        /// The tables.
        tables: Vec<String>,
        /// The timers.
        timers: Vec<TimerId>,
    },
    /// Several modules came, or took the place of their older selves, together.
    InstallAll {
        /// Their names and versions.
        modules: Vec<(ModuleName, Version)>,
    },
    /// An owner has ended a pending timer.
    CancelTimer {
        /// Who.
        caller: NodeId,
        /// Whose timer.
        module: ModuleName,
        /// Which.
        timer: TimerId,
    },
    /// Modules that were stopped began to catch up, some of them in new versions.
    CatchUp {
        /// Their names.
        modules: Vec<ModuleName>,
        /// The modules that came with that, and their versions.
        installed: Vec<(ModuleName, Version)>,
    },
    /// A module that was stopped heard of a change that it had missed, or of changes that are no
    /// longer known.
    Missed {
        /// The module.
        module: ModuleName,
        /// Its reducer.
        #[serde(with = "text")]
        reducer: String,
        /// Where the change stands.
        position: Position,
        /// As in [`HistoryEffect::Change`].
        schema: Option<u32>,
        /// The arguments' encodings, one after the other.
        arguments: HistoryBytes,
    },
}

/// A table as it was: first its schema, then its rows in key order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableAt {
    /// The module's schema at that turn: the public view for guests.
    Schema(Box<ModuleSchema>),
    /// Encoded rows.
    Rows(#[serde(with = "bytes::list")] Vec<Vec<u8>>),
}
