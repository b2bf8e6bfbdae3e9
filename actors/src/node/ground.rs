//! What a node stands on: the files of its log, the store below its checkpoints, the clocks, and
//! the other nodes.
//!
//! The default is the real thing. Tests put something else in its place, to see what the node does
//! when it gives way.

use std::{fmt, sync::Arc};

use interstice_host::{
    log::{LogFiles, LogOptions, StdFiles},
    store::{Steps, Unwatched},
};

use crate::{
    clock::{Clocks, SystemClocks},
    remote::{NotConnected, Remote},
};

/// What a node stands on.
#[derive(Clone)]
pub struct Ground {
    /// Who answers calls to modules of other nodes.
    pub remote: Arc<dyn Remote>,
    /// The log's files.
    pub log_files: Arc<dyn LogFiles>,
    /// How the log is laid out.
    pub log_options: LogOptions,
    /// Who is told of every step of the store.
    pub store_steps: Arc<dyn Steps>,
    /// The machine's clocks.
    pub clocks: Arc<dyn Clocks>,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            remote: Arc::new(NotConnected),
            log_files: Arc::new(StdFiles),
            log_options: LogOptions::default(),
            store_steps: Arc::new(Unwatched),
            clocks: Arc::new(SystemClocks::default()),
        }
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("log_options", &self.log_options)
            .finish_non_exhaustive()
    }
}
