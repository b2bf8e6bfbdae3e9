//! The order of bytes is the order of values; there and back gives the same bytes; damage is an
//! error.

use alloc::{string::String, vec, vec::Vec};
use std::borrow::ToOwned;

use proptest::prelude::*;

use super::*;
use crate::{
    codec::Column,
    types::{TypeDefinition, Variant},
};

fn key_type<T: Column>() -> KeyType {
    let mut types = TypeSet::default();
    let ty = T::column_type(&mut types);
    KeyType::new(&ty, &types).expect("a key type")
}

fn ordered<T: Column>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    key_type::<T>()
        .order(&value.to_bytes(), &mut out)
        .expect("orders");
    out
}

fn check<T: Column + Ord>(a: &T, b: &T) -> Result<(), TestCaseError> {
    let key = key_type::<T>();
    let (left, right) = (ordered(a), ordered(b));
    prop_assert_eq!(a.cmp(b), left.cmp(&right));
    prop_assert!(!left.is_empty());
    prop_assert!(a == b || !right.starts_with(&left), "not prefix-free");
    let mut back = Vec::new();
    key.encode(&left, &mut back).expect("goes back");
    prop_assert_eq!(back, a.to_bytes());
    let mut followed = left.clone();
    followed.extend_from_slice(&right);
    prop_assert_eq!(key.length(&followed), Ok(left.len()));
    Ok(())
}

type Wide = (u8, i8, u16, i16, u32, i32, u64, i64, u128, i128);
type Deep = (String, Option<(Vec<u8>, bool)>, Option<Option<i64>>);

proptest! {
    #[test]
    fn integers_keep_their_order(a: Wide, b: Wide) {
        check(&a, &b)?;
        check(&a.3, &b.3)?;
        check(&a.7, &b.7)?;
        check(&a.9, &b.9)?;
    }

    #[test]
    fn texts_tuples_and_options_keep_their_order(a: Deep, b: Deep) {
        check(&a, &b)?;
        check(&a.0, &b.0)?;
    }

    #[test]
    fn short_bytes_with_zeros_keep_their_order(
        a in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..6),
        b in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..6),
        c: u8,
    ) {
        check(&a, &b)?;
        check(&(a.clone(), c), &(b.clone(), c))?;
        check(&(Some(a), c), &(Some(b), c))?;
    }

    #[test]
    fn any_bytes_are_an_error_or_a_key(bytes: Vec<u8>) {
        let key = key_type::<Deep>();
        let _ = key.show(&bytes);
        let _ = key.length(&bytes);
        let mut value = Vec::new();
        if key.encode(&bytes, &mut value).is_ok() {
            let mut again = Vec::new();
            key.order(&value, &mut again).expect("orders");
            prop_assert_eq!(again, bytes.clone());
        }
        let mut out = Vec::new();
        let canonical = Deep::from_bytes(&bytes).is_ok();
        prop_assert_eq!(key.order(&bytes, &mut out).is_ok(), canonical);
        let mut out = Vec::new();
        let canonical = Wide::from_bytes(&bytes).is_ok();
        prop_assert_eq!(key_type::<Wide>().order(&bytes, &mut out).is_ok(), canonical);
    }
}

fn shades(fields: Fields) -> TypeSet {
    let mut types = TypeSet::default();
    let variants = ["Dark", "Light"]
        .map(|name| Variant {
            name: name.to_owned(),
            fields: fields.clone(),
        })
        .to_vec();
    types.types.insert(
        "Shade".to_owned(),
        TypeDefinition {
            path: "crate".to_owned(),
            kind: TypeKind::Enum(variants),
        },
    );
    types
}

#[test]
fn unit_enums_are_keys_by_the_order_of_their_variants() {
    let ty = ColumnType::Named("Shade".to_owned());
    let types = shades(Fields::Unit);
    let key = KeyType::new(&ty, &types).expect("a key type");
    let mut light = Vec::new();
    key.order(&[1], &mut light).expect("orders");
    assert_eq!(light, [0, 0, 0, 1]);
    assert_eq!(key.show(&light), "Light");
    assert!(key.order(&[2], &mut Vec::new()).is_err());
    assert!(key.encode(&[0, 0, 0, 2], &mut Vec::new()).is_err());
    assert!(!is_key_type(
        &ty,
        &shades(Fields::Tuple(vec![ColumnType::U8]))
    ));
    assert!(!is_key_type(&ColumnType::Named("Gone".to_owned()), &types));
}

#[test]
fn what_is_no_key_is_refused() {
    let types = TypeSet::default();
    for ty in [
        ColumnType::F32,
        ColumnType::F64,
        ColumnType::Void,
        ColumnType::Tuple(Vec::new()),
        ColumnType::Tuple(vec![ColumnType::U8, ColumnType::F64]),
        ColumnType::Vec(Box::new(ColumnType::U16)),
        ColumnType::Option(Box::new(ColumnType::F32)),
        ColumnType::Array(Box::new(ColumnType::U8), 4),
    ] {
        assert!(!is_key_type(&ty, &types), "{ty}");
    }
    let mut deep = ColumnType::U8;
    for _ in 0..1000 {
        deep = ColumnType::Option(Box::new(deep));
    }
    assert!(!is_key_type(&deep, &types));
}

#[test]
fn keys_are_shown_as_a_person_would_write_them() {
    fn check<T: Column>(value: &T, shown: &str) {
        assert_eq!(key_type::<T>().show(&ordered(value)), shown);
    }
    check(&7_u64, "7");
    check(&-7_i32, "-7");
    check(&i128::MIN, "-170141183460469231731687303715884105728");
    check(&true, "true");
    check(&"a@\"b".to_owned(), "\"a@\\\"b\"");
    check(&vec![0_u8, 255], "0x00ff");
    check(&(1_u8, None::<u8>, Some(2_u8)), "(1, None, Some(2))");
    check(&(1_u8,), "(1,)");
    let long = key_type::<String>().show(&ordered(&"x".repeat(1000)));
    assert!(long.len() < 100 && long.ends_with('…'), "{long}");
    assert_eq!(key_type::<u64>().show(&[1, 2]), "0x0102");
}
