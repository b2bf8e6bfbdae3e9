//! What bounds an instance's memory, tables and number.
//!
//! A guest that wants more than it may have does not get to see a refusal, which its allocator
//! would turn into a trap without a reason: the step ends with `OutOfMemory`.

use wasmtime::ResourceLimiter;

use super::{fault::Fault, outline::TABLE_ELEMENTS_MAX};

/// Most function tables of one instance. Rust's linker makes one.
const TABLES_MAX: usize = 16;

/// Most linear memories of one instance. Rust's linker makes one.
const MEMORIES_MAX: usize = 1;

/// The bounds of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes: u64,
}

impl Limiter {
    /// At most `memory_bytes` of linear memory.
    pub(crate) const fn new(memory_bytes: u64) -> Self {
        Self { memory_bytes }
    }
}

fn bounded(wanted: usize, what: &'static str, limit: u64) -> wasmtime::Result<bool> {
    if u64::try_from(wanted).is_ok_and(|wanted| wanted <= limit) {
        return Ok(true);
    }
    Err(Fault::Memory {
        wanted,
        what,
        limit,
    }
    .into())
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        bounded(desired, "bytes of memory", self.memory_bytes)
    }

    /// The machine has no more, or the module's own maximum is reached.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Fault::Memory {
            wanted: usize::MAX,
            what: "bytes of memory, more than there are",
            limit: self.memory_bytes,
        }
        .into())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        bounded(desired, "elements of a function table", TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
