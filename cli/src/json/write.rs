//! From values to JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use interstice_abi::value::{FieldValues, Value};
use serde_json::{Map, Number, Value as Json};

/// A value as JSON. Nothing is lost: integers keep all their digits, floats read back as they were.
#[must_use]
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Void | Value::Option(None) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Unsigned(value) => number(&value.to_string()),
        Value::Signed(value) => number(&value.to_string()),
        Value::F32(value) => float(value.is_finite(), &format!("{value:?}")),
        Value::F64(value) => float(value.is_finite(), &format!("{value:?}")),
        Value::String(value) => Json::String(value.clone()),
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::List(items) | Value::Tuple(items) => list(items),
        Value::Option(Some(value)) if can_be_null(value) => keyed("Some", to_json(value)),
        Value::Option(Some(value)) => to_json(value),
        Value::Struct(fields) => self::fields(fields, Shape::Struct),
        Value::Enum(variant, FieldValues::Unit) => Json::String(variant.clone()),
        Value::Enum(variant, fields) => keyed(variant, self::fields(fields, Shape::Variant)),
    }
}

/// What the fields belong to: a variant with one field is written without the array around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Struct,
    Variant,
}

fn fields(fields: &FieldValues, shape: Shape) -> Json {
    match fields {
        FieldValues::Unit => Json::Null,
        FieldValues::Tuple(items) => match items.as_slice() {
            [only] if shape == Shape::Variant => to_json(only),
            items => list(items),
        },
        FieldValues::Named(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), to_json(value)));
            Json::Object(fields.collect())
        }
    }
}

fn list(items: &[Value]) -> Json {
    Json::Array(items.iter().map(to_json).collect())
}

fn keyed(key: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_string(), value)]))
}

/// Whether a value of this one's type may print as `null`.
const fn can_be_null(value: &Value) -> bool {
    matches!(
        value,
        Value::Void | Value::Option(_) | Value::Struct(FieldValues::Unit)
    )
}

fn float(is_finite: bool, text: &str) -> Json {
    if is_finite {
        number(text)
    } else {
        Json::String(text.to_string())
    }
}

fn number(text: &str) -> Json {
    // Integers and finite floats print as JSON numbers; a string keeps the digits should one ever
    // not.
    text.parse::<Number>()
        .map_or_else(|_| Json::String(text.to_string()), Json::Number)
}
