//! Arguments that were encoded by one signature, put in the order of another one by their names.

use interstice_abi::{
    codec::Input,
    fingerprint::Fingerprint,
    types::{ColumnType, Field, TypeSet},
    value::decode,
};

/// Arguments of a function, and the types that they use.
#[derive(Clone, Copy)]
pub(crate) struct Signature<'a> {
    pub(crate) arguments: &'a [Field],
    pub(crate) types: &'a TypeSet,
}

/// The encoding by `to` of arguments that were encoded by `from`: each goes to the argument of
/// its name and type, and optional ones that are added are `None`. `None` when one does not fit,
/// or would be left out.
pub(crate) fn refit(bytes: &[u8], from: Signature<'_>, to: Signature<'_>) -> Option<Vec<u8>> {
    let mut given = Vec::with_capacity(from.arguments.len());
    let mut input = Input::new(bytes);
    for field in from.arguments {
        let start = bytes.len() - input.left();
        decode(&field.ty, from.types, &mut input).ok()?;
        let value = bytes.get(start..bytes.len() - input.left())?;
        given.push((field, Fingerprint::of_type(&field.ty, from.types), value));
    }
    input.finish().ok()?;
    let mut refitted = Vec::with_capacity(bytes.len());
    for field in to.arguments {
        let Some(place) = given
            .iter()
            .position(|(known, ..)| known.name == field.name)
        else {
            if !matches!(field.ty, ColumnType::Option(_)) {
                return None;
            }
            // The encoding of `None`.
            refitted.push(0);
            continue;
        };
        let (_, ty, value) = given.swap_remove(place);
        if ty != Fingerprint::of_type(&field.ty, to.types) {
            return None;
        }
        refitted.extend_from_slice(value);
    }
    given.is_empty().then_some(refitted)
}

#[cfg(test)]
mod tests {
    use interstice_abi::codec::Column as _;

    use super::*;

    fn encoded(numbers: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| number.encode(&mut bytes));
        bytes
    }

    fn fields(named: &[(&str, ColumnType)]) -> Vec<Field> {
        let field = |(name, ty): &(&str, ColumnType)| Field::new(*name, ty.clone());
        named.iter().map(field).collect()
    }

    /// What becomes of 300, 2, 7 for `from`, `to`, `amount`.
    fn check(to: &[(&str, ColumnType)], expected: Option<Vec<u8>>) {
        let nat = ColumnType::U64;
        let from = fields(&[("from", nat.clone()), ("to", nat.clone()), ("amount", nat)]);
        let (to, types) = (fields(to), TypeSet::default());
        let signature = |arguments| Signature {
            arguments,
            types: &types,
        };
        let bytes = encoded(&[300, 2, 7]);
        assert_eq!(refit(&bytes, signature(&from), signature(&to)), expected);
    }

    #[test]
    fn arguments_go_where_their_names_are() {
        let nat = || ColumnType::U64;
        let swapped = [("to", nat()), ("from", nat()), ("amount", nat())];
        check(&swapped, Some(encoded(&[2, 300, 7])));
        let note = ColumnType::Option(Box::new(ColumnType::String));
        let added = [swapped.as_slice(), &[("note", note)]].concat();
        let mut with_none = encoded(&[2, 300, 7]);
        with_none.push(0);
        check(&added, Some(with_none));
    }

    #[test]
    fn what_does_not_fit_by_name_and_type_is_not_sent() {
        let nat = || ColumnType::U64;
        check(&[("from", nat()), ("to", nat())], None);
        let retyped = [("from", nat()), ("to", nat()), ("amount", ColumnType::I64)];
        check(&retyped, None);
        let renamed = [("from", nat()), ("to", nat()), ("sum", nat())];
        check(&renamed, None);
        let required = [
            ("from", nat()),
            ("to", nat()),
            ("amount", nat()),
            ("at", nat()),
        ];
        check(&required, None);
    }
}
