//! What owners learn of turns that are under way, and of the end of one that they drop.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ModuleName, NodeId, Seq},
    text,
};

/// Most turns in one answer.
pub const TURNS_SHOWN_MAX: usize = 100;

/// Most modules that the answer names for one turn.
pub const TURN_HOLDS_SHOWN_MAX: usize = 16;

/// Turns that run or wait, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnsUnderWay {
    /// At most [`TURNS_SHOWN_MAX`].
    pub turns: Vec<TurnUnderWay>,
    /// Modules that are in the middle of a long step and did not answer in time. Turns that wait
    /// there are not among `turns`; the one that runs there is.
    pub silent: Vec<ModuleName>,
}

/// A turn that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnUnderWay {
    /// Its number.
    pub seq: Seq,
    /// What it began with.
    pub began: TurnBegan,
    /// The module in which its next step waits or runs.
    pub module: ModuleName,
    /// The reducer of that step; empty for a step of the node's own.
    #[serde(with = "text")]
    pub reducer: String,
    /// Whether that step runs. A step that waits for an answer of another module runs, too.
    pub runs: bool,
    /// How many of its steps have ended.
    pub steps: u32,
    /// How many of its steps have not begun.
    pub waiting: u32,
    /// Since when it is under way, in milliseconds.
    pub age_ms: u64,
    /// How long its reactions have run, in milliseconds.
    pub running_ms: u64,
    /// The modules that wait for it, at most [`TURN_HOLDS_SHOWN_MAX`].
    pub holds: Vec<ModuleName>,
    /// How many modules wait for it.
    pub holds_count: u32,
    /// Whether the last end of the node has cut it off, so that it goes on since the node's start.
    pub resumed: bool,
    /// Whether an owner has dropped it.
    pub dropped: bool,
}

/// What a turn began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TurnBegan {
    /// A call from outside.
    Call {
        /// Who.
        caller: NodeId,
        /// The module.
        module: ModuleName,
        /// The reducer.
        #[serde(with = "text")]
        reducer: String,
    },
    /// A timer.
    Timer {
        /// Whose.
        module: ModuleName,
    },
    /// A connection that came or went.
    Connection {
        /// Whose.
        node: NodeId,
    },
    /// A change of the node's modules, or the node's start.
    Node,
}

/// What became of an order to drop a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TurnDrop {
    /// The turn has ended, and its end is on disk.
    Dropped {
        /// How many of its steps had ended before. What they did stays.
        steps: u32,
        /// How many were dropped.
        dropped: u32,
    },
    /// Its next step waits for other turns, and is dropped when these have ended. A node that
    /// stops before that forgets the order.
    Ordered,
}
