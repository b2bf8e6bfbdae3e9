//! The name of a table's tree in the store: the table's name and a fingerprint of what its rows
//! look like.
//!
//! A redeploy that changes a table's columns moves its rows into another tree, and the old tree
//! stays until the checkpoint after that one. So a checkpoint that a crash cuts in half never
//! mixes rows of two shapes, and recovery from before the redeploy finds the old rows whole.

use interstice_abi::{
    schema::{Persistence, TableSchema},
    types::{ColumnType, TypeKind, TypeSet},
};
use std::collections::BTreeMap;

/// How many bytes of the hash stand in a tree's name: enough to tell a module's versions of one
/// table apart.
const FINGERPRINT_BYTES: usize = 8;

/// The name of the tree of `table`.
pub(super) fn name(table: &TableSchema, types: &TypeSet) -> String {
    let mut reached = BTreeMap::new();
    for field in &table.fields {
        reach(&field.ty, types, &mut reached);
    }
    let columns: Vec<(&str, &ColumnType)> = table
        .fields
        .iter()
        .map(|field| (field.name.as_str(), &field.ty))
        .collect();
    let stateful = table.persistence == Persistence::Stateful;
    let shape = (columns, table.primary_key, stateful, reached);
    // Writing to a Vec fails only for types that cannot say their length; these can.
    let bytes = postcard::to_allocvec(&shape).unwrap_or_default();
    let hash = blake3::hash(&bytes);
    let mut name = format!("{}.", table.name);
    for byte in hash.as_bytes().iter().take(FINGERPRINT_BYTES) {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// Collects the definitions that `ty` leads to. Works on a list, because types may be nested as
/// they like here.
fn reach<'a>(
    ty: &'a ColumnType,
    types: &'a TypeSet,
    reached: &mut BTreeMap<&'a str, &'a TypeKind>,
) {
    let mut open = vec![ty];
    while let Some(ty) = open.pop() {
        match ty {
            ColumnType::Vec(inner) | ColumnType::Option(inner) | ColumnType::Array(inner, _) => {
                open.push(inner);
            }
            ColumnType::Tuple(items) => open.extend(items),
            ColumnType::Named(name) => {
                let Some(definition) = types.types.get(name) else {
                    continue;
                };
                if reached.insert(name, &definition.kind).is_some() {
                    continue;
                }
                match &definition.kind {
                    TypeKind::Struct(fields) => open.extend(fields.types()),
                    TypeKind::Enum(variants) => {
                        open.extend(variants.iter().flat_map(|variant| variant.fields.types()));
                    }
                }
            }
            _ => {}
        }
    }
}
