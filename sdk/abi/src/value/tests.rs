//! Round trips of random values of random types, agreement with the typed codec, and hostile input.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use proptest::prelude::*;

use super::{DEPTH_MAX, FieldValues, Value, decode, encode};
use crate::{
    codec::{Column, Damaged, Input},
    types::{ColumnType, Field, Fields, TypeKind, TypeSet, Variant},
};

fn types() -> TypeSet {
    let mut types = TypeSet::default();
    types.define("Point", "crate::Point", |_| {
        TypeKind::Struct(Fields::Named(vec![
            Field::new("x", ColumnType::I64),
            Field::new("y", ColumnType::F64),
        ]))
    });
    types.define("Pair", "crate::Pair", |_| {
        TypeKind::Struct(Fields::Tuple(vec![ColumnType::U8, ColumnType::String]))
    });
    types.define("Nothing", "crate::Nothing", |_| {
        TypeKind::Struct(Fields::Unit)
    });
    types.define("Shape", "crate::Shape", |_| {
        TypeKind::Enum(vec![
            variant("Empty", Fields::Unit),
            variant("Round", Fields::Tuple(vec![ColumnType::U128])),
            variant(
                "Angular",
                Fields::Named(vec![Field::new("corners", list_of(named("Point")))]),
            ),
        ])
    });
    types.define("Tree", "crate::Tree", |_| {
        TypeKind::Struct(Fields::Tuple(vec![list_of(named("Tree"))]))
    });
    types.define("Twins", "crate::Twins", |_| {
        TypeKind::Struct(Fields::Tuple(vec![named("Twins"), named("Twins")]))
    });
    types
}

fn variant(name: &str, fields: Fields) -> Variant {
    Variant {
        name: name.to_string(),
        fields,
    }
}

fn named(name: &str) -> ColumnType {
    ColumnType::Named(name.to_string())
}

fn list_of(item: ColumnType) -> ColumnType {
    ColumnType::Vec(Box::new(item))
}

fn leaf() -> impl Strategy<Value = (ColumnType, Value)> {
    prop_oneof![
        any::<bool>().prop_map(|v| (ColumnType::Bool, Value::Bool(v))),
        any::<u8>().prop_map(|v| (ColumnType::U8, Value::Unsigned(v.into()))),
        any::<u16>().prop_map(|v| (ColumnType::U16, Value::Unsigned(v.into()))),
        any::<u64>().prop_map(|v| (ColumnType::U64, Value::Unsigned(v.into()))),
        any::<u128>().prop_map(|v| (ColumnType::U128, Value::Unsigned(v))),
        any::<i8>().prop_map(|v| (ColumnType::I8, Value::Signed(v.into()))),
        any::<i32>().prop_map(|v| (ColumnType::I32, Value::Signed(v.into()))),
        any::<i128>().prop_map(|v| (ColumnType::I128, Value::Signed(v))),
        (-1e30f32..1e30).prop_map(|v| (ColumnType::F32, Value::F32(v))),
        (-1e300f64..1e300).prop_map(|v| (ColumnType::F64, Value::F64(v))),
        ".*".prop_map(|v| (ColumnType::String, Value::String(v))),
        any::<Vec<u8>>().prop_map(|v| (list_of(ColumnType::U8), Value::Bytes(v))),
        any::<[u8; 3]>().prop_map(|v| (
            ColumnType::Array(Box::new(ColumnType::U8), 3),
            Value::Bytes(v.to_vec())
        )),
        Just((named("Nothing"), Value::Struct(FieldValues::Unit))),
        (any::<i64>(), -9.0..9.0).prop_map(|(x, y)| (named("Point"), point(x, y))),
        any::<u128>().prop_map(|v| (
            named("Shape"),
            Value::Enum(
                "Round".to_string(),
                FieldValues::Tuple(vec![Value::Unsigned(v)])
            )
        )),
        proptest::collection::vec(any::<i64>(), 0..4).prop_map(|v| (
            named("Shape"),
            Value::Enum(
                "Angular".to_string(),
                FieldValues::Named(vec![(
                    "corners".to_string(),
                    Value::List(v.into_iter().map(|x| point(x, 0.5)).collect())
                )])
            )
        )),
    ]
}

fn point(x: i64, y: f64) -> Value {
    Value::Struct(FieldValues::Named(vec![
        ("x".to_string(), Value::Signed(x.into())),
        ("y".to_string(), Value::F64(y)),
    ]))
}

fn any_value() -> impl Strategy<Value = (ColumnType, Value)> {
    leaf().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(ty, value)| (
                ColumnType::Option(Box::new(ty)),
                Value::Option(Some(Box::new(value)))
            )),
            inner
                .clone()
                .prop_map(|(ty, _)| (ColumnType::Option(Box::new(ty)), Value::Option(None))),
            inner
                .clone()
                .prop_filter("bytes are not a list", |(ty, _)| *ty != ColumnType::U8)
                .prop_map(|(ty, value)| (list_of(ty), Value::List(vec![value.clone(), value]))),
            proptest::collection::vec(inner, 1..4).prop_map(|items| {
                let (types, values) = items.into_iter().unzip();
                (ColumnType::Tuple(types), Value::Tuple(values))
            }),
        ]
    })
}

fn decode_all(ty: &ColumnType, bytes: &[u8]) -> Result<Value, Damaged> {
    let mut input = Input::new(bytes);
    let value = decode(ty, &types(), &mut input)?;
    input.finish()?;
    Ok(value)
}

fn encoded(value: &Value, ty: &ColumnType) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    encode(value, ty, &types(), &mut out)?;
    Ok(out)
}

proptest! {
    #[test]
    fn values_survive_the_round_trip((ty, value) in any_value()) {
        let bytes = encoded(&value, &ty).expect("fits its type");
        prop_assert_eq!(decode_all(&ty, &bytes).expect("decodes"), value);
    }

    #[test]
    fn bytes_are_those_of_the_typed_codec(a: (u64, i16, String), b: (Vec<u8>, Option<u32>, [i8; 2])) {
        let mut set = TypeSet::default();
        type Row = ((u64, i16, String), (Vec<u8>, Option<u32>, [i8; 2]));
        let ty = Row::column_type(&mut set);
        let bytes = (a, b).to_bytes();
        let value = decode_all(&ty, &bytes).expect("decodes");
        prop_assert_eq!(encoded(&value, &ty).expect("fits"), bytes);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_canonical((ty, _) in any_value(), bytes: Vec<u8>) {
        if let Ok(value) = decode_all(&ty, &bytes) {
            prop_assert_eq!(encoded(&value, &ty).expect("fits"), bytes);
        }
    }

    #[test]
    fn a_value_of_another_type_is_an_error_or_fits((ty, _) in any_value(), (_, value) in any_value()) {
        if let Ok(bytes) = encoded(&value, &ty) {
            prop_assert_eq!(decode_all(&ty, &bytes).expect("decodes"), value);
        }
    }
}

#[test]
fn hostile_lengths_and_depths_end_in_an_error() {
    let four_billion = [0xff, 0xff, 0xff, 0xff, 0x0f];
    for ty in [
        list_of(ColumnType::Void),
        list_of(named("Nothing")),
        list_of(ColumnType::U8),
        list_of(ColumnType::U64),
    ] {
        assert!(decode_all(&ty, &four_billion).is_err(), "{ty}");
    }
    let nested =
        |item, depth| (0..depth).fold(item, |ty, _| ColumnType::Array(Box::new(ty), u32::MAX));
    assert!(decode_all(&nested(ColumnType::Void, 8), &[]).is_err());
    assert!(decode_all(&named("Twins"), &[]).is_err(), "has no end");
    assert!(decode_all(&named("Tree"), &vec![1; 1 << 20]).is_err());
    assert!(decode_all(&named("Missing"), &[]).is_err());
    assert!(decode_all(&named("Shape"), &[3]).is_err());
}

/// Found by the fuzz target `rows`: five bytes made a tree of four million values.
#[test]
fn a_list_of_nothing_is_bounded_before_it_is_made() {
    let claim = |count| {
        let mut bytes = Vec::new();
        crate::codec::put_length(count, &mut bytes);
        decode_all(&list_of(ColumnType::Void), &bytes)
    };
    let most = crate::walk::ZERO_SIZED_ITEMS_MAX;
    assert_eq!(claim(most), Ok(Value::List(vec![Value::Void; most])));
    let error = claim(most + 1).expect_err("is one too many");
    assert!(error.what.contains("claims more items"), "{error}");
}

#[test]
fn a_tree_that_is_too_deep_is_not_encoded() {
    let mut value = Value::Struct(FieldValues::Tuple(vec![Value::List(vec![])]));
    for _ in 0..DEPTH_MAX {
        value = Value::Struct(FieldValues::Tuple(vec![Value::List(vec![value])]));
    }
    let message = encoded(&value, &named("Tree")).expect_err("too deep");
    assert!(message.contains("128"), "{message}");
}

#[test]
fn what_does_not_fit_says_where_and_what_would() {
    let check = |value: Value, ty: ColumnType, expected: &str| {
        let message = encoded(&value, &ty).expect_err(expected);
        assert!(message.contains(expected), "{message}");
    };
    check(Value::Unsigned(256), ColumnType::U8, "from 0 to 255");
    check(Value::Signed(-129), ColumnType::I8, "from -128 to 127");
    check(
        Value::Bool(true),
        ColumnType::String,
        "expected String, found a bool",
    );
    check(
        Value::Enum("Square".to_string(), FieldValues::Unit),
        named("Shape"),
        "it has `Empty`, `Round`, `Angular`",
    );
    check(
        Value::Bytes(vec![1]),
        ColumnType::Array(Box::new(ColumnType::U8), 2),
        "expected [u8; 2], found 1 items",
    );
    check(
        Value::Struct(FieldValues::Named(vec![
            ("x".to_string(), Value::Bool(true)),
            ("y".to_string(), Value::F64(0.0)),
        ])),
        named("Point"),
        "`Point`: field `x`: expected i64",
    );
}
