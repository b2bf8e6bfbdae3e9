//! The checks of single tables, functions and types. Errors are sentences; the caller says of
//! which item.

use std::collections::BTreeSet;

use interstice_abi::{
    id::check_identifier,
    key::is_key_type,
    schema::{Access, ModuleSchema, QuerySchema, ReducerSchema, TableAccess, TableSchema},
    types::{ColumnType, Field, Fields, TypeDefinition, TypeKind, TypeSet},
    walk::Layout,
};

/// How many columns, arguments, fields or variants one thing may have: more than anybody writes,
/// and what generated code stays below.
const FIELDS_MAX: usize = 1024;

/// All bits that an access can have.
const ACCESS_ALL: u8 = 0b1111;

/// Checks a table's columns, key and indexes.
pub(super) fn table(
    table: &TableSchema,
    types: &TypeSet,
    layout: &mut Layout,
) -> Result<(), String> {
    let name = &table.name;
    let fail = |problem: String| Err(format!("table `{name}`: {problem}"));
    if name.contains(|c: char| c.is_ascii_uppercase()) {
        return fail("its name must be in lower case".into());
    }
    check_identifier("type", &table.type_name)?;
    if let Err(problem) = columns(&table.fields, layout) {
        return fail(problem);
    }
    let Some(key) = table.fields.get(usize::from(table.primary_key)) else {
        return fail(format!(
            "its primary key is column {}, which is not there",
            table.primary_key
        ));
    };
    if let Err(problem) = key_column(key, table.primary_key_auto_inc, types) {
        return fail(problem);
    }
    let mut indexed = BTreeSet::new();
    for index in &table.indexes {
        let Some(field) = table.fields.get(usize::from(index.field)) else {
            return fail(format!(
                "an index is on column {}, which is not there",
                index.field
            ));
        };
        if !indexed.insert(index.field) {
            return fail(format!("there are two indexes on `{}`", field.name));
        }
        if let Err(problem) = key_column(field, index.auto_inc, types) {
            return fail(problem);
        }
    }
    Ok(())
}

fn key_column(field: &Field, auto_inc: bool, types: &TypeSet) -> Result<(), String> {
    let Field { name, ty, .. } = field;
    if !is_key_type(ty, types) {
        return Err(format!(
            "`{name}` is {ty}, which cannot be a key; keys are integers, bool, String, Vec<u8>, tuples and options of those, and unit enums"
        ));
    }
    let counts = matches!(
        ty,
        ColumnType::U8
            | ColumnType::U16
            | ColumnType::U32
            | ColumnType::U64
            | ColumnType::I32
            | ColumnType::I64
    );
    if auto_inc && !counts {
        return Err(format!(
            "`{name}` is {ty}; auto_inc needs u8, u16, u32, u64, i32 or i64"
        ));
    }
    Ok(())
}

/// Checks that the row type is defined and has the table's columns.
pub(super) fn row_type(table: &TableSchema, types: &TypeSet) -> Result<(), String> {
    let definition = types.types.get(&table.type_name);
    let Some(TypeKind::Struct(Fields::Named(fields))) = definition.map(|known| &known.kind) else {
        return Err(format!(
            "table `{}`: its row type `{}` is not defined as a struct with named fields",
            table.name, table.type_name
        ));
    };
    let same = fields.len() == table.fields.len()
        && fields
            .iter()
            .zip(&table.fields)
            .all(|(a, b)| a.name == b.name && a.ty == b.ty);
    if same {
        Ok(())
    } else {
        Err(format!(
            "table `{}`: its columns are not the fields of its row type `{}`",
            table.name, table.type_name
        ))
    }
}

fn columns(fields: &[Field], layout: &mut Layout) -> Result<(), String> {
    bounded("columns", fields.len())?;
    let mut names = BTreeSet::new();
    for field in fields {
        check_identifier("column", &field.name)?;
        if !names.insert(&field.name) {
            return Err(format!("two columns are called `{}`", field.name));
        }
        let node = layout
            .resolve(&field.ty)
            .map_err(|problem| format!("column `{}`: {problem}", field.name))?;
        if let Some(default) = &field.default {
            layout.check(&[node], default).map_err(|damaged| {
                format!(
                    "the default of column `{}` is no {}: {damaged}",
                    field.name, field.ty
                )
            })?;
        }
    }
    Ok(())
}

/// Checks names and types of arguments. Only `_` may stand more than once: the function ignores
/// those.
pub(super) fn arguments(fields: &[Field], layout: &mut Layout) -> Result<(), String> {
    bounded("arguments", fields.len())?;
    let mut names = BTreeSet::new();
    for field in fields {
        if field.name != "_" {
            check_identifier("argument", &field.name)?;
            if !names.insert(&field.name) {
                return Err(format!("two arguments are called `{}`", field.name));
            }
        }
        layout
            .resolve(&field.ty)
            .map_err(|problem| format!("argument `{}`: {problem}", field.name))?;
    }
    Ok(())
}

/// Checks a reducer's arguments and capabilities.
pub(super) fn reducer(
    reducer: &ReducerSchema,
    schema: &ModuleSchema,
    layout: &mut Layout,
) -> Result<(), String> {
    arguments(&reducer.arguments, layout)?;
    capabilities(&reducer.capabilities, schema, Access(ACCESS_ALL))
}

/// Checks a query's arguments, result and capabilities.
pub(super) fn query(
    query: &QuerySchema,
    schema: &ModuleSchema,
    layout: &mut Layout,
) -> Result<(), String> {
    arguments(&query.arguments, layout)?;
    layout
        .resolve(&query.result)
        .map_err(|problem| format!("its result: {problem}"))?;
    capabilities(&query.capabilities, schema, Access::READ)
}

fn capabilities(
    entries: &[TableAccess],
    schema: &ModuleSchema,
    allowed: Access,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let TableAccess { table, access } = entry;
        let shown = table.to_string();
        let shown = shown.escape_debug();
        if !seen.insert(table) {
            return Err(format!("it declares capabilities on `{shown}` twice"));
        }
        if access.0 == 0 || access.0 > ACCESS_ALL {
            return Err(format!("its capability on `{shown}` is none that exists"));
        }
        let allowed = match &table.module {
            None if table.node.is_none() && schema.table(&table.table).is_some() => allowed,
            Some(module)
                if dependency(schema, table.node.as_deref(), module).is_some_and(
                    |dependency| {
                        dependency
                            .tables
                            .iter()
                            .any(|known| known.name == table.table)
                    },
                ) =>
            {
                Access::READ
            }
            _ => {
                return Err(format!(
                    "it declares a capability on `{shown}`, which is no table of this module or its bindings"
                ));
            }
        };
        if !allowed.contains(*access) {
            return Err(format!(
                "it may {access} `{shown}`; only {allowed} is possible there"
            ));
        }
    }
    Ok(())
}

/// The binding to `module` on `node`.
pub(super) fn dependency<'a>(
    schema: &'a ModuleSchema,
    node: Option<&str>,
    module: &str,
) -> Option<&'a interstice_abi::schema::Dependency> {
    schema
        .dependencies
        .iter()
        .find(|known| known.node.as_deref() == node && known.module == module)
}

/// Checks the names in a type's definition; what its fields are is for the layout.
pub(super) fn type_definition(name: &str, definition: &TypeDefinition) -> Result<(), String> {
    check_identifier("type", name)?;
    match &definition.kind {
        TypeKind::Struct(fields) => type_fields(name, fields),
        TypeKind::Enum(variants) => {
            bounded("variants", variants.len())?;
            if variants.is_empty() {
                return Err(format!(
                    "type `{name}` has no variants, so it has no values"
                ));
            }
            let mut names = BTreeSet::new();
            for variant in variants {
                check_identifier("variant", &variant.name)?;
                if !names.insert(&variant.name) {
                    return Err(format!("type `{name}` has two variants `{}`", variant.name));
                }
                type_fields(name, &variant.fields)?;
            }
            Ok(())
        }
    }
}

fn type_fields(name: &str, fields: &Fields) -> Result<(), String> {
    match fields {
        Fields::Unit => Ok(()),
        Fields::Tuple(types) => bounded("fields", types.len()),
        Fields::Named(fields) => {
            bounded("fields", fields.len())?;
            let mut names = BTreeSet::new();
            for field in fields {
                check_identifier("field", &field.name)?;
                if !names.insert(&field.name) {
                    return Err(format!("type `{name}` has two fields `{}`", field.name));
                }
            }
            Ok(())
        }
    }
}

fn bounded(what: &str, count: usize) -> Result<(), String> {
    if count > FIELDS_MAX {
        return Err(format!(
            "there are {count} {what}; the limit is {FIELDS_MAX}"
        ));
    }
    Ok(())
}
