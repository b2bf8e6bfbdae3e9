//! The steps with which an input of the node's own begins: its start, a connection that comes or goes.

use interstice_abi::{codec::Column, id::NodeId};

use super::catalogue::{Catalogue, Subscriber};
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
            let gone =
                gone.flat_map(|node| steps_on(own, catalogue.disconnect_subscribers(), node));
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
