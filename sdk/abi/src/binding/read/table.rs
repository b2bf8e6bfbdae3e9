//! Tables and capabilities of a binding file.

use alloc::{format, string::String, vec::Vec};

use super::named_fields;
use crate::{
    binding::{FieldBinding, Selection, TableBinding, TableSelection},
    event::TableRef,
    schema::{Access, IndexSchema, TableAccess, TableSchema},
    types::{Fields, TypeKind, TypeSet},
};

/// The table with its columns in the order of the row's type, which alone knows the key's place.
pub(super) fn read_table(
    table: &TableBinding,
    types: &TypeSet,
    problems: &mut Vec<String>,
) -> TableSchema {
    let mut listed: Vec<FieldBinding> = [table.primary_key.clone()].into();
    listed.extend(table.fields.iter().cloned());
    let what = format!("column of `{}`", table.name);
    let listed = named_fields(&what, &listed, problems);
    let fields = match types.types.get(&table.type_name).map(|row| &row.kind) {
        None => listed,
        Some(TypeKind::Struct(Fields::Named(row)))
            if row.len() == listed.len() && row.iter().all(|field| listed.contains(field)) =>
        {
            row.clone()
        }
        Some(_) => {
            problems.push(format!(
                "the columns of `{}` are not the fields of its row type `{}`; fetch the binding again",
                table.name, table.type_name
            ));
            listed
        }
    };
    let place = |name: &str| {
        fields
            .iter()
            .position(|field| field.name == name)
            .and_then(|place| u16::try_from(place).ok())
    };
    let mut indexes: Vec<IndexSchema> = Vec::new();
    for index in &table.indexes {
        match place(&index.field_name) {
            Some(field) if indexes.iter().all(|known| known.field != field) => {
                indexes.push(IndexSchema {
                    field,
                    kind: index.index_type,
                    unique: index.unique,
                    auto_inc: index.auto_inc,
                });
            }
            Some(_) => problems.push(format!(
                "`{}` has two indexes on `{}`; remove one",
                table.name, index.field_name
            )),
            None => problems.push(format!(
                "`{}` has an index on `{}`, which is not one of its columns",
                table.name,
                index.field_name.escape_debug()
            )),
        }
    }
    indexes.sort_by_key(|index| index.field);
    TableSchema {
        name: table.name.clone(),
        type_name: table.type_name.clone(),
        primary_key: place(&table.primary_key.name).unwrap_or(0),
        primary_key_auto_inc: table.primary_key_auto_inc,
        visibility: table.visibility,
        persistence: table.persistence,
        indexes,
        fields,
    }
}

pub(super) fn capabilities(lists: &[(&Vec<TableSelection>, Access)]) -> Vec<TableAccess> {
    let mut all: Vec<TableAccess> = Vec::new();
    for (selections, access) in lists {
        for table in selections.iter().filter_map(table_ref) {
            match all.iter_mut().find(|known| known.table == table) {
                Some(known) => known.access = known.access.with(*access),
                None => all.push(TableAccess {
                    table,
                    access: *access,
                }),
            }
        }
    }
    all.sort_by(|a, b| a.table.cmp(&b.table));
    all
}

/// `None` for what names no table: capabilities in a binding inform, nothing rests on them.
fn table_ref(selection: &TableSelection) -> Option<TableRef> {
    let other = |selection: &Selection| match selection {
        Selection::Current(_) => None,
        Selection::Other(names) => names.values().next().cloned(),
    };
    match selection {
        TableSelection::Parts {
            node_selection,
            module_selection,
            table_name,
        } => Some(TableRef {
            node: other(node_selection),
            module: other(module_selection),
            table: table_name.clone(),
        }),
        TableSelection::Name(name) => {
            let mut parts = name.rsplit('.').map(String::from);
            let table = TableRef {
                table: parts.next()?,
                module: parts.next(),
                node: parts.next(),
            };
            parts.next().is_none().then_some(table)
        }
    }
}
