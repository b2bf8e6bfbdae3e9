//! Stage 4 of a call: running guests in wasmtime.
//!
//! [`Engine`] compiles: one per process. Invariants: what a guest computes depends on its input and state only (canonical
//! NaNs, deterministic SIMD, no threads); every guest yields each millisecond; nothing of a binary is compiled before its
//! imports were checked by name. What guests may ask of the host is `hostcall`; running one step is `module`.

mod binary;
mod describe;
mod fault;
mod limiter;
mod meter;
mod outline;
mod ticker;

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use interstice_abi::failure::{Code, Failure};
use wasmtime::{Cache, CacheConfig, Collector, Config, Linker};

pub use binary::Binary;
pub(crate) use binary::{Function, FunctionIndex, Place};
pub(crate) use fault::{Crash, Fault};
pub(crate) use limiter::Limiter;
pub(crate) use meter::Meter;
pub use meter::{computing_begins, count_computing_time, polling_begins};
pub(crate) use outline::MEMORY_EXPORT;

use crate::{
    hostcall::{self, Guest},
    limits::Limits,
};
use ticker::Ticker;

/// Native stack of a guest. Each frame of a guest's recursion takes some of it, on top of what the guest keeps on the stack
/// in its linear memory (1 MiB by default), so the two run out at about the same depth.
const GUEST_STACK_BYTES: usize = 1024 * 1024;

/// Stack of a fiber: the guest's, and room for the host calls at its end.
const FIBER_STACK_BYTES: usize = GUEST_STACK_BYTES + 1024 * 1024;

/// Compiles modules and makes their guests yield.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that keeps compiled modules in `cache_dir`, an absolute path, which is made if it is not there.
    ///
    /// # Errors
    /// `Internal` when the cache's folder cannot be used or no thread can be started.
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Arc<Self>, Failure> {
        let mut config = Config::new();
        config
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true)
            .wasm_exceptions(false)
            .wasm_function_references(false)
            .wasm_gc(false)
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            .collector(Collector::Null)
            .epoch_interruption(true)
            .max_wasm_stack(GUEST_STACK_BYTES)
            .async_stack_size(FIBER_STACK_BYTES)
            .wasm_backtrace_max_frames(NonZeroUsize::new(fault::BACKTRACE_FRAMES_MAX))
            // Of a crash the functions are told, not the instructions, and nothing unwinds through a guest: without these two, half of
            // what lies beside a module's code in memory is gone.
            .generate_address_map(false)
            .native_unwind_info(false);
        if let Some(dir) = cache_dir {
            let mut cache = CacheConfig::new();
            cache.with_directory(&dir);
            let cache = Cache::new(cache).map_err(|error| {
                Failure::internal(format_args!(
                    "the compile cache {} cannot be used: {error:#}",
                    dir.display()
                ))
            })?;
            config.cache(Some(cache));
        }
        let engine = wasmtime::Engine::new(&config).map_err(internal)?;
        let linker = hostcall::linker(&engine).map_err(internal)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Arc::new(Self {
            engine,
            linker,
            ticker,
        }))
    }

    /// Checks, compiles and describes a binary. Blocks for as long as that takes: milliseconds from the cache, else about
    /// half a second per megabyte.
    ///
    /// # Errors
    /// `TooLarge`, `BadArguments` or `SchemaConflict` with what is wrong with the binary; the code of its crash when it
    /// cannot describe itself.
    pub fn load(self: &Arc<Self>, wasm: &[u8], limits: &Limits) -> Result<Arc<Binary>, Failure> {
        let length = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
        if length > limits.module_bytes_max {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "the module is {length} bytes long; the limit is {} (module_bytes_max in node.toml)",
                    limits.module_bytes_max
                ),
            ));
        }
        let outline = outline::outline(wasm, limits)?;
        let module = self.compile(wasm)?;
        let schema = describe::describe(&module, &self.ticker.runner()?, &outline, limits)?;
        let pre = self.linker.instantiate_pre(&module).map_err(invalid)?;
        let hash = *blake3::hash(wasm).as_bytes();
        Ok(Arc::new(Binary::new(schema, hash, pre, &outline)?))
    }

    /// A panic of the compiler is a bug of it that a binary has found, not the end of the node.
    fn compile(&self, wasm: &[u8]) -> Result<wasmtime::Module, Failure> {
        let compile = || wasmtime::Module::from_binary(&self.engine, wasm);
        catch_unwind(AssertUnwindSafe(compile))
            .map_err(|_| Failure::internal("the compiler gave up on the module"))?
            .map_err(invalid)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(crate) fn meter(&self, limits: &Limits) -> Result<Meter, Failure> {
        Ok(Meter::new(self.ticker.runner()?, limits.deadline_ms))
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it has the shape that map_err wants"
)]
fn internal(error: wasmtime::Error) -> Failure {
    Failure::internal(format_args!("{error:#}"))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it has the shape that map_err wants"
)]
fn invalid(error: wasmtime::Error) -> Failure {
    Failure::new(
        Code::BadArguments,
        format!("the module is not valid WebAssembly for this node: {error:#}"),
    )
}

#[cfg(test)]
mod tests;
