//! Guest modules made from a description, without the SDK: what they say of themselves and what
//! they do are free, so they can also lie. All columns, arguments and results are `u64`, all rows
//! start with their key.
//!
//! [`GuestModule::wasm`] is the binary. What a reducer may touch follows from its operations
//! unless it is forged.

use interstice_abi::{
    ABI_VERSION,
    event::{Event, RowEvent, TableRef},
    schema::{
        Access, Dependency, Description, IndexKind, IndexSchema, ModuleHeader, Persistence,
        QuerySchema, ReducerSchema, TableAccess, TableSchema, Version, Visibility,
    },
    types::{ColumnType, Field, Fields, TypeKind, TypeSet},
};

use super::{
    emit,
    op::{Op, needs},
};

/// A table; its first column is the key `id`, the others are called as given.
#[derive(Clone, Debug)]
pub(crate) struct GuestTable {
    pub(crate) type_name: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) visibility: Visibility,
    pub(crate) persistence: Persistence,
    pub(crate) auto_inc: bool,
    pub(crate) indexes: Vec<IndexSchema>,
}

impl GuestTable {
    /// A public, logged table `type_name` in lower case, of `u64`s.
    pub(crate) fn new(type_name: &str, columns: &[&str]) -> Self {
        let names = std::iter::once(&"id").chain(columns);
        Self {
            type_name: type_name.into(),
            fields: names
                .map(|name| Field::new(*name, ColumnType::U64))
                .collect(),
            visibility: Visibility::Public,
            persistence: Persistence::Logged,
            auto_inc: false,
            indexes: Vec::new(),
        }
    }

    pub(crate) fn auto_inc(mut self) -> Self {
        self.auto_inc = true;
        self
    }

    pub(crate) fn kept(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    pub(crate) fn private(mut self) -> Self {
        self.visibility = Visibility::Private;
        self
    }

    pub(crate) fn index(mut self, field: u16, kind: IndexKind, unique: bool) -> Self {
        self.indexes.push(IndexSchema {
            field,
            kind,
            unique,
            auto_inc: false,
        });
        self
    }

    pub(crate) fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    pub(crate) fn name(&self) -> String {
        self.type_name.to_lowercase()
    }

    fn schema(&self) -> TableSchema {
        TableSchema {
            name: self.name(),
            type_name: self.type_name.clone(),
            fields: self.fields.clone(),
            primary_key: 0,
            primary_key_auto_inc: self.auto_inc,
            indexes: self.indexes.clone(),
            visibility: self.visibility,
            persistence: self.persistence,
        }
    }

    fn define(&self, module: &str, types: &mut TypeSet) {
        let plain = self
            .fields
            .iter()
            .map(|field| Field::new(field.name.clone(), field.ty.clone()))
            .collect();
        let path = format!("{}::{}", module.replace('-', "_"), self.type_name);
        types.define(&self.type_name, &path, |_| {
            TypeKind::Struct(Fields::Named(plain))
        });
    }
}

/// A reducer or query.
#[derive(Clone, Debug)]
pub(crate) struct GuestFunction {
    pub(crate) name: String,
    pub(crate) arguments: Vec<Field>,
    /// How many numbers the arguments hold.
    pub(crate) numbers: usize,
    pub(crate) events: Vec<Event>,
    pub(crate) body: Vec<Op>,
    forged: Option<Vec<TableAccess>>,
    types: TypeSet,
}

/// What is changed in what a module says of itself: the names of its `describe` exports and what
/// they hand over.
type Lie = fn(&mut Vec<(String, Description)>);

/// A module.
#[derive(Clone, Debug)]
pub(crate) struct GuestModule {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) visibility: Visibility,
    pub(crate) tables: Vec<GuestTable>,
    pub(crate) reducers: Vec<GuestFunction>,
    pub(crate) queries: Vec<GuestFunction>,
    pub(crate) bindings: Vec<Dependency>,
    lie: Option<Lie>,
}

impl GuestModule {
    /// A public module without anything in it.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            version: Version {
                major: 0,
                minor: 1,
                patch: 0,
            },
            visibility: Visibility::Public,
            tables: Vec::new(),
            reducers: Vec::new(),
            queries: Vec::new(),
            bindings: Vec::new(),
            lie: None,
        }
    }

    pub(crate) fn private(mut self) -> Self {
        self.visibility = Visibility::Private;
        self
    }

    pub(crate) fn version(mut self, major: u32, minor: u32, patch: u32) -> Self {
        self.version = Version {
            major,
            minor,
            patch,
        };
        self
    }

    pub(crate) fn table(mut self, table: GuestTable) -> Self {
        self.tables.push(table);
        self
    }

    /// What the module is compiled against; everything public of `other`.
    pub(crate) fn depends_on(mut self, other: &Self) -> Self {
        let mut types = TypeSet::default();
        let public = other
            .tables
            .iter()
            .filter(|table| table.visibility == Visibility::Public);
        let tables: Vec<TableSchema> = public
            .map(|table| {
                table.define(&other.name, &mut types);
                table.schema()
            })
            .collect();
        let callable = other
            .reducers
            .iter()
            .filter(|reducer| reducer.reducer_schema(other).is_callable());
        self.bindings.push(Dependency {
            node: None,
            address: None,
            module: other.name.clone(),
            version: other.version,
            tables,
            reducers: callable
                .map(|reducer| ReducerSchema {
                    capabilities: Vec::new(),
                    ..reducer.reducer_schema(other)
                })
                .collect(),
            queries: other
                .queries
                .iter()
                .map(|query| QuerySchema {
                    capabilities: Vec::new(),
                    ..query.query_schema(other)
                })
                .collect(),
            types,
        });
        self
    }

    /// The last module that this one was compiled against is one of another node; what calls it
    /// says `node/module`.
    pub(crate) fn of_node(mut self, node: &str) -> Self {
        if let Some(binding) = self.bindings.last_mut() {
            binding.node = Some(node.into());
            binding.address = Some("/ip4/127.0.0.1/tcp/1".into());
        }
        self
    }

    /// Changes what the module says of itself.
    pub(crate) fn lying(mut self, lie: Lie) -> Self {
        self.lie = Some(lie);
        self
    }

    /// The module with its tables alone.
    pub(crate) fn without_reducers(mut self) -> Self {
        self.reducers.clear();
        self
    }

    /// A reducer that clients and modules call with `numbers` arguments.
    pub(crate) fn reducer(self, name: &str, numbers: usize, body: Vec<Op>) -> Self {
        let arguments = (0..numbers)
            .map(|place| Field::new(format!("a{place}"), ColumnType::U64))
            .collect();
        self.function(name, arguments, numbers, &[], body, TypeSet::default())
    }

    /// A reducer on `init`, `load` or another event without arguments.
    pub(crate) fn on(self, event: Event, name: &str, body: Vec<Op>) -> Self {
        self.function(name, Vec::new(), 0, &[event], body, TypeSet::default())
    }

    /// A private reducer that runs by itself.
    pub(crate) fn every(self, period_ms: u64, name: &str, body: Vec<Op>) -> Self {
        let event = Event::Every {
            period_ms,
            visibility: Visibility::Private,
        };
        self.on(event, name, body)
    }

    /// A private reducer that takes `numbers` arguments.
    pub(crate) fn hidden(self, name: &str, numbers: usize, body: Vec<Op>) -> Self {
        let mut module = self.reducer(name, numbers, body);
        if let Some(reducer) = module.reducers.last_mut() {
            reducer.events.push(Event::Private);
        }
        module
    }

    /// A reducer that is told from which turn on changes of `module.table` are handed over.
    pub(crate) fn on_gap(self, table: &str, name: &str, body: Vec<Op>) -> Self {
        let (module, table) = table.split_once('.').expect("another module's");
        let table = TableRef {
            node: None,
            module: Some(module.into()),
            table: table.into(),
        };
        let mut module = self.reducer(name, 1, body);
        if let Some(reducer) = module.reducers.last_mut() {
            reducer.events.push(Event::Gap { table });
        }
        module
    }

    /// A reducer on `connect` or `disconnect`, whose argument it does not look at.
    pub(crate) fn on_connection(self, event: Event, name: &str, body: Vec<Op>) -> Self {
        let arguments = vec![Field::new("node_id", ColumnType::String)];
        self.function(name, arguments, 0, &[event], body, TypeSet::default())
    }

    /// A reducer on changes of a table of this module or, as `module.table`, of one that it
    /// depends on.
    pub(crate) fn on_row(self, table: &str, event: RowEvent, name: &str, body: Vec<Op>) -> Self {
        let (module, bare) = match table.split_once('.') {
            Some((module, bare)) => (Some(module), bare),
            None => (None, table),
        };
        let (type_name, columns, types) = self.row_type(module, bare);
        let rows: &[&str] = if event == RowEvent::Update {
            &["old", "new"]
        } else {
            &["row"]
        };
        let arguments = rows
            .iter()
            .map(|row| Field::new(*row, ColumnType::Named(type_name.clone())))
            .collect();
        let table = TableRef {
            node: None,
            module: module.map(String::from),
            table: bare.into(),
        };
        self.function(
            name,
            arguments,
            rows.len() * columns,
            &[Event::Row { table, event }],
            body,
            types,
        )
    }

    /// A reducer on the calls of another module's reducer.
    pub(crate) fn on_call(self, module: &str, reducer: &str, name: &str, body: Vec<Op>) -> Self {
        let binding = self
            .bindings
            .iter()
            .find(|binding| binding.module == module)
            .expect("a module that this one depends on");
        let called = binding
            .reducers
            .iter()
            .find(|known| known.name == reducer)
            .expect("a reducer of that module");
        let arguments = called.arguments.clone();
        let numbers = arguments.len();
        let event = Event::Call {
            module: module.into(),
            reducer: reducer.into(),
        };
        self.function(name, arguments, numbers, &[event], body, TypeSet::default())
    }

    pub(crate) fn query(mut self, name: &str, numbers: usize, body: Vec<Op>) -> Self {
        let arguments = (0..numbers)
            .map(|place| Field::new(format!("a{place}"), ColumnType::U64))
            .collect();
        self = self.function(name, arguments, numbers, &[], body, TypeSet::default());
        let query = self
            .reducers
            .pop()
            .expect("the function that was just added");
        self.queries.push(query);
        self
    }

    /// The last reducer declares these capabilities instead of those that it uses.
    pub(crate) fn forged(mut self, capabilities: &[(&str, Access)]) -> Self {
        let forged = capabilities.iter().map(|(table, access)| TableAccess {
            table: table_ref(table),
            access: *access,
        });
        if let Some(reducer) = self.reducers.last_mut() {
            reducer.forged = Some(forged.collect());
        }
        self
    }

    /// As [`GuestModule::forged`], of the last query.
    pub(crate) fn forged_query(mut self, capabilities: &[(&str, Access)]) -> Self {
        let forged = capabilities.iter().map(|(table, access)| TableAccess {
            table: table_ref(table),
            access: *access,
        });
        if let Some(query) = self.queries.last_mut() {
            query.forged = Some(forged.collect());
        }
        self
    }

    fn function(
        mut self,
        name: &str,
        arguments: Vec<Field>,
        numbers: usize,
        events: &[Event],
        body: Vec<Op>,
        types: TypeSet,
    ) -> Self {
        let function = GuestFunction {
            name: name.into(),
            arguments,
            numbers,
            events: events.to_vec(),
            body,
            forged: None,
            types,
        };
        self.reducers.push(function);
        self
    }

    fn row_type(&self, module: Option<&str>, table: &str) -> (String, usize, TypeSet) {
        match module {
            None => {
                let found = self
                    .tables
                    .iter()
                    .find(|known| known.name() == table)
                    .expect("a table of this module");
                let mut types = TypeSet::default();
                found.define(&self.name, &mut types);
                (found.type_name.clone(), found.fields.len(), types)
            }
            Some(module) => {
                let binding = self
                    .bindings
                    .iter()
                    .find(|binding| binding.module == module)
                    .expect("a module that this one depends on");
                let found = binding
                    .tables
                    .iter()
                    .find(|known| known.name == table)
                    .expect("a public table of that module");
                // Two types of one module must not share a name; only the shape has to be that of
                // the table.
                let name = format!("{}Of{}", found.type_name, module.replace('-', "_"));
                let plain = found
                    .fields
                    .iter()
                    .map(|field| Field::new(field.name.clone(), field.ty.clone()))
                    .collect();
                let mut types = TypeSet::default();
                types.define(&name, &format!("bindings::{name}"), |_| {
                    TypeKind::Struct(Fields::Named(plain))
                });
                (name, found.fields.len(), types)
            }
        }
    }

    /// What the module says of itself: the name of each `describe` export and what it hands over.
    pub(crate) fn descriptions(&self) -> Vec<(String, Description)> {
        let header = ModuleHeader {
            abi_version: ABI_VERSION,
            name: self.name.clone(),
            version: self.version,
            visibility: self.visibility,
            authorities: Vec::new(),
            replicated_tables: Vec::new(),
            dependencies: self.bindings.clone(),
        };
        let mut all = vec![("module".to_string(), Description::Module(header))];
        for table in &self.tables {
            let mut types = TypeSet::default();
            table.define(&self.name, &mut types);
            all.push((
                format!("table__{}", table.name()),
                Description::Table {
                    table: table.schema(),
                    types,
                },
            ));
        }
        for reducer in &self.reducers {
            let description = Description::Reducer {
                reducer: reducer.reducer_schema(self),
                types: reducer.types.clone(),
            };
            all.push((format!("reducer__{}", reducer.name), description));
        }
        for query in &self.queries {
            let description = Description::Query {
                query: query.query_schema(self),
                types: query.types.clone(),
            };
            all.push((format!("query__{}", query.name), description));
        }
        if let Some(lie) = self.lie {
            lie(&mut all);
        }
        all
    }

    /// The module's binary.
    pub(crate) fn wasm(&self) -> Vec<u8> {
        let text = emit::text(self);
        wat::parse_str(&text).unwrap_or_else(|error| {
            unreachable!("the generated text is not a module: {error}\n{text}")
        })
    }
}

impl GuestFunction {
    fn reducer_schema(&self, module: &GuestModule) -> ReducerSchema {
        ReducerSchema {
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            events: self.events.clone(),
            capabilities: self.capabilities(module),
        }
    }

    fn query_schema(&self, module: &GuestModule) -> QuerySchema {
        QuerySchema {
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            result: ColumnType::U64,
            capabilities: self.capabilities(module),
        }
    }

    /// What the operations need, unless it is forged.
    fn capabilities(&self, _: &GuestModule) -> Vec<TableAccess> {
        if let Some(forged) = &self.forged {
            return forged.clone();
        }
        let mut found: Vec<TableAccess> = Vec::new();
        needs(&self.body, &mut |table, access| {
            let table = table_ref(table);
            match found.iter_mut().find(|known| known.table == table) {
                Some(known) => known.access = known.access.with(access),
                None => found.push(TableAccess { table, access }),
            }
        });
        found
    }
}

fn table_ref(table: &str) -> TableRef {
    match table.split_once('.') {
        Some((module, bare)) => TableRef {
            node: None,
            module: Some(module.into()),
            table: bare.into(),
        },
        None => TableRef {
            node: None,
            module: None,
            table: table.into(),
        },
    }
}
