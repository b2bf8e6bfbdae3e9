//! What can be said of a binary before anything of it is compiled: is it a core module, does it
//! import only host calls, are its exports those of a module.
//!
//! Names and types only; that the code is valid is wasmtime's to check, that the schema is true is
//! `describe`'s.

use std::collections::BTreeMap;

use interstice_abi::{
    failure::{Code, Failure},
    host_call::{self, DESCRIBE_PREFIX, HostCall, NAMESPACE, QUERY_PREFIX, REDUCER_PREFIX, Word},
    text::quoted,
};
use wasmparser::{ExternalKind, FuncType, Import, MemoryType, Parser, Payload, TypeRef, ValType};

use crate::limits::Limits;

/// The export by which the host reaches the guest's memory.
pub(crate) const MEMORY_EXPORT: &str = "memory";

const PAGE_BYTES: u64 = 65_536;

/// Most elements of a guest's function tables: a program has as many as functions whose address it
/// takes.
pub(crate) const TABLE_ELEMENTS_MAX: u64 = 1_000_000;

/// Most exports that describe or run something. A person's module has a few dozen.
const ITEMS_MAX: usize = 4096;

/// How many foreign imports an error names.
const FOREIGN_SHOWN: usize = 5;

/// What a function export is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// `__interstice_describe__…`
    Describe,
    /// `__interstice_reducer__…`
    Reducer,
    /// `__interstice_query__…`
    Query,
}

/// The exports that matter, by name.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// Function exports with a role, by role and by what follows its prefix.
    pub(crate) items: BTreeMap<(Role, String), ()>,
    /// Bytes of memory that the module begins with.
    pub(crate) memory_bytes_min: u64,
}

/// Index spaces of a module, as far as imports and exports need them.
#[derive(Default)]
struct Sections {
    types: Vec<FuncType>,
    functions: Vec<u32>,
    memories: Vec<MemoryType>,
    foreign: Vec<String>,
}

/// Looks through `wasm`.
///
/// # Errors
/// `BadArguments` for what is no core module, imports more than host calls, or lacks what a module
/// exports; `TooLarge` when it begins with more memory than it may have.
pub(crate) fn outline(wasm: &[u8], limits: &Limits) -> Result<Outline, Failure> {
    if Parser::is_component(wasm) {
        return Err(refused(
            "the file is a WebAssembly component; build a core module for the target wasm32-unknown-unknown",
        ));
    }
    if !Parser::is_core_wasm(wasm) {
        return Err(refused(
            "the file is not a WebAssembly module; deploy the .wasm that cargo builds for wasm32-unknown-unknown",
        ));
    }
    let mut sections = Sections::default();
    let mut outline = Outline::default();
    let mut has_memory = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(malformed)? {
            Payload::TypeSection(types) => {
                for ty in types.into_iter_err_on_gc_types() {
                    sections.types.push(ty.map_err(malformed)?);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    sections.import(&import.map_err(malformed)?)?;
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    sections.functions.push(ty.map_err(malformed)?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    check_table(table.map_err(malformed)?.ty.initial)?;
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    sections.memories.push(memory.map_err(malformed)?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    match export.kind {
                        ExternalKind::Memory if export.name == MEMORY_EXPORT => {
                            outline.memory_bytes_min = sections.memory(export.index, limits)?;
                            has_memory = true;
                        }
                        ExternalKind::Func => {
                            sections.function(export.name, export.index, &mut outline)?;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    sections.check_foreign()?;
    if !has_memory {
        return Err(refused(format!(
            "the module does not export its memory as `{MEMORY_EXPORT}`; build it with interstice-sdk"
        )));
    }
    if !outline
        .items
        .contains_key(&(Role::Describe, "module".into()))
    {
        return Err(refused(format!(
            "the file is no Interstice module: it has no export `{DESCRIBE_PREFIX}module`; write `interstice_module!()` into its lib.rs"
        )));
    }
    Ok(outline)
}

impl Sections {
    /// Takes in one import. Those that no host call answers to are gathered, so that one error
    /// names several.
    fn import(&mut self, import: &Import<'_>) -> Result<(), Failure> {
        let call = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) if import.module == NAMESPACE => {
                self.functions.push(ty);
                find(import.name).map(|call| (call, ty))
            }
            _ => None,
        };
        let Some((call, ty)) = call else {
            let name = format!("{}.{}", quoted(import.module), quoted(import.name));
            if self.foreign.len() <= FOREIGN_SHOWN && !self.foreign.contains(&name) {
                self.foreign.push(name);
            }
            return Ok(());
        };
        let expected = (words(call.parameters), words(call.result.as_slice()));
        let fits = self
            .function_type(ty)
            .is_some_and(|ty| ty.params() == expected.0 && ty.results() == expected.1);
        if fits {
            return Ok(());
        }
        Err(refused(format!(
            "the module imports `{NAMESPACE}.{}` with another signature than this node's {}; build it with the SDK of this version",
            call.name,
            signature(call),
        )))
    }

    fn check_foreign(&self) -> Result<(), Failure> {
        if self.foreign.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = self
            .foreign
            .iter()
            .take(FOREIGN_SHOWN)
            .map(String::as_str)
            .collect();
        let more = if self.foreign.len() > FOREIGN_SHOWN {
            " and others"
        } else {
            ""
        };
        let hint = if shown.iter().any(|name| name.starts_with("wasi")) {
            "; it was built for WASI: build it for wasm32-unknown-unknown"
        } else if shown.iter().any(|name| name.starts_with("__wbindgen")) {
            "; one of its dependencies is made for browsers (wasm-bindgen): switch that feature off"
        } else {
            ""
        };
        let calls: Vec<&str> = host_call::ALL.iter().map(|call| call.name).collect();
        Err(refused(format!(
            "the module imports `{}`{more}, which a node does not offer{hint}; allowed are the functions of the namespace `{NAMESPACE}`: {}",
            shown.join("`, `"),
            calls.join(", "),
        )))
    }

    fn function(&self, name: &str, index: u32, outline: &mut Outline) -> Result<(), Failure> {
        let (role, rest, parameters, results): (_, _, &[ValType], &[ValType]) =
            if let Some(rest) = name.strip_prefix(DESCRIBE_PREFIX) {
                (Role::Describe, rest, &[], &[])
            } else if let Some(rest) = name.strip_prefix(REDUCER_PREFIX) {
                (Role::Reducer, rest, &[ValType::I32], &[ValType::I32])
            } else if let Some(rest) = name.strip_prefix(QUERY_PREFIX) {
                (Role::Query, rest, &[ValType::I32], &[ValType::I32])
            } else {
                return Ok(());
            };
        let fits = usize::try_from(index)
            .ok()
            .and_then(|index| self.functions.get(index))
            .and_then(|ty| self.function_type(*ty))
            .is_some_and(|ty| ty.params() == parameters && ty.results() == results);
        if !fits {
            return Err(refused(format!(
                "the module's export `{}` has another signature than {}; build it with the SDK of this version",
                quoted(name),
                if parameters.is_empty() {
                    "() -> ()"
                } else {
                    "(i32) -> i32"
                },
            )));
        }
        outline.items.insert((role, rest.into()), ());
        if outline.items.len() > ITEMS_MAX {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "the module has more than {ITEMS_MAX} tables, reducers and queries; split it"
                ),
            ));
        }
        Ok(())
    }

    fn memory(&self, index: u32, limits: &Limits) -> Result<u64, Failure> {
        let memory = usize::try_from(index)
            .ok()
            .and_then(|index| self.memories.get(index));
        let Some(memory) = memory.filter(|memory| !memory.memory64 && !memory.shared) else {
            return Err(refused(format!(
                "the memory that the module exports as `{MEMORY_EXPORT}` is not one of its own with 32-bit addresses and without threads"
            )));
        };
        let bytes = memory.initial.saturating_mul(PAGE_BYTES);
        if bytes > limits.memory_bytes {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "the module begins with {bytes} bytes of memory; the limit is {} (memory_bytes in node.toml)",
                    limits.memory_bytes
                ),
            ));
        }
        Ok(bytes)
    }

    fn function_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(usize::try_from(index).ok()?)
    }
}

fn check_table(elements: u64) -> Result<(), Failure> {
    if elements > TABLE_ELEMENTS_MAX {
        return Err(Failure::new(
            Code::TooLarge,
            format!(
                "a function table of the module has {elements} elements; the limit is {TABLE_ELEMENTS_MAX}"
            ),
        ));
    }
    Ok(())
}

fn find(name: &str) -> Option<&'static HostCall> {
    host_call::ALL.iter().find(|call| call.name == name)
}

fn words(words: &[Word]) -> Vec<ValType> {
    let value = |word: &Word| match word {
        Word::I32 => ValType::I32,
        Word::I64 => ValType::I64,
    };
    words.iter().map(value).collect()
}

/// `(i32, i32) -> i64`.
fn signature(call: &HostCall) -> String {
    let names =
        |list: &[Word]| -> Vec<String> { words(list).iter().map(ToString::to_string).collect() };
    let result = names(call.result.as_slice());
    let result = result.first().map_or("()", String::as_str);
    format!("({}) -> {result}", names(call.parameters).join(", "))
}

pub(super) fn malformed(error: wasmparser::BinaryReaderError) -> Failure {
    refused(format!("the file is a damaged WebAssembly module: {error}"))
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Code::BadArguments, message)
}
