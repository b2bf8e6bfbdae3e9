//! Requests that take a place in a queue: calls, queries, pages of rows and watches.
//!
//! Each is checked in full first: one that is refused has no seq, takes no place and is not counted by admission.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{Position, StepIndex, TableId},
    wire::{Request, Response, Standing},
};
use interstice_host::module::{CallKind, Caller};

use super::{
    batched::Called,
    wanted::{Pages, Wanted, WantedCall, WantedRows, WantedWatch},
};
use crate::{
    ingress::{Peer, Replies},
    module::{
        NewPlace,
        query::{ClientQuery, ReadRows, RowsMode},
        readings::About,
        turn::{PendingStep, Waiter, outside},
        watch::{Resume, StartWatch},
    },
    one_or_more::OneOrMore,
    record::Input,
    supervisor::{
        Supervisor,
        admission::shares::GuestIndex,
        catalogue::{
            ModuleIndex,
            fingerprints::{check_function, other_rows},
        },
    },
};

impl Supervisor {
    /// Takes up a request that has its turn.
    pub(crate) fn placed_request(&mut self, peer: &Arc<Peer>, request: Request, replies: Replies) {
        let Request { id, body } = request;
        let outcome = self.refuses().and_then(|()| match Wanted::of(body) {
            Some(Wanted::Call(call)) => self.call(peer, call, &replies, id),
            Some(Wanted::Query(call)) => self.query(peer, call, &replies, id),
            Some(Wanted::Rows(rows)) => self.rows(peer, rows, &replies, id),
            Some(Wanted::Watch(watch)) => self.watch(peer, watch, &replies, id),
            Some(Wanted::RowsAt(rows)) => self.rows_at(peer, rows, (&replies, id)),
            Some(Wanted::CancelTimer(module, timer)) => {
                self.cancel_timer(peer, (&module, timer), &replies, id)
            }
            None => Err(Failure::internal(
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

    /// Whose share of the queues a client's requests take.
    pub(in crate::supervisor) fn guest_of(&self, peer: &Peer) -> Option<GuestIndex> {
        match peer.standing {
            Standing::Owner => None,
            Standing::Guest => self.connections.get(&peer.connection).copied().flatten(),
        }
    }

    fn call(
        &mut self,
        peer: &Peer,
        call: WantedCall,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let kind = CallKind::Reducer;
        let known = self.known(kind, peer.standing, (&call.module, &call.function));
        let called = match known {
            Some(known) => known,
            None => {
                let index = self.usable(peer, &call.module)?;
                self.may_call(peer, index, &call.function)?;
                let entry = self.entry(index)?;
                let all = &entry.installed.schema.reducers;
                let place = all.iter().position(|known| known.name == call.function);
                let signature = place.and_then(|place| entry.installed.fingerprints.reducer(place));
                self.found(kind, peer.standing, index, (call.function, signature))
            }
        };
        let Called {
            index,
            module,
            function: reducer,
            signature,
        } = called;
        check_function(
            call.signature,
            signature,
            ("reducer", &reducer, module.as_str()),
        )?;
        let bytes = u64::try_from(call.arguments.len()).unwrap_or(u64::MAX);
        if bytes > self.config.limits.arguments_bytes_max {
            let text = format!(
                "the arguments are {bytes} bytes long; the limit is {}",
                self.config.limits.arguments_bytes_max
            );
            return Err(Failure::new(Code::TooLarge, text));
        }
        let guest = self.guest_of(peer);
        self.admission.check(&module, index, guest, bytes)?;
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
        let mut turn = self.new_turn(input, OneOrMore::one(step), waiter);
        turn.guest = guest;
        self.place_turn(turn);
        Ok(())
    }

    fn query(
        &mut self,
        peer: &Peer,
        call: WantedCall,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let kind = CallKind::Query;
        let known = self.known(kind, peer.standing, (&call.module, &call.function));
        let called = match known {
            Some(known) => known,
            None => {
                let index = self.usable(peer, &call.module)?;
                let installed = &self.entry(index)?.installed;
                let schema = &installed.schema;
                let mut all = schema.queries.iter();
                let Some(place) = all.position(|known| known.name == call.function) else {
                    let known = schema.queries.iter().map(|query| query.name.as_str());
                    let mut failure = Failure::not_found("query", &call.function, known);
                    failure.message = format!("{} in module `{}`", failure.message, schema.name);
                    return Err(failure);
                };
                let signature = installed.fingerprints.query(place);
                self.found(kind, peer.standing, index, (call.function, signature))
            }
        };
        let Called {
            index,
            module,
            function: name,
            signature,
        } = called;
        check_function(call.signature, signature, ("query", &name, module.as_str()))?;
        let bytes = u64::try_from(call.arguments.len()).unwrap_or(u64::MAX);
        let guest = self.guest_of(peer);
        self.admission.check(&module, index, guest, bytes)?;
        let query_reach = self.entry(index)?.query_reach.clone();
        let ticket = self.stamper.ticket();
        let query = ClientQuery {
            ticket,
            catalogue: self.batched_catalogue(),
            module: index,
            guest,
            query: name,
            caller: caller_of(peer),
            arguments: call.arguments.into(),
            seq: self.stamper.last_seq(),
            timestamp_ms: self.batched_ms().max(self.stamper.last_ms()),
            replies: replies.clone(),
            request: id,
            ack: call.ack,
        };
        self.admission.enter(Some(index), guest, bytes);
        for module in query_reach.iter().skip(1) {
            self.outgoing.add(*module, NewPlace::Hold(ticket));
        }
        self.outgoing.add(index, NewPlace::Query(Box::new(query)));
        Ok(())
    }

    fn rows(
        &mut self,
        peer: &Peer,
        wanted: WantedRows,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let (module, table, table_name) = self.readable(peer, (&wanted.module, &wanted.table))?;
        if let Some(row_type) = wanted.row_type {
            self.check_rows(module, table, row_type)?;
        }
        let name = self.name_of(module);
        let guest = self.guest_of(peer);
        self.admission.check(&name, module, guest, 0)?;
        let mode = match wanted.pages {
            Pages::Alone(after) => RowsMode::Alone(after),
            Pages::Together => RowsMode::Reading(About {
                connection: peer.connection.0,
                standing: peer.standing,
                module: name,
                table: table_name,
            }),
        };
        let rows = ReadRows {
            ticket: self.stamper.ticket(),
            module,
            guest,
            table,
            mode,
            limit: wanted.limit,
            filter: wanted.filter,
            seq: self.stamper.last_seq(),
            replies: replies.clone(),
            request: id,
        };
        self.admission.enter(Some(module), guest, 0);
        self.outgoing.add(module, NewPlace::Rows(Box::new(rows)));
        Ok(())
    }

    fn watch(
        &mut self,
        peer: &Arc<Peer>,
        wanted: WantedWatch,
        replies: &Replies,
        id: u64,
    ) -> Result<(), Failure> {
        let (module, table, table_name) = self.readable(peer, (&wanted.module, &wanted.table))?;
        if let Some(row_type) = wanted.row_type {
            self.check_rows(module, table, row_type)?;
        }
        let guest = self.guest_of(peer);
        self.admission
            .check(&self.name_of(module), module, guest, 0)?;
        let watch = StartWatch {
            ticket: self.stamper.ticket(),
            module,
            guest,
            table,
            table_name,
            row_type: wanted.row_type,
            resume: wanted.from.map(|from| Box::new(self.resume(from))),
            seq: self.stamper.last_seq(),
            peer: peer.clone(),
            request: id,
            replies: replies.clone(),
        };
        self.admission.enter(Some(module), guest, 0);
        self.outgoing.add(module, NewPlace::Watch(Box::new(watch)));
        Ok(())
    }
}

impl Supervisor {
    fn resume(&self, from: Position) -> Resume {
        let (kept_after, log_start) = self.checkpoints.history();
        // Of the last turn before the kept log only a part may be there.
        let edge = if kept_after.0 > 0 { u32::MAX } else { 0 };
        Resume {
            from,
            oldest: Position {
                epoch: self.shared.epoch,
                seq: kept_after,
                step: StepIndex(edge),
                index: edge,
            },
            log_start,
            around: self.around(),
        }
    }

    /// Whether a client that decodes by `row_type` can read the rows of a table.
    fn check_rows(
        &self,
        module: ModuleIndex,
        table: TableId,
        row_type: Fingerprint,
    ) -> Result<(), Failure> {
        let installed = &self.entry(module)?.installed;
        let known = installed.fingerprints.known_columns(table, row_type);
        match (known, installed.schema.tables.get(usize::from(table.0))) {
            (None, Some(found)) => Err(other_rows(&installed.schema, found)),
            _ => Ok(()),
        }
    }
}

fn caller_of(peer: &Peer) -> Caller {
    outside(&peer.node, peer.standing == Standing::Owner)
}
