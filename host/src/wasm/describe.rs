//! Asks a module for its schema: runs every `describe` export once in an instance that is thrown
//! away.
//!
//! The instance is synchronous, has tight limits, and imports that refuse: only `output_write` and
//! `panic` do something. It runs in an engine of its own, which counts what it executes: no clock
//! decides, so a binary that describes itself once does so always. Nothing that it hands over is
//! believed: `crate::schema::assemble` checks the whole.

use interstice_abi::{
    failure::{Code, Failure},
    host_call::{self, DESCRIBE_PREFIX, HostCall, NAMESPACE, OUTPUT_WRITE, PANIC, Word},
    schema::{Description, ModuleSchema},
    text::quoted,
};
use wasmtime::{Caller, FuncType, Linker, Memory, OptLevel, Store, Trap, ValType};

use super::{
    compile,
    fault::{Crash, Fault},
    features, internal,
    limiter::Limiter,
    outline::{MEMORY_EXPORT, Outline, Role},
};
use crate::{
    hostcall::{Claim, panic_text},
    limits::Limits,
    schema,
};

/// Instructions for all descriptions together, a byte copied or filled counting as one: they only
/// copy constants, and the most that a module can describe takes a tenth of it. It takes a second
/// or two.
const FUEL: u64 = 1_000_000_000;

/// Memory beyond what the module begins with.
const MEMORY_BYTES_MORE: u64 = 16 * 1024 * 1024;

/// Largest description in bytes: a table of a thousand columns is a tenth of it.
const DESCRIPTION_BYTES_MAX: u64 = 1024 * 1024;

/// Store data of the throw-away instance.
struct Describing {
    limiter: Limiter,
    output: Vec<u8>,
    panic: Option<String>,
}

/// Runs the `describe` exports of `wasm` and puts the schema together.
///
/// # Errors
/// What is wrong with the schema; a crash, with the guest's message.
pub(super) fn describe(
    wasm: &[u8],
    outline: &Outline,
    limits: &Limits,
) -> Result<ModuleSchema, Failure> {
    let mut config = features();
    // The code runs once: compiling it well would take longer than running it.
    config
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::None);
    let engine = wasmtime::Engine::new(&config).map_err(internal)?;
    let module = compile(&engine, wasm)?;
    let memory_bytes = limits
        .memory_bytes
        .min(outline.memory_bytes_min.saturating_add(MEMORY_BYTES_MORE));
    let mut store = Store::new(
        &engine,
        Describing {
            limiter: Limiter::new(memory_bytes),
            output: Vec::new(),
            panic: None,
        },
    );
    store.limiter(|describing| &mut describing.limiter);
    store.set_fuel(FUEL).map_err(internal)?;
    let linker = linker(&engine).map_err(internal)?;
    let instance = linker
        .instantiate(&mut store, &module)
        .map_err(|error| crashed("its start", &error, &mut store))?;
    let mut descriptions = Vec::with_capacity(outline.items.len());
    for (role, name) in outline.items.keys() {
        if *role != Role::Describe {
            continue;
        }
        let export = format!("{DESCRIBE_PREFIX}{name}");
        store.data_mut().output = Vec::new();
        instance
            .get_typed_func::<(), ()>(&mut store, &export)
            .and_then(|function| function.call(&mut store, ()))
            .map_err(|error| crashed(&export, &error, &mut store))?;
        descriptions.push(read(name, &store.data().output)?);
    }
    schema::assemble(descriptions)
}

/// Reads one description, which must be of what the export's name says.
fn read(export: &str, output: &[u8]) -> Result<Description, Failure> {
    let wrong = |what: &str| {
        Failure::new(
            Code::SchemaConflict,
            format!("the description `{}` {what}", quoted(export)),
        )
    };
    let (description, rest) =
        postcard::take_from_bytes::<Description>(output).map_err(|error| {
            wrong(&format!(
                "cannot be read: {error}; build the module with the SDK of this version"
            ))
        })?;
    if !rest.is_empty() {
        return Err(wrong("is followed by bytes that do not belong to it"));
    }
    let name = match &description {
        Description::Module(_) => "module".to_string(),
        Description::Table { table, .. } => format!("table__{}", table.name),
        Description::Reducer { reducer, .. } => format!("reducer__{}", reducer.name),
        Description::Query { query, .. } => format!("query__{}", query.name),
    };
    if name != export {
        return Err(wrong(&format!("is of something else: `{}`", quoted(&name))));
    }
    Ok(description)
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Describing>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        NAMESPACE,
        OUTPUT_WRITE.name,
        |mut caller: Caller<'_, Describing>, ptr: u32, len: u32| -> wasmtime::Result<()> {
            let bytes = copy(&mut caller, ptr, len)?;
            caller.data_mut().output = bytes;
            Ok(())
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        PANIC.name,
        |mut caller: Caller<'_, Describing>, ptr: u32, len: u32| -> wasmtime::Result<()> {
            let bytes = copy(&mut caller, ptr, len)?;
            caller.data_mut().panic = Some(panic_text(&bytes));
            Ok(())
        },
    )?;
    for call in host_call::ALL {
        if ![OUTPUT_WRITE.name, PANIC.name].contains(&call.name) {
            let name = call.name;
            linker.func_new(NAMESPACE, name, signature(engine, call), move |_, _, _| {
                let message = format!("`{name}` is not available while a module describes itself");
                Err(Fault::ended(Failure::new(Code::Denied, message)).into())
            })?;
        }
    }
    Ok(linker)
}

fn copy(caller: &mut Caller<'_, Describing>, ptr: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
    let memory: Option<Memory> = caller
        .get_export(MEMORY_EXPORT)
        .and_then(wasmtime::Extern::into_memory);
    let bytes = memory.map_or(&[][..], |memory| memory.data(&*caller));
    let claim = Claim::new(ptr, len);
    if claim.length() > DESCRIPTION_BYTES_MAX {
        let message = format!(
            "a description is {} bytes long; the limit is {DESCRIPTION_BYTES_MAX}",
            claim.length()
        );
        return Err(Fault::ended(Failure::new(Code::TooLarge, message)).into());
    }
    let copied = claim.read(bytes)?.to_vec();
    // Copying counts here as it does in the guest.
    let left = caller.get_fuel()?.saturating_sub(claim.length());
    caller.set_fuel(left)?;
    Ok(copied)
}

fn signature(engine: &wasmtime::Engine, call: &HostCall) -> FuncType {
    let value = |word: &Word| match word {
        Word::I32 => ValType::I32,
        Word::I64 => ValType::I64,
    };
    FuncType::new(
        engine,
        call.parameters.iter().map(value),
        call.result.iter().map(value),
    )
}

fn crashed(where_: &str, error: &wasmtime::Error, store: &mut Store<Describing>) -> Failure {
    if matches!(error.downcast_ref(), Some(Trap::OutOfFuel)) {
        let message = format!(
            "the module cannot describe itself: in {where_}: it has not ended after {FUEL} instructions; build it with interstice-sdk, whose descriptions are constants"
        );
        return Failure::new(Code::Deadline, message);
    }
    let crash = Crash::new(error, store.data_mut().panic.take());
    Failure::new(
        crash.failure.code,
        format!(
            "the module cannot describe itself: in {where_}: {}",
            crash.failure.message
        ),
    )
}
