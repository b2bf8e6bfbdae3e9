//! From JSON, and from words of the command line, to values of a given type.
//!
//! Messages say where (`` field `x` ``), what was expected and what was found. Ranges of integers
//! are checked by the codec.

use base64::{Engine, engine::general_purpose::STANDARD};
use interstice_abi::{
    failure::nearest,
    types::{ColumnType, Field, Fields, TypeDefinition, TypeKind, TypeSet, Variant},
    value::{FieldValues, Value, encode},
};
use serde_json::{Map, Value as Json};

use super::file;

/// How long what was found may be in a message, in characters.
const SHOWN_MAX: usize = 60;

/// Reads JSON as values of a module's types.
#[derive(Clone, Copy, Debug)]
pub struct Coercion<'a> {
    types: &'a TypeSet,
}

/// The encoding of one word of the command line as a value of type `ty`.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn from_word(word: &str, ty: &ColumnType, types: &TypeSet) -> Result<Vec<u8>, String> {
    let value = Coercion::new(types).word(word, ty)?;
    let mut bytes = Vec::new();
    encode(&value, ty, types, &mut bytes)?;
    Ok(bytes)
}

/// As [`from_word`], for arguments of calls and queries: `@file` is the content of a file, `@-`
/// standard input.
///
/// # Errors
/// A sentence that says what cannot be read or does not fit.
pub fn from_argument(word: &str, ty: &ColumnType, types: &TypeSet) -> Result<Vec<u8>, String> {
    let inner = without_options(ty);
    let Some(name) = word.strip_prefix('@').filter(|_| !is_bytes(inner)) else {
        return from_word(word, ty, types);
    };
    let is_text = *inner == ColumnType::String;
    let content = file::read(name).map_err(|problem| match is_text {
        true => format!(
            "{problem}; a text that begins with @ is written as JSON: {}",
            shown(&Json::String(word.to_string()))
        ),
        false => problem,
    })?;
    let text = String::from_utf8(content)
        .map_err(|error| format!("the content of {} is not text: {error}", shorten(word)))?;
    if !is_text {
        return from_word(text.trim(), ty, types);
    }
    let mut value = Value::String(text);
    let mut outer = ty;
    while let ColumnType::Option(inner) = outer {
        value = Value::Option(Some(Box::new(value)));
        outer = inner;
    }
    let mut bytes = Vec::new();
    encode(&value, ty, types, &mut bytes)?;
    Ok(bytes)
}

fn without_options(mut ty: &ColumnType) -> &ColumnType {
    while let ColumnType::Option(inner) = ty {
        ty = inner;
    }
    ty
}

impl<'a> Coercion<'a> {
    /// A reader for the types of one module.
    #[must_use]
    pub const fn new(types: &'a TypeSet) -> Self {
        Self { types }
    }

    /// A word of the command line: JSON, or what the type allows without quotes.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn word(&self, word: &str, ty: &ColumnType) -> Result<Value, String> {
        let json = serde_json::from_str::<Json>(word);
        match (ty, json) {
            (ColumnType::Option(_), Ok(Json::Null)) => Ok(Value::Option(None)),
            (ColumnType::Option(inner), json) => {
                // What could be `null` itself is written with `Some` around it.
                if self.can_be_null(inner) && json.is_ok() {
                    return self.value(&json.unwrap_or(Json::Null), ty);
                }
                Ok(Value::Option(Some(Box::new(self.word(word, inner)?))))
            }
            (ColumnType::String, Ok(Json::String(text))) => Ok(Value::String(text)),
            (ColumnType::String, _) => Ok(Value::String(word.to_string())),
            (ty, Ok(json)) if !(is_bytes(ty) && !json.is_string() && !json.is_array()) => {
                self.value(&json, ty)
            }
            (ty, Err(error)) if self.is_enum(ty) && word.starts_with(['{', '[', '"']) => {
                Err(not_json(word, ty, &error))
            }
            // Digits are base64 too, and so are bare words.
            (ty, _) if is_bytes(ty) || is_number(ty) || self.is_enum(ty) => {
                self.value(&Json::String(word.to_string()), ty)
            }
            (ty, Ok(json)) => self.value(&json, ty),
            (ty, Err(error)) => Err(not_json(word, ty, &error)),
        }
    }

    /// JSON as a value of type `ty`.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn value(&self, json: &Json, ty: &ColumnType) -> Result<Value, String> {
        match (ty, json) {
            (ColumnType::Void, Json::Null) => Ok(Value::Void),
            (ColumnType::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (ColumnType::String, Json::String(text)) => Ok(Value::String(text.clone())),
            (ColumnType::F32, json) => float(json, ty).map(Value::F32),
            (ColumnType::F64, json) => float(json, ty).map(Value::F64),
            (ty, json) if is_number(ty) => integer(json, ty),
            (ty, Json::String(text)) if is_bytes(ty) => bytes(text),
            (ColumnType::Option(_), Json::Null) => Ok(Value::Option(None)),
            (ColumnType::Option(inner), json) => self.some(json, inner),
            (ColumnType::Vec(inner) | ColumnType::Array(inner, _), Json::Array(items)) => {
                self.list(items, inner, ty)
            }
            (ColumnType::Tuple(types), Json::Array(items)) => {
                self.places(items, types.iter(), ty).map(Value::Tuple)
            }
            (ColumnType::Named(name), json) => self.named(json, name),
            (ty, json) => Err(mismatch(ty, json)),
        }
    }

    fn some(&self, json: &Json, inner: &ColumnType) -> Result<Value, String> {
        let value = if self.can_be_null(inner) {
            match json.as_object().and_then(|object| object.get("Some")) {
                Some(value) => self.value(value, inner)?,
                None => {
                    return Err(format!(
                        "expected null or {{\"Some\": …}} for Option<{inner}>, found {}",
                        shown(json)
                    ));
                }
            }
        } else {
            self.value(json, inner)?
        };
        Ok(Value::Option(Some(Box::new(value))))
    }

    fn list(&self, items: &[Json], inner: &ColumnType, ty: &ColumnType) -> Result<Value, String> {
        let values = items.iter().enumerate().map(|(place, item)| {
            self.value(item, inner)
                .map_err(|problem| format!("item {place}: {problem}"))
        });
        let values = values.collect::<Result<Vec<Value>, String>>()?;
        if !is_bytes(ty) {
            return Ok(Value::List(values));
        }
        let bytes = values.into_iter().map(|value| match value {
            Value::Unsigned(byte) => {
                u8::try_from(byte).map_err(|_| format!("{byte} does not fit u8"))
            }
            _ => Err("expected bytes".to_string()),
        });
        bytes.collect::<Result<Vec<u8>, String>>().map(Value::Bytes)
    }

    fn named(&self, json: &Json, name: &str) -> Result<Value, String> {
        let definition = self
            .types
            .types
            .get(name)
            .ok_or_else(|| format!("the schema does not say what `{name}` is"))?;
        match &definition.kind {
            TypeKind::Struct(fields) => self.fields(json, fields, name).map(Value::Struct),
            TypeKind::Enum(variants) => self.variant(json, variants, name),
        }
    }

    fn fields(&self, json: &Json, fields: &Fields, name: &str) -> Result<FieldValues, String> {
        let expected = |what: &str| format!("expected {what} for `{name}`, found {}", shown(json));
        match (fields, json) {
            (Fields::Unit, Json::Null) => Ok(FieldValues::Unit),
            (Fields::Unit, _) => Err(expected("null")),
            (Fields::Tuple(types), Json::Array(items)) => {
                let ty = ColumnType::Named(name.to_string());
                self.places(items, types.iter(), &ty)
                    .map(FieldValues::Tuple)
            }
            (Fields::Tuple(_), _) => Err(expected("an array")),
            (Fields::Named(fields), Json::Object(object)) => {
                self.object(object, fields, name).map(FieldValues::Named)
            }
            (Fields::Named(_), _) => Err(expected("an object")),
        }
    }

    fn places<'t>(
        &self,
        items: &[Json],
        types: impl ExactSizeIterator<Item = &'t ColumnType>,
        whole: &ColumnType,
    ) -> Result<Vec<Value>, String> {
        if items.len() != types.len() {
            return Err(format!(
                "expected {} items for {whole}, found {}",
                types.len(),
                items.len()
            ));
        }
        let values = items
            .iter()
            .zip(types)
            .enumerate()
            .map(|(place, (item, ty))| {
                self.value(item, ty)
                    .map_err(|problem| format!("item {place}: {problem}"))
            });
        values.collect()
    }

    fn object(
        &self,
        object: &Map<String, Json>,
        fields: &[Field],
        name: &str,
    ) -> Result<Vec<(String, Value)>, String> {
        for key in object.keys() {
            if !fields.iter().any(|field| field.name == *key) {
                let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                let hint = nearest(key, known.iter().copied()).map_or_else(
                    || format!("it has `{}`", known.join("`, `")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(format!(
                    "`{name}` has no field `{}`; {hint}",
                    key.escape_debug()
                ));
            }
        }
        let values = fields.iter().map(|field| {
            let value = match object.get(&field.name) {
                Some(json) => self
                    .value(json, &field.ty)
                    .map_err(|problem| format!("field `{}`: {problem}", field.name))?,
                None if matches!(field.ty, ColumnType::Option(_)) => Value::Option(None),
                None => {
                    return Err(format!(
                        "`{name}` lacks the field `{}` of type {}",
                        field.name, field.ty
                    ));
                }
            };
            Ok((field.name.clone(), value))
        });
        values.collect()
    }

    fn variant(&self, json: &Json, variants: &[Variant], name: &str) -> Result<Value, String> {
        let (chosen, payload) = match json {
            Json::String(chosen) => (chosen.as_str(), &Json::Null),
            Json::Object(object) => match object.iter().next() {
                Some((chosen, payload)) if object.len() == 1 => (chosen.as_str(), payload),
                _ => {
                    return Err(format!(
                        "expected one variant of `{name}`, {}, found {}",
                        spelled(variants),
                        shown(json)
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "expected a variant of `{name}`, {}, found {}",
                    spelled(variants),
                    shown(json)
                ));
            }
        };
        let Some(variant) = variants.iter().find(|variant| variant.name == chosen) else {
            let names = variants.iter().map(|variant| variant.name.as_str());
            let hint = nearest(chosen, names).map_or_else(
                || format!("write {}", spelled(variants)),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(format!(
                "`{name}` has no variant `{}`; {hint}",
                shorten(chosen)
            ));
        };
        let inside = |problem: String| format!("variant `{chosen}`: {problem}");
        let fields = match &variant.fields {
            Fields::Tuple(types) => match types.as_slice() {
                [only] => FieldValues::Tuple(vec![self.value(payload, only).map_err(inside)?]),
                _ => self
                    .fields(payload, &variant.fields, chosen)
                    .map_err(inside)?,
            },
            fields => self.fields(payload, fields, chosen).map_err(inside)?,
        };
        Ok(Value::Enum(chosen.to_string(), fields))
    }

    fn definition(&self, ty: &ColumnType) -> Option<&TypeDefinition> {
        match ty {
            ColumnType::Named(name) => self.types.types.get(name),
            _ => None,
        }
    }

    fn is_enum(&self, ty: &ColumnType) -> bool {
        self.definition(ty)
            .is_some_and(|definition| matches!(definition.kind, TypeKind::Enum(_)))
    }

    /// Whether a value of this type may print as `null`.
    fn can_be_null(&self, ty: &ColumnType) -> bool {
        let is_unit =
            |definition: &TypeDefinition| definition.kind == TypeKind::Struct(Fields::Unit);
        matches!(ty, ColumnType::Void | ColumnType::Option(_))
            || self.definition(ty).is_some_and(is_unit)
    }
}

fn spelled(variants: &[Variant]) -> String {
    let spelled = variants.iter().map(|variant| match &variant.fields {
        Fields::Unit => format!("\"{}\"", variant.name),
        _ => format!("{{\"{}\": …}}", variant.name),
    });
    spelled.collect::<Vec<String>>().join(" or ")
}

fn is_bytes(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Vec(inner) | ColumnType::Array(inner, _) if **inner == ColumnType::U8)
}

const fn is_signed(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::I8 | ColumnType::I16 | ColumnType::I32 | ColumnType::I64 | ColumnType::I128
    )
}

const fn is_number(ty: &ColumnType) -> bool {
    is_signed(ty)
        || matches!(
            ty,
            ColumnType::U8
                | ColumnType::U16
                | ColumnType::U32
                | ColumnType::U64
                | ColumnType::U128
                | ColumnType::F32
                | ColumnType::F64
        )
}

fn integer(json: &Json, ty: &ColumnType) -> Result<Value, String> {
    let digits = match json {
        Json::Number(number) => number.as_str(),
        Json::String(text) => text.as_str(),
        _ => return Err(mismatch(ty, json)),
    };
    let value = if is_signed(ty) {
        digits.parse().map(Value::Signed).ok()
    } else {
        digits.parse().map(Value::Unsigned).ok()
    };
    value.ok_or_else(|| mismatch(ty, json))
}

fn float<F>(json: &Json, ty: &ColumnType) -> Result<F, String>
where
    F: std::str::FromStr + Copy + Into<f64>,
{
    let digits = match json {
        Json::Number(number) => number.as_str(),
        Json::String(text) => text.as_str(),
        _ => return Err(mismatch(ty, json)),
    };
    let value: F = digits.parse().map_err(|_| mismatch(ty, json))?;
    // An infinity is asked for by name; digits that become one are a number that is too large.
    if value.into().is_infinite() && digits.contains(|c: char| c.is_ascii_digit()) {
        return Err(format!("{} does not fit {ty}", shorten(digits)));
    }
    Ok(value)
}

fn bytes(text: &str) -> Result<Value, String> {
    if let Some(name) = text.strip_prefix('@') {
        return file::read(name).map(Value::Bytes);
    }
    STANDARD.decode(text).map(Value::Bytes).map_err(|error| {
        format!(
            "expected bytes as base64 or @file, found `{}` ({error})",
            shorten(text)
        )
    })
}

/// Where a longer text stops being JSON is worth knowing; of a bare word it is plain.
fn not_json(word: &str, ty: &ColumnType, error: &serde_json::Error) -> String {
    let found = format!("expected {ty} as JSON, found `{}`", shorten(word));
    if word.starts_with(['{', '[', '"']) {
        format!("{found} ({error})")
    } else {
        found
    }
}

fn mismatch(ty: &ColumnType, json: &Json) -> String {
    format!("expected {ty}, found {}", shown(json))
}

fn shown(json: &Json) -> String {
    shorten(&json.to_string())
}

fn shorten(text: &str) -> String {
    let text = crate::output::clean(text);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
