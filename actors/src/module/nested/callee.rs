//! The called side: a call or read that another module's step or query has sent to this module.
//!
//! A call that fails is undone here and in everything behind it before it is answered; one that succeeds stays open until the
//! caller's step is recorded or undone.

use interstice_abi::{
    failure::{Code, Failure},
    schema::Visibility,
};
use interstice_host::module::{CallKind, OutsideReply};

use super::{
    NestedCall, NestedRead,
    reacher::Reacher,
    touched::{Part, Touched},
};
use crate::module::{Traffic, core::Core};

impl Core {
    /// Runs a call from another module's step or query. Its part stays open until `Commit` or `Undo`.
    pub(in crate::module) async fn nested_call(&mut self, call: NestedCall) {
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
    pub(in crate::module) fn nested_read(&mut self, read: NestedRead) {
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
