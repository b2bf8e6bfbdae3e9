//! From bytes to a tree.

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{DEPTH_MAX, FieldValues, VALUES_MAX, Value};
use crate::{
    codec::{Column, Damaged, Input},
    types::{ColumnType, Fields, TypeKind, TypeSet},
    walk::ZERO_SIZED_ITEMS_MAX,
};

/// Reads one value of type `ty`; what follows it stays in `input`.
///
/// # Errors
/// [`Damaged`] when the bytes are not the canonical form of a value, when `ty` names a type that
/// `types` lacks, or when the value is deeper than [`DEPTH_MAX`] or has more parts than
/// [`VALUES_MAX`].
pub fn decode(ty: &ColumnType, types: &TypeSet, input: &mut Input<'_>) -> Result<Value, Damaged> {
    Reader {
        types,
        left: VALUES_MAX,
    }
    .value(ty, DEPTH_MAX, input)
}

struct Reader<'a> {
    types: &'a TypeSet,
    /// How many values may still be made.
    left: usize,
}

impl Reader<'_> {
    fn value(
        &mut self,
        ty: &ColumnType,
        depth: usize,
        input: &mut Input<'_>,
    ) -> Result<Value, Damaged> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| input.damaged("a value is nested too deeply"))?;
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| input.damaged("a value has too many parts"))?;
        Ok(match ty {
            ColumnType::Void => Value::Void,
            ColumnType::Bool => Value::Bool(bool::decode(input)?),
            ColumnType::U8 => Value::Unsigned(input.byte()?.into()),
            ColumnType::U16 => Value::Unsigned(u16::decode(input)?.into()),
            ColumnType::U32 => Value::Unsigned(u32::decode(input)?.into()),
            ColumnType::U64 => Value::Unsigned(u64::decode(input)?.into()),
            ColumnType::U128 => Value::Unsigned(u128::decode(input)?),
            ColumnType::I8 => Value::Signed(i8::decode(input)?.into()),
            ColumnType::I16 => Value::Signed(i16::decode(input)?.into()),
            ColumnType::I32 => Value::Signed(i32::decode(input)?.into()),
            ColumnType::I64 => Value::Signed(i64::decode(input)?.into()),
            ColumnType::I128 => Value::Signed(i128::decode(input)?),
            ColumnType::F32 => Value::F32(f32::decode(input)?),
            ColumnType::F64 => Value::F64(f64::decode(input)?),
            ColumnType::String => Value::String(String::decode(input)?),
            ColumnType::Vec(item) => {
                let count = input.length()?;
                // An item has a byte at least, or none; of the latter no walk takes more.
                if count > ZERO_SIZED_ITEMS_MAX.max(input.left()) {
                    return Err(input.damaged("claims more items than it has bytes"));
                }
                self.list(item, count, depth, input)?
            }
            ColumnType::Array(item, count) => {
                let count = usize::try_from(*count)
                    .map_err(|_| input.damaged("an array is too long for this machine"))?;
                self.list(item, count, depth, input)?
            }
            ColumnType::Option(some) => match input.byte()? {
                0 => Value::Option(None),
                1 => Value::Option(Some(Box::new(self.value(some, depth, input)?))),
                _ => return Err(input.damaged("an option's tag is neither 0 nor 1")),
            },
            ColumnType::Tuple(items) => Value::Tuple(self.values(items, depth, input)?),
            ColumnType::Named(name) => self.named(name, depth, input)?,
        })
    }

    fn list(
        &mut self,
        item: &ColumnType,
        count: usize,
        depth: usize,
        input: &mut Input<'_>,
    ) -> Result<Value, Damaged> {
        if *item == ColumnType::U8 {
            return Ok(Value::Bytes(input.take(count)?.to_vec()));
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(item, depth, input)?);
        }
        Ok(Value::List(items))
    }

    fn values(
        &mut self,
        types: &[ColumnType],
        depth: usize,
        input: &mut Input<'_>,
    ) -> Result<Vec<Value>, Damaged> {
        types
            .iter()
            .map(|ty| self.value(ty, depth, input))
            .collect()
    }

    fn named(&mut self, name: &str, depth: usize, input: &mut Input<'_>) -> Result<Value, Damaged> {
        let types = self.types;
        let definition = types
            .types
            .get(name)
            .ok_or_else(|| input.damaged("its type is not defined"))?;
        match &definition.kind {
            TypeKind::Struct(fields) => Ok(Value::Struct(self.fields(fields, depth, input)?)),
            TypeKind::Enum(variants) => {
                let place = input.length()?;
                let variant = variants
                    .get(place)
                    .ok_or_else(|| input.damaged("an enum has no variant of this number"))?;
                let fields = self.fields(&variant.fields, depth, input)?;
                Ok(Value::Enum(variant.name.clone(), fields))
            }
        }
    }

    fn fields(
        &mut self,
        fields: &Fields,
        depth: usize,
        input: &mut Input<'_>,
    ) -> Result<FieldValues, Damaged> {
        Ok(match fields {
            Fields::Unit => FieldValues::Unit,
            Fields::Tuple(types) => FieldValues::Tuple(self.values(types, depth, input)?),
            Fields::Named(fields) => FieldValues::Named(
                fields
                    .iter()
                    .map(|field| Ok((field.name.clone(), self.value(&field.ty, depth, input)?)))
                    .collect::<Result<_, Damaged>>()?,
            ),
        })
    }
}
