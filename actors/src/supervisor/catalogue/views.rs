//! How modules see others that have grown since their bindings were made.
//!
//! Most see everything as it is, and have no views. What a reader is handed is decided here alone, from schemas: the live
//! node, its recovery and a replay go through these functions.

use std::{collections::BTreeMap, sync::Arc};

use interstice_abi::id::ModuleName;
use interstice_host::{module::Effect, schema::View};

use super::{Catalogue, Entry, ModuleIndex};
use crate::module::turn::pending::Arguments;

impl<A> Entry<A> {
    /// How this module sees `provider`, where that differs from what `provider` is.
    pub(crate) fn view_of(&self, provider: &ModuleName) -> Option<&Arc<View>> {
        let mut views = self.views.iter();
        views
            .find(|(name, _)| name == provider)
            .map(|(_, view)| view)
    }

    /// The views that follow from its bindings to modules of this node.
    pub(super) fn find_views(
        &self,
        entries: &[Self],
        by_name: &BTreeMap<ModuleName, ModuleIndex>,
    ) -> Vec<(ModuleName, Arc<View>)> {
        if !self.runs() {
            return Vec::new();
        }
        let dependencies = self.installed.schema.dependencies.iter();
        dependencies
            .filter(|dependency| dependency.node.is_none())
            .filter_map(|dependency| {
                let provider = by_name.get(dependency.module.as_str())?;
                let provider = &entries.get(provider.place())?.installed.schema;
                let view = View::new(dependency, provider)?;
                Some((provider.name.clone(), Arc::new(view)))
            })
            .collect()
    }
}

impl<A> Catalogue<A> {
    /// The arguments of a reducer of `subscriber` that reacts to `effect`: the rows before and after, or the call's arguments, as it
    /// knows them.
    pub(crate) fn handed_over(&self, subscriber: ModuleIndex, effect: &Effect) -> Arguments {
        let (Effect::Change { module, .. } | Effect::Called { module, .. }) = effect;
        let entry = self.entry(subscriber);
        match entry.and_then(|entry| entry.view_of(module)) {
            None => Arguments::of(effect),
            Some(view) => Arguments::seen(view.clone(), effect),
        }
    }
}
