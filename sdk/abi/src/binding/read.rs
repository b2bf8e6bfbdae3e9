//! From a binding file to a schema, believing nothing: every name becomes an identifier of
//! generated code.

mod table;

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};

use self::table::{capabilities, read_table};
use super::{
    BINDINGS_VERSION, FieldBinding, ModuleBinding, NodeBinding, TypeBinding, VariantBinding,
    view::names,
};
use crate::{
    id::{ModuleName, check_identifier, check_name},
    schema::{
        Access, Dependency, ModuleSchema, QuerySchema, ReducerSchema, TableSchema, Visibility,
    },
    types::{ColumnType, Field, Fields, TypeDefinition, TypeKind, TypeSet, Variant},
};

impl NodeBinding {
    /// Checks what belongs to the node itself.
    ///
    /// # Errors
    /// A sentence per key that is wrong.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        note(
            &mut problems,
            check_name("name of a node", &self.name, true),
        );
        if let Some(alias) = &self.alias {
            note(&mut problems, identifier("alias", alias));
        }
        unique(
            "module",
            self.modules.iter().map(|module| &module.name),
            &mut problems,
        );
        done((), problems)
    }
}

impl ModuleBinding {
    /// The public view that the file holds, checked: names are identifiers, named types are there,
    /// keys and indexes are columns, nothing is there twice.
    ///
    /// # Errors
    /// A sentence per thing that is wrong.
    pub fn to_schema(&self) -> Result<ModuleSchema, Vec<String>> {
        let mut problems = Vec::new();
        let name = self.header(&mut problems);
        let types = self.types(&mut problems);
        let schema = ModuleSchema {
            abi_version: self.abi_version,
            name,
            version: self.version,
            visibility: self.visibility,
            authorities: Vec::new(),
            replicated_tables: Vec::new(),
            dependencies: Vec::new(),
            tables: self.tables(&types, &mut problems),
            reducers: self.reducers(&mut problems),
            queries: self.queries(&mut problems),
            types,
        };
        let mut schema = done(schema, problems)?;
        for table in &schema.tables {
            let kind = TypeKind::Struct(Fields::Named(table.fields.clone()));
            schema
                .types
                .define(&table.type_name, &self.path(&table.type_name), |_| kind);
        }
        let problems = dangling(&schema);
        done(schema, problems)
    }

    /// What a module that was compiled against this file relies on.
    ///
    /// # Errors
    /// As [`ModuleBinding::to_schema`].
    pub fn to_dependency(&self, node: Option<&NodeBinding>) -> Result<Dependency, Vec<String>> {
        let mut schema = self.to_schema()?;
        schema
            .reducers
            .iter_mut()
            .for_each(|reducer| reducer.capabilities.clear());
        schema
            .queries
            .iter_mut()
            .for_each(|query| query.capabilities.clear());
        Ok(Dependency {
            node: node.map(|node| node.name.clone()),
            address: node.map(|node| node.address.clone()),
            module: self.name.clone(),
            version: schema.version,
            tables: schema.tables,
            reducers: schema.reducers,
            queries: schema.queries,
            types: schema.types,
        })
    }

    fn path(&self, ty: &str) -> String {
        format!("{}::{ty}", self.name)
    }

    fn header(&self, problems: &mut Vec<String>) -> ModuleName {
        if let Some(version) = self
            .bindings_version
            .filter(|version| *version > BINDINGS_VERSION)
        {
            problems.push(format!(
                "`bindings_version` is {version}, this SDK reads up to {BINDINGS_VERSION}; update the SDK"
            ));
        }
        if let Some(alias) = &self.alias {
            note(problems, identifier("alias", alias));
        }
        unique("table", self.tables.iter().map(|item| &item.name), problems);
        unique(
            "reducer",
            self.reducers.iter().map(|item| &item.name),
            problems,
        );
        unique(
            "query",
            self.queries.iter().map(|item| &item.name),
            problems,
        );
        unique(
            "row type",
            self.tables.iter().map(|item| &item.type_name),
            problems,
        );
        ModuleName::new(self.name.as_str()).unwrap_or_else(|problem| {
            problems.push(problem);
            ModuleName::new("_").expect("`_` follows the rules of names")
        })
    }

    fn types(&self, problems: &mut Vec<String>) -> TypeSet {
        let mut set = TypeSet::default();
        for (name, definition) in &self.type_definitions {
            note(problems, identifier("type", name));
            let (inner, kind) = match definition {
                TypeBinding::Struct { name, fields } => {
                    let what = format!("field of `{name}`");
                    (
                        name,
                        TypeKind::Struct(struct_fields(&what, fields, problems)),
                    )
                }
                TypeBinding::Enum {
                    name: inner,
                    variants,
                } => {
                    unique(
                        &format!("variant of `{inner}`"),
                        variants.iter().map(|variant| &variant.name),
                        problems,
                    );
                    if variants.is_empty() {
                        problems.push(format!("the enum `{inner}` has no variants"));
                    }
                    let variants = variants
                        .iter()
                        .map(|variant| read_variant(inner, variant, problems))
                        .collect();
                    (inner, TypeKind::Enum(variants))
                }
            };
            if inner != name {
                problems.push(format!(
                    "`type_definitions.{name}` is called `{inner}` inside; make both the same"
                ));
            }
            let path = self.path(name);
            set.types
                .insert(name.clone(), TypeDefinition { path, kind });
        }
        set
    }

    fn tables(&self, types: &TypeSet, problems: &mut Vec<String>) -> Vec<TableSchema> {
        let mut tables: Vec<TableSchema> = self
            .tables
            .iter()
            // Older tools listed private tables too; nobody may read those.
            .filter(|table| table.visibility == Visibility::Public)
            .filter_map(|table| {
                let before = problems.len();
                note(problems, identifier("table", &table.name));
                note(problems, identifier("row type", &table.type_name));
                let read = read_table(table, types, problems);
                (problems.len() == before).then_some(read)
            })
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        tables
    }

    fn reducers(&self, problems: &mut Vec<String>) -> Vec<ReducerSchema> {
        let reacts = |name: &str| {
            self.subscriptions
                .iter()
                .any(|subscription| subscription.reducer_name == name)
        };
        let mut reducers: Vec<ReducerSchema> = self
            .reducers
            .iter()
            .filter(|reducer| !reacts(&reducer.name))
            .map(|reducer| {
                note(problems, identifier("reducer", &reducer.name));
                ReducerSchema {
                    name: reducer.name.clone(),
                    arguments: arguments(&reducer.name, &reducer.arguments, problems),
                    events: Vec::new(),
                    capabilities: capabilities(&[
                        (&reducer.reads, Access::READ),
                        (&reducer.inserts, Access::INSERT),
                        (&reducer.updates, Access::UPDATE),
                        (&reducer.deletes, Access::DELETE),
                    ]),
                }
            })
            .collect();
        reducers.sort_by(|a, b| a.name.cmp(&b.name));
        reducers
    }

    fn queries(&self, problems: &mut Vec<String>) -> Vec<QuerySchema> {
        let mut queries: Vec<QuerySchema> = self
            .queries
            .iter()
            .map(|query| {
                note(problems, identifier("query", &query.name));
                QuerySchema {
                    name: query.name.clone(),
                    arguments: arguments(&query.name, &query.arguments, problems),
                    result: query.return_type.clone(),
                    capabilities: capabilities(&[(&query.reads, Access::READ)]),
                }
            })
            .collect();
        queries.sort_by(|a, b| a.name.cmp(&b.name));
        queries
    }
}

fn done<T>(value: T, problems: Vec<String>) -> Result<T, Vec<String>> {
    if problems.is_empty() {
        Ok(value)
    } else {
        Err(problems)
    }
}

fn note(problems: &mut Vec<String>, checked: Result<(), String>) {
    problems.extend(checked.err());
}

fn identifier(what: &str, name: &str) -> Result<(), String> {
    check_identifier(&format!("name of a {what}"), name)
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a String>, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            problems.push(format!(
                "the {what} `{}` is there twice; remove one",
                name.escape_debug()
            ));
        }
    }
}

fn named_fields(what: &str, fields: &[FieldBinding], problems: &mut Vec<String>) -> Vec<Field> {
    unique(what, fields.iter().map(|field| &field.name), problems);
    for field in fields {
        note(problems, identifier(what, &field.name));
    }
    fields.iter().map(to_field).collect()
}

/// As [`named_fields`]; arguments that the module ignores are called `_`.
fn arguments(function: &str, fields: &[FieldBinding], problems: &mut Vec<String>) -> Vec<Field> {
    let what = format!("argument of `{function}`");
    let used = || fields.iter().filter(|field| field.name != "_");
    unique(&what, used().map(|field| &field.name), problems);
    for field in used() {
        note(problems, identifier(&what, &field.name));
    }
    fields.iter().map(to_field).collect()
}

fn to_field(field: &FieldBinding) -> Field {
    Field::new(field.name.as_str(), field.field_type.clone())
}

fn struct_fields(what: &str, fields: &[FieldBinding], problems: &mut Vec<String>) -> Fields {
    let by_place = fields
        .iter()
        .enumerate()
        .all(|(place, field)| field.name == place.to_string());
    if fields.is_empty() {
        Fields::Unit
    } else if by_place {
        Fields::Tuple(
            fields
                .iter()
                .map(|field| field.field_type.clone())
                .collect(),
        )
    } else {
        Fields::Named(named_fields(what, fields, problems))
    }
}

fn read_variant(name: &str, variant: &VariantBinding, problems: &mut Vec<String>) -> Variant {
    note(problems, identifier("variant", &variant.name));
    let what = format!("field of `{name}::{}`", variant.name);
    let fields = match (&variant.fields, &variant.field_type) {
        (Some(fields), _) => Fields::Named(named_fields(&what, fields, problems)),
        (None, ColumnType::Void) => Fields::Unit,
        (None, ColumnType::Tuple(types)) => Fields::Tuple(types.clone()),
        (None, one) => Fields::Tuple([one.clone()].into()),
    };
    Variant {
        name: variant.name.clone(),
        fields,
    }
}

/// A sentence per named type that is used and not defined.
fn dangling(schema: &ModuleSchema) -> Vec<String> {
    let mut used = Vec::new();
    let fields = schema
        .tables
        .iter()
        .flat_map(|table| &table.fields)
        .chain(schema.reducers.iter().flat_map(|item| &item.arguments))
        .chain(schema.queries.iter().flat_map(|item| &item.arguments));
    for field in fields {
        names(&field.ty, &mut used);
    }
    for query in &schema.queries {
        names(&query.result, &mut used);
    }
    for definition in schema.types.types.values() {
        match &definition.kind {
            TypeKind::Struct(fields) => fields.types().for_each(|ty| names(ty, &mut used)),
            TypeKind::Enum(variants) => variants
                .iter()
                .flat_map(|variant| variant.fields.types())
                .for_each(|ty| names(ty, &mut used)),
        }
    }
    let missing: BTreeSet<&str> = used
        .into_iter()
        .filter(|name| !schema.types.types.contains_key(*name))
        .collect();
    missing
        .into_iter()
        .map(|name| {
            format!(
                "the type `{}` is used and not in `type_definitions`; fetch the binding again",
                name.escape_debug()
            )
        })
        .collect()
}
