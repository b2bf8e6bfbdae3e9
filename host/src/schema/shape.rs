//! Whether two types of two schemas have the same values and the same bytes, or one has grown out
//! of the other.
//!
//! Names of types and where they are defined do not matter; the names of their fields and variants
//! do, where both sides have names. Works on a list instead of recursing, so no type is too deep
//! for it.

use std::collections::BTreeSet;

use interstice_abi::types::{ColumnType, Field, Fields, TypeKind, TypeSet, Variant};

use super::difference::added_value;

/// How far the right type may have moved away from the left one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Not at all.
    Same,
    /// Stored values of the left type are values of the right one: enums may have more variants at
    /// their end.
    Stored,
    /// Values of the left type are handed to a reader of the right one, which may lack the last
    /// fields of structs.
    Seen,
    /// Values of the left type are given to a function that takes the right one: enums may have
    /// more variants at their end, and structs more fields that have a value to fill in.
    Given,
}

impl Rule {
    fn allows_variants(self, left: usize, right: usize) -> bool {
        match self {
            Self::Same | Self::Seen => left == right,
            Self::Stored | Self::Given => left <= right,
        }
    }

    fn allows_fields(self, left: &[Field], right: &[Field]) -> bool {
        match self {
            Self::Same | Self::Stored => left.len() == right.len(),
            Self::Seen => left.len() >= right.len(),
            Self::Given => right
                .get(left.len()..)
                .is_some_and(|added| added.iter().all(|field| added_value(field).is_some())),
        }
    }
}

/// Whether `left`, of the types `left_types`, and `right` have the same shape.
pub(super) fn same(
    left: &ColumnType,
    left_types: &TypeSet,
    right: &ColumnType,
    right_types: &TypeSet,
) -> bool {
    fits(Rule::Same, left, left_types, right, right_types)
}

/// Whether `left`, of the types `left_types`, can stand for `right` under `rule`.
pub(super) fn fits(
    rule: Rule,
    left: &ColumnType,
    left_types: &TypeSet,
    right: &ColumnType,
    right_types: &TypeSet,
) -> bool {
    let mut open = vec![(left, right)];
    let mut seen = BTreeSet::new();
    while let Some((left, right)) = open.pop() {
        let fits = match (left, right) {
            (ColumnType::Named(a), ColumnType::Named(b)) => {
                if !seen.insert((a.as_str(), b.as_str())) {
                    continue;
                }
                let definitions = (left_types.types.get(a), right_types.types.get(b));
                let (Some(a), Some(b)) = definitions else {
                    return false;
                };
                kinds(rule, &a.kind, &b.kind, &mut open)
            }
            (ColumnType::Vec(a), ColumnType::Vec(b))
            | (ColumnType::Option(a), ColumnType::Option(b)) => {
                open.push((a, b));
                true
            }
            (ColumnType::Array(a, n), ColumnType::Array(b, m)) => {
                open.push((a, b));
                n == m
            }
            (ColumnType::Tuple(a), ColumnType::Tuple(b)) => {
                open.extend(a.iter().zip(b));
                a.len() == b.len()
            }
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether two lists of arguments or columns have the same shapes, one by one.
pub(super) fn same_list<'a>(
    left: impl ExactSizeIterator<Item = &'a ColumnType>,
    left_types: &TypeSet,
    right: impl ExactSizeIterator<Item = &'a ColumnType>,
    right_types: &TypeSet,
) -> bool {
    left.len() == right.len()
        && left
            .zip(right)
            .all(|(left, right)| same(left, left_types, right, right_types))
}

/// Whether each type of a list can stand for the one at its place in another list, of the same
/// length.
pub(super) fn list_fits<'a>(
    rule: Rule,
    left: impl ExactSizeIterator<Item = &'a ColumnType>,
    left_types: &TypeSet,
    right: impl ExactSizeIterator<Item = &'a ColumnType>,
    right_types: &TypeSet,
) -> bool {
    left.len() == right.len()
        && left
            .zip(right)
            .all(|(left, right)| fits(rule, left, left_types, right, right_types))
}

/// The types of fields, for [`same_list`].
pub(super) fn types_of(fields: &[Field]) -> impl ExactSizeIterator<Item = &ColumnType> {
    fields.iter().map(|field| &field.ty)
}

type Pairs<'a> = Vec<(&'a ColumnType, &'a ColumnType)>;

fn kinds<'a>(rule: Rule, left: &'a TypeKind, right: &'a TypeKind, open: &mut Pairs<'a>) -> bool {
    match (left, right) {
        (TypeKind::Struct(a), TypeKind::Struct(b)) => matching_fields(rule, a, b, open),
        (TypeKind::Enum(a), TypeKind::Enum(b)) => {
            rule.allows_variants(a.len(), b.len())
                && a.iter().zip(b).all(|(a, b)| variants(rule, a, b, open))
        }
        _ => false,
    }
}

fn variants<'a>(rule: Rule, left: &'a Variant, right: &'a Variant, open: &mut Pairs<'a>) -> bool {
    left.name == right.name && matching_fields(rule, &left.fields, &right.fields, open)
}

fn matching_fields<'a>(
    rule: Rule,
    left: &'a Fields,
    right: &'a Fields,
    open: &mut Pairs<'a>,
) -> bool {
    if let (Fields::Named(a), Fields::Named(b)) = (left, right) {
        let names = a.iter().zip(b).all(|(a, b)| a.name == b.name);
        open.extend(
            a.iter()
                .map(|field| &field.ty)
                .zip(b.iter().map(|field| &field.ty)),
        );
        return names && rule.allows_fields(a, b);
    }
    let (a, b) = (flat(left), flat(right));
    open.extend(a.iter().copied().zip(b.iter().copied()));
    a.len() == b.len()
}

/// The types of fields. Binding files write several fields as one tuple and none as `Void`; the
/// bytes are the same.
pub(super) fn flat(fields: &Fields) -> Vec<&ColumnType> {
    let types: Vec<&ColumnType> = fields.types().collect();
    match types.as_slice() {
        [ColumnType::Tuple(items)] => items.iter().collect(),
        [ColumnType::Void] => Vec::new(),
        _ => types,
    }
}
