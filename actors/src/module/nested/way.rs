//! The way that led to a running guest: the place that it runs under, and every module that is in the middle of a call; and
//! what may be called from its end.
//!
//! A module is in a chain at most once. Nothing here changes while a guest runs but the trace, which the whole step shares.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    host_call::CallRequest,
    id::{NodeId, Seq},
};
use interstice_host::{
    module::{CallContext, CallKind, Caller, ForeignRead, StepRequest},
    schema::{Asked, View},
};

use super::{callable, serving, trace::Trace};
use crate::{
    apart::Apart,
    ingress::Replies,
    module::{
        home::ModuleAddress,
        query::ClientQuery,
        turn::{Ticket, Turn},
    },
    supervisor::catalogue::{Catalogue, Entry, ModuleIndex},
};

/// The way that led to a running guest.
pub(crate) struct Way<A = ModuleAddress> {
    pub(super) ticket: Ticket,
    pub(crate) catalogue: Apart<Catalogue<A>>,
    /// The modules that are in the middle of a call, the first caller first.
    pub(super) callers: Arc<[ModuleIndex]>,
    /// The running one.
    pub(super) own: ModuleIndex,
    /// Whether this is a client's query, which runs on second instances.
    pub(super) of_client_query: bool,
    /// The client of such a query.
    pub(super) client: Option<Replies>,
    /// The turn of a step that ends when an owner drops its turn.
    pub(super) turn: Option<Seq>,
    pub(super) of_load: bool,
    /// What the step leaves behind.
    pub(crate) trace: Trace,
}

impl<A> Clone for Way<A> {
    fn clone(&self) -> Self {
        Self {
            ticket: self.ticket,
            catalogue: self.catalogue.clone(),
            callers: self.callers.clone(),
            own: self.own,
            of_client_query: self.of_client_query,
            client: self.client.clone(),
            turn: self.turn,
            of_load: self.of_load,
            trace: self.trace.clone(),
        }
    }
}

impl Way {
    /// The start of a step's way.
    pub(in crate::module) fn of_step(
        turn: &Turn,
        own: ModuleIndex,
        of_load: bool,
        trace: Trace,
    ) -> Self {
        Self {
            turn: Some(turn.seq),
            ..Self::with(turn.ticket, turn.catalogue.clone(), own, of_load, trace)
        }
    }

    /// The same of a step that runs to its end whatever becomes of its turn.
    pub(in crate::module) fn undroppable(self) -> Self {
        Self { turn: None, ..self }
    }

    /// The start of a client query's way.
    pub(in crate::module) fn of_query(query: &ClientQuery, trace: Trace) -> Self {
        Self {
            of_client_query: true,
            client: Some(query.replies.clone()),
            ..Self::with(
                query.ticket,
                query.catalogue.clone(),
                query.module,
                false,
                trace,
            )
        }
    }
}

impl<A> Way<A> {
    /// The start of a step's way.
    pub(crate) fn new(
        ticket: Ticket,
        catalogue: Apart<Catalogue<A>>,
        own: ModuleIndex,
        of_load: bool,
    ) -> Self {
        Self::with(ticket, catalogue, own, of_load, Trace::default())
    }

    fn with(
        ticket: Ticket,
        catalogue: Apart<Catalogue<A>>,
        own: ModuleIndex,
        of_load: bool,
        trace: Trace,
    ) -> Self {
        Self {
            ticket,
            catalogue,
            callers: Arc::default(),
            own,
            of_client_query: false,
            client: None,
            turn: None,
            of_load,
            trace,
        }
    }

    /// The modules that are in the middle of a call while the one at the end calls another, the first caller first.
    pub(crate) fn callers_from_here(&self) -> Arc<[ModuleIndex]> {
        self.chain().collect()
    }

    /// The way on into `module`, which [`Way::callers_from_here`] call.
    pub(crate) fn to(&self, module: ModuleIndex, callers: Arc<[ModuleIndex]>) -> Self {
        Self {
            callers,
            own: module,
            ticket: self.ticket,
            catalogue: self.catalogue.clone(),
            of_client_query: self.of_client_query,
            client: self.client.clone(),
            turn: self.turn,
            of_load: self.of_load,
            trace: self.trace.clone(),
        }
    }

    /// The module at its end.
    pub(crate) fn end(&self) -> ModuleIndex {
        self.own
    }

    /// The arbiter of the module at its end.
    pub(crate) fn place(&self) -> Option<usize> {
        Some(self.catalogue.entry(self.own)?.installed.place)
    }

    /// Whether the module that has called is on another arbiter than the called one.
    pub(super) fn comes_from_elsewhere(&self) -> bool {
        let caller = self
            .callers
            .last()
            .and_then(|caller| self.catalogue.entry(*caller));
        caller.map(|caller| caller.installed.place) != self.place()
    }

    /// The modules of the call chain, the running one last.
    fn chain(&self) -> impl Iterator<Item = ModuleIndex> {
        self.callers.iter().copied().chain([self.own])
    }

    /// The entry of a module that was found.
    ///
    /// # Errors
    /// None but for a mistake of ours.
    pub(super) fn entry(&self, module: ModuleIndex) -> Result<&Entry<A>, Failure> {
        let entry = self.catalogue.entry(module);
        entry.ok_or_else(|| Failure::internal("a module has no entry"))
    }

    /// The module of this node called `name`, if it can be reached from here at all.
    ///
    /// # Errors
    /// `NotFound`, `CallCycle`, or why it does not serve.
    pub(crate) fn callee(&self, name: &str) -> Result<(ModuleIndex, &Entry<A>), Failure> {
        let index = self.catalogue.find(name)?;
        let entry = self.entry(index)?;
        if self.chain().any(|known| known == index) {
            let chain: Vec<&str> = self
                .chain()
                .filter_map(|index| self.catalogue.entry(index))
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

    /// The module that `request` calls, if it has what is called.
    ///
    /// # Errors
    /// As [`Way::callee`]; `NotFound` and `Denied` for the function.
    pub(crate) fn called(
        &self,
        kind: CallKind,
        request: &CallRequest,
    ) -> Result<(ModuleIndex, &Entry<A>), Failure> {
        let (index, entry) = self.callee(&request.module)?;
        let schema = &entry.installed.schema;
        match kind {
            CallKind::Reducer => callable(entry, &request.function)?,
            CallKind::Query if schema.query(&request.function).is_none() => {
                let known = schema.queries.iter().map(|query| query.name.as_str());
                return Err(Failure::not_found("query", &request.function, known));
            }
            CallKind::Query => {}
        }
        Ok((index, entry))
    }

    /// How the module at the end of this way sees `provider`, where that differs from what `provider` is.
    pub(crate) fn view_of(&self, provider: &Entry<A>) -> Option<&View> {
        let reader = self.catalogue.entry(self.end())?;
        let view = reader.view_of(&provider.installed.schema.name)?;
        Some(view)
    }

    /// What `callee` runs: the module at the end of this way is its caller.
    pub(crate) fn request(
        &self,
        node: &NodeId,
        callee: &Entry<A>,
        kind: CallKind,
        mut request: CallRequest,
        context: CallContext,
    ) -> Box<StepRequest> {
        if let Some(view) = self.view_of(callee) {
            view.give(kind, &request.function, &mut request.arguments);
        }
        let caller = self.catalogue.entry(self.end());
        let caller = Caller {
            node: node.clone(),
            module: caller.map(|entry| entry.installed.schema.name.clone()),
            is_owner: false,
        };
        let mut turn = context.turn;
        turn.of_load = self.of_load;
        Box::new(StepRequest {
            function: request.function.into(),
            caller,
            arguments: request.arguments.into(),
            check_arguments: true,
            turn,
            call_ordinal: context.call_ordinal,
            running_us_used: context.running_us_used,
            bytes_held: context.bytes_held,
            depth: context.depth,
            began: None,
            is_timed: true,
        })
    }

    /// The result of a query of `callee` as the module at the end of this way knows it.
    pub(crate) fn result(&self, callee: &Entry<A>, query: &str, result: Vec<u8>) -> Vec<u8> {
        match self.view_of(callee) {
            Some(view) => view.result(query, result),
            None => result,
        }
    }

    /// Names the index of a read as `provider` does; what its answer is, where rows in it are cut for the reader.
    pub(crate) fn ask(&self, provider: &Entry<A>, request: &mut ForeignRead) -> Option<Asked> {
        let view = self.view_of(provider)?;
        let (table, _) = provider.installed.schema.table(&request.table)?;
        view.ask(table, &mut request.read)
    }

    /// The answer of `provider` to a read as the module at the end of this way knows it.
    ///
    /// # Errors
    /// None but for a mistake of ours.
    pub(crate) fn answer(
        &self,
        provider: &Entry<A>,
        asked: Option<Asked>,
        answer: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        match (self.view_of(provider), asked) {
            (Some(view), Some(asked)) => view.answer(asked, answer),
            _ => Ok(answer),
        }
    }
}
