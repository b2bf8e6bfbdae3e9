//! What of a schema others may see: public tables, callable reducers, queries, and the types that
//! those reach.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use crate::{
    schema::{ModuleSchema, ReducerSchema, TableAccess, Visibility},
    types::{ColumnType, Field, TypeKind, TypeSet},
};

impl ModuleSchema {
    /// The schema without what only the module itself is concerned with: private tables, reducers
    /// that cannot be called, authorities, dependencies, column defaults, capabilities on other
    /// than its public tables, and every type that nothing left uses.
    #[must_use]
    pub fn public_view(&self) -> Self {
        let mut view = self.clone();
        view.authorities.clear();
        view.replicated_tables.clear();
        view.dependencies.clear();
        view.tables
            .retain(|table| table.visibility == Visibility::Public);
        for table in &mut view.tables {
            forget_defaults(&mut table.fields);
        }
        view.reducers.retain(ReducerSchema::is_callable);
        let public: BTreeSet<&str> = view
            .tables
            .iter()
            .map(|table| table.name.as_str())
            .collect();
        let keep = |capabilities: &mut Vec<TableAccess>| {
            capabilities.retain(|capability| {
                capability.table.node.is_none()
                    && capability.table.module.is_none()
                    && public.contains(capability.table.table.as_str())
            });
        };
        for reducer in &mut view.reducers {
            keep(&mut reducer.capabilities);
        }
        for query in &mut view.queries {
            keep(&mut query.capabilities);
        }
        view.types = reached(&view);
        view
    }
}

fn forget_defaults(fields: &mut [Field]) {
    for field in fields {
        field.default = None;
    }
}

/// The types of `schema` that its tables, reducers and queries use, directly or not.
fn reached(schema: &ModuleSchema) -> TypeSet {
    let mut pending: Vec<&str> = Vec::new();
    for table in &schema.tables {
        pending.push(&table.type_name);
        table
            .fields
            .iter()
            .for_each(|field| names(&field.ty, &mut pending));
    }
    let reducers = schema.reducers.iter().flat_map(|item| &item.arguments);
    let queries = schema.queries.iter().flat_map(|item| &item.arguments);
    for field in reducers.chain(queries) {
        names(&field.ty, &mut pending);
    }
    for query in &schema.queries {
        names(&query.result, &mut pending);
    }
    let mut set = TypeSet::default();
    while let Some(name) = pending.pop() {
        if set.types.contains_key(name) {
            continue;
        }
        let Some(definition) = schema.types.types.get(name) else {
            continue;
        };
        let mut definition = definition.clone();
        if let TypeKind::Struct(crate::types::Fields::Named(fields)) = &mut definition.kind {
            forget_defaults(fields);
        }
        set.types.insert(String::from(name), definition);
        if let Some(definition) = schema.types.types.get(name) {
            of_definition(&definition.kind, &mut pending);
        }
    }
    set
}

fn of_definition<'a>(kind: &'a TypeKind, pending: &mut Vec<&'a str>) {
    match kind {
        TypeKind::Struct(fields) => fields.types().for_each(|ty| names(ty, pending)),
        TypeKind::Enum(variants) => variants
            .iter()
            .flat_map(|variant| variant.fields.types())
            .for_each(|ty| names(ty, pending)),
    }
}

/// Adds the named types in `ty`.
pub(super) fn names<'a>(ty: &'a ColumnType, into: &mut Vec<&'a str>) {
    match ty {
        ColumnType::Named(name) => into.push(name),
        ColumnType::Vec(inner) | ColumnType::Option(inner) | ColumnType::Array(inner, _) => {
            names(inner, into);
        }
        ColumnType::Tuple(items) => items.iter().for_each(|item| names(item, into)),
        _ => {}
    }
}
