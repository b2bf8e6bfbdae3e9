//! A module's part of a checkpoint, a base or a backup: what it hands over where the marker passes.

use interstice_abi::id::ModuleName;
use interstice_host::{
    module::Module,
    table::{Hashing, PageWrite},
};

/// What a marker wants of the modules that it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    /// The pages that have changed since the last checkpoint.
    Checkpoint,
    /// These, and a copy of everything; the module goes on with a fresh instance.
    Base,
    /// The digest, to be worked out elsewhere: the module goes on at once.
    Backup,
}

/// What a module hands over.
pub(crate) struct Frozen {
    /// Whose it is.
    pub(crate) module: ModuleName,
    /// Changed pages, shared with the tables until one side changes them.
    pub(crate) pages: Vec<PageWrite>,
    /// All pages, for a base.
    pub(crate) copy: Vec<PageWrite>,
    /// The digest, for a backup.
    pub(crate) digest: Option<Hashing>,
}

impl Frozen {
    /// Takes from `module` what a marker wants.
    pub(super) fn of(name: &ModuleName, module: &mut Module, passing: Passing) -> Self {
        let mut frozen = Self {
            module: name.clone(),
            pages: Vec::new(),
            copy: Vec::new(),
            digest: None,
        };
        match passing {
            Passing::Checkpoint => frozen.pages = module.tables_mut().freeze(),
            Passing::Base => {
                frozen.pages = module.tables_mut().freeze();
                frozen.copy = module.tables().copy();
                module.renew();
            }
            Passing::Backup => frozen.digest = Some(module.tables().begin_digest()),
        }
        frozen
    }
}
