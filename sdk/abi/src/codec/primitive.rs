//! [`Column`] for numbers, `bool`, `String` and `()`.

use alloc::{string::String, vec::Vec};

use super::{Column, Damaged, Input, put_length, put_varint};
use crate::types::{ColumnType, TypeSet};

macro_rules! unsigned {
    ($($ty:ident $variant:ident)*) => {$(
        impl Column for $ty {
            fn column_type(_: &mut TypeSet) -> ColumnType {
                ColumnType::$variant
            }

            fn encode(&self, out: &mut Vec<u8>) {
                put_varint(u128::from(*self), out);
            }

            #[expect(clippy::cast_possible_truncation, reason = "`varint` has checked the width")]
            fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
                Ok(input.varint($ty::BITS)? as $ty)
            }
        }
    )*};
}
unsigned!(u16 U16 u32 U32 u64 U64);

impl Column for u128 {
    fn column_type(_: &mut TypeSet) -> ColumnType {
        ColumnType::U128
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(*self, out);
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        input.varint(128)
    }
}

macro_rules! signed {
    ($($ty:ident $unsigned:ident $variant:ident)*) => {$(
        impl Column for $ty {
            fn column_type(_: &mut TypeSet) -> ColumnType {
                ColumnType::$variant
            }

            fn encode(&self, out: &mut Vec<u8>) {
                let zigzag = (self << 1) ^ (self >> ($ty::BITS - 1));
                zigzag.cast_unsigned().encode(out);
            }

            fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
                let zigzag = $unsigned::decode(input)?;
                Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
            }
        }
    )*};
}
signed!(i16 u16 I16 i32 u32 I32 i64 u64 I64 i128 u128 I128);

impl Column for u8 {
    fn column_type(_: &mut TypeSet) -> ColumnType {
        ColumnType::U8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        input.byte()
    }

    fn encode_all(items: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }

    fn decode_all(count: usize, input: &mut Input<'_>) -> Result<Vec<Self>, Damaged> {
        Ok(input.take(count)?.to_vec())
    }
}

impl Column for i8 {
    fn column_type(_: &mut TypeSet) -> ColumnType {
        ColumnType::I8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.cast_unsigned());
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        Ok(input.byte()?.cast_signed())
    }
}

impl Column for bool {
    fn column_type(_: &mut TypeSet) -> ColumnType {
        ColumnType::Bool
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(input.damaged("a bool is neither 0 nor 1")),
        }
    }
}

macro_rules! float {
    ($($ty:ident $variant:ident)*) => {$(
        impl Column for $ty {
            fn column_type(_: &mut TypeSet) -> ColumnType {
                ColumnType::$variant
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
                let mut bytes = [0; size_of::<$ty>()];
                bytes.copy_from_slice(input.take(size_of::<$ty>())?);
                Ok($ty::from_le_bytes(bytes))
            }
        }
    )*};
}
float!(f32 F32 f64 F64);

impl Column for String {
    fn column_type(_: &mut TypeSet) -> ColumnType {
        ColumnType::String
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        let length = input.length()?;
        let bytes = input.take(length)?;
        core::str::from_utf8(bytes)
            .map(Self::from)
            .map_err(|_| input.damaged("a string is not UTF-8"))
    }
}

impl Column for () {
    fn column_type(_: &mut TypeSet) -> ColumnType {
        ColumnType::Void
    }

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut Input<'_>) -> Result<Self, Damaged> {
        Ok(())
    }
}
