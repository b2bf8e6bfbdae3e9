//! What ends a step from the inside, and how the end of a guest becomes a [`Failure`].
//!
//! A [`Fault`] travels through wasmtime as an error of a host call, of the memory limiter or of
//! the epoch callback and is found again here. Everything else that wasmtime reports is the
//! guest's own crash.

use interstice_abi::failure::{Code, Failure};
use wasmtime::{Trap, WasmBacktrace};

use super::GUEST_STACK_BYTES;

/// Frames that a backtrace keeps. Enough to tell an endless recursion from an ordinary crash.
pub(crate) const BACKTRACE_FRAMES_MAX: usize = 64;

/// Frames that are shown; the innermost ones say what happened.
const BACKTRACE_FRAMES_SHOWN: usize = 16;

/// How often a function stands in a full backtrace when its recursion is what filled it.
const RECURSION_FRAMES_MIN: usize = 8;

/// Most characters of a function's name in a backtrace.
const FUNCTION_NAME_LENGTH_MAX: usize = 200;

/// A failure that ends the step and the instance.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A pointer or length that is not the guest's to give.
    #[error(
        "the module handed over {len} bytes at address {ptr}, outside of its memory of {memory} bytes"
    )]
    Claim {
        /// The claimed address.
        ptr: u32,
        /// The claimed length in bytes.
        len: u64,
        /// The size of the guest's memory in bytes.
        memory: usize,
    },
    /// The step has run for too long.
    #[error("the step ran longer than its deadline of {limit_ms} ms")]
    Deadline {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// The guest wants more memory than it may have.
    #[error("the module wants {wanted} {what}; the limit is {limit}")]
    Memory {
        /// What it wants.
        wanted: usize,
        /// Of what: bytes of memory, elements of a table.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A failure that ends the step although a host call met it: a read without the capability, or
    /// a callee's deadline.
    #[error("{failure}")]
    Ended {
        /// The failure.
        failure: Failure,
        /// Whether every caller's step ends with it.
        ends_step: bool,
    },
}

impl Fault {
    /// A failure that ends this step only.
    pub(crate) fn ended(failure: Failure) -> Self {
        Self::Ended {
            failure,
            ends_step: false,
        }
    }

    /// Nobody waits for the step any more.
    pub(crate) fn unwanted(failure: Failure) -> Self {
        Self::Ended {
            failure,
            ends_step: true,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Claim { .. } => Code::Trap,
            Self::Deadline { .. } => Code::Deadline,
            Self::Memory { .. } => Code::OutOfMemory,
            Self::Ended { failure, .. } => failure.code,
        }
    }
}

/// How a guest has ended.
#[derive(Debug)]
pub(crate) struct Crash {
    /// For the caller.
    pub(crate) failure: Failure,
    /// Whether every caller's step ends with it.
    pub(crate) ends_step: bool,
    /// For the module's log: the guest's functions, innermost first.
    pub(crate) backtrace: Vec<String>,
}

impl Crash {
    /// Reads `error`. `panic` is the message that the guest has left.
    pub(crate) fn new(error: &wasmtime::Error, panic: Option<String>) -> Self {
        let backtrace = frames(error);
        let shown: Vec<String> = backtrace
            .iter()
            .take(BACKTRACE_FRAMES_SHOWN)
            .cloned()
            .collect();
        let (failure, ends_step) = if let Some(fault) = error.downcast_ref::<Fault>() {
            read_fault(fault)
        } else {
            let code = code(error, &backtrace);
            let message = match (code, panic) {
                (Code::StackOverflow, _) => format!(
                    "the module recursed until its stack was full: the limit is {} KiB, or what its own linker has set",
                    GUEST_STACK_BYTES / 1024
                ),
                (_, Some(message)) => message,
                (_, None) => describe(error, shown.first()),
            };
            (Failure::new(code, message), code != Code::Trap)
        };
        Self {
            failure,
            ends_step,
            backtrace: shown,
        }
    }
}

fn read_fault(fault: &Fault) -> (Failure, bool) {
    match fault {
        Fault::Ended { failure, ends_step } => (failure.clone(), *ends_step),
        Fault::Claim { .. } => (Failure::new(fault.code(), fault.to_string()), false),
        Fault::Deadline { .. } | Fault::Memory { .. } => {
            (Failure::new(fault.code(), fault.to_string()), true)
        }
    }
}

/// Guests keep most of their stack in linear memory: when that part overflows first, the trap is
/// an access below address 0, under a backtrace that is full of one function.
fn code(error: &wasmtime::Error, backtrace: &[String]) -> Code {
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Code::StackOverflow,
        Some(Trap::MemoryOutOfBounds) if is_recursion(backtrace) => Code::StackOverflow,
        _ => Code::Trap,
    }
}

fn is_recursion(backtrace: &[String]) -> bool {
    let often = |frame: &String| {
        backtrace.iter().filter(|other| *other == frame).count() >= RECURSION_FRAMES_MIN
    };
    backtrace.len() >= BACKTRACE_FRAMES_MAX && backtrace.iter().any(often)
}

fn describe(error: &wasmtime::Error, innermost: Option<&String>) -> String {
    let what = match error.downcast_ref::<Trap>() {
        Some(trap) => format!("{trap}"),
        None => error.root_cause().to_string(),
    };
    match innermost {
        Some(function) => format!("the module crashed in `{function}`: {what}"),
        None => format!("the module crashed: {what}"),
    }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        // Names come from the guest: they must not break a log line.
        Some(name) => format!("{:#}", rustc_demangle::demangle(name))
            .escape_debug()
            .take(FUNCTION_NAME_LENGTH_MAX)
            .collect(),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().map(name).collect()
}
