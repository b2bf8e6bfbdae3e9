//! From the pieces that a guest's `describe` exports hand over to a whole schema, checked.
//!
//! The order: counts, the header, types, then tables, functions and dependencies against those.
//! Lists come out sorted, so equal modules have equal schemas.

use std::collections::BTreeSet;

use interstice_abi::{
    ABI_VERSION,
    event::{Event, TableRef},
    failure::{Code, Failure},
    id::{ModuleName, check_identifier, check_name},
    schema::{
        Dependency, Description, ModuleHeader, ModuleSchema, QuerySchema, ReducerSchema,
        TableAccess, TableSchema,
    },
    types::TypeSet,
    walk::Layout,
};

use super::{check, events};

/// How many tables, and how many functions of a kind, a module may have: more than anybody writes,
/// few enough that walking them all costs nothing.
const ITEMS_MAX: usize = 4096;
/// How many named types a module may have.
const TYPES_MAX: usize = 16_384;
/// How many modules a module may be bound to.
const DEPENDENCIES_MAX: usize = 1024;

/// Puts a schema together and checks everything that a lying guest could say.
///
/// # Errors
/// `BadArguments` with the first thing that is wrong.
pub fn assemble(descriptions: Vec<Description>) -> Result<ModuleSchema, Failure> {
    let mut headers = Vec::new();
    let mut parts = Parts::default();
    for description in descriptions {
        match description {
            Description::Module(header) => headers.push(header),
            Description::Table { table, types } => {
                parts.tables.push(table);
                parts.types.merge(types);
            }
            Description::Reducer { reducer, types } => {
                parts.reducers.push(reducer);
                parts.types.merge(types);
            }
            Description::Query { query, types } => {
                parts.queries.push(query);
                parts.types.merge(types);
            }
        }
    }
    let header = match (headers.pop(), headers.is_empty()) {
        (Some(header), true) => header,
        (None, _) => {
            return Err(wrong(
                "the module does not describe itself; write `interstice_module!()` in its lib.rs",
            ));
        }
        (Some(_), false) => return Err(wrong("the module describes itself more than once")),
    };
    let name = ModuleName::new(header.name.clone()).map_err(wrong)?;
    whole(header, name.clone(), parts)
        .map_err(|problem| wrong(format!("module `{name}`: {problem}")))
}

#[derive(Default)]
struct Parts {
    tables: Vec<TableSchema>,
    reducers: Vec<ReducerSchema>,
    queries: Vec<QuerySchema>,
    types: TypeSet,
}

fn wrong(problem: impl Into<String>) -> Failure {
    Failure::new(Code::BadArguments, problem)
}

fn whole(header: ModuleHeader, name: ModuleName, parts: Parts) -> Result<ModuleSchema, String> {
    if header.abi_version != ABI_VERSION {
        return Err(format!(
            "it was built for version {} of the interface, this node speaks {ABI_VERSION}; build it again with a matching interstice-sdk",
            header.abi_version
        ));
    }
    let mut schema = ModuleSchema {
        abi_version: header.abi_version,
        name,
        version: header.version,
        visibility: header.visibility,
        authorities: header.authorities,
        replicated_tables: header.replicated_tables,
        dependencies: header.dependencies,
        tables: parts.tables,
        reducers: parts.reducers,
        queries: parts.queries,
        types: parts.types,
    };
    check_counts(&schema)?;
    sort(&mut schema);
    localise(&mut schema);
    check_types(&schema.types)?;
    let mut layout = Layout::new(&schema.types).map_err(|problem| problem.to_string())?;
    names("table", schema.tables.iter().map(|table| &table.name))?;
    let mut row_types = BTreeSet::new();
    for table in &schema.tables {
        check::table(table, &schema.types, &mut layout)?;
        check::row_type(table, &schema.types)?;
        if !row_types.insert(&table.type_name) {
            return Err(format!(
                "two tables have the row type `{}`; give each its own",
                table.type_name
            ));
        }
    }
    names("reducer", schema.reducers.iter().map(|item| &item.name))?;
    names("query", schema.queries.iter().map(|item| &item.name))?;
    check_dependencies(&schema)?;
    check_replicated(&schema)?;
    for reducer in &schema.reducers {
        check::reducer(reducer, &schema, &mut layout)
            .and_then(|()| events::check(reducer, &schema))
            .map_err(|problem| format!("reducer `{}`: {problem}", reducer.name))?;
    }
    for query in &schema.queries {
        check::query(query, &schema, &mut layout)
            .map_err(|problem| format!("query `{}`: {problem}", query.name))?;
    }
    Ok(schema)
}

fn check_counts(schema: &ModuleSchema) -> Result<(), String> {
    for (what, count, limit) in [
        ("tables", schema.tables.len(), ITEMS_MAX),
        ("reducers", schema.reducers.len(), ITEMS_MAX),
        ("queries", schema.queries.len(), ITEMS_MAX),
        (
            "replicated tables",
            schema.replicated_tables.len(),
            ITEMS_MAX,
        ),
        ("types", schema.types.types.len(), TYPES_MAX),
        ("dependencies", schema.dependencies.len(), DEPENDENCIES_MAX),
    ] {
        if count > limit {
            return Err(format!("it has {count} {what}; the limit is {limit}"));
        }
    }
    Ok(())
}

fn sort(schema: &mut ModuleSchema) {
    schema.authorities.sort_unstable();
    schema.authorities.dedup();
    schema.replicated_tables.sort();
    schema.replicated_tables.dedup();
    schema.tables.sort_by(|a, b| a.name.cmp(&b.name));
    schema.reducers.sort_by(|a, b| a.name.cmp(&b.name));
    schema.queries.sort_by(|a, b| a.name.cmp(&b.name));
    schema
        .dependencies
        .sort_by(|a, b| (&a.node, &a.module).cmp(&(&b.node, &b.module)));
    for dependency in &mut schema.dependencies {
        dependency.tables.sort_by(|a, b| a.name.cmp(&b.name));
        dependency.reducers.sort_by(|a, b| a.name.cmp(&b.name));
        dependency.queries.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// A module's own tables are written without its name from here on.
fn localise(schema: &mut ModuleSchema) {
    let own = schema.name.clone();
    let local = |table: &mut TableRef| {
        if table.node.is_none() && table.module.as_deref() == Some(own.as_str()) {
            table.module = None;
        }
    };
    let locals = |capabilities: &mut Vec<TableAccess>| {
        capabilities
            .iter_mut()
            .for_each(|entry| local(&mut entry.table));
    };
    for reducer in &mut schema.reducers {
        locals(&mut reducer.capabilities);
        for event in &mut reducer.events {
            if let Event::Row { table, .. } = event {
                local(table);
            }
        }
    }
    for query in &mut schema.queries {
        locals(&mut query.capabilities);
    }
}

fn check_types(types: &TypeSet) -> Result<(), String> {
    if let Some(conflict) = types.conflicts.first() {
        return Err(conflict.clone());
    }
    for (name, definition) in &types.types {
        check::type_definition(name, definition)?;
    }
    Ok(())
}

/// Checks the names of a sorted list.
fn names<'a>(what: &str, list: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut before: Option<&String> = None;
    for name in list {
        check_identifier(what, name)?;
        if before == Some(name) {
            return Err(format!(
                "two {what} definitions are called `{name}`; rename one"
            ));
        }
        before = Some(name);
    }
    Ok(())
}

fn check_dependencies(schema: &ModuleSchema) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for dependency in &schema.dependencies {
        if let Some(node) = &dependency.node {
            check_name("node name", node, true)?;
        }
        check_name("module name", &dependency.module, true)?;
        if !seen.insert((&dependency.node, &dependency.module)) {
            return Err(format!(
                "it is bound to module `{}` twice",
                dependency.module
            ));
        }
        check_dependency(dependency)
            .map_err(|problem| format!("binding `{}`: {problem}", dependency.module))?;
    }
    Ok(())
}

fn check_dependency(dependency: &Dependency) -> Result<(), String> {
    for (what, count, limit) in [
        ("tables", dependency.tables.len(), ITEMS_MAX),
        ("reducers", dependency.reducers.len(), ITEMS_MAX),
        ("queries", dependency.queries.len(), ITEMS_MAX),
        ("types", dependency.types.types.len(), TYPES_MAX),
    ] {
        if count > limit {
            return Err(format!("it has {count} {what}; the limit is {limit}"));
        }
    }
    check_types(&dependency.types)?;
    let mut layout = Layout::new(&dependency.types).map_err(|problem| problem.to_string())?;
    names("table", dependency.tables.iter().map(|item| &item.name))?;
    for table in &dependency.tables {
        check::table(table, &dependency.types, &mut layout)?;
    }
    names("reducer", dependency.reducers.iter().map(|item| &item.name))?;
    for reducer in &dependency.reducers {
        check::arguments(&reducer.arguments, &mut layout)?;
    }
    names("query", dependency.queries.iter().map(|item| &item.name))?;
    for query in &dependency.queries {
        check::arguments(&query.arguments, &mut layout)?;
        layout
            .resolve(&query.result)
            .map_err(|problem| problem.to_string())?;
    }
    Ok(())
}

fn check_replicated(schema: &ModuleSchema) -> Result<(), String> {
    for table in &schema.replicated_tables {
        let (Some(node), Some(module)) = (&table.node, &table.module) else {
            return Err(format!(
                "the replicated table `{}` must be written `<node>.<module>.<table>`",
                table.to_string().escape_debug()
            ));
        };
        check_name("node name", node, true)?;
        check_name("module name", module, true)?;
        check_name("table", &table.table, false)?;
    }
    Ok(())
}
