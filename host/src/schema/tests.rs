//! What a lying guest could say, what changed, and what others rely on.

use interstice_abi::{
    ABI_VERSION,
    codec::Column,
    event::{Event, TableRef},
    failure::Code,
    id::{ModuleName, TimerId},
    schema::{
        Access, Authority, Dependency, Description, IndexKind, IndexSchema, ModuleHeader,
        ModuleSchema, Persistence, QuerySchema, ReducerSchema, TableAccess, TableSchema, Version,
        Visibility,
    },
    types::{ColumnType, Field, Fields, TypeDefinition, TypeKind, TypeSet, Variant},
};

mod growth;

use super::{assemble, check_binding, difference, still_needed};
use crate::table::{RowLimits, Tables, Timer};
use proptest::prelude::*;
use std::sync::Arc;

fn header() -> ModuleHeader {
    ModuleHeader {
        abi_version: ABI_VERSION,
        name: "bank".into(),
        version: Version {
            major: 1,
            minor: 2,
            patch: 0,
        },
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
    }
}

fn named(name: &str) -> ColumnType {
    ColumnType::Named(name.into())
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("id", ColumnType::U64),
        Field::new("shade", named("Shade")),
        Field::new("note", ColumnType::String),
    ]
}

fn definition(kind: TypeKind) -> TypeDefinition {
    TypeDefinition {
        path: "bank".into(),
        kind,
    }
}

fn types() -> TypeSet {
    let variants = ["Dark", "Light"].map(|name| Variant {
        name: name.into(),
        fields: Fields::Unit,
    });
    let row = TypeKind::Struct(Fields::Named(fields()));
    TypeSet {
        types: [
            ("Account".to_string(), definition(row)),
            (
                "Shade".to_string(),
                definition(TypeKind::Enum(variants.to_vec())),
            ),
        ]
        .into(),
        conflicts: Vec::new(),
    }
}

fn table() -> TableSchema {
    TableSchema {
        name: "account".into(),
        type_name: "Account".into(),
        fields: fields(),
        primary_key: 0,
        primary_key_auto_inc: true,
        indexes: vec![IndexSchema {
            field: 1,
            kind: IndexKind::Btree,
            unique: false,
            auto_inc: false,
        }],
        visibility: Visibility::Public,
        persistence: Persistence::Logged,
    }
}

fn own(table: &str) -> TableRef {
    TableRef {
        node: None,
        module: None,
        table: table.into(),
    }
}

fn reducer(name: &str) -> ReducerSchema {
    ReducerSchema {
        name: name.into(),
        arguments: vec![Field::new("amount", ColumnType::I64)],
        events: Vec::new(),
        capabilities: vec![TableAccess {
            table: own("account"),
            access: Access::READ.with(Access::INSERT),
        }],
    }
}

fn query() -> QuerySchema {
    QuerySchema {
        name: "total".into(),
        arguments: Vec::new(),
        result: ColumnType::I64,
        capabilities: vec![TableAccess {
            table: own("account"),
            access: Access::READ,
        }],
    }
}

/// A module in pieces, to be bent.
struct Pieces {
    header: ModuleHeader,
    table: TableSchema,
    types: TypeSet,
    reducers: Vec<ReducerSchema>,
    query: QuerySchema,
}

fn pieces() -> Pieces {
    Pieces {
        header: header(),
        table: table(),
        types: types(),
        reducers: vec![reducer("open"), reducer("close")],
        query: query(),
    }
}

impl Pieces {
    fn descriptions(self) -> Vec<Description> {
        let mut all = vec![
            Description::Query {
                query: self.query,
                types: TypeSet::default(),
            },
            Description::Module(self.header),
            Description::Table {
                table: self.table,
                types: self.types,
            },
        ];
        all.extend(
            self.reducers
                .into_iter()
                .map(|reducer| Description::Reducer {
                    reducer,
                    types: TypeSet::default(),
                }),
        );
        all
    }
}

fn schema() -> ModuleSchema {
    assemble(pieces().descriptions()).expect("a good module")
}

fn bent(bend: impl FnOnce(&mut Pieces)) -> Result<ModuleSchema, String> {
    let mut pieces = pieces();
    bend(&mut pieces);
    assemble(pieces.descriptions()).map_err(|failure| {
        assert_eq!(failure.code, Code::BadArguments);
        failure.message
    })
}

/// Checks that a bent module is refused with a message that says `what`.
fn refused(what: &str, bend: impl FnOnce(&mut Pieces)) {
    let message = bent(bend).map(|_| ()).expect_err(what);
    assert!(message.contains(what), "{message:?} does not say {what:?}");
}

#[test]
fn a_good_module_comes_out_sorted() {
    let schema = schema();
    let names: Vec<&str> = schema
        .reducers
        .iter()
        .map(|item| item.name.as_str())
        .collect();
    assert_eq!(names, ["close", "open"]);
    let mut backwards = pieces().descriptions();
    backwards.reverse();
    assert_eq!(assemble(backwards), Ok(schema));
}

#[test]
fn a_module_must_describe_itself_once_in_our_version() {
    let without = pieces().descriptions();
    let without = without
        .into_iter()
        .filter(|d| !matches!(d, Description::Module(_)));
    let failure = assemble(without.collect()).expect_err("no header");
    assert!(failure.message.contains("interstice_module!"), "{failure}");
    let mut twice = pieces().descriptions();
    twice.push(Description::Module(header()));
    assert!(assemble(twice).is_err());
    refused("built for version 9", |p| p.header.abi_version = 9);
    refused("../bank", |p| p.header.name = "../bank".into());
}

#[test]
fn names_that_are_none_or_stand_twice_are_refused() {
    refused("`open`", |p| p.reducers.push(reducer("open")));
    refused("lower case", |p| p.table.name = "Account".into());
    refused("\\u{1b}", |p| p.table.name = "a\u{1b}[2J".into());
    refused("a/b", |p| p.reducers[0].name = "a/b".into());
    refused("two columns", |p| p.table.fields[2].name = "id".into());
    refused("1025 arguments", |p| {
        p.reducers[0].arguments = vec![Field::new("_", ColumnType::U8); 1025];
    });
}

/// Found by the fuzz target `schemas`: such a module could be installed, and nobody could bind it.
#[test]
fn what_no_program_could_bind_is_refused() {
    refused("`_`", |p| p.query.name = "_".into());
    refused("`self`", |p| p.reducers[0].name = "self".into());
    refused("`0`", |p| p.table.fields[2].name = "0".into());
    refused("`crate`", |p| {
        p.reducers[0].arguments = vec![Field::new("crate", ColumnType::U8)];
    });
    refused("two arguments are called `a`", |p| {
        p.reducers[0].arguments = vec![Field::new("a", ColumnType::U8); 2];
    });
    refused("no variants", |p| {
        let never = definition(TypeKind::Enum(Vec::new()));
        p.types.types.insert("Never".into(), never);
    });
    refused("`Self`", |p| {
        let shadow = definition(TypeKind::Struct(Fields::Unit));
        p.types.types.insert("Self".into(), shadow);
    });
    let mut twice = pieces().descriptions();
    twice.push(Description::Table {
        table: TableSchema {
            name: "again".into(),
            ..table()
        },
        types: TypeSet::default(),
    });
    let failure = assemble(twice).expect_err("two tables of one row type");
    assert!(failure.message.contains("row type `Account`"), "{failure}");
    let ignored = |p: &mut Pieces| {
        p.reducers[0].arguments = vec![Field::new("_", ColumnType::U8); 2];
    };
    assert!(bent(ignored).is_ok());
}

#[test]
fn types_that_lead_nowhere_or_round_are_refused() {
    refused("`Gone` is used but not defined", |p| {
        p.query.result = ColumnType::Vec(Box::new(named("Gone")));
    });
    refused("contains itself", |p| {
        let itself = TypeKind::Struct(Fields::Tuple(vec![named("Round")]));
        p.types.types.insert("Round".into(), definition(itself));
    });
    refused("two different types", |p| {
        p.types
            .conflicts
            .push("two different types are called `A`".into());
    });
    refused("row type", |p| {
        p.types.types.remove("Account");
    });
    refused("not the fields of its row type", |p| {
        p.table.fields.push(Field::new("more", ColumnType::U8));
    });
}

#[test]
fn keys_counters_and_defaults_must_be_what_they_say() {
    refused("cannot be a key", |p| {
        p.table.fields[0].ty = ColumnType::F64
    });
    refused("auto_inc needs", |p| p.table.primary_key = 2);
    refused("column 9", |p| p.table.primary_key = 9);
    refused("column 7", |p| p.table.indexes[0].field = 7);
    refused("two indexes", |p| {
        let index = p.table.indexes[0].clone();
        p.table.indexes.push(index);
    });
    refused("the default of column `note`", |p| {
        p.table.fields[2].default = Some(vec![9, 1]);
    });
}

#[test]
fn capabilities_name_tables_that_are_there_and_queries_only_read() {
    refused("no table of this module", |p| {
        p.reducers[0].capabilities[0].table.table = "gone".into();
    });
    refused("no table of this module", |p| {
        p.reducers[0].capabilities[0].table.module = Some("other".into());
    });
    refused("only read", |p| {
        p.query.capabilities[0].access = Access::DELETE
    });
    refused("twice", |p| {
        let entry = p.query.capabilities[0].clone();
        p.query.capabilities.push(entry);
    });
    refused("none that exists", |p| {
        p.query.capabilities[0].access = Access(64)
    });
    let named = bent(|p| p.query.capabilities[0].table.module = Some("bank".into()));
    assert_eq!(named, Ok(schema()), "a module may name itself");
}

#[test]
fn events_must_be_possible_and_hand_over_what_is_taken() {
    let on = |event: &str, arguments: Vec<Field>| {
        let event: Event = event.parse().expect("an event");
        bent(|p| {
            p.reducers[0].events = vec![event];
            p.reducers[0].arguments = arguments;
        })
        .map(|_| ())
    };
    let row = || Field::new("row", named("Account"));
    let after = || Field::new("after", named("Account"));
    assert_eq!(on("account.insert", vec![row()]), Ok(()));
    assert_eq!(on("bank.account.update", vec![row(), after()]), Ok(()));
    assert_eq!(on("init", Vec::new()), Ok(()));
    assert_eq!(
        on("connect", vec![Field::new("id", ColumnType::String)]),
        Ok(())
    );
    for (event, arguments, what) in [
        ("account.update", vec![row()], "the old row and the new row"),
        (
            "account.insert",
            vec![Field::new("x", ColumnType::U8)],
            "the row",
        ),
        ("gone.insert", vec![row()], "`gone` is no table"),
        (
            "other.account.insert",
            vec![row()],
            "`other.account` is no table",
        ),
        (
            "other.account.gap",
            vec![Field::new("first_turn", ColumnType::U64)],
            "`other.account` is no table",
        ),
        ("load", vec![row()], "nothing"),
        ("render", Vec::new(), "authority Gpu"),
        ("other.open.call", Vec::new(), "bindings"),
        ("n.other.t.sync", Vec::new(), "replicated_tables"),
    ] {
        let message = on(event, arguments).expect_err(event);
        assert!(message.contains(what), "{message:?} does not say {what:?}");
    }
    let own_gap = bent(|p| {
        let table = TableRef {
            node: None,
            module: None,
            table: "account".into(),
        };
        p.reducers[0].events = vec![Event::Gap { table }];
    });
    let failure = own_gap.expect_err("its own changes are never lost");
    assert!(failure.contains("never happens"), "{failure}");
    for (event, authority) in [
        ("network", Authority::Network),
        ("input", Authority::Input),
        ("audio_input", Authority::Audio),
        ("file:notes", Authority::File),
        ("module_load", Authority::Module),
    ] {
        let bare = bent(|p| {
            p.header.authorities = vec![authority];
            p.reducers[0].events = vec![event.parse().expect("an event")];
            p.reducers[0].arguments = Vec::new();
        });
        assert_eq!(bare.map(|_| ()), Ok(()), "{event}");
    }
    let timed = |periods: &[u64], arguments: Vec<Field>| {
        let every = |period_ms: &u64| Event::Every {
            period_ms: *period_ms,
            visibility: Visibility::Private,
        };
        bent(|p| {
            p.reducers[0].events = periods.iter().map(every).collect();
            p.reducers[0].arguments = arguments;
        })
        .map(|schema| {
            let reducer = schema.reducer("open").expect("it is there");
            (reducer.period_ms(), reducer.is_callable())
        })
    };
    assert_eq!(timed(&[7], Vec::new()), Ok((Some(7), false)));
    for (periods, arguments, what) in [
        (&[0][..], Vec::new(), "0 ms is not possible"),
        (&[u64::MAX], Vec::new(), "100 years"),
        (&[1, 2], Vec::new(), "two periods"),
        (&[1], vec![row()], "nothing"),
    ] {
        let message = timed(periods, arguments).expect_err(what);
        assert!(message.contains(what), "{message:?} does not say {what:?}");
    }
    let render = bent(|p| {
        p.header.authorities = vec![Authority::Gpu, Authority::Gpu];
        p.reducers[0].events = vec![Event::Render];
        p.reducers[0].arguments = Vec::new();
    });
    assert_eq!(
        render.map(|schema| schema.authorities),
        Ok(vec![Authority::Gpu])
    );
}

fn binding() -> Dependency {
    let provider = schema();
    Dependency {
        node: None,
        address: None,
        module: "bank".into(),
        version: provider.version,
        tables: provider.tables,
        reducers: provider.reducers,
        queries: provider.queries,
        types: provider.types,
    }
}

#[test]
fn a_binding_fits_what_it_was_made_from_and_what_only_grew() {
    assert_eq!(check_binding(&schema(), &binding(), &schema()), Ok(()));
    let grown = bent(|p| {
        p.header.version.minor = 9;
        p.reducers.push(reducer("more"));
        p.reducers[0].capabilities.clear();
    });
    assert_eq!(
        check_binding(&schema(), &binding(), &grown.expect("good")),
        Ok(())
    );
    // Binding files write the fields of a variant as one tuple, and none as `Void`.
    let mut bound = binding();
    if let Some(shade) = bound.types.types.get_mut("Shade")
        && let TypeKind::Enum(variants) = &mut shade.kind
    {
        variants[0].fields = Fields::Tuple(vec![ColumnType::Void]);
    }
    bound.tables[0].indexes.clear();
    assert_eq!(check_binding(&schema(), &bound, &schema()), Ok(()));
}

#[test]
fn a_binding_that_does_not_fit_says_what_is_missing() {
    let check = |what: &str, bend: fn(&mut Pieces)| {
        let provider = bent(bend).expect("good in itself");
        let failure = check_binding(&schema(), &binding(), &provider).expect_err(what);
        assert_eq!(failure.code, Code::SchemaConflict);
        assert!(failure.message.contains(what), "{failure}");
        assert!(failure.message.contains("bindings update"), "{failure}");
    };
    check("version 1.2.0 or a compatible", |p| {
        p.header.version.major = 2
    });
    check("version 1.2.0 or a compatible", |p| {
        p.header.version.minor = 1
    });
    check("reducer `open`: it is gone", |p| {
        p.reducers[0].name = "opens".into()
    });
    check("reducer `open`: it takes other arguments", |p| {
        p.reducers[0].arguments[0].ty = ColumnType::U8;
    });
    check("reducer `open`: it handles `init`", |p| {
        p.reducers[0].arguments.clear();
        p.reducers[0].events = vec![Event::Init];
    });
    check("query `total`: it returns u8", |p| {
        p.query.result = ColumnType::U8
    });
    check("table `account`: it is private", |p| {
        p.table.visibility = Visibility::Private;
    });
    check("index on `shade`", |p| p.table.indexes.clear());
    check("column `shade`", |p| {
        let dark = Variant {
            name: "Dark".into(),
            fields: Fields::Unit,
        };
        let one = definition(TypeKind::Enum(vec![dark]));
        p.types.types.insert("Shade".into(), one);
    });
}

#[test]
fn a_binding_does_not_fit_when_two_arguments_have_changed_places() {
    let two = |reducers: &mut [ReducerSchema], names: [&str; 2]| {
        let open = reducers.iter_mut().find(|known| known.name == "open");
        let fields = names.map(|name| Field::new(name, ColumnType::U64));
        open.expect("is there").arguments = fields.into();
    };
    let check = |names: [&str; 2]| {
        let (mut bound, mut provider) = (binding(), schema());
        two(&mut bound.reducers, ["from", "to"]);
        two(&mut provider.reducers, names);
        check_binding(&schema(), &bound, &provider).map_err(|failure| failure.message)
    };
    assert_eq!(check(["from", "to"]), Ok(()));
    assert_eq!(check(["payer", "payee"]), Ok(()), "other names are no harm");
    let swapped = check(["to", "from"]).expect_err("they would be taken for each other");
    assert!(
        swapped.contains("argument `from` stands in another place"),
        "{swapped}"
    );
}

#[test]
fn what_dependents_and_timers_need_must_stay() {
    let mut dependent = schema();
    dependent.name = ModuleName::new("audit").expect("a name");
    let timer = |of_load| Timer {
        id: TimerId(4),
        of_load,
        ..Timer::once("tick", 0)
    };
    let bound = binding();
    let needed = still_needed(&schema(), &schema(), [(&dependent, &bound)], &[timer(true)]);
    assert_eq!(needed, Ok(()));
    let failure = still_needed(&schema(), &schema(), [], &[timer(false)]).expect_err("a timer");
    assert!(failure.message.contains("reducer `tick`"), "{failure}");
    let without = bent(|p| p.reducers.clear()).expect("good in itself");
    let failure =
        still_needed(&schema(), &without, [(&dependent, &bound)], &[]).expect_err("bound");
    assert!(
        failure.message.starts_with("module `audit` relies on this"),
        "{failure}"
    );
}

#[test]
fn a_difference_is_readable_and_knows_what_fits() {
    assert!(difference(&schema(), &schema()).is_empty());
    let new = bent(|p| {
        p.header.version.minor = 3;
        p.header.authorities = vec![Authority::Audio];
        p.reducers.remove(1);
        p.reducers.push(reducer("more"));
        p.reducers[0]
            .arguments
            .push(Field::new("to", ColumnType::U64));
        p.query.result = ColumnType::U64;
        let added = Field {
            default: Some(true.to_bytes()),
            ..Field::new("open", ColumnType::Bool)
        };
        p.table.fields.push(added.clone());
        let row = TypeKind::Struct(Fields::Named(p.table.fields.clone()));
        p.types.types.insert("Account".into(), definition(row));
        p.table.indexes[0].unique = true;
    })
    .expect("good");
    let difference = difference(&schema(), &new);
    assert!(difference.is_compatible());
    let expected = "\
~ version: 1.2.0 -> 1.3.0
+ authority Audio
+ column account.open: bool
~ index account.shade: btree -> btree, unique
- reducer close(amount: i64)
~ reducer open(amount: i64) -> open(amount: i64, to: u64)
+ reducer more(amount: i64)
~ query total() -> i64 -> total() -> u64
~ type Account";
    assert_eq!(difference.to_string(), expected);
}

#[test]
fn a_changed_type_of_a_column_does_not_fit_and_a_renamed_one_does() {
    let changed = bent(|p| {
        let mut variants = vec!["Dark", "Light", "Grey"];
        variants.rotate_right(1);
        let variants = variants.into_iter().map(|name| Variant {
            name: name.into(),
            fields: Fields::Unit,
        });
        let shade = definition(TypeKind::Enum(variants.collect()));
        p.types.types.insert("Shade".into(), shade);
    })
    .expect("good");
    let difference = difference(&schema(), &changed);
    assert!(!difference.is_compatible());
    assert_eq!(
        difference.dropped_tables().into_iter().collect::<Vec<_>>(),
        ["account"]
    );
    let text = difference.to_string();
    assert!(
        text.contains("~ column account.shade: the type Shade has changed (not compatible)"),
        "{text}"
    );

    let renamed = bent(|p| {
        let shade = p.types.types.remove("Shade").expect("is there");
        p.types.types.insert("Tone".into(), shade);
        p.table.fields[1].ty = named("Tone");
        let row = TypeKind::Struct(Fields::Named(p.table.fields.clone()));
        p.types.types.insert("Account".into(), definition(row));
    })
    .expect("good");
    assert!(super::difference(&schema(), &renamed).is_compatible());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_damaged_description_is_refused_or_a_schema_that_tables_can_be_made_from(
        place: prop::sample::Index, byte: u8, event in "[a-z]{0,3}\\.?(account|bank|x)\\.(insert|update|call|sync)",
    ) {
        let mut pieces = pieces();
        pieces.header.dependencies.push(Dependency { module: "x".into(), ..binding() });
        if let Ok(event) = event.parse() {
            pieces.reducers[0].events.push(event);
        }
        let mut bytes = postcard::to_allocvec(&pieces.descriptions()).expect("encodes");
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let Ok(descriptions) = postcard::from_bytes::<Vec<Description>>(&bytes) else {
            return Ok(());
        };
        let Ok(bent) = assemble(descriptions) else {
            return Ok(());
        };
        let _ = check_binding(&schema(), &binding(), &bent);
        let _ = still_needed(&bent, &bent, [(&schema(), &binding())], &[]);
        let _ = difference(&bent, &schema()).to_string();
        let limits = RowLimits { row_bytes_max: 100, stateful_row_bytes_max: 100 };
        let old = Tables::new(Arc::new(schema()), limits).expect("fits");
        prop_assert!(Tables::new(Arc::new(bent.clone()), limits).is_ok());
        let _ = old.migrate(Arc::new(bent), true);
    }
}
