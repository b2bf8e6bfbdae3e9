//! Calls between modules of a node, inside one step or query: in the caller's task when the other
//! module is at home, else a message to its actor and back.
//!
//! [`reacher::Reacher`] is the calling side: what a running guest reaches outside its module. The
//! callee belongs to the same reach, so nobody else is using it; a call that arrives before its
//! turn heads the callee's queue waits there. Callees keep their part of the step open:
//! [`touched::Touched`] remembers who they are and how far each must go back when what called them
//! fails.
//!
//! Here are the messages, and what may be called at all.

pub(crate) mod way;

pub(crate) mod reacher;

pub(crate) mod callee;

pub(crate) mod trace;

pub(crate) mod touched;

use interstice_abi::{
    failure::{Code, Failure},
    schema::ModuleSchema,
    wire::ModuleState,
};
use interstice_host::module::{CallKind, ForeignRead, OutsideReply, StepRequest};
use tokio::sync::oneshot;

use self::{touched::Touched, way::Way};
use crate::{module::turn::Ticket, supervisor::catalogue::Entry};

/// A call from a step or query of another module.
pub(crate) struct NestedCall {
    pub(crate) ticket: Ticket,
    pub(crate) kind: CallKind,
    pub(crate) way: Way,
    pub(crate) request: Box<StepRequest>,
    pub(crate) reply: oneshot::Sender<(OutsideReply, Touched)>,
}

/// A read of a public table from a step or query of another module.
pub(crate) struct NestedRead {
    pub(crate) ticket: Ticket,
    pub(crate) request: ForeignRead,
    pub(crate) reply: oneshot::Sender<Result<Vec<u8>, Failure>>,
}

/// Whether a module serves.
///
/// # Errors
/// `Unavailable` or `Quarantined`, with what to do.
pub(crate) fn serving<A>(entry: &Entry<A>) -> Result<(), Failure> {
    let name = &entry.installed.schema.name;
    match &entry.installed.state {
        ModuleState::Loaded => Ok(()),
        ModuleState::Unloaded => Err(Failure::new(
            Code::Unavailable,
            format!("module `{name}` is unloaded; an owner can start it with `load`"),
        )),
        ModuleState::CatchingUp => Err(Failure::new(
            Code::Unavailable,
            format!(
                "module `{name}` catches up with changes that it missed while it was stopped; try again later"
            ),
        )),
        ModuleState::Quarantined { reason } => Err(Failure::new(
            Code::Quarantined,
            format!(
                "module `{name}` is quarantined and does not run; an owner can deploy a corrected version, or start it with `load`; the reason: {reason}"
            ),
        )),
    }
}

/// Whether `reducer` is there and may be called from outside its module.
///
/// # Errors
/// `NotFound` with the nearest name, `Denied` for private reducers and for those that handle
/// events.
pub(crate) fn callable<A>(entry: &Entry<A>, reducer: &str) -> Result<(), Failure> {
    let schema = &entry.installed.schema;
    match schema.reducer(reducer) {
        Some(found) if found.is_callable() => Ok(()),
        Some(found) => Err(Failure::new(
            Code::Denied,
            format!(
                "reducer `{reducer}` of module `{}` {}",
                schema.name,
                found.why_not_callable()
            ),
        )),
        None => Err(no_reducer(schema, reducer)),
    }
}

/// The failure of a call of a reducer that does not exist or cannot be called.
pub(crate) fn no_reducer(schema: &ModuleSchema, reducer: &str) -> Failure {
    let callable = schema.reducers.iter().filter(|known| known.is_callable());
    let known = callable.map(|known| known.name.as_str());
    let mut failure = Failure::not_found("reducer", reducer, known);
    failure.message = format!("{} in module `{}`", failure.message, schema.name);
    failure
}
