//! What people may type, what prints, and that both agree.

use interstice_abi::{
    codec::Input,
    types::{ColumnType, Field, Fields, TypeKind, TypeSet, Variant},
    value::{FieldValues, Value, decode},
};
use proptest::prelude::*;

use super::{Coercion, from_argument, from_word};
use crate::json::to_json;

fn types() -> TypeSet {
    let mut types = TypeSet::default();
    types.define("Point", "crate::Point", |_| {
        TypeKind::Struct(Fields::Named(vec![
            Field::new("x", ColumnType::I64),
            Field::new("label", option(ColumnType::String)),
        ]))
    });
    types.define("Pair", "crate::Pair", |_| {
        TypeKind::Struct(Fields::Tuple(vec![ColumnType::U8, ColumnType::String]))
    });
    types.define("Nothing", "crate::Nothing", |_| {
        TypeKind::Struct(Fields::Unit)
    });
    types.define("Shape", "crate::Shape", |_| {
        let variant = |name: &str, fields| Variant {
            name: name.to_string(),
            fields,
        };
        TypeKind::Enum(vec![
            variant("Empty", Fields::Unit),
            variant("Round", Fields::Tuple(vec![ColumnType::U128])),
            variant("Box", Fields::Tuple(vec![ColumnType::F32, ColumnType::F64])),
            variant(
                "Free",
                Fields::Named(vec![Field::new("corners", vec_of(named("Point")))]),
            ),
        ])
    });
    types
}

fn named(name: &str) -> ColumnType {
    ColumnType::Named(name.to_string())
}

fn vec_of(inner: ColumnType) -> ColumnType {
    ColumnType::Vec(Box::new(inner))
}

fn option(inner: ColumnType) -> ColumnType {
    ColumnType::Option(Box::new(inner))
}

/// What is typed, as what is printed.
fn round(word: &str, ty: &ColumnType) -> Result<String, String> {
    let types = types();
    let bytes = from_word(word, ty, &types)?;
    let value = decode(ty, &types, &mut Input::new(&bytes)).map_err(|error| error.to_string())?;
    Ok(to_json(&value).to_string())
}

#[test]
fn arguments_come_from_files_as_text_bytes_or_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let types = types();
    let argument = |content: &[u8], ty: &ColumnType| {
        let path = folder.path().join("file");
        std::fs::write(&path, content).expect("writes");
        let bytes = from_argument(&format!("@{}", path.display()), ty, &types)?;
        let value =
            decode(ty, &types, &mut Input::new(&bytes)).map_err(|error| error.to_string())?;
        Ok::<String, String>(to_json(&value).to_string())
    };
    let check = |content: &str, ty: ColumnType, printed: &str| {
        assert_eq!(
            argument(content.as_bytes(), &ty).as_deref(),
            Ok(printed),
            "{content}"
        );
    };
    check("null\n", ColumnType::String, r#""null\n""#);
    check("\"a\"", option(ColumnType::String), r#""\"a\"""#);
    check("hi", vec_of(ColumnType::U8), r#""aGk=""#);
    check("hi", option(vec_of(ColumnType::U8)), r#""aGk=""#);
    check("{\"x\": 1}\n", named("Point"), r#"{"x":1,"label":null}"#);
    check("-5\n", ColumnType::I64, "-5");
    let error = argument(b"\xff", &ColumnType::String).expect_err("is no text");
    assert!(error.contains("is not text"), "{error}");
    // A filter or a value inside of JSON is not an argument.
    assert_eq!(round("@a", &ColumnType::String).as_deref(), Ok("\"@a\""));
    for ty in [ColumnType::String, vec_of(ColumnType::U8)] {
        let error = from_argument("@/dev/zero", &ty, &types).expect_err("never ends");
        assert!(error.contains("has not ended"), "{error}");
    }
    let error = from_argument("@missing", &ColumnType::String, &types).expect_err("is missing");
    assert!(error.contains("written as JSON: \"@missing\""), "{error}");
}

#[test]
fn words_become_values_of_the_argument_s_type() {
    let check = |word: &str, ty: ColumnType, printed: &str| {
        assert_eq!(round(word, &ty).as_deref(), Ok(printed), "{word}")
    };
    check("Bob", ColumnType::String, r#""Bob""#);
    check(r#""Bob""#, ColumnType::String, r#""Bob""#);
    check("5", ColumnType::String, r#""5""#);
    check("null", ColumnType::String, r#""null""#);
    check("null", option(ColumnType::String), "null");
    check(r#""null""#, option(ColumnType::String), r#""null""#);
    check("Bob", option(ColumnType::String), r#""Bob""#);
    check("-5", ColumnType::I64, "-5");
    check(
        &u64::MAX.to_string(),
        ColumnType::U64,
        "18446744073709551615",
    );
    check(
        &format!("\"{}\"", u64::MAX),
        ColumnType::U64,
        "18446744073709551615",
    );
    check(
        &i128::MIN.to_string(),
        ColumnType::I128,
        "-170141183460469231731687303715884105728",
    );
    check("1.5", ColumnType::F32, "1.5");
    check("1", ColumnType::F64, "1.0");
    check("NaN", ColumnType::F64, r#""NaN""#);
    check(r#""-inf""#, ColumnType::F32, r#""-inf""#);
    check("true", ColumnType::Bool, "true");
    check("aGk=", vec_of(ColumnType::U8), r#""aGk=""#);
    check("1234", vec_of(ColumnType::U8), r#""1234""#);
    check("[104, 105]", vec_of(ColumnType::U8), r#""aGk=""#);
    check("[1, 2]", vec_of(ColumnType::U16), "[1,2]");
    check(r#"{"x": 1}"#, named("Point"), r#"{"x":1,"label":null}"#);
    check(r#"[1, "a"]"#, named("Pair"), r#"[1,"a"]"#);
    check("null", named("Nothing"), "null");
    check("Empty", named("Shape"), r#""Empty""#);
    check(r#""Empty""#, named("Shape"), r#""Empty""#);
    check(
        r#"{"Round": 340282366920938463463374607431768211455}"#,
        named("Shape"),
        r#"{"Round":340282366920938463463374607431768211455}"#,
    );
    check(
        r#"{"Box": [0.5, 2]}"#,
        named("Shape"),
        r#"{"Box":[0.5,2.0]}"#,
    );
    check(
        r#"{"Free": {"corners": []}}"#,
        named("Shape"),
        r#"{"Free":{"corners":[]}}"#,
    );
    check("null", option(named("Nothing")), "null");
    check(
        r#"{"Some": null}"#,
        option(named("Nothing")),
        r#"{"Some":null}"#,
    );
    check(
        r#"{"Some": null}"#,
        option(option(ColumnType::U8)),
        r#"{"Some":null}"#,
    );
    check(
        r#"{"Some": 7}"#,
        option(option(ColumnType::U8)),
        r#"{"Some":7}"#,
    );
}

#[test]
fn bytes_come_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bytes");
    std::fs::write(&path, b"hi").expect("writes");
    let word = format!("@{}", path.display());
    assert_eq!(
        round(&word, &vec_of(ColumnType::U8)).as_deref(),
        Ok(r#""aGk=""#)
    );
    assert_eq!(round(&word, &ColumnType::String), Ok(format!("{word:?}")));
    assert!(
        round("@/missing/file", &vec_of(ColumnType::U8))
            .expect_err("is not there")
            .contains("/missing/file")
    );
}

#[test]
fn what_does_not_fit_says_what_was_expected() {
    let check = |word: &str, ty: ColumnType, expected: &str| {
        let problem = round(word, &ty).expect_err(word);
        assert!(problem.contains(expected), "{word}: {problem}");
    };
    check("1e39", ColumnType::F32, "does not fit f32");
    check("-1e400", ColumnType::F64, "does not fit f64");
    check("Bob", ColumnType::U64, "expected u64");
    check("-1", ColumnType::U64, "expected u64, found -1");
    check("256", ColumnType::U8, "from 0 to 255");
    check("1.5", ColumnType::I64, "expected i64, found 1.5");
    check("yes", ColumnType::Bool, "expected bool");
    check("a b", vec_of(ColumnType::U8), "base64 or @file");
    check("[1", vec_of(ColumnType::U16), "expected Vec<u16> as JSON");
    check(
        r#"{"x": 1, "labl": "a"}"#,
        named("Point"),
        "did you mean `label`?",
    );
    check("{}", named("Point"), "lacks the field `x` of type i64");
    check(r#"{"x": "a"}"#, named("Point"), "field `x`: expected i64");
    check("Emty", named("Shape"), "did you mean `Empty`?");
    check("7", named("Shape"), r#""Empty" or {"Round": …}"#);
    check(
        r#"{"Round": "x"}"#,
        named("Shape"),
        "variant `Round`: expected u128",
    );
    check("[1]", named("Pair"), "expected 2 items for Pair, found 1");
    check("7", option(option(ColumnType::U8)), r#"{"Some": …}"#);
    check(&"x".repeat(1000), ColumnType::Bool, "…");
}

fn any_value() -> impl Strategy<Value = (ColumnType, Value)> {
    let leaf = prop_oneof![
        any::<u128>().prop_map(|v| (ColumnType::U128, Value::Unsigned(v))),
        any::<i128>().prop_map(|v| (ColumnType::I128, Value::Signed(v))),
        any::<f32>()
            .prop_filter("one NaN is like another", |v| !v.is_nan())
            .prop_map(|v| (ColumnType::F32, Value::F32(v))),
        any::<f64>()
            .prop_filter("one NaN is like another", |v| !v.is_nan())
            .prop_map(|v| (ColumnType::F64, Value::F64(v))),
        ".*".prop_map(|v| (ColumnType::String, Value::String(v))),
        any::<bool>().prop_map(|v| (ColumnType::Bool, Value::Bool(v))),
        any::<Vec<u8>>().prop_map(|v| (vec_of(ColumnType::U8), Value::Bytes(v))),
        Just((named("Nothing"), Value::Struct(FieldValues::Unit))),
        any::<u128>().prop_map(|v| {
            (
                named("Shape"),
                Value::Enum(
                    "Round".to_string(),
                    FieldValues::Tuple(vec![Value::Unsigned(v)]),
                ),
            )
        }),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|(ty, value)| (option(ty), Value::Option(Some(Box::new(value))))),
            inner
                .clone()
                .prop_map(|(ty, _)| (option(ty), Value::Option(None))),
            inner
                .clone()
                .prop_map(|(ty, value)| (vec_of(ty), Value::List(vec![value.clone(), value]))),
            inner.prop_map(|(ty, value)| (ColumnType::Tuple(vec![ty]), Value::Tuple(vec![value]))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_value((ty, value) in any_value()) {
        let types = types();
        let text = to_json(&value).to_string();
        let json = serde_json::from_str(&text).expect("is JSON");
        prop_assert_eq!(Coercion::new(&types).value(&json, &ty), Ok(value.clone()), "{}", text);
        prop_assert_eq!(Coercion::new(&types).word(&text, &ty), Ok(value), "{}", text);
    }

    #[test]
    fn no_word_panics((ty, _) in any_value(), word in ".*") {
        // Reading files is not what is tried here.
        prop_assume!(!word.contains('@'));
        let _ = from_word(&word, &ty, &types());
    }
}
