//! Turns of a change: `init` and `load` run to their end while nothing else runs.
//!
//! Such a turn has a seq and records as any other; only its places are given out here instead of at the barrier.

use std::collections::BTreeSet;

use interstice_abi::{
    event::Event,
    failure::Failure,
    id::{ModuleName, StepIndex},
    wire::Called,
};
use tokio::sync::oneshot;

use super::ChangeContext;
use crate::{
    module::{
        NewPlace, Places, gone,
        turn::{PendingStep, StepKind, Turn, Waiter, invocation_of_node},
    },
    record::Input,
};

impl ChangeContext {
    /// Runs a module's load: an input of its own. The inner result is that of its `load` reducer.
    pub(crate) async fn load(
        &mut self,
        module: &ModuleName,
    ) -> Result<Result<Called, Failure>, Failure> {
        let reducer = self
            .catalogue
            .index_of(module)
            .and_then(|index| self.catalogue.entry(index))
            .and_then(|entry| entry.reducers_on(&Event::Load).next().map(Into::into));
        self.run_alone(
            Input::Load {
                module: module.clone(),
            },
            module,
            StepKind::Load(reducer),
            true,
        )
        .await
    }

    /// Runs a turn while nothing else runs, to its end.
    pub(crate) async fn run_alone(
        &mut self,
        input: Input,
        module: &ModuleName,
        what: StepKind,
        of_load: bool,
    ) -> Result<Result<Called, Failure>, Failure> {
        let index = self
            .catalogue
            .index_of(module)
            .ok_or_else(|| Failure::internal("a module that was just installed is not there"))?;
        let reach: BTreeSet<_> = self
            .catalogue
            .entry(index)
            .map(|entry| entry.reach.iter().copied().collect())
            .unwrap_or_default();
        let (waiter, ended) = oneshot::channel();
        let ticket = self.stamper.ticket();
        let turn = Turn {
            ticket,
            seq: self.stamper.seq(&self.shared),
            timestamp_ms: self.stamper.timestamp_ms(),
            catalogue: self.catalogue.clone(),
            input: Some(input),
            pending: [PendingStep {
                module: index,
                what,
                invocation: invocation_of_node(&self.shared.id),
                arguments: Vec::new(),
                from_outside: false,
                of_load,
            }]
            .into(),
            next_step: StepIndex(0),
            budget: self.config.limits.steps_per_turn_max,
            held: reach.clone(),
            failed: 0,
            dropped: 0,
            refused: None,
            waiter: Waiter::Node(waiter),
            bytes: 0,
            home: None,
        };
        let mut turn = Some(Box::new(turn));
        for held in reach {
            let place = if held == index {
                match turn.take() {
                    Some(turn) => NewPlace::Turn(turn),
                    None => continue,
                }
            } else {
                NewPlace::Hold(ticket)
            };
            if let Some(entry) = self.catalogue.entry(held) {
                entry.installed.address.do_send(Places(vec![place]));
            }
        }
        ended.await.map_err(|_| gone(module))
    }
}
