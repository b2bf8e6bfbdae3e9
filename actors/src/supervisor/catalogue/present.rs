//! What requests about the past need of the installed modules. It is made with its catalogue, and
//! every request shares it.

use std::{collections::HashMap, sync::Arc};

use interstice_abi::{
    id::{ModuleName, Seq},
    schema::ModuleSchema,
};

use super::Entry;

/// The installed modules, by name.
pub(crate) type PresentModules = HashMap<ModuleName, Present>;

/// An installed module. Its actor is not named here: a request that reads for long must not keep
/// the actor of a module that has gone.
pub(crate) struct Present {
    /// The turn from which this version runs.
    pub(crate) since: Seq,
    /// BLAKE3 of its binary.
    pub(crate) hash: [u8; 32],
    /// Its schema.
    pub(crate) schema: Arc<ModuleSchema>,
}

/// Those of a catalogue.
pub(super) fn present<A>(entries: &[Entry<A>]) -> Arc<PresentModules> {
    let present = entries.iter().map(|Entry { installed, .. }| {
        let present = Present {
            since: installed.since,
            hash: installed.hash,
            schema: installed.schema.clone(),
        };
        (installed.schema.name.clone(), present)
    });
    Arc::new(present.collect())
}
