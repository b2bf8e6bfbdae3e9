//! The calling side: what a running guest reaches outside its module, through messages to the other modules' actors.
//!
//! A call goes only to a module that serves and is not in the chain of calls already. While the guest waits, its fiber is
//! suspended and its thread works on.

use std::sync::Arc;

use futures::future::BoxFuture;
use interstice_abi::{
    failure::{Code, Failure},
    host_call::{CallRequest, Invocation},
    id::{ModuleName, Seq},
};
use interstice_host::module::{
    CallContext, CallKind, ForeignRead, Outside, OutsideReply, StepRequest,
};
use tokio::sync::oneshot;

use super::{NestedCall, NestedRead, callable, serving, touched::Touched, way::Way};
use crate::{
    module::{Traffic, gone},
    shared::Shared,
    supervisor::catalogue::{Entry, ModuleIndex},
};

/// What a running guest reaches outside its module.
pub(crate) struct Reacher {
    shared: Arc<Shared>,
    way: Way,
    touched: Touched,
}

impl Reacher {
    /// For a guest at the end of `way`; what it touches is added to `touched`.
    pub(in crate::module) fn new(shared: Arc<Shared>, way: Way, touched: Touched) -> Self {
        Self {
            shared,
            way,
            touched,
        }
    }

    /// The module called `name`, if it can be called from here at all.
    fn callee(&self, node: Option<&str>, name: &str) -> Result<(ModuleIndex, &Entry), Failure> {
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

    fn log(&mut self, module: &ModuleName, seq: Seq, line: &str) {
        self.shared.lines.message(Some(module), Some(seq), line);
    }
}
