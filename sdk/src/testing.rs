//! An in-memory stand-in for a node, so that plain `cargo test` can run a module's reducers and
//! queries.
//!
//! Tables (keys, unique indexes, `auto_inc`, own writes, lazy iteration), timers, logs, time and
//! random numbers work as inside a node. Every test thread has a world of its own, which is empty
//! when the test begins.
//!
//! ```
//! use interstice_sdk::{testing, *};
//!
//! #[table]
//! #[derive(Debug)]
//! pub struct Account {
//!     #[primary_key]
//!     pub id: u64,
//!     pub balance: i64,
//! }
//!
//! #[reducer]
//! pub fn open<Caps>(ctx: ReducerContext<Caps>, id: u64) -> Result<(), Error>
//! where
//!     Caps: CanInsert<Account>,
//! {
//!     ctx.current.tables.account().insert(Account { id, balance: 0 })?;
//!     Ok(())
//! }
//!
//! # fn main() {
//! assert_eq!(testing::step(|ctx| open(ctx, 7)), Ok(()));
//! let again = testing::step(|ctx| open(ctx, 7));
//! assert!(again.is_err_and(|message| message.contains("account")));
//! assert_eq!(testing::query_context().current.tables.account().count(), 1);
//! # }
//! ```
//!
//! Not here: reactions to changes and due timers are not run by themselves (call their reducers),
//! capabilities are checked by the compiler only, and `schedule` believes that the reducer exists.
//! Other modules are what the test says they are: rows with [`fill`], answers with
//! [`answer_reducer`] and [`answer_query`].

mod calls;
pub(crate) mod imports;
mod table;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use interstice_abi::host_call::Invocation;
pub use interstice_abi::id::TimerId;

pub use calls::{answer_query, answer_reducer};
pub use world::Timer;

use crate::{
    __private::{outcome::ReducerOutcome, table as rows},
    QueryContext, ReducerContext, TableRow,
    capability::AllCaps,
};

/// A context with every capability, for calling reducers and helpers as functions. Nothing is
/// undone.
#[must_use]
pub fn reducer_context() -> ReducerContext<AllCaps> {
    ReducerContext::new(invocation())
}

/// A context with every capability, for calling queries and helpers as functions.
#[must_use]
pub fn query_context() -> QueryContext<AllCaps> {
    QueryContext::new(invocation())
}

/// A context for reducers without a type parameter.
#[must_use]
pub fn plain_reducer_context() -> ReducerContext {
    ReducerContext::new(invocation())
}

/// A context for queries without a type parameter.
#[must_use]
pub fn plain_query_context() -> QueryContext {
    QueryContext::new(invocation())
}

fn invocation() -> Invocation {
    world::with(|world| world.invocation.clone())
}

/// Runs `reducer` as a step: with the next seq, and undone when it returns `Err` or panics.
///
/// # Errors
/// The error's or the panic's message, as the caller of the reducer would get it.
pub fn step<Outcome: ReducerOutcome>(
    reducer: impl FnOnce(ReducerContext<AllCaps>) -> Outcome,
) -> Result<(), String> {
    let before = world::with(|world| {
        world.seq += 1;
        world.save()
    });
    let outcome = catch_unwind(AssertUnwindSafe(|| reducer(reducer_context()).outcome()))
        .unwrap_or_else(|panic| Err(message(&*panic)));
    if outcome.is_err() {
        crate::host::count_reset();
        world::with(|world| world.restore(before));
    }
    outcome
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the reducer panicked").to_string()
}

/// Inserts rows into any table, also into those of other modules.
///
/// # Panics
/// When a row hurts a constraint.
pub fn fill<R: TableRow>(rows: impl IntoIterator<Item = R>) {
    for row in rows {
        if let Err(error) = rows::insert(&row) {
            crate::host::end_step(&error);
        }
    }
}

/// The rows of any table in the order of their keys.
#[must_use]
pub fn rows<R: TableRow>() -> Vec<R> {
    rows::scan()
}

/// Every line that was logged, in order.
#[must_use]
pub fn logs() -> Vec<String> {
    world::with(|world| world.logs.clone())
}

/// The pending timers, the next one first.
#[must_use]
pub fn timers() -> Vec<Timer> {
    world::with(|world| world.timers.clone())
}

/// Lets `ms` milliseconds go by; the timers that became due, in their order. They are no longer
/// pending, but those that repeat are, and come once for each of their times. Calling their
/// reducers is up to the test; `#[reducer(every = "…")]` sets no timer here.
pub fn advance_ms(ms: u64) -> Vec<Timer> {
    world::with(|world| world.advance(ms))
}

/// Sets what `time_now_ms` answers, in milliseconds since 1970.
pub fn set_time_ms(now: u64) {
    world::with(|world| world.time_ms = now);
}

/// Begins another stream of random numbers. Equal seeds give equal streams.
pub fn set_random_seed(seed: u64) {
    world::with(|world| world.random = seed);
}

/// Sets who calls, for the contexts that are made afterwards: the id of a node or client, and a
/// module of this node or nothing. At first the node itself calls.
pub fn set_caller(node_id: &str, module_name: &str) {
    world::with(|world| {
        world.invocation.caller_node_id = node_id.to_string();
        world.invocation.caller_module_name = module_name.to_string();
    });
}

/// Sets whether one of the node's owners calls, for the contexts that are made afterwards.
pub fn set_caller_is_owner(caller_is_owner: bool) {
    world::with(|world| world.invocation.caller_is_owner = caller_is_owner);
}

/// Empties the ephemeral tables, as every start of a module does.
pub fn restart() {
    crate::host::count_reset();
    world::with(world::World::empty_ephemeral);
}

/// Begins again with an empty world.
pub fn reset() {
    crate::host::count_reset();
    world::with(|world| *world = world::World::new());
}
