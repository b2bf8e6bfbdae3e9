//! Equal structure gives equal fingerprints, everything that changes an encoding or a meaning
//! gives another one.

use alloc::{boxed::Box, string::ToString, vec, vec::Vec};

use super::*;
use crate::schema::{Persistence, Visibility};

fn reducer(arguments: &[(&str, ColumnType)]) -> ReducerSchema {
    ReducerSchema {
        name: "pay".to_string(),
        arguments: fields(arguments),
        events: Vec::new(),
        capabilities: Vec::new(),
    }
}

fn fields(named: &[(&str, ColumnType)]) -> Vec<Field> {
    let field = |(name, ty): &(&str, ColumnType)| Field::new(*name, ty.clone());
    named.iter().map(field).collect()
}

fn table(columns: &[(&str, ColumnType)]) -> TableSchema {
    TableSchema {
        name: "rows".to_string(),
        type_name: "Rows".to_string(),
        fields: fields(columns),
        primary_key: 0,
        primary_key_auto_inc: false,
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence: Persistence::Logged,
    }
}

fn named(name: &str) -> ColumnType {
    ColumnType::Named(name.to_string())
}

fn of(arguments: &[(&str, ColumnType)], types: &TypeSet) -> Fingerprint {
    Fingerprint::of_reducer(&reducer(arguments), types)
}

#[test]
fn order_names_and_types_of_arguments_count() {
    let types = TypeSet::default();
    let (int, nat) = (ColumnType::I64, ColumnType::U64);
    let all = [
        of(&[], &types),
        of(&[("from", nat.clone()), ("to", nat.clone())], &types),
        of(&[("to", nat.clone()), ("from", nat.clone())], &types),
        of(&[("from", nat.clone()), ("to", int)], &types),
        of(&[("from", nat.clone())], &types),
        of(
            &[("from", ColumnType::Option(Box::new(nat.clone())))],
            &types,
        ),
        of(&[("from", ColumnType::Vec(Box::new(nat.clone())))], &types),
        of(
            &[("from", ColumnType::Array(Box::new(nat.clone()), 2))],
            &types,
        ),
        of(
            &[("from", ColumnType::Array(Box::new(nat.clone()), 3))],
            &types,
        ),
        of(
            &[("from", ColumnType::Tuple(vec![nat.clone(), nat]))],
            &types,
        ),
    ];
    for (place, one) in all.iter().enumerate() {
        let rest = all.get(place + 1..).unwrap_or_default();
        assert!(
            !rest.contains(one),
            "{place} has the fingerprint of another"
        );
    }
}

#[test]
fn the_fingerprint_on_the_wire_stays_the_same() {
    let types = TypeSet::default();
    let pay = [("from", ColumnType::U64), ("amount", ColumnType::I64)];
    assert_eq!(of(&pay, &types).to_string(), "b9b02ca70333c431");
}

#[test]
fn a_named_type_counts_by_its_structure() {
    let point = |name: &str, first: &str| {
        let mut types = TypeSet::default();
        types.define(name, "a::path", |_| {
            let columns = [(first, ColumnType::F64), ("y", ColumnType::F64)];
            TypeKind::Struct(Fields::Named(fields(&columns)))
        });
        of(&[("at", named(name))], &types)
    };
    assert_eq!(point("Point", "x"), point("Place", "x"));
    assert_ne!(point("Point", "x"), point("Point", "z"));
    let choice = |variants: &[&str]| {
        let mut types = TypeSet::default();
        let variant = |name: &&str| Variant {
            name: (*name).to_string(),
            fields: Fields::Unit,
        };
        types.define("Choice", "a::path", |_| {
            TypeKind::Enum(variants.iter().map(variant).collect())
        });
        of(&[("choice", named("Choice"))], &types)
    };
    assert_ne!(choice(&["Yes", "No"]), choice(&["No", "Yes"]));
    assert_ne!(choice(&["Yes"]), choice(&["Yes", "No"]));
}

#[test]
fn types_that_contain_themselves_or_nest_deeply_have_one() {
    let mut types = TypeSet::default();
    types.define("List", "a::List", |_| {
        let rest = ColumnType::Option(Box::new(named("List")));
        TypeKind::Struct(Fields::Named(fields(&[("rest", rest)])))
    });
    let list = of(&[("list", named("List"))], &types);
    assert_ne!(list, of(&[("list", named("Missing"))], &types));
    // Each of them contains the next one twice: written out, that is more than any machine can do.
    let mut types = TypeSet::default();
    for number in 0..20_000_u32 {
        let next = named(&(number + 1).to_string());
        types.define(&number.to_string(), "a::path", |_| {
            TypeKind::Struct(Fields::Tuple(vec![next.clone(), next]))
        });
    }
    let deep = of(&[("deep", named("0"))], &types);
    assert_ne!(deep, of(&[("deep", named("1"))], &types));
}

#[test]
fn a_row_type_has_the_fingerprints_of_its_first_columns() {
    let types = TypeSet::default();
    let two = [("id", ColumnType::U64), ("text", ColumnType::String)];
    let three = [two[0].clone(), two[1].clone(), ("at", ColumnType::I64)];
    let prefixes = Fingerprint::of_row_prefixes(&table(&three), &types);
    assert_eq!(prefixes.len(), 3);
    assert_eq!(prefixes[1], Fingerprint::of_row(&table(&two), &types));
    assert_eq!(prefixes[2], Fingerprint::of_row(&table(&three), &types));
    let mut renamed = two;
    renamed[0].0 = "key";
    assert!(!prefixes.contains(&Fingerprint::of_row(&table(&renamed), &types)));
}

#[test]
fn a_query_counts_with_its_result() {
    let query = |result| QuerySchema {
        name: "total".to_string(),
        arguments: Vec::new(),
        result,
        capabilities: Vec::new(),
    };
    let of = |result| Fingerprint::of_query(&query(result), &TypeSet::default());
    assert_ne!(of(ColumnType::I64), of(ColumnType::U64));
}
