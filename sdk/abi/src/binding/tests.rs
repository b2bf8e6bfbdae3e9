//! Binding files of every kind, read, written and damaged.

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{ModuleBinding, NodeBinding};
use crate::{
    ABI_VERSION,
    event::{Event, TableRef},
    id::ModuleName,
    schema::{
        Access, Authority, IndexKind, IndexSchema, ModuleSchema, Persistence, QuerySchema,
        ReducerSchema, TableAccess, TableSchema, Version, Visibility,
    },
    types::{ColumnType, Field, Fields, TypeKind, TypeSet, Variant},
};

/// A file as older tools wrote it: no `bindings_version`, event reducers listed, capabilities in
/// parts.
const OLDER: &str = r#"
abi_version = 6
name = "hello-example"
visibility = "Public"
authorities = ["Gpu"]
module_dependencies = []

[version]
major = 0
minor = 2
patch = 1

[[reducers]]
name = "hello"
updates = []
[[reducers.arguments]]
name = "name"
field_type = "String"
[[reducers.inserts]]
node_selection = "Current"
module_selection = { Other = "other" }
table_name = "greetings"
[[reducers.reads]]
node_selection = "Current"
module_selection = "Current"
table_name = "greetings"

[[reducers]]
name = "on_start"
arguments = []

[[queries]]
name = "list"
arguments = []
reads = ["greetings", "a.b", "n.a.b"]
[queries.return_type.Vec]
Named = "Greetings"

[[subscriptions]]
reducer_name = "on_start"
[subscriptions.event.Insert]
table_name = "x"

[[tables]]
name = "greetings"
type_name = "Greetings"
visibility = "Public"
primary_key_auto_inc = true
persistence = "Stateful"
primary_key = { name = "id", field_type = "U64" }
indexes = [{ field_name = "greeting", index_type = "BTree", unique = true, auto_inc = false }]
fields = [{ name = "greeting", field_type = "String" }, { name = "mood", field_type = { Named = "Mood" } }]

[type_definitions.Greetings.Struct]
name = "Greetings"
fields = [
    { name = "greeting", field_type = "String" },
    { name = "id", field_type = "U64" },
    { name = "mood", field_type = { Named = "Mood" } },
]

[type_definitions.Mood.Enum]
name = "Mood"
variants = [
    { name = "Plain", field_type = "Void" },
    { name = "Loud", field_type = "U8" },
    { name = "Odd", field_type = { Tuple = ["U8", { Array = ["F32", 3] }] } },
]
"#;

fn read(text: &str) -> ModuleBinding {
    toml::from_str(text).expect("has the form")
}

fn full() -> ModuleSchema {
    let named = |name: &str| ColumnType::Named(name.to_string());
    let mut types = TypeSet::default();
    let row = vec![
        Field::new("email", ColumnType::String),
        Field::new("id", ColumnType::U64),
        Field {
            default: Some(vec![1]),
            ..Field::new("shape", ColumnType::Option(named("Shape").into()))
        },
    ];
    types.define("Account", "crate::Account", |_| {
        TypeKind::Struct(Fields::Named(row.clone()))
    });
    types.define("Hidden", "crate::Hidden", |_| {
        TypeKind::Struct(Fields::Unit)
    });
    types.define("Unit", "crate::Unit", |_| TypeKind::Struct(Fields::Unit));
    types.define("Pair", "crate::Pair", |_| {
        TypeKind::Struct(Fields::Tuple(vec![ColumnType::I128, named("Unit")]))
    });
    types.define("Shape", "crate::Shape", |_| TypeKind::Enum(shapes()));
    let own = |table: &str, access| TableAccess {
        table: TableRef {
            node: None,
            module: None,
            table: table.to_string(),
        },
        access,
    };
    let table = |name: &str, type_name: &str, visibility| TableSchema {
        name: name.to_string(),
        type_name: type_name.to_string(),
        fields: row.clone(),
        primary_key: 1,
        primary_key_auto_inc: true,
        indexes: vec![IndexSchema {
            field: 0,
            kind: IndexKind::Hash,
            unique: true,
            auto_inc: false,
        }],
        visibility,
        persistence: Persistence::Ephemeral,
    };
    ModuleSchema {
        abi_version: ABI_VERSION,
        name: ModuleName::new("bank-of").expect("a name"),
        version: Version {
            major: 1,
            minor: 2,
            patch: 3,
        },
        visibility: Visibility::Public,
        authorities: vec![Authority::File],
        replicated_tables: vec![],
        dependencies: vec![],
        tables: vec![
            table("account", "Account", Visibility::Public),
            table("hidden", "Hidden", Visibility::Private),
        ],
        reducers: vec![
            ReducerSchema {
                name: "open".to_string(),
                arguments: vec![
                    Field::new("_", ColumnType::Bool),
                    Field::new("_", ColumnType::Array(ColumnType::U16.into(), 40)),
                ],
                events: vec![],
                capabilities: vec![
                    own("account", Access::INSERT.with(Access::READ)),
                    own("hidden", Access::DELETE),
                ],
            },
            ReducerSchema {
                name: "start".to_string(),
                arguments: vec![Field::new("it", named("Hidden"))],
                events: vec![Event::Load],
                capabilities: vec![],
            },
        ],
        queries: vec![QuerySchema {
            name: "total".to_string(),
            arguments: vec![],
            result: ColumnType::Vec(named("Pair").into()),
            capabilities: vec![own("account", Access::READ)],
        }],
        types,
    }
}

fn shapes() -> Vec<Variant> {
    let variant = |name: &str, fields| Variant {
        name: name.to_string(),
        fields,
    };
    let pair = || ColumnType::Tuple(vec![ColumnType::U8, ColumnType::I16]);
    vec![
        variant("Nothing", Fields::Unit),
        variant("One", Fields::Tuple(vec![ColumnType::F64])),
        variant("OnePair", Fields::Tuple(vec![pair()])),
        variant("Two", Fields::Tuple(vec![ColumnType::U8, pair()])),
        variant("None", Fields::Tuple(vec![])),
        variant(
            "Named",
            Fields::Named(vec![Field::new("x", ColumnType::F32)]),
        ),
    ]
}

#[test]
fn the_public_view_holds_what_others_may_use_and_no_more() {
    let view = full().public_view();
    let names: Vec<&str> = view.types.types.keys().map(String::as_str).collect();
    assert_eq!(names, ["Account", "Pair", "Shape", "Unit"]);
    assert_eq!(view.tables.len(), 1);
    assert_eq!(view.reducers.len(), 1);
    assert_eq!(
        view.reducers[0].capabilities.len(),
        1,
        "private tables are nobody's business"
    );
    assert!(view.authorities.is_empty());
    assert!(
        view.tables[0]
            .fields
            .iter()
            .all(|field| field.default.is_none())
    );
    assert_eq!(view.public_view(), view);
}

#[test]
fn what_is_rendered_reads_back_as_the_public_view() {
    let text = toml::to_string(&ModuleBinding::of(&full())).expect("is TOML");
    let mut read = read(&text).to_schema().expect("is checked");
    for definition in read.types.types.values_mut() {
        definition.path = definition.path.replace("bank-of", "crate");
    }
    assert_eq!(read, full().public_view(), "{text}");
}

#[test]
fn files_of_older_tools_are_read_as_they_are() {
    let schema = read(OLDER).to_schema().expect("is checked");
    let table = &schema.tables[0];
    let columns: Vec<&str> = table.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        columns,
        ["greeting", "id", "mood"],
        "the row's type has the order"
    );
    assert_eq!(table.primary_key, 1);
    assert_eq!(table.indexes[0].field, 0);
    let reducers: Vec<&str> = schema.reducers.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(reducers, ["hello"], "event reducers cannot be called");
    let tables: Vec<String> = schema.queries[0]
        .capabilities
        .iter()
        .map(|capability| capability.table.to_string())
        .collect();
    assert_eq!(tables, ["greetings", "a.b", "n.a.b"]);
    assert!(matches!(
        &schema.types.types["Mood"].kind,
        TypeKind::Enum(variants) if variants[2].fields.types().count() == 2
    ));
}

#[test]
fn a_row_without_a_type_definition_has_its_key_first() {
    let (head, _) = OLDER
        .split_once("[type_definitions.Greetings")
        .expect("has it");
    let text = head.replace("{ Named = \"Mood\" }", "\"Bool\"");
    let schema = read(&text).to_schema().expect("is checked");
    assert_eq!(schema.tables[0].fields[0].name, "id");
    assert!(schema.types.types.contains_key("Greetings"));
}

#[test]
fn a_missing_key_is_named() {
    for key in ["abi_version = 6\n", "name = \"hello-example\"\n"] {
        let text = OLDER.replacen(key, "", 1);
        let message = toml::from_str::<ModuleBinding>(&text)
            .expect_err(key)
            .to_string();
        let name = key.split(' ').next().expect("a word");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn what_cannot_be_bound_is_refused_by_name() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = OLDER.replace(from, to);
        assert_ne!(text, OLDER);
        let problems = read(&text).to_schema().expect_err(expected).join("\n");
        assert!(problems.contains(expected), "{problems}");
    };
    check("name = \"hello\"", "name = \"a b\"", "`a b` is not allowed");
    check(
        "name = \"hello\"",
        "name = \"self\"",
        "cannot be called `self`",
    );
    check(
        "name = \"Loud\"",
        "name = \"Plain\"",
        "`Plain` is there twice",
    );
    check(
        "\"on_start\"\narg",
        "\"hello\"\narg",
        "reducer `hello` is there twice",
    );
    check(
        "Named = \"Mood\"",
        "Named = \"Gone\"",
        "type `Gone` is used",
    );
    check(
        "field_name = \"greeting\"",
        "field_name = \"x\"",
        "index on `x`",
    );
    check(
        "name = \"id\", field_type = \"U64\" }\n",
        "name = \"id\", field_type = \"U32\" }\n",
        "not the fields of its row type",
    );
    check(
        "abi_version = 6",
        "abi_version = 6\nbindings_version = 99",
        "update the SDK",
    );
    check(
        "abi_version = 6",
        "abi_version = 6\nalias = \"x-y\"",
        "`x-y`",
    );
}

#[test]
fn a_node_has_an_address_and_modules() {
    let binding = NodeBinding {
        name: "hello-example".to_string(),
        address: "127.0.0.1:8080".to_string(),
        id: Some("12D3".to_string()),
        alias: None,
        modules: vec![ModuleBinding::of(&full())],
    };
    let text = toml::to_string(&binding).expect("is TOML");
    let read: NodeBinding = toml::from_str(&text).expect("has the form");
    assert_eq!(read, binding);
    assert_eq!(read.check(), Ok(()));
    let dependency = read.modules[0]
        .to_dependency(Some(&read))
        .expect("is checked");
    assert_eq!(dependency.node.as_deref(), Some("hello-example"));
    assert_eq!(dependency.address.as_deref(), Some("127.0.0.1:8080"));
    let twice = NodeBinding {
        modules: vec![read.modules[0].clone(), read.modules[0].clone()],
        ..read
    };
    assert!(twice.check().is_err());
}

/// The example modules come with their bindings as the command line would fetch them.
#[test]
fn the_bindings_of_the_example_modules_are_as_they_are_rendered() {
    for file in [
        "caller/src/bindings/hello-example.toml",
        "audit/src/bindings/bank.toml",
    ] {
        let path = std::format!("{}/../../modules/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("is there");
        let schema = read(&text).to_schema().expect("is checked");
        let rendered = toml::to_string(&ModuleBinding::of(&schema)).expect("is TOML");
        assert_eq!(text, rendered, "{file}");
    }
}
