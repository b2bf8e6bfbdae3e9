//! What the host knows of one instance while it lives, and of the step that runs in it.
//!
//! [`Guest`] is the store's data. Invariant: [`Guest::step`] is there exactly while the guest
//! runs; whoever put it there takes it out again, with the module's tables in it, however the run
//! has ended.

use std::sync::Arc;

use interstice_abi::failure::{Code, Failure};
use wasmtime::Memory;

use crate::{
    limits::Limits,
    module::{Effect, Outside, RandomStream, Revoked, TurnContext},
    table::{Savepoint, Tables},
    wasm::{Binary, Fault, Function, FunctionIndex, Limiter, Meter, Place},
};

/// How many host calls go by between two looks at the clock. Loops of the guest are interrupted by
/// the epoch; this bounds those of calls that are long themselves.
const CALLS_PER_CHECK: u32 = 16;

/// Store data of an instance.
pub(crate) struct Guest {
    pub(crate) binary: Arc<Binary>,
    pub(crate) limits: Limits,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    /// The guest's memory, once it is known.
    pub(crate) memory: Option<Memory>,
    /// What [`Place`]s the guest's table handles stand for.
    pub(super) handles: Vec<Place>,
    /// The answer that did not fit, until it is fetched.
    pub(super) waiting: Vec<u8>,
    /// The message of a panic.
    pub(crate) panic: Option<String>,
    pub(crate) step: Option<Box<Step>>,
    calls: u32,
}

/// One execution of a reducer or query.
pub(crate) struct Step {
    pub(crate) function: FunctionIndex,
    /// What `input_read` hands over.
    pub(crate) input: Vec<u8>,
    /// What `output_write` has left.
    pub(crate) output: Vec<u8>,
    /// Boxed: they move from the module into each step and back.
    pub(crate) tables: Box<Tables>,
    /// The tables' state before the step.
    pub(crate) savepoint: Savepoint,
    pub(crate) effects: Vec<Effect>,
    /// How many of the tables' changes since `savepoint` are in `effects`.
    spliced: usize,
    pub(crate) outside: Box<dyn Outside>,
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) turn: TurnContext,
    pub(super) random: RandomStream,
    pub(super) call_ordinal: u64,
    pub(crate) calls_made: u64,
    pub(super) depth: u32,
    /// Bytes that the step holds: [`crate::limits::Limits::step_bytes_max`].
    pub(crate) bytes_held: u64,
    /// Entries of the log that were written.
    pub(super) entries_logged: u32,
}

/// What a [`Step`] begins with.
pub(crate) struct StepStart {
    pub(crate) function: FunctionIndex,
    pub(crate) input: Vec<u8>,
    pub(crate) tables: Box<Tables>,
    pub(crate) outside: Box<dyn Outside>,
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) turn: TurnContext,
    pub(crate) random: RandomStream,
    pub(crate) call_ordinal: u64,
    pub(crate) bytes_held: u64,
    pub(crate) depth: u32,
}

impl Guest {
    /// A guest that has done nothing yet.
    pub(crate) fn new(binary: Arc<Binary>, limits: Limits, meter: Arc<Meter>) -> Self {
        Self {
            binary,
            limiter: Limiter::new(limits.memory_bytes),
            limits,
            meter,
            memory: None,
            handles: Vec::new(),
            waiting: Vec::new(),
            panic: None,
            step: None,
            calls: 0,
        }
    }

    /// Looks at the clock now and then.
    ///
    /// # Errors
    /// [`Fault::Deadline`].
    pub(super) fn count_call(&mut self) -> Result<(), Fault> {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CALLS_PER_CHECK) {
            self.meter.check()?;
        }
        Ok(())
    }

    /// The table that a handle stands for.
    ///
    /// # Errors
    /// `NotFound` for a handle that `table_open` has not given out.
    pub(super) fn place(&self, handle: u32) -> Result<Place, Failure> {
        let place = usize::try_from(handle)
            .ok()
            .and_then(|handle| self.handles.get(handle));
        place.copied().ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                format!("there is no open table {handle}; open it by name"),
            )
        })
    }

    /// The running step.
    ///
    /// # Errors
    /// A fault when there is none, which wasmtime would have to have caused.
    pub(super) fn step(&mut self) -> Result<&mut Step, Fault> {
        self.step.as_deref_mut().ok_or_else(no_step)
    }
}

/// The fault of a host call outside of a step.
pub(super) fn no_step() -> Fault {
    Fault::ended(Failure::internal("a host call was made while no step runs"))
}

impl Step {
    /// The beginning of a step.
    pub(crate) fn new(start: StepStart) -> Self {
        Self {
            function: start.function,
            input: start.input,
            output: Vec::new(),
            savepoint: start.tables.savepoint(),
            tables: start.tables,
            effects: Vec::new(),
            spliced: 0,
            outside: start.outside,
            revoked: start.revoked,
            turn: start.turn,
            random: start.random,
            call_ordinal: start.call_ordinal,
            calls_made: 0,
            depth: start.depth,
            bytes_held: start.bytes_held,
            entries_logged: 0,
        }
    }

    /// What runs.
    ///
    /// # Errors
    /// A fault when the binary has no such function, which would be a mistake of ours.
    pub(super) fn function<'a>(&self, binary: &'a Binary) -> Result<&'a Function, Fault> {
        binary
            .functions
            .get(self.function.0)
            .ok_or_else(|| Fault::ended(Failure::internal("the running function is not there")))
    }

    /// Adds the last of the module's own changes to the effects. Those of a step that nobody has
    /// called are moved: nothing can undo it any more.
    pub(crate) fn gather_last(&mut self, binary: &Binary) {
        if self.depth > 0 {
            self.gather(binary);
            return;
        }
        let module = &binary.schema.name;
        let fresh = self.tables.take_changes(self.savepoint, self.spliced);
        self.effects.extend(fresh.map(|change| Effect::Change {
            module: module.clone(),
            change,
        }));
    }

    /// Adds the module's own changes to the effects, so that what comes next stands behind them.
    pub(crate) fn gather(&mut self, binary: &Binary) {
        let changes = self.tables.changes_since(self.savepoint);
        let fresh = changes.get(self.spliced..).unwrap_or_default();
        self.spliced = changes.len();
        let module = &binary.schema.name;
        self.effects
            .extend(fresh.iter().map(|change| Effect::Change {
                module: module.clone(),
                change: change.clone(),
            }));
    }
}
