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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use interstice_abi::{
        schema::{Version, Visibility},
        types::TypeSet,
        wire::ModuleState,
    };

    use super::*;
    use crate::supervisor::{
        catalogue::{Catalogue, Installed},
        grants::Grants,
    };

    fn schema(name: &str) -> Arc<ModuleSchema> {
        Arc::new(ModuleSchema {
            abi_version: 1,
            name: ModuleName::new(name).expect("a name"),
            version: Version::default(),
            visibility: Visibility::Public,
            authorities: Vec::new(),
            replicated_tables: Vec::new(),
            dependencies: Vec::new(),
            tables: Vec::new(),
            reducers: Vec::new(),
            queries: Vec::new(),
            types: TypeSet::default(),
        })
    }

    #[test]
    fn all_requests_share_what_their_catalogue_has_made_once_and_keep_no_actor() {
        let actor = Arc::new(());
        let schemas = ["one", "two", "three"].map(schema);
        let installed = schemas.iter().map(|schema| {
            let installed = Installed {
                schema: schema.clone(),
                fingerprints: Arc::default(),
                hash: [7; 32],
                state: ModuleState::Loaded,
                grants: Grants::default(),
                since: Seq(9),
                place: 0,
                address: actor.clone(),
            };
            (schema.name.clone(), installed)
        });
        let catalogue = Catalogue::new(installed.collect::<BTreeMap<_, _>>());
        let requests: Vec<_> = (0..100).map(|_| catalogue.present().clone()).collect();
        let first = requests.first().expect("there are some");
        assert!(requests.iter().all(|request| Arc::ptr_eq(request, first)));
        // Held here, by the catalogue, and by what all requests share.
        assert!(schemas.iter().all(|schema| Arc::strong_count(schema) == 3));
        drop(catalogue);
        assert_eq!(Arc::strong_count(&actor), 1);
        let two = first.get(&ModuleName::new("two").expect("a name"));
        assert_eq!(
            two.map(|two| (two.since, two.hash)),
            Some((Seq(9), [7; 32]))
        );
    }
}
