//! Guests for tests, written as text: a module `guest` with one table, and whatever functions a
//! test gives it.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use futures::{FutureExt, future::BoxFuture};
use interstice_abi::{
    ABI_VERSION,
    event::TableRef,
    failure::{Code, Failure},
    host_call::{self, CallRequest, DESCRIBE_PREFIX, NAMESPACE, Word},
    id::{ModuleName, NodeId, Seq, StepIndex},
    schema::{
        Access, Dependency, Description, ModuleHeader, Persistence, QuerySchema, ReducerSchema,
        TableAccess, TableSchema, Version, Visibility,
    },
    types::{ColumnType, Field, Fields, TypeKind, TypeSet},
};

use crate::{
    limits::Limits,
    module::{
        CallContext, CallKind, Caller, ForeignRead, Module, Outside, OutsideReply, StepRequest,
        TurnContext,
    },
    table::Tables,
    wasm::{Binary, Engine},
};

/// Where descriptions begin in a guest's memory; what is below is the test's.
const DESCRIPTIONS_AT: usize = 65_536;

/// A guest in the making.
pub(crate) struct GuestText {
    descriptions: Vec<(String, Vec<u8>)>,
    body: String,
}

impl GuestText {
    /// A module `guest` with the table `notes { id: u64 auto_inc, text: String }`, bindings of
    /// `other`, and `body`.
    pub(crate) fn new(body: &str) -> Self {
        let mut guest = Self {
            descriptions: Vec::new(),
            body: body.into(),
        };
        guest.describe("module", &Description::Module(header()));
        let mut types = TypeSet::default();
        let fields = notes().fields;
        types.define("Notes", "guest::Notes", |_| {
            TypeKind::Struct(Fields::Named(fields))
        });
        guest.describe(
            "table__notes",
            &Description::Table {
                table: notes(),
                types,
            },
        );
        guest
    }

    /// With a description under a name that may be wrong.
    pub(crate) fn describe(&mut self, name: &str, description: &Description) {
        self.describe_raw(name, postcard::to_allocvec(description).unwrap());
    }

    /// With the bytes of a description.
    pub(crate) fn describe_raw(&mut self, name: &str, bytes: Vec<u8>) {
        self.descriptions.push((name.into(), bytes));
    }

    /// With a reducer without arguments, whose body is text; `access` is to `notes`.
    pub(crate) fn reducer(mut self, name: &str, access: Access, body: &str) -> Self {
        let reducer = ReducerSchema {
            name: name.into(),
            arguments: [].into(),
            events: Vec::new(),
            capabilities: capabilities(access),
        };
        let description = Description::Reducer {
            reducer,
            types: TypeSet::default(),
        };
        self.describe(&format!("reducer__{name}"), &description);
        self.function("reducer", name, body)
    }

    /// With a query that returns a `u64`.
    pub(crate) fn query(mut self, name: &str, access: Access, body: &str) -> Self {
        let query = QuerySchema {
            name: name.into(),
            arguments: Vec::new(),
            result: ColumnType::U64,
            capabilities: capabilities(access),
        };
        let description = Description::Query {
            query,
            types: TypeSet::default(),
        };
        self.describe(&format!("query__{name}"), &description);
        self.function("query", name, body)
    }

    /// With the export of a function that nothing describes.
    pub(crate) fn function(mut self, kind: &str, name: &str, body: &str) -> Self {
        let export = format!("__interstice_{kind}__{name}");
        write!(
            self.body,
            "\n(func (export \"{export}\") (param $input i32) (result i32) (local $reply i64) {body})"
        )
        .unwrap();
        self
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("(module\n");
        for call in host_call::ALL {
            let parameters: Vec<&str> = call.parameters.iter().map(|word| of(*word)).collect();
            let result = call
                .result
                .map(|word| format!("(result {})", of(word)))
                .unwrap_or_default();
            let (name, parameters) = (call.name, parameters.join(" "));
            writeln!(
                text,
                "(import \"{NAMESPACE}\" \"{name}\" (func ${name} (param {parameters}) {result}))"
            )
            .unwrap();
        }
        let bytes: usize = self.descriptions.iter().map(|(_, bytes)| bytes.len()).sum();
        let pages = (DESCRIPTIONS_AT + bytes).div_ceil(65_536) + 1;
        writeln!(text, "(memory (export \"memory\") {pages})").unwrap();
        let mut at = DESCRIPTIONS_AT;
        for (name, bytes) in &self.descriptions {
            let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            let len = bytes.len();
            writeln!(text, "(data (i32.const {at}) \"{data}\")").unwrap();
            writeln!(
                text,
                "(func (export \"{DESCRIBE_PREFIX}{name}\") (call $output_write (i32.const {at}) (i32.const {len})))"
            )
            .unwrap();
            at += len;
        }
        // `fail`: hands over one character for the status of a reply, and says that the function
        // failed.
        text.push_str(
            "(func $fail (param $reply i64) (result i32)
               (i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.wrap_i64 (i64.shr_u (local.get $reply) (i64.const 32)))))
               (call $output_write (i32.const 0) (i32.const 1))
               (i32.const 1))
             (data (i32.const 16) \"notes\")
             (data (i32.const 32) \"\\00\\02hi\")
             (func $open (result i32)
               (drop (call $table_open (i32.const 16) (i32.const 5) (i32.const 48) (i32.const 8)))
               (i32.load8_u (i32.const 48)))
             (func $add (result i64)
               (call $table_insert (call $open) (i32.const 32) (i32.const 4) (i32.const 1024) (i32.const 1024)))\n",
        );
        text.push_str(&self.body);
        text.push(')');
        text
    }

    /// The binary.
    pub(crate) fn wasm(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }
}

fn of(word: Word) -> &'static str {
    match word {
        Word::I32 => "i32",
        Word::I64 => "i64",
    }
}

fn capabilities(access: Access) -> Vec<TableAccess> {
    let table = TableRef {
        node: None,
        module: None,
        table: "notes".into(),
    };
    if access == Access::default() {
        Vec::new()
    } else {
        vec![TableAccess { table, access }]
    }
}

pub(crate) fn notes() -> TableSchema {
    TableSchema {
        name: "notes".into(),
        type_name: "Notes".into(),
        fields: vec![
            Field::new("id", ColumnType::U64),
            Field::new("text", ColumnType::String),
        ],
        primary_key: 0,
        primary_key_auto_inc: true,
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence: Persistence::Logged,
    }
}

pub(crate) fn header() -> ModuleHeader {
    ModuleHeader {
        abi_version: ABI_VERSION,
        name: "guest".into(),
        version: Version {
            major: 1,
            minor: 0,
            patch: 0,
        },
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: vec![Dependency {
            node: None,
            address: None,
            module: "other".into(),
            version: Version {
                major: 1,
                minor: 0,
                patch: 0,
            },
            tables: Vec::new(),
            reducers: Vec::new(),
            queries: Vec::new(),
            types: TypeSet::default(),
        }],
    }
}

/// What a test's guest reaches: it remembers what it was asked and answers with what it was given.
#[derive(Clone, Default)]
pub(crate) struct FakeOutside(Arc<Mutex<Told>>);

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) calls: Vec<(CallKind, CallRequest, CallContext)>,
    pub(crate) reply: Option<OutsideReply>,
    pub(crate) log: Vec<String>,
}

impl FakeOutside {
    pub(crate) fn replying(reply: OutsideReply) -> Self {
        let outside = Self::default();
        outside.told().reply = Some(reply);
        outside
    }

    pub(crate) fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }
}

impl Outside for FakeOutside {
    fn call(
        &mut self,
        kind: CallKind,
        request: CallRequest,
        context: CallContext,
    ) -> BoxFuture<'_, OutsideReply> {
        let mut told = self.told();
        told.calls.push((kind, request, context));
        let reply = told.reply.clone().expect("the test has a reply");
        async move { reply }.boxed()
    }

    fn read(&mut self, _: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        async { Err(Failure::new(Code::Unavailable, "no other tables here")) }.boxed()
    }

    fn log(&mut self, _: &ModuleName, _: Seq, line: &str) {
        self.told().log.push(line.into());
    }
}

/// Small limits, so that crimes end soon; the deadline is one that a busy machine does not meet by
/// chance.
pub(crate) fn limits() -> Limits {
    Limits {
        deadline_ms: 60_000,
        memory_bytes: 4 * 1024 * 1024,
        step_bytes_max: 64 * 1024,
        ..Limits::default()
    }
}

/// Loads a guest.
pub(crate) fn load(guest: &GuestText) -> (Arc<Engine>, Arc<Binary>) {
    let engine = Engine::new(None).unwrap();
    let binary = engine.load(&guest.wasm(), &limits()).unwrap();
    (engine, binary)
}

/// A module made of a guest.
pub(crate) fn module(guest: &GuestText) -> Module {
    module_within(guest, limits())
}

/// A module made of a guest, with limits of its own.
pub(crate) fn module_within(guest: &GuestText, limits: Limits) -> Module {
    let (engine, binary) = load(guest);
    let tables = Tables::new(binary.schema.clone(), limits.rows()).unwrap();
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
