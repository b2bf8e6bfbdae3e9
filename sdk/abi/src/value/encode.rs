//! From a tree to bytes, with an error that says where in the tree what does not fit.

use alloc::{format, string::String, vec::Vec};

use super::{DEPTH_MAX, FieldValues, Value};
use crate::{
    codec::{Column, put_length, put_varint},
    text::quoted,
    types::{ColumnType, Fields, TypeDefinition, TypeKind, TypeSet, Variant},
};

/// Appends `value`, which must be of type `ty`. After an error `out` holds a part of it.
///
/// # Errors
/// A sentence that says where in the value what does not fit, and what would.
pub fn encode(
    value: &Value,
    ty: &ColumnType,
    types: &TypeSet,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    encode_at(value, ty, types, DEPTH_MAX, out)
}

fn encode_at(
    value: &Value,
    ty: &ColumnType,
    types: &TypeSet,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| format!("a value is nested more than {DEPTH_MAX} levels deep"))?;
    match (value, ty) {
        (Value::Void, ColumnType::Void) => {}
        (Value::Bool(value), ColumnType::Bool) => value.encode(out),
        (Value::Unsigned(value), _) => unsigned(*value, ty, out)?,
        (Value::Signed(value), _) => signed(*value, ty, out)?,
        (Value::F32(value), ColumnType::F32) => value.encode(out),
        (Value::F64(value), ColumnType::F64) => value.encode(out),
        (Value::String(value), ColumnType::String) => {
            length(value.len(), out)?;
            out.extend_from_slice(value.as_bytes());
        }
        (Value::Bytes(value), ColumnType::Vec(item)) if **item == ColumnType::U8 => {
            length(value.len(), out)?;
            out.extend_from_slice(value);
        }
        (Value::Bytes(value), ColumnType::Array(item, count)) if **item == ColumnType::U8 => {
            same_count(value.len(), usize::try_from(*count).ok(), ty)?;
            out.extend_from_slice(value);
        }
        (Value::List(items), ColumnType::Vec(item)) if **item != ColumnType::U8 => {
            length(items.len(), out)?;
            list(items, item, types, depth, out)?;
        }
        (Value::List(items), ColumnType::Array(item, count)) if **item != ColumnType::U8 => {
            same_count(items.len(), usize::try_from(*count).ok(), ty)?;
            list(items, item, types, depth, out)?;
        }
        (Value::Option(None), ColumnType::Option(_)) => out.push(0),
        (Value::Option(Some(value)), ColumnType::Option(some)) => {
            out.push(1);
            encode_at(value, some, types, depth, out)?;
        }
        (Value::Tuple(items), ColumnType::Tuple(expected)) => {
            tuple(items, expected, types, depth, out)?;
        }
        (_, ColumnType::Named(name)) => {
            let definition = types.types.get(name).ok_or_else(|| {
                format!("the type `{name}` is not defined; fetch the schema again")
            })?;
            named(value, name, definition, types, depth, out)?;
        }
        _ => return Err(mismatch(value, ty)),
    }
    Ok(())
}

fn list(
    items: &[Value],
    item: &ColumnType,
    types: &TypeSet,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    for (place, value) in items.iter().enumerate() {
        encode_at(value, item, types, depth, out)
            .map_err(|problem| inside(format!("item {place}"), &problem))?;
    }
    Ok(())
}

fn tuple(
    items: &[Value],
    expected: &[ColumnType],
    types: &TypeSet,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if items.len() != expected.len() {
        return Err(format!(
            "expected {} fields, found {}",
            expected.len(),
            items.len()
        ));
    }
    for (place, (value, ty)) in items.iter().zip(expected).enumerate() {
        encode_at(value, ty, types, depth, out)
            .map_err(|problem| inside(format!("field {place}"), &problem))?;
    }
    Ok(())
}

fn named(
    value: &Value,
    name: &str,
    definition: &TypeDefinition,
    types: &TypeSet,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match (value, &definition.kind) {
        (Value::Struct(values), TypeKind::Struct(fields)) => {
            encode_fields(values, fields, types, depth, out)
                .map_err(|problem| inside(format!("`{name}`"), &problem))
        }
        (Value::Enum(chosen, values), TypeKind::Enum(variants)) => {
            let (place, variant) = variants
                .iter()
                .enumerate()
                .find(|(_, variant)| variant.name == *chosen)
                .ok_or_else(|| no_variant(name, chosen, variants))?;
            put_length(place, out);
            encode_fields(values, &variant.fields, types, depth, out)
                .map_err(|problem| inside(format!("`{name}::{chosen}`"), &problem))
        }
        _ => Err(mismatch(value, &ColumnType::Named(name.into()))),
    }
}

fn encode_fields(
    values: &FieldValues,
    fields: &Fields,
    types: &TypeSet,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match (values, fields) {
        (FieldValues::Unit, Fields::Unit) => Ok(()),
        (FieldValues::Tuple(values), Fields::Tuple(expected)) => {
            tuple(values, expected, types, depth, out)
        }
        (FieldValues::Named(values), Fields::Named(fields)) => {
            if values.len() != fields.len() {
                return Err(format!(
                    "expected {} fields, found {}",
                    fields.len(),
                    values.len()
                ));
            }
            for ((given, value), field) in values.iter().zip(fields) {
                if *given != field.name {
                    return Err(format!(
                        "expected the field `{}`, found `{given}`; give the fields in the order of the type",
                        field.name
                    ));
                }
                encode_at(value, &field.ty, types, depth, out)
                    .map_err(|problem| inside(format!("field `{given}`"), &problem))?;
            }
            Ok(())
        }
        (_, Fields::Unit) => Err("expected no fields".into()),
        (_, Fields::Tuple(_)) => Err("expected fields by place".into()),
        (_, Fields::Named(_)) => Err("expected fields by name".into()),
    }
}

fn unsigned(value: u128, ty: &ColumnType, out: &mut Vec<u8>) -> Result<(), String> {
    let max = match ty {
        ColumnType::U8 => u8::MAX.into(),
        ColumnType::U16 => u16::MAX.into(),
        ColumnType::U32 => u32::MAX.into(),
        ColumnType::U64 => u64::MAX.into(),
        ColumnType::U128 => u128::MAX,
        _ => return Err(mismatch(&Value::Unsigned(value), ty)),
    };
    if value > max {
        return Err(format!(
            "{value} does not fit {ty}; write a number from 0 to {max}"
        ));
    }
    match (ty, u8::try_from(value)) {
        (ColumnType::U8, Ok(byte)) => out.push(byte),
        _ => put_varint(value, out),
    }
    Ok(())
}

fn signed(value: i128, ty: &ColumnType, out: &mut Vec<u8>) -> Result<(), String> {
    let bounds = |min: i128, max: i128| {
        format!("{value} does not fit {ty}; write a number from {min} to {max}")
    };
    macro_rules! as_signed {
        ($number:ty) => {
            <$number>::try_from(value)
                .map_err(|_| bounds(<$number>::MIN.into(), <$number>::MAX.into()))?
                .encode(out)
        };
    }
    match ty {
        ColumnType::I8 => as_signed!(i8),
        ColumnType::I16 => as_signed!(i16),
        ColumnType::I32 => as_signed!(i32),
        ColumnType::I64 => as_signed!(i64),
        ColumnType::I128 => value.encode(out),
        _ => return Err(mismatch(&Value::Signed(value), ty)),
    }
    Ok(())
}

fn length(length: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if u32::try_from(length).is_err() {
        return Err(format!(
            "a length of {length} is over the limit of {}",
            u32::MAX
        ));
    }
    put_length(length, out);
    Ok(())
}

fn same_count(have: usize, want: Option<usize>, ty: &ColumnType) -> Result<(), String> {
    if want == Some(have) {
        Ok(())
    } else {
        Err(format!("expected {ty}, found {have} items"))
    }
}

fn inside(place: String, problem: &str) -> String {
    format!("{place}: {problem}")
}

fn mismatch(value: &Value, ty: &ColumnType) -> String {
    let found = match value {
        Value::Void => "nothing",
        Value::Bool(_) => "a bool",
        Value::Unsigned(_) => "an unsigned integer",
        Value::Signed(_) => "a signed integer",
        Value::F32(_) => "an f32",
        Value::F64(_) => "an f64",
        Value::String(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "a list",
        Value::Option(_) => "an option",
        Value::Tuple(_) => "a tuple",
        Value::Struct(_) => "a struct",
        Value::Enum(..) => "an enum",
    };
    format!("expected {ty}, found {found}")
}

fn no_variant(name: &str, chosen: &str, variants: &[Variant]) -> String {
    let names: Vec<&str> = variants
        .iter()
        .map(|variant| variant.name.as_str())
        .collect();
    format!(
        "`{name}` has no variant `{}`; it has `{}`",
        quoted(chosen),
        names.join("`, `")
    )
}
