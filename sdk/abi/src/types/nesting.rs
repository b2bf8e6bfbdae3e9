//! Reading a [`ColumnType`] that somebody else has written, from any format of serde.
//!
//! Written by hand for one reason: types contain types, and a derived reader would follow a
//! hostile one down until the stack is full. This one stops at [`DEPTH_MAX`] levels, which is also
//! where walks over values stop.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, SeqAccess, VariantAccess, Visitor},
};

use super::ColumnType;
use crate::walk::DEPTH_MAX;

/// The variants' names, in their order.
#[derive(Deserialize)]
#[serde(variant_identifier)]
enum Word {
    Void,
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    String,
    Vec,
    Option,
    Tuple,
    Named,
    Array,
}

const WORDS: &[&str] = &[
    "Void", "Bool", "U8", "U16", "U32", "U64", "U128", "I8", "I16", "I32", "I64", "I128", "F32",
    "F64", "String", "Vec", "Option", "Tuple", "Named", "Array",
];

/// A type with so many levels left below it.
#[derive(Clone, Copy)]
struct Level(usize);

/// The items of a tuple.
struct Items(Level);

/// The item and the length of an array.
struct ItemAndLength(Level);

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Level(DEPTH_MAX).deserialize(deserializer)
    }
}

impl Level {
    fn below<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| {
            E::custom(format_args!(
                "types are nested more than {DEPTH_MAX} levels deep"
            ))
        })
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ColumnType;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ColumnType, D::Error> {
        deserializer.deserialize_enum("ColumnType", WORDS, self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ColumnType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column type")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<ColumnType, A::Error> {
        let (word, content) = access.variant::<Word>()?;
        let plain = match word {
            Word::Vec => {
                return content
                    .newtype_variant_seed(self.below()?)
                    .map(|inner| ColumnType::Vec(Box::new(inner)));
            }
            Word::Option => {
                return content
                    .newtype_variant_seed(self.below()?)
                    .map(|inner| ColumnType::Option(Box::new(inner)));
            }
            Word::Tuple => {
                return content
                    .newtype_variant_seed(Items(self.below()?))
                    .map(ColumnType::Tuple);
            }
            Word::Named => return content.newtype_variant::<String>().map(ColumnType::Named),
            Word::Array => return content.tuple_variant(2, ItemAndLength(self.below()?)),
            Word::Void => ColumnType::Void,
            Word::Bool => ColumnType::Bool,
            Word::U8 => ColumnType::U8,
            Word::U16 => ColumnType::U16,
            Word::U32 => ColumnType::U32,
            Word::U64 => ColumnType::U64,
            Word::U128 => ColumnType::U128,
            Word::I8 => ColumnType::I8,
            Word::I16 => ColumnType::I16,
            Word::I32 => ColumnType::I32,
            Word::I64 => ColumnType::I64,
            Word::I128 => ColumnType::I128,
            Word::F32 => ColumnType::F32,
            Word::F64 => ColumnType::F64,
            Word::String => ColumnType::String,
        };
        content.unit_variant()?;
        Ok(plain)
    }
}

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<ColumnType>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<ColumnType>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the types of a tuple")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut types = Vec::new();
        while let Some(ty) = items.next_element_seed(self.0)? {
            types.push(ty);
        }
        Ok(types)
    }
}

impl<'de> Visitor<'de> for ItemAndLength {
    type Value = ColumnType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type and the number of an array's items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<ColumnType, A::Error> {
        let missing = |place| A::Error::invalid_length(place, &"the type and the number of items");
        let item = parts.next_element_seed(self.0)?.ok_or_else(|| missing(0))?;
        let length = parts.next_element()?.ok_or_else(|| missing(1))?;
        Ok(ColumnType::Array(Box::new(item), length))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, string::String, vec, vec::Vec};

    use super::ColumnType;

    #[test]
    fn every_type_reads_back_what_it_writes() {
        let all = ColumnType::Tuple(vec![
            ColumnType::Void,
            ColumnType::F64,
            ColumnType::String,
            ColumnType::Vec(Box::new(ColumnType::U8)),
            ColumnType::Option(Box::new(ColumnType::I128)),
            ColumnType::Named(String::from("Color")),
            ColumnType::Array(Box::new(ColumnType::Bool), 7),
        ]);
        let bytes = postcard::to_allocvec(&all).unwrap();
        assert_eq!(postcard::from_bytes(&bytes), Ok(all));
    }

    #[test]
    fn types_without_end_are_an_error_and_not_a_full_stack() {
        for tag in [15_u8, 16] {
            let deep: Vec<u8> = core::iter::repeat_n(tag, 1_000_000).collect();
            assert!(postcard::from_bytes::<ColumnType>(&deep).is_err());
        }
        let fits: Vec<u8> = core::iter::repeat_n(15, 64).chain([0]).collect();
        assert!(postcard::from_bytes::<ColumnType>(&fits).is_ok());
    }
}
