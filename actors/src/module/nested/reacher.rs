//! The calling side: what a running guest reaches outside its module, in the other modules where they are at home, or by messages to
//! their actors.
//!
//! What may be called is the way's to say. While the guest waits, its fiber is suspended and its thread works on.

use std::{sync::Arc, time::Instant};

use futures::future::BoxFuture;
use interstice_abi::{
    failure::{Code, Failure},
    host_call::CallRequest,
    id::{ModuleName, Seq},
};
use interstice_host::module::{CallContext, CallKind, ForeignRead, Outside, OutsideReply};
use tokio::sync::oneshot;

use super::{NestedCall, NestedRead, touched::Touched, way::Way};
use crate::{
    apart::Apart,
    module::{
        Traffic,
        awake::{BETWEEN_CALLS, stay_awake},
        gone,
        lane::{free_thread, is_thread_held, rest_on_lane},
    },
    record::Answer,
    remote::fingerprint,
    shared::Shared,
    supervisor::catalogue::ModuleIndex,
};

/// What a running guest reaches outside its module.
pub(crate) struct Reacher {
    shared: Apart<Shared>,
    way: Way,
    /// What all ways on from here begin with, once there is one.
    callers: Option<Arc<[ModuleIndex]>>,
    touched: Touched,
    /// Calls made so far.
    calls: u32,
    /// Calls and reads in this node since it was last looked how long they have taken.
    unlooked: u32,
    /// How much of the step's time, in microseconds, was used then.
    looked_at_us: u64,
}

/// A call that is to be sent.
struct Begun {
    callee: ModuleIndex,
    /// The query, where the callee has grown and its results may have to be cut.
    query: Option<String>,
    call: Box<NestedCall>,
    answer: oneshot::Receiver<(OutsideReply, Touched)>,
    /// Since when the guest waits.
    waits_since: Option<Instant>,
}

/// How many calls a step that runs for long makes at a time: each of them has two threads work in turns, which leaves others no core.
const CALLS_AT_A_TIME: u32 = 32;

/// How many calls and reads are made before it is looked how long they have taken together, because the clock costs more than nothing beside a
/// short call.
const LOOK_EVERY: u32 = 4;

/// Unless they have used as much of the step's time, in microseconds.
const LOOK_AFTER_US: u64 = 20;

impl Reacher {
    /// For a guest at the end of `way`, whose callers have used so much of the step's time; what it touches is added to `touched`.
    pub(in crate::module) fn new(
        shared: Apart<Shared>,
        way: Way,
        touched: Touched,
        running_us_used: u64,
    ) -> Self {
        Self {
            shared,
            way,
            callers: None,
            touched,
            calls: 0,
            unlooked: 0,
            looked_at_us: running_us_used,
        }
    }

    /// Before a call or read, lets others have the thread when the last ones have taken long: what is asked for is done in this task, and
    /// so a step that calls a hundred times would keep everybody waiting who shares its arbiter. Returns whether they have had it.
    async fn make_way(&mut self, running_us_used: Option<u64>) -> bool {
        self.unlooked += 1;
        let used_us = running_us_used.map_or(0, |us| us.saturating_sub(self.looked_at_us));
        if self.unlooked < LOOK_EVERY && used_us < LOOK_AFTER_US {
            return false;
        }
        self.unlooked = 0;
        self.looked_at_us = running_us_used.unwrap_or(self.looked_at_us);
        let is_held = is_thread_held();
        if is_held {
            free_thread().await;
        }
        is_held
    }

    /// What is to be sent for a call of a module of this node.
    fn begin(
        &mut self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> Result<Begun, Failure> {
        let (callee, entry) = self.way.called(kind, &request)?;
        let query = (kind == CallKind::Query && self.way.view_of(entry).is_some())
            .then(|| request.function.clone());
        let (reply, answer) = oneshot::channel();
        let way = &self.way;
        let callers = self.callers.get_or_insert_with(|| way.callers_from_here());
        let waits_since = context.waits_since;
        let call = NestedCall {
            ticket: way.ticket,
            kind,
            way: way.to(callee, callers.clone()),
            request: way.request(&self.shared.id, entry, kind, request, context),
            reply,
        };
        Ok(Begun {
            callee,
            query,
            call: Box::new(call),
            answer,
            waits_since,
        })
    }

    async fn reach(&self, begun: Begun) -> Result<OutsideReply, Failure> {
        let Begun {
            callee,
            query,
            call,
            answer,
            waits_since,
        } = begun;
        let entry = self.way.entry(callee)?;
        let installed = &entry.installed;
        let call = Traffic::Call(call);
        let visited = installed.address.visit(self.way.ticket, call, waits_since);
        let visited = visited.await;
        if !visited {
            self.expect_answer(installed.place);
        }
        let Ok((mut reply, touched)) = answer.await else {
            // No guest may go on from here: replay could not tell it the same.
            return Ok(OutsideReply {
                ends_step: true,
                ..OutsideReply::refused(gone(&installed.schema.name))
            });
        };
        self.touched.merge(&touched);
        if let Some(query) = query {
            reply.result = reply
                .result
                .map(|result| self.way.result(entry, &query, result));
        }
        // From elsewhere an answer takes its time, in which this guest does not run.
        reply.ended = reply.ended.filter(|_| visited);
        Ok(reply)
    }

    /// Something was sent to a module at this place, whose answer is waited for.
    fn expect_answer(&self, place: usize) {
        if self.way.place() != Some(place) {
            stay_awake(BETWEEN_CALLS);
        }
    }

    /// Asks another node and notes what it says.
    async fn ask(&self, kind: CallKind, request: &CallRequest) -> Result<OutsideReply, Failure> {
        let question = fingerprint(kind, request)?;
        let result = self.shared.remote.call(kind, request).await;
        self.way.trace.answered(Answer {
            question,
            result: result.clone(),
        });
        Ok(OutsideReply::of_other_node(result))
    }
}

impl Outside for Reacher {
    fn call(
        &mut self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> BoxFuture<'_, OutsideReply> {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CALLS_AT_A_TIME) {
            rest_on_lane();
        }
        if request.node.is_some() {
            return Box::pin(async move {
                let reply = self.ask(kind, &request).await;
                reply.unwrap_or_else(OutsideReply::refused)
            });
        }
        let running_us_used = context.running_us_used;
        // The future moves to where it waits, so it should hold little.
        let begun = self.begin(kind, request, context);
        Box::pin(async move {
            let others_first = self.make_way(Some(running_us_used)).await;
            let reply = match begun {
                Ok(mut begun) => {
                    // What others did meanwhile is not the callee's.
                    begun.waits_since = begun.waits_since.filter(|_| !others_first);
                    self.reach(begun).await
                }
                Err(failure) => Err(failure),
            };
            reply.unwrap_or_else(OutsideReply::refused)
        })
    }

    fn read(&mut self, mut request: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            self.make_way(None).await;
            let (_, entry) = self.way.callee(&request.module)?;
            let name = entry.installed.schema.name.clone();
            let asked = self.way.ask(entry, &mut request);
            let (reply, answer) = oneshot::channel();
            let read = NestedRead {
                ticket: self.way.ticket,
                request,
                reply,
            };
            let read = Traffic::Read(Box::new(read));
            let address = &entry.installed.address;
            if !address.visit(self.way.ticket, read, None).await {
                self.expect_answer(entry.installed.place);
            }
            let answer = answer.await.map_err(|_| gone(&name))??;
            self.way.answer(entry, asked, answer)
        })
    }

    fn is_wanted(&self) -> Result<(), Failure> {
        if let Some(turn) = self.way.turn {
            return self.shared.turns.drops.check(turn);
        }
        let Some(client) = &self.way.client else {
            return Ok(());
        };
        if client.is_closed() {
            return Err(Failure::new(Code::Unavailable, "the client has gone"));
        }
        match self.shared.shedding.running_read(self.way.ticket) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn log(&mut self, module: &ModuleName, seq: Seq, line: &str) {
        // That a query was ended is no news of the module's: clients could fill the log with it.
        if self.way.turn.is_none() && self.is_wanted().is_err() {
            return;
        }
        self.shared.lines.message(Some(module), Some(seq), line);
    }
}
