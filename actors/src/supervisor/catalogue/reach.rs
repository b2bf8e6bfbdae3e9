//! Reach: which modules a turn or query may touch, and which depend on which.
//!
//! Edges are dependencies and subscriptions; the closure over them stands before a turn starts, so a place in every queue can
//! be given at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use interstice_abi::id::ModuleName;

use super::{Catalogue, Entry, ModuleIndex};

impl<A> Catalogue<A> {
    /// Serving modules, those that others depend on first; by name where nothing else decides.
    pub(crate) fn in_order_of_dependencies(&self) -> Vec<ModuleIndex> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, _) in self.entries() {
            self.visit(index, &mut seen, &mut order);
        }
        order
    }

    /// The modules that begin in one turn when the node starts: those that reach each other, in
    /// the order of their dependencies. A group follows the groups that it reaches: what a load
    /// calls has begun, and so has what reacts to it.
    pub(crate) fn groups_to_start(&self) -> Vec<Vec<ModuleName>> {
        let mut groups: Vec<(BTreeSet<ModuleIndex>, Vec<ModuleName>)> = Vec::new();
        for index in self.in_order_of_dependencies() {
            let Some(entry) = self.entry(index) else {
                continue;
            };
            // Reach is closed, so modules that reach each other reach the same.
            let reach: BTreeSet<ModuleIndex> = entry.reach.iter().copied().collect();
            let name = entry.installed.schema.name.clone();
            match groups.iter_mut().find(|(known, _)| *known == reach) {
                Some((_, group)) => group.push(name),
                None => groups.push((reach, vec![name])),
            }
        }
        // A group that reaches another one reaches more than that does.
        groups.sort_by_key(|(reach, _)| reach.len());
        groups.into_iter().map(|(_, group)| group).collect()
    }

    fn visit(
        &self,
        index: ModuleIndex,
        seen: &mut BTreeSet<ModuleIndex>,
        order: &mut Vec<ModuleIndex>,
    ) {
        let Some(entry) = self.entry(index) else {
            return;
        };
        if !seen.insert(index) {
            return;
        }
        for dependency in entry.dependencies(&self.by_name) {
            self.visit(dependency, seen, order);
        }
        if entry.serves() {
            order.push(index);
        }
    }
}

impl<A> Entry<A> {
    /// The modules of this node that it was compiled against and that are there.
    pub(super) fn dependencies<'a>(
        &'a self,
        by_name: &'a BTreeMap<ModuleName, ModuleIndex>,
    ) -> impl Iterator<Item = ModuleIndex> + 'a {
        self.installed
            .schema
            .dependencies
            .iter()
            .filter(|dependency| dependency.node.is_none())
            .filter_map(|dependency| by_name.get(dependency.module.as_str()).copied())
    }
}

/// `start` and everything that can be reached from it over any of the edges, `start` first, the rest in order.
pub(super) fn closure(
    start: ModuleIndex,
    edges: &[&Vec<BTreeSet<ModuleIndex>>],
) -> Arc<[ModuleIndex]> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(index) = open.pop() {
        if reached.insert(index) {
            open.extend(
                edges
                    .iter()
                    .filter_map(|edges| edges.get(index.place()))
                    .flatten(),
            );
        }
    }
    reached.remove(&start);
    std::iter::once(start).chain(reached).collect()
}
