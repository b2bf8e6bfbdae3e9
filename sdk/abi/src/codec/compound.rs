//! [`Column`] for `Vec`, `Option`, arrays and tuples of 1 to 12.

use alloc::{boxed::Box, vec, vec::Vec};

use super::{Column, Damaged, Input, put_length};
use crate::types::{ColumnType, TypeSet};

impl<T: Column> Column for Vec<T> {
    fn column_type(types: &mut TypeSet) -> ColumnType {
        ColumnType::Vec(Box::new(T::column_type(types)))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        T::encode_all(self, out);
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        let count = input.length()?;
        T::decode_all(count, input)
    }
}

impl<T: Column> Column for Option<T> {
    fn column_type(types: &mut TypeSet) -> ColumnType {
        ColumnType::Option(Box::new(T::column_type(types)))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        match input.byte()? {
            0 => Ok(None),
            1 => T::decode(input).map(Some),
            _ => Err(input.damaged("an option's tag is neither 0 nor 1")),
        }
    }
}

impl<T: Column, const N: usize> Column for [T; N] {
    fn column_type(types: &mut TypeSet) -> ColumnType {
        let length = u32::try_from(N).unwrap_or(u32::MAX);
        ColumnType::Array(Box::new(T::column_type(types)), length)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        T::encode_all(self, out);
    }

    fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        let items = T::decode_all(N, input)?;
        Self::try_from(items).map_err(|_| input.damaged("an array has the wrong length"))
    }
}

macro_rules! tuple {
    ($($name:ident $place:tt),+) => {
        impl<$($name: Column),+> Column for ($($name,)+) {
            fn column_type(types: &mut TypeSet) -> ColumnType {
                ColumnType::Tuple(vec![$($name::column_type(types)),+])
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$place.encode(out);)+
            }

            fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
                Ok(($($name::decode(input)?,)+))
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
