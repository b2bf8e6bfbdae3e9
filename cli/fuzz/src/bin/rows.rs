//! Rows and keys of any type: what the walk accepts is read into a value that is written as the
//! same bytes; keys order like their values, none is the beginning of another, and they lead back
//! to what they were made of.
#![no_main]

use std::{cmp::Ordering, sync::Once};

use interstice_abi::{
    codec::Input,
    key::KeyType,
    types::{ColumnType, TypeKind, TypeSet},
    value::{FieldValues, Value, decode, encode},
    walk::Layout,
};
use interstice_fuzz::{memory, shapes};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};

static BEGIN: Once = Once::new();

/// A value may have four million parts.
const ALLOCATED_MAX: usize = 768 * 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    BEGIN.call_once(|| memory::limit(ALLOCATED_MAX));
    // An input that is too short to choose is none.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(data);
    let ty = shapes::column_type(&mut input)?;
    let at = usize::from(input.arbitrary::<u8>()?);
    let rest = input.take_rest();
    let (left, right) = rest.split_at(at.min(rest.len()));
    let types = &shapes::TYPES;
    let one = row(&ty, types, left);
    let other = row(&ty, types, right);
    let Some(key) = KeyType::new(&ty, types) else {
        return Ok(());
    };
    for (bytes, value) in [(left, &one), (right, &other)] {
        let mut ordered = Vec::new();
        // No key type has arrays, so a value that is no tree is no key either.
        assert_eq!(key.order(bytes, &mut ordered).is_ok(), value.is_some());
        backwards(&key, bytes);
    }
    if let (Some(one), Some(other)) = (&one, &other) {
        order(&key, &ty, types, (left, one), (right, other));
    }
    Ok(())
}

/// The value, if the walk accepts the bytes.
fn row(ty: &ColumnType, types: &TypeSet, bytes: &[u8]) -> Option<Value> {
    let mut layout = Layout::new(types).expect("the fixed types can be laid out");
    let node = layout.resolve(ty).expect("a chosen type can be laid out");
    let accepted = layout.check(&[node], bytes).is_ok();
    let mut input = Input::new(bytes);
    let read = decode(ty, types, &mut input);
    let value = match read {
        Ok(value) => value,
        Err(damaged) => {
            // Arrays of nothing may have more parts than a tree may hold; nobody needs them as one.
            assert!(
                !accepted || damaged.what == "a value has too many parts",
                "the walk took what the reader refuses: {ty}: {damaged}"
            );
            return None;
        }
    };
    let used = bytes.len() - input.left();
    let mut written = Vec::new();
    encode(&value, ty, types, &mut written).expect("a value that was read can be written");
    assert_eq!(written, bytes.get(..used).unwrap_or_default());
    assert!(!accepted || used == bytes.len());
    accepted.then_some(value)
}

/// Any bytes as a key: an error, or the key of a value.
fn backwards(key: &KeyType, ordered: &[u8]) {
    let _ = key.show(ordered);
    let length = key.length(ordered);
    let mut value = Vec::new();
    if key.encode(ordered, &mut value).is_ok() {
        assert_eq!(length, Ok(ordered.len()));
        let mut again = Vec::new();
        key.order(&value, &mut again).expect("a key's value has it");
        assert_eq!(again, ordered);
    }
}

fn order(
    key: &KeyType,
    ty: &ColumnType,
    types: &TypeSet,
    one: (&[u8], &Value),
    other: (&[u8], &Value),
) {
    let ordered = |bytes: &[u8]| {
        let mut out = Vec::new();
        key.order(bytes, &mut out).expect("has been done before");
        let mut back = Vec::new();
        key.encode(&out, &mut back).expect("goes back");
        assert_eq!(back, bytes);
        out
    };
    let (left, right) = (ordered(one.0), ordered(other.0));
    let wanted = compare(one.1, other.1, ty, types);
    assert_eq!(left.cmp(&right), wanted, "{:?} {:?}", one.1, other.1);
    assert!(wanted == Ordering::Equal || !right.starts_with(&left));
    let joined = [left.as_slice(), &right].concat();
    assert_eq!(key.length(&joined), Ok(left.len()));
}

/// The order of two values of a key type, as Rust has it.
fn compare(one: &Value, other: &Value, ty: &ColumnType, types: &TypeSet) -> Ordering {
    match (one, other, ty) {
        (Value::Bool(one), Value::Bool(other), _) => one.cmp(other),
        (Value::Unsigned(one), Value::Unsigned(other), _) => one.cmp(other),
        (Value::Signed(one), Value::Signed(other), _) => one.cmp(other),
        (Value::String(one), Value::String(other), _) => one.cmp(other),
        (Value::Bytes(one), Value::Bytes(other), _) => one.cmp(other),
        (Value::Option(one), Value::Option(other), ColumnType::Option(inner)) => {
            match (one, other) {
                (Some(one), Some(other)) => compare(one, other, inner, types),
                (one, other) => one.is_some().cmp(&other.is_some()),
            }
        }
        (Value::Tuple(one), Value::Tuple(other), ColumnType::Tuple(items)) => one
            .iter()
            .zip(other)
            .zip(items)
            .map(|((one, other), ty)| compare(one, other, ty, types))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal),
        (
            Value::Enum(one, FieldValues::Unit),
            Value::Enum(other, FieldValues::Unit),
            ColumnType::Named(name),
        ) => {
            let place = |wanted: &str| match types.types.get(name).map(|found| &found.kind) {
                Some(TypeKind::Enum(variants)) => {
                    variants.iter().position(|variant| variant.name == wanted)
                }
                _ => None,
            };
            place(one).cmp(&place(other))
        }
        _ => panic!("a key type has other values: {one:?} {other:?} {ty}"),
    }
}
