//! Inputs of the node's own, and the steps with which they begin: its start, a connection that
//! comes or goes.

use interstice_abi::{codec::Column, id::NodeId};
use interstice_host::log::Records;

use super::{
    Supervisor,
    admission::shares::GuestIndex,
    catalogue::{Catalogue, Subscriber},
    stamp::own_step,
};
use crate::{
    module::turn::{PendingStep, StepKind, Turn, Waiter, pending::Shares},
    record::Input,
};

/// The steps of an input whose step 0 is the node's own, in order; none for other inputs.
pub(crate) fn raised<A>(own: &NodeId, catalogue: &Catalogue<A>, input: &Input) -> Vec<PendingStep> {
    let mut steps: Vec<PendingStep> = match input {
        Input::NodeStart { disconnected } => {
            let loads = catalogue.in_order_of_dependencies().into_iter();
            let loads = loads.filter_map(|index| {
                let entry = catalogue.entry(index)?;
                Some(PendingStep::load_of(own, index, entry))
            });
            let gone = disconnected.iter();
            let gone =
                gone.flat_map(|node| steps_on(own, catalogue.disconnect_subscribers(), node));
            loads.chain(gone).collect()
        }
        Input::ModulesStart {
            modules,
            disconnected,
        } => {
            let modules = modules.iter();
            let modules: Vec<_> = modules
                .filter_map(|module| catalogue.index_of(module))
                .collect();
            let loads = modules.iter().filter_map(|index| {
                let entry = catalogue.entry(*index)?;
                Some(PendingStep::load_of(own, *index, entry))
            });
            let gone = disconnected.iter();
            let gone =
                gone.flat_map(|node| steps_on(own, catalogue.disconnect_subscribers(), node));
            let gone = gone.filter(|step| modules.contains(&step.module));
            loads.chain(gone).collect()
        }
        Input::Connect { node } => steps_on(own, catalogue.connect_subscribers(), node),
        Input::Disconnect { node } => steps_on(own, catalogue.disconnect_subscribers(), node),
        _ => Vec::new(),
    };
    Shares::count(&mut steps);
    steps
}

/// A step for each of `subscribers`, with a node's id as its argument.
fn steps_on(own: &NodeId, subscribers: &[Subscriber], node: &NodeId) -> Vec<PendingStep> {
    let subscribers = subscribers.iter();
    subscribers
        .map(|subscriber| {
            let what = StepKind::Event(subscriber.reducer.clone());
            PendingStep::of_node(own, subscriber.module, what, node.to_string().to_bytes())
        })
        .collect()
}

impl Supervisor {
    /// The node's own inputs of its start: `load` of every module, `disconnect` for connections
    /// of before. Modules that cannot touch each other begin in turns of their own, so that one
    /// which a half-done turn holds up holds up no others.
    pub(super) fn stamp_node_start(&mut self) {
        let disconnected = std::mem::take(&mut self.connected);
        let groups = self.catalogue.groups_to_start();
        let subscribers = self.catalogue.disconnect_subscribers();
        let mut inputs: Vec<Input> = groups
            .into_iter()
            .map(|modules| {
                let mut subscribers = subscribers.iter();
                let hears = subscribers.any(|subscriber| modules.contains(&subscriber.name));
                let disconnected = if hears {
                    disconnected.clone()
                } else {
                    Vec::new()
                };
                Input::ModulesStart {
                    modules,
                    disconnected,
                }
            })
            .collect();
        if inputs.is_empty() {
            inputs.push(Input::NodeStart { disconnected });
        }
        // In one block of the log, so that no start is there in part.
        let mut records = Records::default();
        let mut turns = Vec::new();
        for input in inputs {
            let steps = raised(&self.shared.id, &self.catalogue, &input);
            if let Some((turn, record)) = self.stamp_own(input, steps) {
                records.push(&record);
                turns.push(turn);
            }
        }
        self.shared.append_all(records);
        for turn in turns {
            self.place_turn(turn);
        }
    }

    /// Stamps an input whose step 0 is the node's own and starts `steps`.
    pub(crate) fn stamp_for_node(
        &mut self,
        input: Input,
        steps: Vec<PendingStep>,
        guest: Option<GuestIndex>,
    ) {
        if let Some((mut turn, record)) = self.stamp_own(input, steps) {
            turn.guest = guest;
            self.shared.append(record);
            self.place_turn(turn);
        }
    }

    /// A turn whose step 0 is the node's own and starts `steps`, with the record of that step.
    /// `None` when the node must stop.
    fn stamp_own(&mut self, input: Input, steps: Vec<PendingStep>) -> Option<(Box<Turn>, Vec<u8>)> {
        let starts = steps
            .iter()
            .filter_map(|step| step.start(&self.catalogue))
            .collect();
        let steps = steps.into_iter().collect();
        let mut turn = self.new_turn(input, steps, Waiter::Nobody);
        match own_step(&mut turn, starts) {
            Ok(record) => Some((turn, record)),
            Err(failure) => {
                self.shared.stop_because(&failure.message);
                None
            }
        }
    }
}
