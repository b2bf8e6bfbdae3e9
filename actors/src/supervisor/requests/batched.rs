//! What the requests of one batch hold together, so that they count it by themselves: see [`Apart`].

use std::sync::Arc;

use interstice_abi::id::ModuleName;

use crate::{
    apart::Apart,
    supervisor::{
        Supervisor,
        catalogue::{Catalogue, ModuleIndex},
    },
};

/// What a batch of requests has in common.
pub(crate) struct Batched {
    catalogue: Apart<Catalogue>,
    /// The module and the reducer that were called last: mostly the next ones too.
    called: Option<(ModuleIndex, ModuleName, Arc<str>)>,
}

impl Batched {
    /// Of a batch that is taken up now.
    pub(super) fn new(catalogue: &Arc<Catalogue>) -> Self {
        Self {
            catalogue: Apart::new(catalogue.clone()),
            called: None,
        }
    }
}

impl Supervisor {
    /// The catalogue, for one more turn or query.
    pub(crate) fn batched_catalogue(&self) -> Apart<Catalogue> {
        match &self.batched {
            Some(batched) if Arc::ptr_eq(batched.catalogue.shared(), &self.catalogue) => {
                batched.catalogue.clone()
            }
            _ => Apart::new(self.catalogue.clone()),
        }
    }

    /// The names of a module and its reducer, for one more call.
    pub(super) fn batched_names(
        &mut self,
        index: ModuleIndex,
        module: &ModuleName,
        reducer: String,
    ) -> (ModuleName, Arc<str>) {
        let Some(batched) = &mut self.batched else {
            return (module.clone(), reducer.into());
        };
        match &mut batched.called {
            Some((known, name, last)) if *known == index && name == module => {
                if **last != *reducer {
                    *last = reducer.into();
                }
                (name.clone(), last.clone())
            }
            called => {
                let (_, name, reducer) = called.insert((index, module.apart(), reducer.into()));
                (name.clone(), reducer.clone())
            }
        }
    }
}
