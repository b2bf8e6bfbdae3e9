//! One instance of a module: its store, its memory and its exports, fresh or kept between steps.
//!
//! Invariant: outside of [`Instance::run`] the store holds no step, and so no tables.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Instant,
};

use futures::FutureExt;
use interstice_abi::failure::{Code, Failure};
use wasmtime::{Memory, Store, TypedFunc, UpdateDeadline};

use super::step::{CallKind, Stopped, rejection};
use crate::{
    hostcall::{Guest, Step},
    limits::Limits,
    table::{Savepoint, Tables},
    wasm::{Binary, Crash, Engine, Fault, FunctionIndex, MEMORY_EXPORT, Meter},
};

/// Ticks after which a guest yields.
const TICKS_PER_YIELD: u64 = 1;

/// So many changes are undone in one piece: about a tenth of a millisecond.
const UNDONE_AT_ONCE: usize = 256;

/// An export that runs a function: the input's length in, 0 or 1 out.
type Export = TypedFunc<u32, u32>;

/// A place in which a module's functions run, one at a time.
pub(super) struct Instance {
    store: Store<Guest>,
    meter: Arc<Meter>,
    /// `None` until the first function runs.
    made: Option<wasmtime::Instance>,
    /// By [`FunctionIndex`], as they are first called.
    exports: Vec<Option<Export>>,
}

/// How a run has ended.
pub(super) struct Ran {
    pub(super) result: Result<Vec<u8>, Stopped>,
    /// The step as it was at the end, its tables in it.
    pub(super) step: Box<Step>,
    /// Microseconds that the guest and its callees ran, and when they ended, where that was asked.
    pub(super) timed: Option<(u64, Instant)>,
}

/// When a run begins, and whether it is timed.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    /// Microseconds that the callers have used.
    pub(super) before_us: u64,
    pub(super) began: Option<Instant>,
    pub(super) is_timed: bool,
}

impl Instance {
    /// An instance that is made when its first function runs, so that its start is part of a step
    /// like the rest.
    ///
    /// # Errors
    /// `Internal` when the engine is about to end; `Unavailable` when there is nothing to run.
    pub(super) fn new(
        engine: &Engine,
        binary: &Arc<Binary>,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        binary.code()?;
        let meter = Arc::new(engine.meter(limits)?);
        let guest = Guest::new(binary.clone(), limits.clone(), meter.clone());
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.epoch_deadline_callback(|context| {
            let guest = context.data();
            guest.meter.check_at_tick()?;
            if let Some(step) = &guest.step {
                step.outside.is_wanted().map_err(Fault::unwanted)?;
            }
            // A plain yield would wake the guest at once, and a runtime looks at its sockets and
            // at other threads' messages only after dozens of tasks: behind a guest that computes,
            // each would wait dozens of ticks.
            let others_first = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(TICKS_PER_YIELD, others_first))
        });
        Ok(Self {
            store,
            meter,
            made: None,
            exports: vec![None; binary.functions.len()],
        })
    }

    /// Runs `step` to its end. A panic on the way, which would be a mistake of ours, ends the step
    /// like a crash.
    pub(super) async fn run(&mut self, step: Box<Step>, timing: Timing) -> Ran {
        let function = step.function;
        let input_length = step.input.len();
        let meter = self.meter.clone();
        meter.restart(timing.before_us, timing.began, timing.is_timed);
        let guest = self.store.data_mut();
        guest.panic = None;
        guest.step = Some(step);
        let returned = {
            // Pinned where they are made: they are large, and wrapping them by value copies them.
            let call = pin!(self.call(function, input_length));
            let running = pin!(meter.run(call));
            AssertUnwindSafe(running).catch_unwind().await
        };
        let timed = timing.is_timed.then(|| (meter.used_us(), meter.seen()));
        let guest = self.store.data_mut();
        let panic = guest.panic.take();
        let mut step = guest
            .step
            .take()
            .expect("a step stays in its store until it is taken out here");
        let result = match returned {
            Ok(Ok(exit)) => guest.finish(&mut step, exit),
            Ok(Err(error)) => Err(Stopped::Crashed(Box::new(Crash::new(&error, panic)))),
            Err(_) => Err(host_panicked()),
        };
        Ran {
            result,
            step,
            timed,
        }
    }

    async fn call(
        &mut self,
        function: FunctionIndex,
        input_length: usize,
    ) -> wasmtime::Result<u32> {
        self.store.set_epoch_deadline(TICKS_PER_YIELD);
        let input_length = u32::try_from(input_length)?;
        if !matches!(self.exports.get(function.0), Some(Some(_))) {
            self.export(function).await?;
        }
        match self.exports.get(function.0) {
            Some(Some(export)) => export.call_async(&mut self.store, input_length).await,
            _ => Err(wasmtime::Error::msg(
                "a function that was checked is not there",
            )),
        }
    }

    /// Finds the export of a function and keeps it.
    async fn export(&mut self, function: FunctionIndex) -> wasmtime::Result<()> {
        let binary = self.store.data().binary.clone();
        let code = binary.code().map_err(Fault::ended)?;
        let instance = match self.made {
            Some(instance) => instance,
            None => {
                let made = code.pre.instantiate_async(&mut self.store).await?;
                self.store.data_mut().memory = memory(made, &mut self.store);
                *self.made.insert(made)
            }
        };
        let export = code
            .exports
            .get(function.0)
            .and_then(|export| instance.get_module_export(&mut self.store, export))
            .and_then(wasmtime::Extern::into_func)
            .ok_or_else(|| wasmtime::Error::msg("an export that was checked is not there"))?
            .typed(&self.store)?;
        if let Some(known) = self.exports.get_mut(function.0) {
            *known = Some(export);
        }
        Ok(())
    }
}

fn memory(instance: wasmtime::Instance, store: &mut Store<Guest>) -> Option<Memory> {
    instance.get_memory(store, MEMORY_EXPORT)
}

impl Guest {
    /// The end of a function that has returned: its result, and all that its step has done. A
    /// panic in here must not take the tables along.
    fn finish(&self, step: &mut Step, exit: u32) -> Result<Vec<u8>, Stopped> {
        let finished = catch_unwind(AssertUnwindSafe(|| {
            let output = self.output(step, exit)?;
            step.gather_last(&self.binary);
            Ok(output)
        }));
        finished.unwrap_or_else(|_| Err(host_panicked()))
    }

    /// What the exit status and the output of a function mean.
    fn output(&self, step: &mut Step, exit: u32) -> Result<Vec<u8>, Stopped> {
        let output = std::mem::take(&mut step.output);
        let function = self.binary.functions.get(step.function.0);
        let function =
            function.ok_or_else(|| crashed("the function that ran is not there".into()))?;
        match exit {
            0 if function.kind == CallKind::Reducer => Ok(Vec::new()),
            0 => match function
                .result
                .map(|ty| self.binary.layout.check(&[ty], &output))
            {
                None | Some(Ok(())) => Ok(output),
                Some(Err(damaged)) => Err(crashed(format!(
                    "the query `{}` returned what is not of its type: {damaged}",
                    function.name
                ))),
            },
            1 => Err(Stopped::Rejected(rejection(&output))),
            other => Err(crashed(format!(
                "the {} `{}` ended with the status {other}; 0 and 1 are allowed",
                function.kind.word(),
                function.name
            ))),
        }
    }
}

fn crashed(message: String) -> Stopped {
    Stopped::Crashed(Box::new(Crash {
        failure: Failure::new(Code::Trap, message),
        ends_step: false,
        backtrace: Vec::new(),
    }))
}

/// The end of a step in which the host has made a mistake: it is undone like a crash, and ends its
/// callers' steps too.
pub(super) fn host_panicked() -> Stopped {
    Stopped::Crashed(Box::new(Crash {
        failure: Failure::internal(
            "the host panicked while the module ran; the node's log says where",
        ),
        ends_step: true,
        backtrace: Vec::new(),
    }))
}

/// Undoes what a step has done to its tables, and lets others have the thread between the pieces.
/// A panic in there leaves them as far as it came, which is better than losing them; the panic
/// itself was reported when it happened.
pub(super) async fn undo(tables: &mut Tables, savepoint: Savepoint) {
    let mut piece = || {
        let piece = AssertUnwindSafe(|| tables.rollback_some(savepoint, UNDONE_AT_ONCE));
        catch_unwind(piece).unwrap_or(false)
    };
    while piece() {
        tokio::task::yield_now().await;
    }
}
