//! Requests that take a place in a queue: calls, queries, pages of rows and watches.
//!
//! Each is checked in full first: one that is refused has no seq, takes no place and is not counted by admission.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::{Position, StepIndex},
    wire::{Ack, Request, RequestBody, Response, RowFilter, Standing},
};
use interstice_host::module::{CallKind, Caller};

use super::{batched::Called, past::RowsAtWanted};
use crate::{
    ingress::{Peer, Replies},
    module::{
        NewPlace,
        nested::callable,
        query::{ClientQuery, ReadRows},
        turn::{PendingStep, Waiter, outside},
        watch::StartWatch,
    },
    one_or_more::OneOrMore,
    record::Input,
    supervisor::Supervisor,
};

/// A call that a client has asked for.
struct ClientCall {
    module: String,
    reducer: String,
    arguments: Vec<u8>,
    ack: Ack,
}

/// Which rows a client wants.
struct RowsWanted {
    after: Option<Vec<u8>>,
    limit: u32,
    filter: Option<RowFilter>,
}

impl Supervisor {
    /// Takes up a request that has its turn.
    pub(crate) fn placed_request(&mut self, peer: &Arc<Peer>, request: Request, replies: Replies) {
        let Request { id, body } = request;
        let outcome = self.refuses().and_then(|()| match body {
            RequestBody::Call {
                module,
                reducer,
                arguments,
                ack,
            } => self.call(
                peer,
                ClientCall {
                    module,
                    reducer,
                    arguments,
                    ack,
                },
                &replies,
                id,
            ),
            RequestBody::Query {
                module,
                query,
                arguments,
                ack,
            } => self.query(
                peer,
                ClientCall {
                    module,
                    reducer: query,
                    arguments,
                    ack,
                },
                &replies,
                id,
            ),
            RequestBody::Rows {
                module,
                table,
                after,
                limit,
                filter,
            } => self.rows(
                peer,
                (&module, &table),
                RowsWanted {
                    after,
                    limit,
                    filter,
                },
                &replies,
                id,
            ),
            RequestBody::Watch {
                module,
                table,
                from,
            } => self.watch(peer, (&module, &table), from, &replies, id),
            RequestBody::RowsAt {
                module,
                table,
                at,
                limit,
                filter,
            } => self.rows_at(
                peer,
                (&module, table),
                RowsAtWanted { at, limit, filter },
                (&replies, id),
            ),
            _ => Err(Failure::internal(
                "a request was parked that takes no place",
            )),
        });
        if let Err(failure) = outcome {
            replies.send(Response {
                id,
                body: Err(failure),
            });
        }
    }

    fn call(
        &mut self,
        peer: &Peer,
        call: ClientCall,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let kind = CallKind::Reducer;
        let known = self.known(kind, peer.standing, (&call.module, &call.reducer));
        let called = match known {
            Some(known) => known,
            None => {
                let index = self.usable(peer, &call.module)?;
                callable(self.entry(index)?, &call.reducer)?;
                self.found(kind, peer.standing, index, call.reducer)
            }
        };
        let Called {
            index,
            module,
            function: reducer,
        } = called;
        let bytes = u64::try_from(call.arguments.len()).unwrap_or(u64::MAX);
        if bytes > self.config.limits.arguments_bytes_max {
            let text = format!(
                "the arguments are {bytes} bytes long; the limit is {}",
                self.config.limits.arguments_bytes_max
            );
            return Err(Failure::new(Code::TooLarge, text));
        }
        self.admission.check(&module, index, bytes)?;
        let caller_is_owner = peer.standing == Standing::Owner;
        let arguments: Arc<[u8]> = call.arguments.into();
        let step = PendingStep::of_call(caller_of(peer), index, reducer.clone(), arguments.clone());
        let input = Input::Call {
            caller: peer.node.clone(),
            caller_is_owner,
            module,
            reducer,
            arguments,
        };
        let waiter = Waiter::Client {
            replies: replies.clone(),
            request: id,
            ack: call.ack,
        };
        let turn = self.new_turn(input, OneOrMore::one(step), waiter);
        self.place_turn(turn);
        Ok(())
    }

    fn query(
        &mut self,
        peer: &Peer,
        call: ClientCall,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let kind = CallKind::Query;
        let known = self.known(kind, peer.standing, (&call.module, &call.reducer));
        let called = match known {
            Some(known) => known,
            None => {
                let index = self.usable(peer, &call.module)?;
                let schema = &self.entry(index)?.installed.schema;
                if schema.query(&call.reducer).is_none() {
                    let known = schema.queries.iter().map(|query| query.name.as_str());
                    let mut failure = Failure::not_found("query", &call.reducer, known);
                    failure.message = format!("{} in module `{}`", failure.message, schema.name);
                    return Err(failure);
                }
                self.found(kind, peer.standing, index, call.reducer)
            }
        };
        let Called {
            index,
            module,
            function: name,
        } = called;
        let bytes = u64::try_from(call.arguments.len()).unwrap_or(u64::MAX);
        self.admission.check(&module, index, bytes)?;
        let query_reach = self.entry(index)?.query_reach.clone();
        let ticket = self.stamper.ticket();
        let query = ClientQuery {
            ticket,
            catalogue: self.batched_catalogue(),
            module: index,
            query: name,
            caller: caller_of(peer),
            arguments: call.arguments.into(),
            seq: self.stamper.last_seq(),
            timestamp_ms: self.batched_ms().max(self.stamper.last_ms()),
            replies: replies.clone(),
            request: id,
            ack: call.ack,
        };
        self.admission.enter(Some(index), bytes);
        for module in query_reach.iter().skip(1) {
            self.outgoing.add(*module, NewPlace::Hold(ticket));
        }
        self.outgoing.add(index, NewPlace::Query(Box::new(query)));
        Ok(())
    }

    fn rows(
        &mut self,
        peer: &Peer,
        named: (&str, &str),
        wanted: RowsWanted,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let (module, table, _) = self.readable(peer, named)?;
        self.admission.check(&self.name_of(module), module, 0)?;
        let rows = ReadRows {
            ticket: self.stamper.ticket(),
            module,
            table,
            after: wanted.after,
            limit: wanted.limit,
            filter: wanted.filter,
            seq: self.stamper.last_seq(),
            replies: replies.clone(),
            request: id,
        };
        self.admission.enter(Some(module), 0);
        self.outgoing.add(module, NewPlace::Rows(Box::new(rows)));
        Ok(())
    }

    fn watch(
        &mut self,
        peer: &Peer,
        named: (&str, &str),
        from: Option<Position>,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let (module, table, table_name) = self.readable(peer, named)?;
        self.admission.check(&self.name_of(module), module, 0)?;
        let since = self.entry(module)?.installed.since;
        let kept = self.checkpoints.history().0;
        // Of the last turn before the kept log only a part may be there; a module's own first turn is whole.
        let (oldest, edge) = if kept >= since && kept.0 > 0 {
            (kept, u32::MAX)
        } else {
            (since, 0)
        };
        let watch = StartWatch {
            ticket: self.stamper.ticket(),
            module,
            table,
            table_name,
            from,
            oldest: Position {
                epoch: self.shared.epoch,
                seq: oldest,
                step: StepIndex(edge),
                index: edge,
            },
            log_start: self.checkpoints.history().1,
            seq: self.stamper.last_seq(),
            connection: peer.connection.0,
            standing: peer.standing,
            request: id,
            replies: replies.clone(),
        };
        self.admission.enter(Some(module), 0);
        self.outgoing.add(module, NewPlace::Watch(Box::new(watch)));
        Ok(())
    }
}

fn caller_of(peer: &Peer) -> Caller {
    outside(&peer.node, peer.standing == Standing::Owner)
}
