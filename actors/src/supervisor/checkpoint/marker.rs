//! The marker of a checkpoint: what it holds besides pages, in postcard behind a byte that says
//! the format.

use interstice_abi::{
    id::{Epoch, ModuleName, NodeId, Seq},
    wire::ModuleState,
};
use interstice_host::{log::LogPosition, store::Store};
use serde::{Deserialize, Serialize};

use crate::supervisor::{catalogue::Catalogue, grants::Grants};

/// A turn, and a place in the log behind which every later turn is.
pub(crate) type Mark = (Seq, LogPosition);

/// The format of markers, and of the pages and records that they go with.
const MARKER_FORMAT: u8 = 3;

/// What a checkpoint holds besides pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The node's epoch.
    pub(crate) epoch: Epoch,
    /// The last turn that the pages hold.
    pub(crate) seq: Seq,
    /// The time of that turn, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// Where recovery starts to read the log.
    pub(crate) position: LogPosition,
    /// What is installed.
    pub(crate) modules: Vec<MarkedModule>,
    /// Whose connections were open.
    pub(crate) connected: Vec<NodeId>,
    /// Whether the node was stopped in order: then no seq behind `seq` was given out.
    pub(crate) clean: Clean,
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Clean {
    /// It was stopped, and everything is in the checkpoint.
    Stopped,
    /// It went on.
    Running,
}

/// A module of a marker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MarkedModule {
    /// Its name.
    pub(crate) name: ModuleName,
    /// BLAKE3 of its binary.
    pub(crate) hash: [u8; 32],
    /// Whether it serves.
    pub(crate) state: ModuleState,
    /// What it may do.
    pub(crate) grants: Grants,
    /// The turn that installed it.
    pub(crate) since: Seq,
}

impl Marker {
    /// The marker's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        postcard::to_extend(self, vec![MARKER_FORMAT]).map_err(|error| error.to_string())
    }

    /// Reads a marker.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&MARKER_FORMAT, rest)) => {
                postcard::from_bytes(rest).map_err(|error| error.to_string())
            }
            Some((format, _)) => Err(format!(
                "the checkpoint is of format {format}, and this program reads format {MARKER_FORMAT}: start the node with the version that wrote it"
            )),
            None => Err("the checkpoint's marker is empty".to_string()),
        }
    }
}

impl MarkedModule {
    /// What the store calls its trees: an upgrade or a new install begins trees of its own, so
    /// that the older ones stay whole until a marker no longer needs them.
    pub(crate) fn stored_as(&self) -> String {
        format!("{}#{}", self.name, self.since)
    }
}

/// Drops the trees of modules, and of older selves of modules, that the marker does not name. The
/// marker is on disk.
pub(crate) fn drop_orphans(store: &Store, marker: &Marker) -> Result<(), String> {
    for stored in store.modules() {
        if !marker
            .modules
            .iter()
            .any(|module| module.stored_as() == stored)
        {
            store
                .drop_module(&stored)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// What `catalogue` has, as a marker says it.
pub(crate) fn marked_modules(catalogue: &Catalogue) -> Vec<MarkedModule> {
    catalogue
        .entries()
        .map(|(_, entry)| MarkedModule {
            name: entry.installed.schema.name.clone(),
            hash: entry.installed.hash,
            state: entry.installed.state.clone(),
            grants: entry.installed.grants.clone(),
            since: entry.installed.since,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_of_another_version_is_refused_with_what_to_do() {
        let older = Marker::decode(&[MARKER_FORMAT - 1, 0]).expect_err("it is older");
        assert!(older.contains("the version that wrote it"), "{older}");
        assert!(Marker::decode(&[]).is_err());
    }
}
