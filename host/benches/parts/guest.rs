//! A guest for benchmarks, written as text: one table and three reducers.

use std::fmt::Write as _;

use futures::{FutureExt, future::BoxFuture};
use interstice_abi::{
    ABI_VERSION,
    event::TableRef,
    failure::{Code, Failure},
    host_call::{self, CallRequest, DESCRIBE_PREFIX, NAMESPACE, REDUCER_PREFIX, Word},
    id::{ModuleName, NodeId, Seq, StepIndex},
    schema::{
        Description, ModuleHeader, ModuleSchema, Persistence, ReducerSchema, TableAccess,
        TableSchema, Version, Visibility,
    },
    types::{ColumnType, Field, Fields, TypeKind, TypeSet},
};
use interstice_host::{
    limits::Limits,
    module::{
        CallContext, CallKind, Caller, ForeignRead, Module, Outside, OutsideReply, StepRequest,
        TurnContext,
    },
    table::Tables,
    wasm::Engine,
};

/// Where descriptions begin in the guest's memory.
const DESCRIPTIONS_AT: usize = 65_536;

/// The guest's table.
pub(crate) fn notes() -> TableSchema {
    TableSchema {
        name: "notes".into(),
        type_name: "Notes".into(),
        fields: vec![
            Field::new("id", ColumnType::U64),
            Field::new("number", ColumnType::U64),
            Field::new("text", ColumnType::String),
        ],
        primary_key: 0,
        primary_key_auto_inc: true,
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence: Persistence::Logged,
    }
}

/// The schema of the guest.
pub(crate) fn schema() -> ModuleSchema {
    ModuleSchema::clone(module().tables().schema())
}

/// The guest, ready to run.
pub(crate) fn module() -> Module {
    let limits = Limits::default();
    let engine = Engine::new(None).expect("the engine starts");
    let wasm = wat::parse_str(text()).expect("the text is right");
    let binary = engine.load(&wasm, &limits).expect("the guest is right");
    let tables = Tables::new(binary.schema.clone(), limits.rows()).expect("the schema is right");
    Module::new(engine, binary, tables, limits)
}

/// A request to run `function` without arguments.
pub(crate) fn request(function: &str) -> StepRequest {
    StepRequest {
        function: function.into(),
        caller: Caller::default(),
        arguments: [].into(),
        check_arguments: true,
        turn: TurnContext {
            seq: Seq(7),
            step: StepIndex(0),
            timestamp_ms: 1_000,
            node_seed: [3; 32],
            node_id: NodeId::from("node"),
            of_load: false,
        },
        call_ordinal: 0,
        running_us_used: 0,
        bytes_held: 0,
        depth: 0,
        began: None,
        is_timed: true,
    }
}

fn text() -> String {
    let mut text = String::from("(module\n");
    for call in host_call::ALL {
        let words = |words: &[Word]| {
            let words = words.iter().map(|word| match word {
                Word::I32 => "i32",
                Word::I64 => "i64",
            });
            words.collect::<Vec<_>>().join(" ")
        };
        let result = call
            .result
            .map(|word| format!("(result {})", words(&[word])))
            .unwrap_or_default();
        let (name, parameters) = (call.name, words(call.parameters));
        let import = format!(
            "(import \"{NAMESPACE}\" \"{name}\" (func ${name} (param {parameters}) {result}))"
        );
        writeln!(text, "{import}").expect("a string takes everything");
    }
    let row = postcard::to_allocvec(&(0_u64, 7_u64, "x".repeat(90))).expect("a row encodes");
    let escaped = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect::<String>()
    };
    text.push_str("(memory (export \"memory\") 3) (data (i32.const 16) \"notes\")\n");
    text.push_str(&format!("(data (i32.const 256) \"{}\")\n", escaped(&row)));
    let mut at = DESCRIPTIONS_AT;
    for (name, description) in descriptions() {
        let bytes = postcard::to_allocvec(&description).expect("a description encodes");
        text.push_str(&format!(
            "(data (i32.const {at}) \"{}\") (func (export \"{DESCRIBE_PREFIX}{name}\") (call $output_write (i32.const {at}) (i32.const {})))\n",
            escaped(&bytes),
            bytes.len()
        ));
        at += bytes.len();
    }
    for (name, body) in [
        ("nothing", "(i32.const 0)".to_string()),
        (
            "time",
            "(drop (call $time_now (i32.const 64) (i32.const 64))) (i32.const 0)".to_string(),
        ),
        (
            "add",
            format!(
                "(drop (call $table_open (i32.const 16) (i32.const 5) (i32.const 48) (i32.const 8)))
                 (drop (call $table_insert (i32.load8_u (i32.const 48)) (i32.const 256) (i32.const {}) (i32.const 1024) (i32.const 1024)))
                 (i32.const 0)",
                row.len()
            ),
        ),
    ] {
        text.push_str(&format!(
            "(func (export \"{REDUCER_PREFIX}{name}\") (param i32) (result i32) {body})\n"
        ));
    }
    text.push(')');
    text
}

fn descriptions() -> Vec<(String, Description)> {
    let header = ModuleHeader {
        abi_version: ABI_VERSION,
        name: "guest".into(),
        version: Version::default(),
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
    };
    let mut types = TypeSet::default();
    types.define("Notes", "guest::Notes", |_| {
        TypeKind::Struct(Fields::Named(notes().fields))
    });
    let table = Description::Table {
        table: notes(),
        types,
    };
    let mut all = vec![
        ("module".to_string(), Description::Module(header)),
        ("table__notes".to_string(), table),
    ];
    for name in ["nothing", "time", "add"] {
        let reducer = ReducerSchema {
            name: name.into(),
            arguments: Vec::new(),
            events: Vec::new(),
            capabilities: vec![TableAccess {
                table: TableRef {
                    node: None,
                    module: None,
                    table: "notes".into(),
                },
                access: super::ALL,
            }],
        };
        let types = TypeSet::default();
        all.push((
            format!("reducer__{name}"),
            Description::Reducer { reducer, types },
        ));
    }
    all
}

/// There is nobody outside of the guest.
pub(crate) struct Nobody;

impl Outside for Nobody {
    fn call(&mut self, _: CallKind, _: CallRequest, _: CallContext) -> BoxFuture<'_, OutsideReply> {
        let failure = Failure::new(Code::Unavailable, "there is no other module");
        async move { OutsideReply::refused(failure) }.boxed()
    }

    fn read(&mut self, _: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        async { Err(Failure::new(Code::Unavailable, "there is no other module")) }.boxed()
    }

    fn log(&mut self, _: &ModuleName, _: Seq, _: &str) {}
}
