//! What a replayed guest reaches outside its module: the other modules, directly; other nodes,
//! through the record.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use interstice_abi::{
    failure::Failure,
    host_call::CallRequest,
    id::{ModuleName, NodeId, Seq},
};
use interstice_host::module::{CallContext, CallKind, ForeignRead, Outside, OutsideReply};

use super::slot::Slot;
use crate::{
    module::nested::{
        callee::{read_public, run_called},
        touched::Touched,
        way::Way,
    },
    record::Answer,
    remote::fingerprint,
    supervisor::catalogue::Catalogue,
};

/// What a replayed guest reaches.
pub(super) struct Neighbours {
    pub(super) node: NodeId,
    pub(super) way: Way<Slot>,
    pub(super) touched: Touched,
    pub(super) answers: Answers,
}

/// What other nodes have answered to a step, to be answered again.
#[derive(Clone)]
pub(super) struct Answers(Arc<Mutex<VecDeque<Answer>>>);

impl Answers {
    pub(super) fn new(answers: &[Answer]) -> Self {
        Self(Arc::new(Mutex::new(answers.iter().cloned().collect())))
    }

    /// The next answer, if it was given to this question.
    fn next(&self, question: [u8; 32]) -> Option<Result<Vec<u8>, Failure>> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = answers.pop_front()?;
        (next.question == question).then_some(next.result)
    }
}

/// Undoes what a call or step did to the modules that it called.
pub(super) fn undo(catalogue: &Catalogue<Slot>, touched: &Touched) -> Result<(), Failure> {
    for (index, savepoint) in touched.earliest() {
        if let Some(entry) = catalogue.entry(index) {
            entry.installed.address.with(|module| {
                module.tables_mut().rollback(savepoint);
                module.renew();
            })?;
        }
    }
    Ok(())
}

impl Neighbours {
    async fn reach(
        &self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> Result<OutsideReply, Failure> {
        let (index, entry) = self.way.called(kind, &request)?;
        let slot = entry.installed.address.clone();
        let mut module = slot.take(context.turn.seq)?;
        let way = self.way.to(index, self.way.callers_from_here());
        let touched = Touched::default();
        let outside = Box::new(Self {
            node: self.node.clone(),
            way: way.clone(),
            touched: touched.clone(),
            answers: self.answers.clone(),
        });
        let function = request.function.clone();
        let request = self.way.request(&self.node, entry, kind, request, context);
        let mut outcome = run_called(&mut module, kind, &way, request, outside, &touched).await;
        slot.put(module);
        if kind == CallKind::Query {
            let result = outcome.result;
            outcome.result = result.map(|result| self.way.result(entry, &function, result));
        }
        if outcome.result.is_ok() {
            self.touched.merge(&touched);
        } else {
            undo(&self.way.catalogue, &touched)?;
        }
        Ok(OutsideReply::from(outcome))
    }

    /// Answers as the other node did. Another question than the recorded one ends the step; the
    /// comparison of records tells.
    fn ask(&self, kind: CallKind, request: &CallRequest) -> Result<OutsideReply, Failure> {
        let question = fingerprint(kind, request)?;
        let known = self.answers.next(question);
        let ends_step = known.is_none();
        let result = known.unwrap_or_else(|| {
            Err(Failure::internal(
                "another question is asked than the record has an answer to",
            ))
        });
        self.way.trace.answered(Answer {
            question,
            result: result.clone(),
        });
        Ok(OutsideReply {
            ends_step,
            ..OutsideReply::of_other_node(result)
        })
    }
}

impl Outside for Neighbours {
    fn call(
        &mut self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> BoxFuture<'_, OutsideReply> {
        Box::pin(async move {
            let reply = if request.node.is_some() {
                self.ask(kind, &request)
            } else {
                self.reach(kind, request, context).await
            };
            reply.unwrap_or_else(OutsideReply::refused)
        })
    }

    fn read(&mut self, mut request: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let (_, entry) = self.way.callee(&request.module)?;
            let asked = self.way.ask(entry, &mut request);
            let read = |module: &mut _| read_public(module, &request);
            let answer = entry.installed.address.with(read)??;
            self.way.answer(entry, asked, answer)
        })
    }

    /// What modules say was said when it happened.
    fn log(&mut self, _: &ModuleName, _: Seq, _: &str) {}
}
