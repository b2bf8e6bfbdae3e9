//! The log of a running node, for what the program around it has to say.

use std::sync::{Arc, Weak};

use interstice_abi::wire::LogLevel;

use crate::lines::Lines;

/// The log of a node: `logs` and `node.log` show what is said here as lines of the node. It does
/// not keep the node's files open.
#[derive(Clone)]
pub struct NodeLog(Weak<Lines>);

impl NodeLog {
    pub(super) fn new(lines: &Arc<Lines>) -> Self {
        Self(Arc::downgrade(lines))
    }

    /// Adds a line. Once the node has ended, it is lost.
    pub fn say(&self, level: LogLevel, text: &str) {
        let Some(lines) = self.0.upgrade() else {
            return;
        };
        match level {
            LogLevel::Message => lines.message(None, None, text),
            LogLevel::Warning => lines.warn(None, None, text),
            LogLevel::Error => lines.error(None, None, text),
        }
    }
}
