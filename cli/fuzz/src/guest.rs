//! A guest module in pieces, each of which an input may bend: what a compiler would never write,
//! with valid sections.

use interstice_abi::{
    ABI_VERSION,
    event::TableRef,
    host_call::{self, DESCRIBE_PREFIX, HostCall, NAMESPACE, QUERY_PREFIX, REDUCER_PREFIX, Word},
    schema::{
        Access, Description, ModuleHeader, Persistence, QuerySchema, ReducerSchema, TableAccess,
        TableSchema, Version, Visibility,
    },
    types::{ColumnType, Field, Fields, TypeKind, TypeSet},
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataSection, EntityType, ExportKind, ExportSection,
    Function, FunctionSection, ImportSection, MemorySection, MemoryType, Module, RefType,
    StartSection, TableSection, TableType, TypeSection, ValType,
};

/// Where descriptions begin in the guest's memory.
const DESCRIPTIONS_AT: i32 = 1024;

/// Bends a piece: 0 in most inputs, so that most of a module is right.
struct Bends<'a, 'b>(&'a mut Unstructured<'b>);

impl Bends<'_, '_> {
    /// A choice below `bound`, 0 when the input is used up.
    fn choose(&mut self, bound: u8) -> u8 {
        self.0.arbitrary::<u8>().unwrap_or(0) % bound
    }

    /// Whether to do what is rarely right.
    fn rarely(&mut self) -> bool {
        self.choose(16) == 15
    }

    fn number(&mut self) -> i32 {
        self.0.arbitrary().unwrap_or(0)
    }
}

/// The binary that `input` chooses.
///
/// # Errors
/// When the input is too short to choose.
pub fn binary(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bends = Bends(input);
    let mut module = Module::new();
    let calls: Vec<&HostCall> = host_call::ALL.iter().filter(|_| !bends.rarely()).collect();
    imports(&mut module, &calls, &mut bends);
    let descriptions = descriptions(&mut bends);
    let kinds: Vec<u32> = descriptions
        .iter()
        .flat_map(|_| [0, 1])
        .map(|kind| if bends.rarely() { 1 - kind } else { kind })
        .collect();
    let mut functions = FunctionSection::new();
    kinds.iter().for_each(|kind| {
        functions.function(*kind);
    });
    module.section(&functions);
    memory(&mut module, &mut bends);
    let first = u32::try_from(calls.len()).unwrap_or(0);
    exports(&mut module, &descriptions, first, &mut bends);
    if bends.rarely() {
        let function_index = first + u32::from(bends.choose(8));
        module.section(&StartSection { function_index });
    }
    code(&mut module, &descriptions, &kinds, &calls, &mut bends);
    data(&mut module, &descriptions, &mut bends);
    if bends.rarely() {
        let data = bends.number().to_le_bytes();
        module.section(&CustomSection {
            name: "name".into(),
            data: (&data).into(),
        });
    }
    Ok(module.finish())
}

/// Types 0 `() -> ()` and 1 `(i32) -> i32`, then one per host call, then the imports.
fn imports(module: &mut Module, calls: &[&HostCall], bends: &mut Bends<'_, '_>) {
    let value = |word: &Word| match word {
        Word::I32 => ValType::I32,
        Word::I64 => ValType::I64,
    };
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut imports = ImportSection::new();
    for (place, call) in (2..).zip(calls) {
        let mut parameters: Vec<ValType> = call.parameters.iter().map(value).collect();
        if bends.rarely() {
            parameters.push(ValType::F64);
        }
        types
            .ty()
            .function(parameters, call.result.iter().map(value));
        let name = if bends.rarely() { "format" } else { call.name };
        let entity = if bends.rarely() {
            EntityType::Memory(memory_type(bends))
        } else {
            EntityType::Function(place)
        };
        imports.import(NAMESPACE, name, entity);
    }
    module.section(&types);
    module.section(&imports);
}

fn memory_type(bends: &mut Bends<'_, '_>) -> MemoryType {
    MemoryType {
        minimum: match bends.choose(8) {
            7 => u64::from(bends.number().unsigned_abs()),
            small => u64::from(small) + 1,
        },
        maximum: bends.rarely().then(|| u64::from(bends.choose(255))),
        memory64: bends.rarely(),
        shared: bends.rarely(),
        page_size_log2: None,
    }
}

fn memory(module: &mut Module, bends: &mut Bends<'_, '_>) {
    let mut tables = TableSection::new();
    if bends.rarely() {
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            minimum: u64::from(bends.number().unsigned_abs()),
            maximum: None,
            table64: false,
            shared: false,
        });
        module.section(&tables);
    }
    let mut memories = MemorySection::new();
    memories.memory(memory_type(bends));
    module.section(&memories);
}

fn exports(
    module: &mut Module,
    descriptions: &[(String, Vec<u8>)],
    first: u32,
    bends: &mut Bends<'_, '_>,
) {
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    for (place, (name, _)) in (0..).step_by(2).zip(descriptions) {
        if !bends.rarely() {
            let export = format!("{DESCRIBE_PREFIX}{name}");
            exports.export(&export, ExportKind::Func, first + place);
        }
        let function = match name.split_once("__") {
            Some(("reducer", name)) => format!("{REDUCER_PREFIX}{name}"),
            Some(("query", name)) => format!("{QUERY_PREFIX}{name}"),
            _ => continue,
        };
        exports.export(&function, ExportKind::Func, first + place + 1);
    }
    module.section(&exports);
}

fn code(
    module: &mut Module,
    descriptions: &[(String, Vec<u8>)],
    kinds: &[u32],
    calls: &[&HostCall],
    bends: &mut Bends<'_, '_>,
) {
    let write = calls.iter().position(|call| call.name == "output_write");
    let write = write.and_then(|place| u32::try_from(place).ok());
    let mut code = CodeSection::new();
    let mut at = DESCRIPTIONS_AT;
    for (pair, (_, bytes)) in kinds.chunks(2).zip(descriptions) {
        let length = i32::try_from(bytes.len()).unwrap_or(0);
        for (place, kind) in pair.iter().enumerate() {
            let mut body = Function::new([]);
            let mut instructions = body.instructions();
            if place == 0 {
                if let Some(write) = write {
                    let from = if bends.rarely() { bends.number() } else { at };
                    let count = if bends.rarely() {
                        bends.number()
                    } else {
                        length
                    };
                    instructions.i32_const(from).i32_const(count).call(write);
                }
                if bends.rarely() {
                    instructions.i32_const(bends.number()).memory_grow(0).drop();
                }
                if bends.rarely() {
                    instructions.unreachable();
                }
            }
            if *kind == 1 {
                instructions.i32_const(0);
            }
            instructions.end();
            code.function(&body);
        }
        at += length;
    }
    module.section(&code);
}

fn data(module: &mut Module, descriptions: &[(String, Vec<u8>)], bends: &mut Bends<'_, '_>) {
    let mut data = DataSection::new();
    let mut at = DESCRIPTIONS_AT;
    for (_, bytes) in descriptions {
        let to = if bends.rarely() { bends.number() } else { at };
        data.active(0, &ConstExpr::i32_const(to), bytes.iter().copied());
        at += i32::try_from(bytes.len()).unwrap_or(0);
    }
    module.section(&data);
}

/// What the guest says of itself, by export.
fn descriptions(bends: &mut Bends<'_, '_>) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, description) in described() {
        let mut bytes = postcard::to_allocvec(&description).unwrap_or_default();
        match bends.choose(8) {
            // One byte is another.
            6 => {
                let place = usize::from(bends.choose(255)) % bytes.len().max(1);
                let other = bends.choose(255);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = other;
                }
            }
            7 => bytes.truncate(usize::from(bends.choose(255))),
            _ => {}
        }
        if !bends.rarely() {
            all.push((name, bytes));
        }
    }
    all
}

/// The descriptions of a small module that is right.
#[must_use]
pub fn described() -> Vec<(String, Description)> {
    let fields = vec![
        Field::new("id", ColumnType::U64),
        Field::new("text", ColumnType::String),
    ];
    let mut types = TypeSet::default();
    types.define("Notes", "guest::Notes", |_| {
        TypeKind::Struct(Fields::Named(fields.clone()))
    });
    let capability = |access| TableAccess {
        table: TableRef {
            node: None,
            module: None,
            table: "notes".into(),
        },
        access,
    };
    let header = ModuleHeader {
        abi_version: ABI_VERSION,
        name: "guest".into(),
        version: Version::default(),
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
    };
    let table = TableSchema {
        name: "notes".into(),
        type_name: "Notes".into(),
        fields,
        primary_key: 0,
        primary_key_auto_inc: true,
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence: Persistence::Logged,
    };
    let reducer = ReducerSchema {
        name: "add".into(),
        arguments: vec![Field::new("text", ColumnType::String)],
        events: Vec::new(),
        capabilities: vec![capability(Access::INSERT)],
    };
    let query = QuerySchema {
        name: "list".into(),
        arguments: Vec::new(),
        result: ColumnType::Vec(Box::new(ColumnType::Named("Notes".into()))),
        capabilities: vec![capability(Access::READ)],
    };
    let own = types.clone();
    vec![
        ("module".into(), Description::Module(header)),
        ("table__notes".into(), Description::Table { table, types }),
        (
            "reducer__add".into(),
            Description::Reducer {
                reducer,
                types: TypeSet::default(),
            },
        ),
        (
            "query__list".into(),
            Description::Query { query, types: own },
        ),
    ]
}
