//! One loaded module's world: its tables, its instances, and the running of one step or query at a
//! time.
//!
//! Invariants: the tables are here whenever nothing runs; a failed execution has changed nothing
//! in them and leaves no instance behind; an instance is shared by consecutive executions only as
//! long as they succeed. Whose turn it is, and what happens to other modules, is the actors
//! crate's: see [`Outside`].

mod instance;
mod outside;
mod random;
mod rights;
mod step;

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    pin::pin,
    sync::Arc,
};

use futures::FutureExt;
use interstice_abi::{
    failure::{Code, Failure},
    id::{Seq, TableId},
};

pub use outside::{CallContext, ForeignRead, Outside, OutsideReply, ReadRequest};
pub(crate) use random::RandomStream;
pub use rights::Revocation;
pub(crate) use rights::Revoked;
pub use step::{CallKind, Caller, Effect, StepOutcome, StepRequest, TurnContext};

use crate::{
    hostcall::{self, Step, StepStart},
    limits::Limits,
    table::{Savepoint, Tables},
    wasm::{Binary, Crash, Engine, FunctionIndex},
};
use instance::{Instance, Ran, Timing};
use step::Stopped;

/// A module that can run.
pub struct Module {
    engine: Arc<Engine>,
    binary: Arc<Binary>,
    limits: Limits,
    /// `None` only while an execution has them.
    tables: Option<Box<Tables>>,
    revoked: Arc<Revoked>,
    /// Boxed, as they are taken out and put back by each execution.
    main: Option<Box<Instance>>,
    second: Option<Box<Instance>>,
}

/// Which instance a function runs on.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    /// The one whose memory is part of the module's history.
    Main,
    /// The one for what clients only ask.
    Second,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("binary", &self.binary)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// A module without instances; they are made when they are needed.
    #[must_use]
    pub fn new(engine: Arc<Engine>, binary: Arc<Binary>, tables: Tables, limits: Limits) -> Self {
        Self {
            engine,
            binary,
            limits,
            tables: Some(Box::new(tables)),
            revoked: Arc::default(),
            main: None,
            second: None,
        }
    }

    /// The tables.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "whoever runs a step has the module to itself"
    )]
    pub fn tables(&self) -> &Tables {
        self.tables
            .as_deref()
            .expect("the tables are back when nothing runs")
    }

    /// The tables, to be changed.
    #[expect(
        clippy::missing_panics_doc,
        reason = "whoever runs a step has the module to itself"
    )]
    pub fn tables_mut(&mut self) -> &mut Tables {
        self.tables
            .as_deref_mut()
            .expect("the tables are back when nothing runs")
    }

    /// What the instances are made from.
    #[must_use]
    pub fn binary(&self) -> &Arc<Binary> {
        &self.binary
    }

    /// The bounds that hold for the module.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Ends the module and keeps its tables.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "whoever runs a step has the module to itself"
    )]
    pub fn into_tables(self) -> Tables {
        *self.tables.expect("the tables are back when nothing runs")
    }

    /// Takes the tables out; nothing may be asked of the module any more.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "whoever runs a step has the module to itself"
    )]
    pub fn take_tables(&mut self) -> Tables {
        *self
            .tables
            .take()
            .expect("the tables are back when nothing runs")
    }

    /// From now on, exactly `revoked` is taken back.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the list is made for this call"
    )]
    pub fn set_revoked(&mut self, revoked: Vec<Revocation>) {
        self.revoked = Arc::new(Revoked::new(&revoked, &self.binary));
    }

    /// Drops both instances; the next execution begins with fresh memory.
    pub fn renew(&mut self) {
        self.main = None;
        self.second = None;
    }

    /// Runs a reducer. On success its changes are done, and stay in the tables' journal when
    /// another step has called it ([`StepRequest::depth`]), so that they can be undone with that;
    /// on failure they are undone and the instance is dropped.
    pub fn run(
        &mut self,
        request: impl Into<Box<StepRequest>>,
        outside: Box<dyn Outside>,
    ) -> impl Future<Output = StepOutcome> {
        self.execute(CallKind::Reducer, request.into(), Which::Main, outside)
    }

    /// Runs a query: on the second instance when a client asks, on the first when a step does.
    pub fn query(
        &mut self,
        request: impl Into<Box<StepRequest>>,
        second_instance: bool,
        outside: Box<dyn Outside>,
    ) -> impl Future<Output = StepOutcome> {
        let which = if second_instance {
            Which::Second
        } else {
            Which::Main
        };
        self.execute(CallKind::Query, request.into(), which, outside)
    }

    /// Answers a read of one of the tables by another module: the bytes that its guest gets. Who
    /// may read is the caller's to check.
    ///
    /// # Errors
    /// The table's refusal of a bad key, index or cursor.
    pub fn read(&self, table: TableId, request: &ReadRequest) -> Result<Vec<u8>, Failure> {
        hostcall::read(self.tables(), table, request)
    }

    /// A panic, which would be a mistake of ours, ends the step like a crash of the guest. The
    /// request is boxed because it moves through several futures.
    async fn execute(
        &mut self,
        kind: CallKind,
        request: Box<StepRequest>,
        which: Which,
        outside: Box<dyn Outside>,
    ) -> StepOutcome {
        let savepoint = self.tables().savepoint();
        let attempted = {
            // Pinned where it is made: it is large, and wrapping it by value copies it.
            let attempt = pin!(self.attempt(savepoint, kind, request, which, outside));
            AssertUnwindSafe(attempt).catch_unwind().await
        };
        match (attempted, self.tables.as_deref_mut()) {
            (Ok(outcome), _) => outcome,
            (Err(_), Some(tables)) => {
                instance::undo(tables, savepoint).await;
                self.renew();
                failed(savepoint, instance::host_panicked(), 0, 0)
            }
            // Without its tables the module is lost, and so is its actor.
            (Err(panic), None) => resume_unwind(panic),
        }
    }

    async fn attempt(
        &mut self,
        savepoint: Savepoint,
        kind: CallKind,
        request: Box<StepRequest>,
        which: Which,
        outside: Box<dyn Outside>,
    ) -> StepOutcome {
        let (function, input) = match self.check(kind, &request) {
            Ok(checked) => checked,
            Err(failure) => return failed(savepoint, Stopped::Refused(failure), 0, 0),
        };
        let mut instance = match self.instance(which) {
            Ok(instance) => instance,
            Err(failure) => return failed(savepoint, Stopped::Refused(failure), 0, 0),
        };
        let timing = Timing {
            before_us: request.running_us_used,
            began: request.began,
            is_timed: request.is_timed,
        };
        let step = self.begin(which, function, input, *request, outside);
        let Ran {
            result,
            step,
            timed,
        } = instance.run(step, timing).await;
        let (running_us, ended) = timed.unzip();
        let running_us = running_us.unwrap_or(0);
        let (calls_made, bytes_held) = (step.calls_made, step.bytes_held);
        match result {
            Ok(value) => {
                self.tables = Some(step.tables);
                self.keep(which, instance);
                StepOutcome {
                    result: Ok(value),
                    ends_step: false,
                    is_fault: false,
                    has_run: true,
                    effects: step.effects,
                    running_us,
                    ended,
                    calls_made,
                    bytes_held,
                    savepoint,
                }
            }
            Err(stopped) => {
                let Step {
                    tables,
                    mut outside,
                    turn,
                    ..
                } = *step;
                instance::undo(self.tables.insert(tables), savepoint).await;
                self.report(outside.as_mut(), turn.seq, &stopped);
                StepOutcome {
                    ended,
                    ..failed(savepoint, stopped, running_us, calls_made)
                }
            }
        }
    }

    /// Whether the request can run at all: the function, and the input to hand to it.
    fn check(
        &self,
        kind: CallKind,
        request: &StepRequest,
    ) -> Result<(FunctionIndex, Vec<u8>), Failure> {
        let (index, function) = self.binary.function(kind, &request.function)?;
        let limit = self.limits.arguments_bytes_max;
        let length = request.arguments.len();
        if length as u64 > limit {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "the arguments of `{}` are {length} bytes long; the limit is {limit} (arguments_bytes_max in node.toml)",
                    function.name
                ),
            ));
        }
        if request.check_arguments {
            self.binary
                .layout
                .check(&function.arguments, &request.arguments)
                .map_err(|damaged| {
                    Failure::new(
                        Code::BadArguments,
                        format!(
                            "the arguments of `{}` do not fit its signature: {damaged}",
                            function.name
                        ),
                    )
                })?;
        }
        Ok((index, request.caller.input(&request.arguments)?))
    }

    /// Moves the tables into a step, which is boxed: it moves into its store and back.
    fn begin(
        &mut self,
        which: Which,
        function: FunctionIndex,
        input: Vec<u8>,
        request: StepRequest,
        outside: Box<dyn Outside>,
    ) -> Box<Step> {
        let StepRequest {
            function: name,
            arguments,
            turn,
            call_ordinal,
            bytes_held,
            depth,
            ..
        } = request;
        let random = match which {
            Which::Main => RandomStream::of_step(turn.node_seed, turn.seq, turn.step, call_ordinal),
            Which::Second => {
                RandomStream::of_query(turn.node_seed, turn.seq, name, arguments, call_ordinal)
            }
        };
        Box::new(Step::new(StepStart {
            function,
            input,
            tables: self
                .tables
                .take()
                .expect("the tables are here when nothing runs"),
            outside,
            revoked: self.revoked.clone(),
            turn,
            random,
            call_ordinal,
            bytes_held,
            depth,
        }))
    }

    /// Takes the instance out; it is put back only when the execution succeeds.
    fn instance(&mut self, which: Which) -> Result<Box<Instance>, Failure> {
        let kept = match which {
            Which::Main => self.main.take(),
            Which::Second => self.second.take(),
        };
        match kept {
            Some(instance) => Ok(instance),
            None => Instance::new(&self.engine, &self.binary, &self.limits).map(Box::new),
        }
    }

    fn keep(&mut self, which: Which, instance: Box<Instance>) {
        match which {
            Which::Main => self.main = Some(instance),
            Which::Second => self.second = Some(instance),
        }
    }

    /// A crash's message and backtrace go into the module's log.
    fn report(&self, outside: &mut dyn Outside, seq: Seq, stopped: &Stopped) {
        let Stopped::Crashed(crash) = stopped else {
            return;
        };
        let Crash {
            failure, backtrace, ..
        } = crash.as_ref();
        let mut text = failure.message.clone();
        for function in backtrace {
            text.push_str("\n  in ");
            text.push_str(function);
        }
        outside.log(&self.binary.schema.name, seq, &text);
    }
}

fn failed(savepoint: Savepoint, stopped: Stopped, running_us: u64, calls_made: u64) -> StepOutcome {
    let was_refused = matches!(stopped, Stopped::Refused(_));
    let (failure, ends_step, is_fault) = stopped.into_parts();
    StepOutcome {
        result: Err(failure),
        ends_step,
        is_fault,
        has_run: !was_refused,
        effects: Vec::new(),
        running_us,
        ended: None,
        calls_made,
        bytes_held: 0,
        savepoint,
    }
}

#[cfg(test)]
pub(crate) mod tests;
