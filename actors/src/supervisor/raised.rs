//! The steps with which an input of the node's own begins: its start, a connection that comes or goes.

use interstice_abi::{codec::Column, event::Event, id::NodeId};

use super::catalogue::Catalogue;
use crate::{
    module::turn::{PendingStep, StepKind, pending::Shares},
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
            let gone = gone.flat_map(|node| steps_on(own, catalogue, &Event::Disconnect, node));
            loads.chain(gone).collect()
        }
        Input::Connect { node } => steps_on(own, catalogue, &Event::Connect, node),
        Input::Disconnect { node } => steps_on(own, catalogue, &Event::Disconnect, node),
        _ => Vec::new(),
    };
    Shares::count(&mut steps);
    steps
}

/// A step for every reducer that handles `event`, with a node's id as its argument.
fn steps_on<A>(
    own: &NodeId,
    catalogue: &Catalogue<A>,
    event: &Event,
    node: &NodeId,
) -> Vec<PendingStep> {
    let subscribers = catalogue.subscribers_of(event).into_iter();
    subscribers
        .map(|subscriber| {
            let what = StepKind::Event(subscriber.reducer);
            PendingStep::of_node(own, subscriber.module, what, node.to_string().to_bytes())
        })
        .collect()
}
