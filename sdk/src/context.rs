//! What a reducer and a query are handed: who calls, and the way to the module's tables.
//!
//! Contexts are plain values: cloned freely, taken apart field by field, without `Drop` and
//! without `Deref`. Accessors of tables and bindings are traits that the macros implement on
//! [`EditTables`], [`ReadTables`] and the contexts themselves.

use std::marker::PhantomData;

use interstice_abi::{host_call::Invocation, id::TimerId};

use crate::{Error, host_calls};

/// What a reducer is handed. `Caps` carries the bounds that say what it may touch.
pub struct ReducerContext<Caps = ()> {
    /// The id of the node or client that calls; this node's own for everything that happens inside
    /// it.
    pub caller_node_id: String,
    /// The module of this node that calls, or empty.
    pub caller_module_name: String,
    /// This module: its `tables`.
    pub current: Current<EditTables<Caps>>,
    caller_is_owner: bool,
}

/// What a query is handed. `Caps` carries the bounds that say what it may read.
pub struct QueryContext<Caps = ()> {
    /// The id of the node or client that asks; this node's own for everything that happens inside
    /// it.
    pub caller_node_id: String,
    /// The module of this node that asks, or empty.
    pub caller_module_name: String,
    /// This module: its `tables`.
    pub current: Current<ReadTables<Caps>>,
    caller_is_owner: bool,
}

/// The module that a function belongs to.
pub struct Current<Tables> {
    /// The module's tables: one method for each, named like the table.
    pub tables: Tables,
}

macro_rules! tables {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        pub struct $name<Caps> {
            caps: PhantomData<fn() -> Caps>,
        }

        impl<Caps> $name<Caps> {
            const fn new() -> Self {
                Self { caps: PhantomData }
            }
        }

        impl<Caps> Clone for $name<Caps> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<Caps> Copy for $name<Caps> {}
    )*};
}
tables! {
    /// The tables of the module, as a reducer sees them.
    EditTables
    /// The tables of the module, as a query sees them.
    ReadTables
}

impl<Tables: Clone> Clone for Current<Tables> {
    fn clone(&self) -> Self {
        Self {
            tables: self.tables.clone(),
        }
    }
}

macro_rules! context {
    ($name:ident, $tables:ident) => {
        impl<Caps> Clone for $name<Caps> {
            fn clone(&self) -> Self {
                Self {
                    caller_node_id: self.caller_node_id.clone(),
                    caller_module_name: self.caller_module_name.clone(),
                    current: self.current.clone(),
                    caller_is_owner: self.caller_is_owner,
                }
            }
        }

        impl<Caps> $name<Caps> {
            pub(crate) fn new(invocation: Invocation) -> Self {
                Self {
                    caller_node_id: invocation.caller_node_id,
                    caller_module_name: invocation.caller_module_name,
                    current: Current {
                        tables: $tables::new(),
                    },
                    caller_is_owner: invocation.caller_is_owner,
                }
            }

            pub(crate) fn retype<Other>(self) -> $name<Other> {
                $name {
                    caller_node_id: self.caller_node_id,
                    caller_module_name: self.caller_module_name,
                    current: Current {
                        tables: $tables::new(),
                    },
                    caller_is_owner: self.caller_is_owner,
                }
            }

            /// Writes one line into the module's log. It stays when the step is undone.
            pub fn log(&self, line: &str) {
                host_calls::log(line);
            }

            /// The turn's timestamp in milliseconds since 1970: the same throughout a turn, never
            /// going back.
            ///
            /// # Errors
            /// When the module's grant for time was taken back.
            pub fn time_now_ms(&self) -> Result<u64, Error> {
                host_calls::time_now_ms()
            }

            /// The next number of the step's random stream: the same again when the step is
            /// replayed.
            ///
            /// # Errors
            /// When the host refuses it.
            pub fn deterministic_random_u64(&self) -> Result<u64, Error> {
                host_calls::deterministic_random_u64()
            }

            /// This node's id, spelled as in `caller_node_id`.
            #[must_use]
            pub fn current_node_id(&self) -> String {
                host_calls::current_node_id()
            }

            /// The turn's number; in a client's query, the last one that it sees.
            #[must_use]
            pub fn seq(&self) -> u64 {
                crate::host::imports::seq()
            }

            /// Whether one of the node's owners asks, from outside.
            #[must_use]
            pub fn caller_is_owner(&self) -> bool {
                self.caller_is_owner
            }
        }
    };
}
context!(ReducerContext, EditTables);
context!(QueryContext, ReadTables);

impl<Caps> ReducerContext<Caps> {
    /// Runs `reducer` of this module `delay_ms` milliseconds after the turn's timestamp, in a turn
    /// of its own.
    ///
    /// The reducer takes nothing beyond its context. Several timers for one reducer may be
    /// pending. A step that fails sets no timer, so a chain whose reducer schedules itself ends
    /// with its first `Err`: [`timing`](crate::timing) and `#[reducer(every = "10s")]` have
    /// timers that go on. A reducer that is run by timers should be `#[reducer(private)]`.
    ///
    /// # Errors
    /// When the module has no such reducer, or it takes arguments.
    pub fn schedule(&self, reducer: &str, delay_ms: u64) -> Result<TimerId, Error> {
        host_calls::schedule(reducer, delay_ms)
    }

    /// Ends a pending timer.
    ///
    /// # Errors
    /// When no such timer is pending.
    pub fn cancel(&self, timer: TimerId) -> Result<(), Error> {
        host_calls::cancel(timer)
    }
}
