//! From a schema to a binding file.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    BINDINGS_VERSION, FieldBinding, IndexBinding, ModuleBinding, QueryBinding, ReducerBinding,
    TableBinding, TableSelection, TypeBinding, Unused, VariantBinding,
};
use crate::{
    schema::{Access, ModuleSchema, TableAccess, TableSchema},
    types::{ColumnType, Field, Fields, TypeKind, Variant},
};

impl ModuleBinding {
    /// The binding file of a module: its [`ModuleSchema::public_view`].
    #[must_use]
    pub fn of(schema: &ModuleSchema) -> Self {
        let view = schema.public_view();
        Self {
            abi_version: view.abi_version,
            bindings_version: Some(BINDINGS_VERSION),
            name: view.name.to_string(),
            alias: None,
            visibility: view.visibility,
            authorities: Unused,
            subscriptions: Vec::new(),
            module_dependencies: Unused,
            node_dependencies: Unused,
            replicated_tables: Unused,
            version: view.version,
            reducers: view
                .reducers
                .iter()
                .map(|reducer| ReducerBinding {
                    name: reducer.name.clone(),
                    arguments: fields(&reducer.arguments),
                    reads: selections(&reducer.capabilities, Access::READ),
                    inserts: selections(&reducer.capabilities, Access::INSERT),
                    updates: selections(&reducer.capabilities, Access::UPDATE),
                    deletes: selections(&reducer.capabilities, Access::DELETE),
                })
                .collect(),
            queries: view
                .queries
                .iter()
                .map(|query| QueryBinding {
                    name: query.name.clone(),
                    arguments: fields(&query.arguments),
                    return_type: query.result.clone(),
                    reads: selections(&query.capabilities, Access::READ),
                })
                .collect(),
            tables: view.tables.iter().filter_map(table).collect(),
            type_definitions: view
                .types
                .types
                .iter()
                .map(|(name, definition)| (name.clone(), ty(name, &definition.kind)))
                .collect(),
        }
    }
}

fn fields(fields: &[Field]) -> Vec<FieldBinding> {
    fields.iter().map(field).collect()
}

fn field(field: &Field) -> FieldBinding {
    FieldBinding {
        name: field.name.clone(),
        field_type: field.ty.clone(),
    }
}

fn selections(capabilities: &[TableAccess], access: Access) -> Vec<TableSelection> {
    capabilities
        .iter()
        .filter(|capability| capability.access.contains(access))
        .map(|capability| TableSelection::Name(capability.table.to_string()))
        .collect()
}

/// `None` for a schema whose table has no key; the host accepts no such module.
fn table(table: &TableSchema) -> Option<TableBinding> {
    let key = table.fields.get(usize::from(table.primary_key))?;
    Some(TableBinding {
        name: table.name.clone(),
        type_name: table.type_name.clone(),
        visibility: table.visibility,
        primary_key_auto_inc: table.primary_key_auto_inc,
        persistence: table.persistence,
        fields: table
            .fields
            .iter()
            .filter(|column| column.name != key.name)
            .map(field)
            .collect(),
        primary_key: field(key),
        indexes: table
            .indexes
            .iter()
            .filter_map(|index| {
                Some(IndexBinding {
                    field_name: table.fields.get(usize::from(index.field))?.name.clone(),
                    index_type: index.kind,
                    unique: index.unique,
                    auto_inc: index.auto_inc,
                })
            })
            .collect(),
    })
}

fn ty(name: &str, kind: &TypeKind) -> TypeBinding {
    let name = String::from(name);
    match kind {
        TypeKind::Struct(Fields::Unit) => TypeBinding::Struct {
            name,
            fields: Vec::new(),
        },
        TypeKind::Struct(Fields::Named(named)) => TypeBinding::Struct {
            name,
            fields: fields(named),
        },
        TypeKind::Struct(Fields::Tuple(types)) => TypeBinding::Struct {
            name,
            fields: types
                .iter()
                .enumerate()
                .map(|(place, ty)| FieldBinding {
                    name: format!("{place}"),
                    field_type: ty.clone(),
                })
                .collect(),
        },
        TypeKind::Enum(variants) => TypeBinding::Enum {
            name,
            variants: variants.iter().map(variant).collect(),
        },
    }
}

fn variant(variant: &Variant) -> VariantBinding {
    let (field_type, named) = match &variant.fields {
        Fields::Unit => (ColumnType::Void, None),
        Fields::Named(named) => (ColumnType::Void, Some(fields(named))),
        Fields::Tuple(types) => match types.as_slice() {
            [one] if !matches!(one, ColumnType::Tuple(_) | ColumnType::Void) => (one.clone(), None),
            _ => (ColumnType::Tuple(types.clone()), None),
        },
    };
    VariantBinding {
        name: variant.name.clone(),
        field_type,
        fields: named,
    }
}
