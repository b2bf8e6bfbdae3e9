//! Arguments with placeholders, prepared so that a call costs little: what is fixed is encoded
//! once.
//!
//! A string that is a placeholder as a whole becomes a number of the argument's type; one inside a
//! longer string becomes text.

use interstice_abi::{
    types::{ColumnType, Field, TypeSet},
    value::{Value, encode},
};
use serde_json::Value as Json;

use super::numbers::{Number, Numbers};
use crate::json::Coercion;

/// The arguments of a function, one after the other.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
    types: TypeSet,
}

#[derive(Clone, Debug)]
enum Part {
    /// Encoded.
    Fixed(Vec<u8>),
    /// A whole argument that is a placeholder.
    Number(Number, ColumnType),
    /// An argument with placeholders in it.
    Composed(Json, ColumnType),
}

impl Template {
    /// Prepares `arguments` for a function that takes `fields`.
    ///
    /// # Errors
    /// A sentence that says which argument does not fit and why.
    pub fn new(arguments: &[Json], fields: &[Field], types: &TypeSet) -> Result<Self, String> {
        if arguments.len() != fields.len() {
            let names: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name, field.ty))
                .collect();
            return Err(format!(
                "there are {} arguments; it takes {} ({})",
                arguments.len(),
                fields.len(),
                names.join(", ")
            ));
        }
        let mut template = Self {
            parts: Vec::new(),
            types: types.clone(),
        };
        for (json, field) in arguments.iter().zip(fields) {
            let part = template
                .part(json, field)
                .map_err(|problem| format!("argument `{}`: {problem}", field.name))?;
            match (template.parts.last_mut(), part) {
                (Some(Part::Fixed(before)), Part::Fixed(bytes)) => before.extend(bytes),
                (_, part) => template.parts.push(part),
            }
        }
        // What can only be noticed with numbers in place is noticed before anything is sent.
        template.encode(
            &mut Numbers::new(0, 1, 1, Default::default()),
            &mut Vec::new(),
        )?;
        Ok(template)
    }

    fn part(&self, json: &Json, field: &Field) -> Result<Part, String> {
        if let Json::String(text) = json
            && let Some(number) = Number::named(text)?
        {
            return Ok(Part::Number(number, field.ty.clone()));
        }
        if has_placeholder(json)? {
            return Ok(Part::Composed(json.clone(), field.ty.clone()));
        }
        let mut bytes = Vec::new();
        self.value(json, &field.ty, &mut bytes)?;
        Ok(Part::Fixed(bytes))
    }

    fn value(&self, json: &Json, ty: &ColumnType, out: &mut Vec<u8>) -> Result<(), String> {
        let value = Coercion::new(&self.types).value(json, ty)?;
        encode(&value, ty, &self.types, out)
    }

    /// Appends the arguments of the call that `numbers` has begun.
    ///
    /// # Errors
    /// When a number does not fit its argument's type.
    pub fn encode(&self, numbers: &mut Numbers, out: &mut Vec<u8>) -> Result<(), String> {
        for part in &self.parts {
            match part {
                Part::Fixed(bytes) => out.extend_from_slice(bytes),
                Part::Number(number, ty) => {
                    let number = numbers.get(number);
                    self.number(number, ty, out)?;
                }
                Part::Composed(json, ty) => self.value(&filled(json, numbers)?, ty, out)?,
            }
        }
        Ok(())
    }

    fn number(&self, number: u64, ty: &ColumnType, out: &mut Vec<u8>) -> Result<(), String> {
        match ty {
            ColumnType::U8
            | ColumnType::U16
            | ColumnType::U32
            | ColumnType::U64
            | ColumnType::U128 => encode(&Value::Unsigned(number.into()), ty, &self.types, out),
            ColumnType::String => encode(&Value::String(number.to_string()), ty, &self.types, out),
            _ => self.value(&Json::from(number), ty, out),
        }
    }
}

/// Whether there is a placeholder anywhere in it.
fn has_placeholder(json: &Json) -> Result<bool, String> {
    Ok(match json {
        Json::String(text) => pieces(text)?
            .iter()
            .any(|piece| matches!(piece, Piece::Number(_))),
        Json::Array(items) => {
            let mut found = false;
            for item in items {
                found |= has_placeholder(item)?;
            }
            found
        }
        Json::Object(fields) => {
            let mut found = false;
            for value in fields.values() {
                found |= has_placeholder(value)?;
            }
            found
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    })
}

/// The JSON with numbers in place of its placeholders.
fn filled(json: &Json, numbers: &mut Numbers) -> Result<Json, String> {
    Ok(match json {
        Json::String(text) => match Number::named(text) {
            Ok(Some(number)) => Json::from(numbers.get(&number)),
            _ => Json::String(
                pieces(text)?
                    .into_iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => text.to_string(),
                        Piece::Number(number) => numbers.get(&number).to_string(),
                    })
                    .collect(),
            ),
        },
        Json::Array(items) => Json::Array(
            items
                .iter()
                .map(|item| filled(item, numbers))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(fields) => Json::Object(
            fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), filled(value, numbers)?)))
                .collect::<Result<_, String>>()?,
        ),
        Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
    })
}

enum Piece<'a> {
    Text(&'a str),
    Number(Number),
}

/// Text and placeholders in turn. `$` before anything but a letter is itself.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let (before, from) = rest.split_at(start);
        let name = from.get(1..).unwrap_or_default();
        let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let length = name.find(|letter| !is_part(letter)).unwrap_or(name.len());
        let (found, after) = from.split_at(1 + length);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let number = if length > 0 {
            Number::named(found)?
        } else {
            None
        };
        pieces.push(number.map_or(Piece::Text(found), Piece::Number));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(arguments: Json, types: &[ColumnType]) -> Result<Vec<u8>, String> {
        let fields: Vec<Field> = types
            .iter()
            .zip("abcdef".chars())
            .map(|(ty, name)| Field {
                name: name.to_string(),
                ty: ty.clone(),
                default: None,
            })
            .collect();
        let arguments = arguments.as_array().expect("is an array").clone();
        let template = Template::new(&arguments, &fields, &TypeSet::default())?;
        let mut numbers = Numbers::new(2, 4, 8, Default::default());
        let mut out = Vec::new();
        for slot in 0..2 {
            out.clear();
            numbers.next(slot);
            template.encode(&mut numbers, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn whole_placeholders_are_numbers_and_embedded_ones_text() {
        let types = [
            ColumnType::U64,
            ColumnType::U32,
            ColumnType::I64,
            ColumnType::Bool,
            ColumnType::String,
        ];
        let bytes = encoded(
            json!(["$client", "$seq", "$op", false, "c$client-$worker, 5$"]),
            &types,
        );
        let expected =
            postcard::to_allocvec(&(2_u64, 6_u32, 1_i64, false, "c2-17, 5$")).expect("encodes");
        assert_eq!(bytes, Ok(expected));
    }

    #[test]
    fn placeholders_stand_inside_of_lists_too() {
        let list = ColumnType::Vec(Box::new(ColumnType::U64));
        let bytes = encoded(json!([[1, "$op", "$max_client"]]), &[list]);
        assert_eq!(
            bytes,
            Ok(postcard::to_allocvec(&[1_u64, 1, 3].as_slice()).expect("encodes"))
        );
    }

    #[test]
    fn what_does_not_fit_is_said_before_anything_is_sent() {
        for (arguments, types, wanted) in [
            (json!([1]), vec![], "there are 1 arguments; it takes 0"),
            (
                json!(["$sqe"]),
                vec![ColumnType::U64],
                "argument `a`: `$sqe` is no placeholder",
            ),
            (json!(["x"]), vec![ColumnType::U64], "argument `a`"),
            (json!(["$seq"]), vec![ColumnType::Bool], "expected"),
        ] {
            let problem = encoded(arguments, &types).expect_err(wanted);
            assert!(problem.contains(wanted), "{problem}");
        }
    }
}
