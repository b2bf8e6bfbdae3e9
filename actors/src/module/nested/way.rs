//! The way that led to a running guest: the place that it runs under, and every module that is in the middle of a call.
//!
//! A module is in a chain at most once, which [`super::reacher`] sees to. Nothing here changes while a guest runs.

use std::sync::Arc;

use crate::{
    module::turn::{Ticket, Turn},
    supervisor::catalogue::{Catalogue, ModuleIndex},
};

/// The way that led to a running guest.
#[derive(Clone)]
pub(crate) struct Way {
    pub(super) ticket: Ticket,
    pub(super) catalogue: Arc<Catalogue>,
    /// The modules of the call chain, the running one last.
    pub(super) chain: Vec<ModuleIndex>,
    /// Whether this is a client's query, which runs on second instances.
    pub(super) of_client_query: bool,
    pub(super) of_load: bool,
}

impl Way {
    /// The start of a step's way.
    pub(in crate::module) fn of_step(turn: &Turn, own: ModuleIndex, of_load: bool) -> Self {
        Self {
            ticket: turn.ticket,
            catalogue: turn.catalogue.clone(),
            chain: vec![own],
            of_client_query: false,
            of_load,
        }
    }

    /// The start of a client query's way.
    pub(in crate::module) fn of_query(
        ticket: Ticket,
        catalogue: Arc<Catalogue>,
        own: ModuleIndex,
    ) -> Self {
        Self {
            ticket,
            catalogue,
            chain: vec![own],
            of_client_query: true,
            of_load: false,
        }
    }

    /// The way on into `module`.
    pub(super) fn to(&self, module: ModuleIndex) -> Self {
        let mut way = self.clone();
        way.chain.push(module);
        way
    }
}
