//! Calls between modules of a node, inside one step or query: a message to the other module's actor and back.
//!
//! [`Reacher`] is the calling side: what a running guest reaches outside its module. The callee belongs to the same reach,
//! so nobody else is using it; a call that arrives before its turn heads the callee's queue waits there. Callees keep their
//! part of the step open: [`Touched`] remembers who they are and how far each must go back when what called them fails.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::BoxFuture;
use interstice_abi::{
    failure::{Code, Failure},
    host_call::{CallRequest, Invocation},
    id::ModuleName,
    schema::Visibility,
    wire::ModuleState,
};
use interstice_host::{
    module::{CallContext, CallKind, ForeignRead, Outside, OutsideReply, StepRequest},
    table::{Counter, Savepoint},
};
use tokio::sync::oneshot;

use super::{
    Traffic,
    core::Core,
    gone,
    turn::{Ticket, Turn},
};
use crate::{
    shared::Shared,
    supervisor::catalogue::{self, Catalogue, ModuleIndex},
};

/// A call from a step or query of another module.
pub(crate) struct NestedCall {
    pub(crate) ticket: Ticket,
    pub(crate) kind: CallKind,
    pub(crate) way: Way,
    pub(crate) request: StepRequest,
    pub(crate) reply: oneshot::Sender<(OutsideReply, Touched)>,
}

/// A read of a public table from a step or query of another module.
pub(crate) struct NestedRead {
    pub(crate) ticket: Ticket,
    pub(crate) request: ForeignRead,
    pub(crate) reply: oneshot::Sender<Result<Vec<u8>, Failure>>,
}

/// The way that led to a running guest.
#[derive(Clone)]
pub(crate) struct Way {
    ticket: Ticket,
    catalogue: Arc<Catalogue>,
    /// The modules of the call chain, the running one last.
    chain: Vec<ModuleIndex>,
    /// Whether this is a client's query, which runs on second instances.
    of_client_query: bool,
    of_load: bool,
}

impl Way {
    /// The start of a step's way.
    pub(super) fn of_step(turn: &Turn, own: ModuleIndex, of_load: bool) -> Self {
        Self {
            ticket: turn.ticket,
            catalogue: turn.catalogue.clone(),
            chain: vec![own],
            of_client_query: false,
            of_load,
        }
    }

    /// The start of a client query's way.
    pub(super) fn of_query(ticket: Ticket, catalogue: Arc<Catalogue>, own: ModuleIndex) -> Self {
        Self {
            ticket,
            catalogue,
            chain: vec![own],
            of_client_query: true,
            of_load: false,
        }
    }

    fn to(&self, module: ModuleIndex) -> Self {
        let mut way = self.clone();
        way.chain.push(module);
        way
    }
}

/// The modules that a step has changed by calls, each with the earliest point to go back to and the counters that moved.
#[derive(Clone, Default)]
pub(crate) struct Touched(Arc<Mutex<BTreeMap<ModuleIndex, Part>>>);

#[derive(Clone)]
struct Part {
    savepoint: Savepoint,
    name: ModuleName,
    counters: Vec<Counter>,
}

impl Touched {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<ModuleIndex, Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, module: ModuleIndex, part: Part) {
        match self.locked().entry(module) {
            Entry::Vacant(place) => {
                place.insert(part);
            }
            Entry::Occupied(mut known) => {
                // Later values stand for what both calls did.
                let counters = &mut known.get_mut().counters;
                counters.retain(|old| {
                    !part
                        .counters
                        .iter()
                        .any(|new| (new.table, new.field) == (old.table, old.field))
                });
                counters.extend(part.counters);
            }
        }
    }

    fn merge(&self, later: &Self) {
        let parts = later.locked().clone();
        for (module, part) in parts {
            self.add(module, part);
        }
    }

    /// Every module with its earliest point.
    pub(super) fn earliest(&self) -> Vec<(ModuleIndex, Savepoint)> {
        self.locked()
            .iter()
            .map(|(module, part)| (*module, part.savepoint))
            .collect()
    }

    /// Every module.
    pub(super) fn modules(&self) -> Vec<ModuleIndex> {
        self.locked().keys().copied().collect()
    }

    /// Every counter that moved.
    pub(super) fn counters(&self) -> Vec<(ModuleName, Counter)> {
        let parts = self.locked();
        let all = parts.values().flat_map(|part| {
            part.counters
                .iter()
                .map(|counter| (part.name.clone(), *counter))
        });
        all.collect()
    }
}

/// What a running guest reaches outside its module.
pub(crate) struct Reacher {
    shared: Arc<Shared>,
    way: Way,
    touched: Touched,
}

impl Reacher {
    /// For a guest at the end of `way`; what it touches is added to `touched`.
    pub(super) fn new(shared: Arc<Shared>, way: Way, touched: Touched) -> Self {
        Self {
            shared,
            way,
            touched,
        }
    }

    /// The module called `name`, if it can be called from here at all.
    fn callee(
        &self,
        node: Option<&str>,
        name: &str,
    ) -> Result<(ModuleIndex, &catalogue::Entry), Failure> {
        if let Some(node) = node {
            return Err(Failure::new(
                Code::Unavailable,
                format!(
                    "node `{}` is not connected, so its module `{}` cannot be called",
                    node.escape_debug(),
                    name.escape_debug()
                ),
            ));
        }
        let index = self.way.catalogue.find(name)?;
        let entry = self
            .way
            .catalogue
            .entry(index)
            .ok_or_else(|| Failure::internal("a module has no entry"))?;
        if self.way.chain.contains(&index) {
            let chain: Vec<&str> = self
                .way
                .chain
                .iter()
                .filter_map(|index| self.way.catalogue.entry(*index))
                .map(|entry| entry.installed.schema.name.as_str())
                .collect();
            return Err(Failure::new(
                Code::CallCycle,
                format!(
                    "module `{name}` is already in the chain of calls {}; react to a table's change instead",
                    chain.join(" -> ")
                ),
            ));
        }
        serving(entry)?;
        Ok((index, entry))
    }

    async fn reach(
        &self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> Result<OutsideReply, Failure> {
        let (index, entry) = self.callee(request.node.as_deref(), &request.module)?;
        let schema = &entry.installed.schema;
        match kind {
            CallKind::Reducer => callable(entry, &request.function)?,
            CallKind::Query if schema.query(&request.function).is_none() => {
                let known = schema.queries.iter().map(|query| query.name.as_str());
                return Err(Failure::not_found("query", &request.function, known));
            }
            CallKind::Query => {}
        }
        let caller = self
            .way
            .chain
            .last()
            .and_then(|index| self.way.catalogue.entry(*index));
        let invocation = Invocation {
            caller_node_id: self.shared.id.0.clone(),
            caller_module_name: caller
                .map(|entry| entry.installed.schema.name.to_string())
                .unwrap_or_default(),
            caller_is_owner: false,
        };
        let mut turn = context.turn;
        turn.of_load = self.way.of_load;
        let (reply, answer) = oneshot::channel();
        let call = NestedCall {
            ticket: self.way.ticket,
            kind,
            way: self.way.to(index),
            request: StepRequest {
                function: request.function,
                invocation,
                arguments: request.arguments,
                check_arguments: true,
                turn,
                call_ordinal: context.call_ordinal,
                running_us_used: context.running_us_used,
                depth: context.depth,
            },
            reply,
        };
        entry
            .installed
            .address
            .do_send(Traffic::Call(Box::new(call)));
        let (reply, touched) = answer.await.map_err(|_| gone(&schema.name))?;
        self.touched.merge(&touched);
        Ok(reply)
    }
}

impl Outside for Reacher {
    fn call(
        &mut self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> BoxFuture<'_, OutsideReply> {
        Box::pin(async move {
            self.reach(kind, request, context)
                .await
                .unwrap_or_else(OutsideReply::refused)
        })
    }

    fn read(&mut self, request: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let (_, entry) = self.callee(None, &request.module)?;
            let name = entry.installed.schema.name.clone();
            let (reply, answer) = oneshot::channel();
            let read = NestedRead {
                ticket: self.way.ticket,
                request,
                reply,
            };
            entry
                .installed
                .address
                .do_send(Traffic::Read(Box::new(read)));
            answer.await.map_err(|_| gone(&name))?
        })
    }

    fn log(&mut self, module: &ModuleName, seq: interstice_abi::id::Seq, line: &str) {
        self.shared.lines.message(Some(module), Some(seq), line);
    }
}

/// Whether a module serves.
///
/// # Errors
/// `Unavailable` or `Quarantined`, with what to do.
pub(crate) fn serving(entry: &catalogue::Entry) -> Result<(), Failure> {
    let name = &entry.installed.schema.name;
    match &entry.installed.state {
        ModuleState::Loaded => Ok(()),
        ModuleState::Unloaded => Err(Failure::new(
            Code::Unavailable,
            format!("module `{name}` is unloaded; an owner can start it with `load`"),
        )),
        ModuleState::Quarantined { reason } => Err(Failure::new(
            Code::Quarantined,
            format!(
                "module `{name}` is quarantined because it failed again and again; last: {reason}"
            ),
        )),
    }
}

/// Whether `reducer` is there and may be called rather than only react.
///
/// # Errors
/// `NotFound` with the nearest name, `Denied` for reducers that handle events.
pub(crate) fn callable(entry: &catalogue::Entry, reducer: &str) -> Result<(), Failure> {
    let schema = &entry.installed.schema;
    match schema.reducer(reducer) {
        Some(found) if found.events.is_empty() => Ok(()),
        Some(found) => {
            let events: Vec<String> = found.events.iter().map(ToString::to_string).collect();
            Err(Failure::new(
                Code::Denied,
                format!(
                    "reducer `{reducer}` of module `{}` handles `{}` and cannot be called",
                    schema.name,
                    events.join("`, `")
                ),
            ))
        }
        None => {
            let known = schema
                .reducers
                .iter()
                .filter(|known| known.events.is_empty());
            let mut failure =
                Failure::not_found("reducer", reducer, known.map(|known| known.name.as_str()));
            failure.message = format!("{} in module `{}`", failure.message, schema.name);
            Err(failure)
        }
    }
}

impl Core {
    /// Runs a call from another module's step or query. Its part stays open until `Commit` or `Undo`.
    pub(super) async fn nested_call(&mut self, call: NestedCall) {
        let NestedCall {
            kind,
            way,
            request,
            reply,
            ..
        } = call;
        let savepoint = self.module.tables().savepoint();
        let touched = Touched::default();
        let function = request.function.clone();
        let arguments = request.arguments.clone();
        let own = way.chain.last().copied();
        let catalogue = way.catalogue.clone();
        let ticket = way.ticket;
        let reacher = Box::new(Reacher::new(
            self.shared.clone(),
            way.clone(),
            touched.clone(),
        ));
        let outcome = match kind {
            CallKind::Reducer => self.module.run(request, reacher).await,
            CallKind::Query => {
                self.module
                    .query(request, way.of_client_query, reacher)
                    .await
            }
        };
        let mut effects = outcome.effects;
        match (&outcome.result, kind) {
            (Ok(_), CallKind::Reducer) => {
                self.counters.reducers += 1;
                self.add_call(&catalogue, &function, arguments, &mut effects);
                if let Some(own) = own {
                    let counters = self.module.tables().counters_since(savepoint);
                    touched.add(
                        own,
                        Part {
                            savepoint,
                            name: self.name.clone(),
                            counters,
                        },
                    );
                }
            }
            (Ok(_), CallKind::Query) => {
                self.counters.queries += 1;
                if let Some(own) = own.filter(|_| !way.of_client_query) {
                    // It ran on the main instance: that is renewed too when the step is undone.
                    let (name, counters) = (self.name.clone(), Vec::new());
                    touched.add(
                        own,
                        Part {
                            savepoint,
                            name,
                            counters,
                        },
                    );
                }
            }
            (Err(failure), _) => {
                for (module, savepoint) in touched.earliest() {
                    if let Some(entry) = catalogue.entry(module) {
                        entry
                            .installed
                            .address
                            .do_send(Traffic::Undo(ticket, savepoint));
                    }
                }
                effects.clear();
                self.counters.restarts += 1;
                if outcome.is_fault {
                    self.counters.faults += 1;
                    self.last_fault = Some(format!("{function}: {failure}"));
                } else {
                    self.counters.rejected += 1;
                }
            }
        }
        let touched = if outcome.result.is_ok() {
            touched
        } else {
            Touched::default()
        };
        let answer = OutsideReply {
            result: outcome.result,
            ends_step: outcome.ends_step,
            effects,
            running_us: outcome.running_us,
            calls_made: outcome.calls_made,
        };
        // The caller's future is dropped only when its actor ends; then nobody commits this part either.
        let _ = reply.send((answer, touched));
    }

    /// Reads a public table for another module's step or query.
    pub(super) fn nested_read(&mut self, read: NestedRead) {
        let NestedRead { request, reply, .. } = read;
        let schema = self.module.tables().schema().clone();
        let known = schema
            .tables
            .iter()
            .filter(|table| table.visibility == Visibility::Public);
        let answer = match schema.table(&request.table) {
            Some((table, found)) if found.visibility == Visibility::Public => {
                self.module.read(table, &request.read)
            }
            Some(_) => Err(Failure::new(
                Code::Denied,
                format!(
                    "table `{}` of module `{}` is private",
                    request.table, self.name
                ),
            )),
            None => Err(Failure::not_found(
                "table",
                &request.table,
                known.map(|table| table.name.as_str()),
            )),
        };
        let _ = reply.send(answer);
    }
}
