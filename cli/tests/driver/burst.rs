//! Calls of several clients at once, among which the process is killed: afterwards each has
//! happened or not, and those that were acknowledged as durable have.

use std::collections::BTreeMap;

use futures::{StreamExt, stream::FuturesUnordered};
use interstice_abi::{codec::Column, wire::Ack};
use interstice_client::Error;

use crate::{
    life::{Life, Peers},
    model::Model,
};

/// Calls of a burst.
const CALLS_MAX: u64 = 60;

/// Their keys are no other's.
const FIRST_ID: u64 = 1000;

/// What is not known of a row: the value that a call would have written.
pub(crate) type Open = BTreeMap<u64, u64>;

impl Life {
    /// Sends calls, kills the process after some of the answers, and notes what is sure. What is
    /// open.
    pub(crate) async fn burst(&mut self, peers: &Peers) -> Open {
        let calls = 1 + self.random.below(CALLS_MAX);
        let kill_after = self.random.below(calls + 1);
        let mut open = Open::new();
        let mut sent = FuturesUnordered::new();
        for id in FIRST_ID..FIRST_ID + calls {
            let value = self.value();
            open.insert(id, value);
            let peer = if id % 2 == 0 {
                &peers.owner
            } else {
                &peers.stranger
            };
            let mut arguments = Vec::new();
            [id, value]
                .iter()
                .for_each(|number| number.encode(&mut arguments));
            let ack = match self.random.below(4) {
                0 => Ack::Applied,
                _ => Ack::Durable,
            };
            let called = peer.client().call("store", "put", arguments, ack);
            sent.push(async move { (id, ack, called.await) });
        }
        let mut answers = 0;
        while answers < kill_after
            && let Some((id, ack, answer)) = sent.next().await
        {
            answers += 1;
            self.answered(&mut open, id, ack, answer);
        }
        self.node.kill();
        while let Some((id, ack, answer)) = sent.next().await {
            self.answered(&mut open, id, ack, answer);
        }
        open
    }

    fn answered(
        &mut self,
        open: &mut Open,
        id: u64,
        ack: Ack,
        answer: Result<interstice_abi::wire::Called, Error>,
    ) {
        match answer {
            Ok(called) => {
                self.model.last_seq = self.model.last_seq.max(called.seq.0);
                if ack == Ack::Durable
                    && let Some(value) = open.remove(&id)
                {
                    self.model.put(id, value);
                }
            }
            // It was never sent, or refused because the node is gone.
            Err(Error::Lost { .. }) => {
                open.remove(&id);
            }
            Err(Error::OutcomeUnknown { .. }) => {}
            Err(error) => unreachable!("a call: {error}"),
        }
    }
}

/// Settles what is open by the rows that are there.
pub(crate) fn settle(model: &mut Model, open: Open, found: &BTreeMap<u64, u64>) {
    for (id, value) in open {
        if found.get(&id) == Some(&value) {
            model.put(id, value);
        }
    }
}
