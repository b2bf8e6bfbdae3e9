//! Stage 4 of a call: running guests in wasmtime.
//!
//! [`Engine`] compiles: one per process. Invariants: what a guest computes depends on its input
//! and state only (canonical NaNs, deterministic SIMD, no threads); every guest yields each
//! millisecond; nothing of a binary is compiled before its imports were checked by name. What
//! guests may ask of the host is `hostcall`; running one step is `module`.

mod binary;
mod cache;
mod describe;
mod fault;
mod limiter;
mod meter;
mod outline;
mod schedules;
mod ticker;
mod work;

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use interstice_abi::{
    failure::{Code, Failure},
    schema::ModuleSchema,
};
use wasmtime::{Cache, CacheConfig, Collector, Config, Linker};

pub use binary::Binary;
pub(crate) use binary::{Function, FunctionIndex, Place};
pub use cache::damaged_entries;
pub(crate) use fault::{Crash, Fault};
pub(crate) use limiter::Limiter;
pub(crate) use meter::Meter;
pub use meter::{computing_begins, count_computing_time, polling_begins};
pub(crate) use outline::MEMORY_EXPORT;
pub use schedules::public_timers;

use crate::{
    hostcall::{self, Guest},
    limits::Limits,
};
use cache::CacheSums;
use outline::Outline;
use ticker::Ticker;

/// Native stack of a guest. Each frame of a guest's recursion takes some of it, on top of what the
/// guest keeps on the stack in its linear memory (1 MiB by default), so the two run out at about
/// the same depth.
const GUEST_STACK_BYTES: usize = 1024 * 1024;

/// Stack of a fiber: the guest's, and room for the host calls at its end.
const FIBER_STACK_BYTES: usize = GUEST_STACK_BYTES + 1024 * 1024;

/// Compiles modules and makes their guests yield.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
    /// Of the compile cache, if there is one.
    sums: Option<CacheSums>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that keeps compiled modules in `cache_dir`, an absolute path, which is made if it
    /// is not there. Entries that are damaged are removed. A cache that cannot be used is done
    /// without.
    ///
    /// # Errors
    /// `Internal` when no thread can be started.
    pub fn new(cache_dir: Option<PathBuf>) -> Result<Arc<Self>, Failure> {
        let mut config = features();
        config
            .epoch_interruption(true)
            .async_stack_size(FIBER_STACK_BYTES)
            // Of a crash the functions are told, not the instructions, and nothing unwinds through
            // a guest: without these two, half of what lies beside a module's code in memory is
            // gone.
            .generate_address_map(false)
            .native_unwind_info(false);
        let mut sums = None;
        if let Some(dir) = cache_dir {
            match open_cache(&dir) {
                Ok((cache, verified)) => {
                    config.cache(Some(cache));
                    sums = Some(verified);
                }
                Err(problem) => tracing::warn!(
                    "modules are compiled again, because the compile cache {} cannot be used: {problem}",
                    dir.display()
                ),
            }
        }
        let engine = wasmtime::Engine::new(&config).map_err(internal)?;
        let linker = hostcall::linker(&engine).map_err(internal)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Arc::new(Self {
            engine,
            linker,
            ticker,
            sums,
        }))
    }

    /// Checks, describes and compiles a new binary. Blocks for as long as that takes: about a
    /// second per megabyte.
    ///
    /// # Errors
    /// As [`Engine::describe`] and [`Engine::load_described`], and `TooLarge` for a binary that
    /// takes too long to compile.
    pub fn load(self: &Arc<Self>, wasm: &[u8], limits: &Limits) -> Result<Arc<Binary>, Failure> {
        checked(wasm, limits)?;
        work::check(wasm)?;
        let schema = self.describe(wasm, limits)?;
        self.load_described(wasm, limits, schema)
    }

    /// What a binary says of itself. The same binary gives the same result on every machine and
    /// under every load: what it may use is counted and not timed.
    ///
    /// # Errors
    /// `TooLarge`, `BadArguments` or `SchemaConflict` with what is wrong with the binary; the code
    /// of its crash when it cannot describe itself.
    pub fn describe(&self, wasm: &[u8], limits: &Limits) -> Result<ModuleSchema, Failure> {
        let outline = checked(wasm, limits)?;
        describe::describe(wasm, &outline, limits)
    }

    /// Checks and compiles a binary whose schema is known. Blocks: milliseconds from the cache,
    /// else about half a second per megabyte.
    ///
    /// # Errors
    /// As [`Engine::describe`], and `SchemaConflict` when it is not the schema of this binary.
    pub fn load_described(
        &self,
        wasm: &[u8],
        limits: &Limits,
        schema: ModuleSchema,
    ) -> Result<Arc<Binary>, Failure> {
        let hash = *blake3::hash(wasm).as_bytes();
        let binary = Binary::without_code(Arc::new(schema), hash)?;
        self.add_code(&binary, wasm, limits)?;
        Ok(Arc::new(binary))
    }

    /// Checks and compiles the bytes of a binary that has no code. Blocks, as
    /// [`Engine::load_described`].
    ///
    /// # Errors
    /// As [`Engine::load_described`].
    pub fn add_code(&self, binary: &Binary, wasm: &[u8], limits: &Limits) -> Result<(), Failure> {
        let outline = checked(wasm, limits)?;
        let module = compile(&self.engine, wasm)?;
        if let Some(sums) = &self.sums {
            sums.note();
        }
        let pre = self.linker.instantiate_pre(&module).map_err(invalid)?;
        binary.add_code(pre, &outline)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(crate) fn meter(&self, limits: &Limits) -> Result<Meter, Failure> {
        Ok(Meter::new(self.ticker.runner()?, limits.deadline_ms))
    }
}

/// What guests may use of WebAssembly, and what makes them compute the same everywhere.
fn features() -> Config {
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
        .max_wasm_stack(GUEST_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(fault::BACKTRACE_FRAMES_MAX));
    config
}

/// The cache, without what is damaged in it.
fn open_cache(dir: &Path) -> Result<(Cache, CacheSums), String> {
    let sums = CacheSums::verify(dir).map_err(|error| error.to_string())?;
    let mut config = CacheConfig::new();
    config
        .with_directory(dir)
        // Entries stay as they were written: wasmtime would pack those that are used often a
        // second time.
        .with_optimized_compression_usage_counter_threshold(u64::MAX);
    let cache = Cache::new(config).map_err(|error| format!("{error:#}"))?;
    Ok((cache, sums))
}

/// What can be said of a binary before anything of it is compiled.
fn checked(wasm: &[u8], limits: &Limits) -> Result<Outline, Failure> {
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
    outline::outline(wasm, limits)
}

/// A panic of the compiler is a bug of it that a binary has found, not the end of the node.
fn compile(engine: &wasmtime::Engine, wasm: &[u8]) -> Result<wasmtime::Module, Failure> {
    let compile = || wasmtime::Module::from_binary(engine, wasm);
    catch_unwind(AssertUnwindSafe(compile))
        .map_err(|_| Failure::internal("the compiler gave up on the module"))?
        .map_err(invalid)
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
