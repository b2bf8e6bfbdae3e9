//! The called side: a call or read that another module's step or query has sent to this module.
//!
//! A call that fails is undone here and in everything behind it before it is answered; one that
//! succeeds stays open until the caller's step is recorded or undone. [`run_called`] and
//! [`read_public`] are what replay runs too.

use interstice_abi::{
    failure::{Code, Failure},
    schema::Visibility,
};
use interstice_host::module::{
    CallKind, ForeignRead, Module, Outside, OutsideReply, StepOutcome, StepRequest,
};

use super::{
    NestedCall, NestedRead,
    reacher::Reacher,
    touched::{Part, Touched},
    way::Way,
};
use crate::module::{
    Traffic,
    awake::{BETWEEN_CALLS, stay_awake},
    core::Core,
    query::was_ended,
    step::running::call_effect,
};

/// Runs a call at the end of `way`. Its own part is added to `touched`; when it fails, what is in
/// there is the caller's to undo.
pub(crate) async fn run_called<A>(
    module: &mut Module,
    kind: CallKind,
    way: &Way<A>,
    request: Box<StepRequest>,
    outside: Box<dyn Outside>,
    touched: &Touched,
) -> StepOutcome {
    let savepoint = module.tables().savepoint();
    let name = module.binary().schema.name.clone();
    let entry = way.catalogue.entry(way.end());
    let called = entry.filter(|_| kind == CallKind::Reducer);
    let called = called.and_then(|entry| call_effect(entry, &request.function, &request.arguments));
    let mut outcome = match kind {
        CallKind::Reducer => module.run(request, outside).await,
        CallKind::Query => module.query(request, way.of_client_query, outside).await,
    };
    if outcome.has_run && !way.of_client_query {
        way.trace.add_run(&name);
    }
    if outcome.result.is_err() {
        outcome.effects.clear();
        return outcome;
    }
    if let Some(called) = called {
        outcome.bytes_held = outcome.bytes_held.saturating_add(called.held_bytes());
        outcome.effects.push(called);
    }
    let counters = match kind {
        CallKind::Reducer => module.tables().counters_since(savepoint).collect(),
        CallKind::Query => Vec::new(),
    };
    // A query on the main instance is a part too: that instance is renewed when the step is undone.
    if !way.of_client_query {
        let own = way.end();
        let part = Part {
            savepoint,
            name,
            counters,
        };
        touched.add(own, part);
    }
    outcome
}

/// Reads a public table for another module's step or query.
///
/// # Errors
/// `NotFound` or `Denied` for the table, and the table's refusal.
pub(crate) fn read_public(module: &Module, request: &ForeignRead) -> Result<Vec<u8>, Failure> {
    let schema = module.tables().schema();
    let known = schema
        .tables
        .iter()
        .filter(|table| table.visibility == Visibility::Public);
    match schema.table(&request.table) {
        Some((table, found)) if found.visibility == Visibility::Public => {
            module.read(table, &request.read)
        }
        Some(_) => Err(Failure::new(
            Code::Denied,
            format!(
                "table `{}` of module `{}` is private",
                request.table, schema.name
            ),
        )),
        None => Err(Failure::not_found(
            "table",
            &request.table,
            known.map(|table| table.name.as_str()),
        )),
    }
}

impl Core {
    /// Runs a call from another module's step or query. Its part stays open until `Commit` or
    /// `Undo`.
    pub(in crate::module) async fn nested_call(&mut self, call: Box<NestedCall>) {
        let NestedCall {
            kind,
            way,
            mut request,
            reply,
            ..
        } = *call;
        request.began = self.piece_began.take();
        let touched = Touched::default();
        let function = request.function.clone();
        let running_us_used = request.running_us_used;
        let shared = self.shared.clone();
        let reacher = Reacher::new(shared, way.clone(), touched.clone(), running_us_used);
        let reacher = Box::new(reacher);
        let outcome = run_called(&mut self.module, kind, &way, request, reacher, &touched).await;
        match &outcome.result {
            Ok(_) if kind == CallKind::Reducer => self.counters.reducers += 1,
            Ok(_) => self.counters.queries += 1,
            Err(failure) => {
                for (module, savepoint) in touched.earliest() {
                    if let Some(entry) = way.catalogue.entry(module) {
                        entry
                            .installed
                            .address
                            .deliver(Traffic::Undo(way.ticket, savepoint));
                    }
                }
                self.counters.restarts += 1;
                if outcome.is_fault && !was_ended(&outcome.result) {
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
        // The caller's future is dropped only when its actor ends; then nobody commits this part
        // either.
        let _ = reply.send((OutsideReply::from(outcome), touched));
        if way.comes_from_elsewhere() {
            stay_awake(BETWEEN_CALLS);
        }
    }

    /// Reads a public table for another module's step or query.
    pub(in crate::module) fn nested_read(&mut self, read: NestedRead) {
        let NestedRead { request, reply, .. } = read;
        let _ = reply.send(read_public(&self.module, &request));
    }
}
