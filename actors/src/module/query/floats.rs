//! Equality of column values with floats in them: 0.0 and -0.0 are equal and have two encodings.

use std::collections::BTreeSet;

use interstice_abi::{
    codec::Input,
    types::{ColumnType, Fields, TypeKind, TypeSet},
    value::{Value, decode},
};

/// Longest encoding that is compared as a value: the tree of a longer one would take much memory
/// for each row. Longer ones are equal when their bytes are.
const COMPARED_BYTES_MAX: usize = 4096;

/// A value that columns are compared with.
pub(super) struct FloatValue {
    ty: ColumnType,
    types: TypeSet,
    length: usize,
    value: Value,
}

impl FloatValue {
    /// The value with this encoding; `None` where equal values have equal bytes.
    pub(super) fn new(bytes: &[u8], ty: &ColumnType, types: &TypeSet) -> Option<Self> {
        if bytes.len() > COMPARED_BYTES_MAX || !has_floats(ty, types, &mut BTreeSet::new()) {
            return None;
        }
        Some(Self {
            value: decode(ty, types, &mut Input::new(bytes)).ok()?,
            ty: ty.clone(),
            types: types.clone(),
            length: bytes.len(),
        })
    }

    /// Whether the column with this encoding has the value.
    pub(super) fn equals(&self, bytes: &[u8]) -> bool {
        // Both zeros are equally long.
        bytes.len() == self.length
            && decode(&self.ty, &self.types, &mut Input::new(bytes))
                .is_ok_and(|value| value == self.value)
    }
}

/// Whether values of this type may hold a float. `seen` are the named types that are being looked
/// into.
fn has_floats<'a>(ty: &'a ColumnType, types: &'a TypeSet, seen: &mut BTreeSet<&'a str>) -> bool {
    match ty {
        ColumnType::F32 | ColumnType::F64 => true,
        ColumnType::Vec(inner) | ColumnType::Array(inner, _) | ColumnType::Option(inner) => {
            has_floats(inner, types, seen)
        }
        ColumnType::Tuple(all) => all.iter().any(|ty| has_floats(ty, types, seen)),
        ColumnType::Named(name) => {
            let Some(definition) = types.types.get(name).filter(|_| seen.insert(name)) else {
                return false;
            };
            match &definition.kind {
                TypeKind::Struct(fields) => in_fields(fields, types, seen),
                TypeKind::Enum(variants) => variants
                    .iter()
                    .any(|variant| in_fields(&variant.fields, types, seen)),
            }
        }
        _ => false,
    }
}

fn in_fields<'a>(fields: &'a Fields, types: &'a TypeSet, seen: &mut BTreeSet<&'a str>) -> bool {
    match fields {
        Fields::Unit => false,
        Fields::Tuple(all) => all.iter().any(|ty| has_floats(ty, types, seen)),
        Fields::Named(fields) => fields
            .iter()
            .any(|field| has_floats(&field.ty, types, seen)),
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::codec::Column;

    use super::*;

    #[test]
    fn both_zeros_are_equal_at_any_depth() {
        let pair = ColumnType::Tuple(vec![
            ColumnType::U8,
            ColumnType::Option(Box::new(ColumnType::F32)),
        ]);
        let types = TypeSet::default();
        let of = |bytes: &[u8], ty: &ColumnType| FloatValue::new(bytes, ty, &types);
        let zero = of(&0.0_f64.to_bytes(), &ColumnType::F64).expect("has a float");
        assert!(zero.equals(&(-0.0_f64).to_bytes()));
        assert!(!zero.equals(&1.0_f64.to_bytes()));
        assert!(!zero.equals(&0.0_f32.to_bytes()));
        let inside = of(&(1_u8, Some(-0.0_f32)).to_bytes(), &pair).expect("has a float");
        assert!(inside.equals(&(1_u8, Some(0.0_f32)).to_bytes()));
        assert!(!inside.equals(&(2_u8, Some(0.0_f32)).to_bytes()));
        assert!(of(&0_u64.to_bytes(), &ColumnType::U64).is_none());
        let long = vec![0.0_f64; COMPARED_BYTES_MAX];
        let floats = ColumnType::Vec(Box::new(ColumnType::F64));
        assert!(of(&long.to_bytes(), &floats).is_none());
    }
}
