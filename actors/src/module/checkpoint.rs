//! A module's part of a checkpoint: the pages that have changed since the last one, frozen where the marker passes.

use interstice_abi::id::ModuleName;
use interstice_host::table::{PageWrite, Tables};

/// What a module hands to a checkpoint.
pub(crate) struct Frozen {
    /// Whose pages.
    pub(crate) module: ModuleName,
    /// Changed pages, shared with the tables until one side changes them.
    pub(crate) pages: Vec<PageWrite>,
}

impl Frozen {
    /// Freezes what has changed.
    pub(super) fn of(module: &ModuleName, tables: &mut Tables) -> Self {
        Self {
            module: module.clone(),
            pages: tables.freeze(),
        }
    }
}
