//! What clients ask: who may ask it, and where it goes.
//!
//! Owners may do everything. Everyone else calls reducers without `on`, and queries, of public modules, reads and watches
//! public tables, and sees public schemas. Requests that take a place in a queue pass the barrier in order; the others
//! are answered at once.

use std::sync::Arc;

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    failure::{Code, Failure},
    host_call::Invocation,
    id::{ModuleName, Position, StepIndex, TableId},
    schema::{TableSchema, Visibility},
    wire::{Ack, LogsMode, Request, RequestBody, Response, ResponseBody, RowFilter, Standing},
};

use super::{
    Supervisor,
    barrier::Parked,
    catalogue::{Entry, ModuleIndex},
    change::{Asker, Change},
};
use crate::{
    ingress::{Batch, Peer, Replies, Work},
    lines::now_ms,
    module::{
        NewPlace,
        nested::{callable, serving},
        query::{ClientQuery, ReadRows},
        turn::{PendingStep, StepKind, Waiter},
        watch::StartWatch,
    },
    record::Input,
};

/// A call that a client has asked for.
struct ClientCall {
    module: String,
    reducer: String,
    arguments: Vec<u8>,
    ack: Ack,
}

impl Supervisor {
    /// Takes in a batch of one connection.
    pub(crate) fn requests(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        let Batch {
            peer,
            work,
            replies,
        } = batch;
        for work in work {
            match work {
                Work::Request(request) => self.request(&peer, request, replies.clone(), ctx),
                Work::Deploy { id, wasm, options } => {
                    self.prepare_deploy(
                        wasm,
                        options,
                        Asker::Client {
                            replies: replies.clone(),
                            request: id,
                        },
                        ctx,
                    );
                }
            }
        }
    }

    fn request(
        &mut self,
        peer: &Arc<Peer>,
        request: Request,
        replies: Replies,
        ctx: &mut Context<Self>,
    ) {
        let id = request.id;
        match &request.body {
            RequestBody::Call { .. }
            | RequestBody::Query { .. }
            | RequestBody::Rows { .. }
            | RequestBody::Watch { .. } => {
                self.park_or(
                    Parked::Request {
                        peer: peer.clone(),
                        request,
                        replies,
                    },
                    ctx,
                );
                return;
            }
            _ => {}
        }
        match self.immediate(peer, request, &replies, ctx) {
            Ok(Some(body)) => replies.send(Response { id, body: Ok(body) }),
            Ok(None) => {}
            Err(failure) => replies.send(Response {
                id,
                body: Err(failure),
            }),
        }
    }

    /// Answers what needs no place: `Ok(None)` when the answer comes later or there is none.
    fn immediate(
        &mut self,
        peer: &Arc<Peer>,
        request: Request,
        replies: &Replies,
        ctx: &mut Context<Self>,
    ) -> Result<Option<ResponseBody>, Failure> {
        let id = request.id;
        let asker = || Asker::Client {
            replies: replies.clone(),
            request: id,
        };
        match request.body {
            RequestBody::Schema { module } => self.schema(peer, &module).map(Some),
            RequestBody::NodeStatus => Ok(Some(ResponseBody::Node(self.node_status()))),
            RequestBody::ModuleStatus { module } => {
                self.module_status(peer, module.as_deref(), replies.clone(), id)?;
                Ok(None)
            }
            RequestBody::Cancel { id: ended } => {
                let found = self.shared.watchers.end(peer.connection.0, Some(ended))
                    | self.shared.lines.unfollow(peer.connection.0, Some(ended));
                if found {
                    replies.send(Response {
                        id: ended,
                        body: Ok(ResponseBody::Ended),
                    });
                }
                Ok(None)
            }
            RequestBody::Logs {
                module,
                tail,
                follow,
            } => {
                owner(peer)?;
                let module = module
                    .map(|name| self.catalogue.find(&name).map(|index| self.name_of(index)))
                    .transpose()?;
                match follow {
                    LogsMode::Kept => {
                        let lines = self.shared.lines.kept(module.as_ref(), tail);
                        replies.more(Response {
                            id,
                            body: Ok(ResponseBody::Log(lines)),
                        });
                        Ok(Some(ResponseBody::Ended))
                    }
                    LogsMode::Follow => {
                        self.shared.lines.follow(
                            replies.clone(),
                            peer.connection.0,
                            id,
                            module,
                            tail,
                        );
                        Ok(None)
                    }
                }
            }
            RequestBody::Grants { module } => {
                owner(peer)?;
                let index = self.catalogue.find(&module)?;
                let entries = self.entry(index)?.installed.grants.entries().to_vec();
                Ok(Some(ResponseBody::Grants(entries)))
            }
            RequestBody::Stop => {
                owner(peer)?;
                self.stop_requested(replies.clone(), id, ctx);
                Ok(None)
            }
            body => {
                owner(peer)?;
                let change = self.change_of(body)?;
                self.refuses()?;
                ctx.address()
                    .do_send(super::change::TakeChange(change, asker()));
                Ok(None)
            }
        }
    }

    fn change_of(&self, body: RequestBody) -> Result<Change, Failure> {
        let named = |module: &str| self.catalogue.find(module).map(|index| self.name_of(index));
        match body {
            RequestBody::Unload { module } => Ok(Change::Unload(named(&module)?)),
            RequestBody::Load { module } => Ok(Change::Load(named(&module)?)),
            RequestBody::Remove { module } => Ok(Change::Remove(named(&module)?)),
            RequestBody::ChangeGrant {
                module,
                target,
                change,
            } => Ok(Change::Grant {
                module: named(&module)?,
                target,
                change,
            }),
            _ => Err(Failure::new(
                Code::BadArguments,
                "this request cannot be made here; the first one is a greeting, and uploads come before deploys",
            )),
        }
    }

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
        let index = self.usable(peer, &call.module)?;
        let entry = self.entry(index)?;
        callable(entry, &call.reducer)?;
        let bytes = u64::try_from(call.arguments.len()).unwrap_or(u64::MAX);
        let module = entry.installed.schema.name.clone();
        if bytes > self.config.limits.arguments_bytes_max {
            let text = format!(
                "the arguments are {bytes} bytes long; the limit is {}",
                self.config.limits.arguments_bytes_max
            );
            return Err(Failure::new(Code::TooLarge, text));
        }
        self.admission.check(&module, index, bytes)?;
        let caller_is_owner = peer.standing == Standing::Owner;
        let step = PendingStep {
            module: index,
            what: StepKind::Call(call.reducer.as_str().into()),
            invocation: invocation_of(peer),
            arguments: call.arguments.clone(),
            from_outside: true,
            of_load: false,
        };
        let input = Input::Call {
            caller: peer.node.clone(),
            caller_is_owner,
            module,
            reducer: call.reducer,
            arguments: call.arguments,
        };
        let waiter = Waiter::Client {
            replies: replies.clone(),
            request: id,
            ack: call.ack,
        };
        let turn = self.new_turn(input, vec![step], waiter);
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
        let index = self.usable(peer, &call.module)?;
        let entry = self.entry(index)?;
        let schema = &entry.installed.schema;
        if schema.query(&call.reducer).is_none() {
            let known = schema.queries.iter().map(|query| query.name.as_str());
            let mut failure = Failure::not_found("query", &call.reducer, known);
            failure.message = format!("{} in module `{}`", failure.message, schema.name);
            return Err(failure);
        }
        let bytes = u64::try_from(call.arguments.len()).unwrap_or(u64::MAX);
        self.admission.check(&schema.name, index, bytes)?;
        let query_reach = entry.query_reach.clone();
        let ticket = self.stamper.ticket();
        let query = ClientQuery {
            ticket,
            catalogue: self.catalogue.clone(),
            module: index,
            query: call.reducer,
            invocation: invocation_of(peer),
            arguments: call.arguments,
            seq: self.stamper.last_seq(),
            timestamp_ms: now_ms().max(self.stamper.last_ms()),
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
        let kept = self.checkpoints.history_start();
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
            log_start: self.checkpoints.log_start(),
            seq: self.stamper.last_seq(),
            connection: peer.connection.0,
            request: id,
            replies: replies.clone(),
        };
        self.admission.enter(Some(module), 0);
        self.outgoing.add(module, NewPlace::Watch(Box::new(watch)));
        Ok(())
    }

    /// A module that `peer` may use, and that serves.
    fn usable(&self, peer: &Peer, module: &str) -> Result<ModuleIndex, Failure> {
        let index = self.visible(peer, module)?;
        serving(self.entry(index)?)?;
        Ok(index)
    }

    /// A module that `peer` may know of.
    fn visible(&self, peer: &Peer, module: &str) -> Result<ModuleIndex, Failure> {
        let index = self.catalogue.find(module)?;
        let schema = &self.entry(index)?.installed.schema;
        if schema.visibility == Visibility::Private && peer.standing != Standing::Owner {
            return Err(Failure::new(
                Code::Denied,
                format!(
                    "module `{}` is private to its node; only modules of the node and its owners may use it",
                    schema.name
                ),
            ));
        }
        Ok(index)
    }

    /// A table that `peer` may read.
    fn readable(
        &self,
        peer: &Peer,
        (module, table): (&str, &str),
    ) -> Result<(ModuleIndex, TableId, String), Failure> {
        let index = self.visible(peer, module)?;
        let schema = &self.entry(index)?.installed.schema;
        let is_owner = peer.standing == Standing::Owner;
        let may_read = |table: &TableSchema| is_owner || table.visibility == Visibility::Public;
        let Some((id, found)) = schema.table(table) else {
            let known = schema
                .tables
                .iter()
                .filter(|table| may_read(table))
                .map(|table| table.name.as_str());
            let mut failure = Failure::not_found("table", table, known);
            failure.message = format!("{} in module `{}`", failure.message, schema.name);
            return Err(failure);
        };
        if !may_read(found) {
            return Err(Failure::new(
                Code::Denied,
                format!("table `{table}` of module `{}` is private", schema.name),
            ));
        }
        Ok((index, id, found.name.clone()))
    }

    fn schema(&self, peer: &Peer, module: &str) -> Result<ResponseBody, Failure> {
        let index = self.visible(peer, module)?;
        let schema = &self.entry(index)?.installed.schema;
        Ok(ResponseBody::Schema(match peer.standing {
            Standing::Owner => schema.as_ref().clone(),
            Standing::Guest => schema.public_view(),
        }))
    }

    /// The entry at `index` of the catalogue that holds.
    pub(crate) fn entry(&self, index: ModuleIndex) -> Result<&Entry, Failure> {
        self.catalogue
            .entry(index)
            .ok_or_else(|| Failure::internal("a module that was found is not there"))
    }

    fn name_of(&self, index: ModuleIndex) -> ModuleName {
        match self.catalogue.entry(index) {
            Some(entry) => entry.installed.schema.name.clone(),
            None => unreachable!("an index comes from the same catalogue"),
        }
    }
}

/// Which rows a client wants.
struct RowsWanted {
    after: Option<Vec<u8>>,
    limit: u32,
    filter: Option<RowFilter>,
}

/// Whether `peer` is an owner.
///
/// # Errors
/// `Denied`, with whose key would do.
pub(crate) fn owner(peer: &Peer) -> Result<(), Failure> {
    match peer.standing {
        Standing::Owner => Ok(()),
        Standing::Guest => Err(Failure::new(
            Code::Denied,
            format!(
                "only owners of the node may do this; key {} is not among the `owners` of its node.toml",
                peer.node
            ),
        )),
    }
}

fn invocation_of(peer: &Peer) -> Invocation {
    Invocation {
        caller_node_id: peer.node.0.clone(),
        caller_module_name: String::new(),
        caller_is_owner: peer.standing == Standing::Owner,
    }
}
