//! The walk takes exactly what decoding takes, and does not believe counts, cycles or depth.

use alloc::{boxed::Box, string::ToString, vec, vec::Vec};
use std::{borrow::ToOwned, string::String};

use proptest::prelude::*;

use super::*;
use crate::{
    codec::Column,
    types::{Field, Fields, TypeKind, TypeSet, Variant},
};

fn named(name: &str) -> ColumnType {
    ColumnType::Named(name.to_owned())
}

fn vec_of(ty: ColumnType) -> ColumnType {
    ColumnType::Vec(Box::new(ty))
}

fn types(definitions: &[(&str, TypeKind)]) -> TypeSet {
    let mut types = TypeSet::default();
    for (name, kind) in definitions {
        types.define(name, "crate", |_| kind.clone());
    }
    types
}

/// Whether walking says the same as decoding.
fn agrees<T: Column>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut types = TypeSet::default();
    let ty = T::column_type(&mut types);
    let mut layout = Layout::new(&types).expect("lays out");
    let node = layout.resolve(&ty).expect("resolves");
    prop_assert_eq!(
        layout.check(&[node], bytes).is_ok(),
        T::from_bytes(bytes).is_ok()
    );
    Ok(())
}

type Scalars = (bool, u8, i8, u16, i32, u64, i128, f32, f64, String);
type Nested = (
    Vec<u8>,
    Vec<(i16, String)>,
    Option<Option<u64>>,
    [u16; 3],
    Vec<f32>,
);

proptest! {
    #[test]
    fn values_are_walked_to_their_end(
        scalars: Scalars,
        nested: (Vec<u8>, Vec<(i16, String)>, Option<Option<u64>>, [u16; 3], Vec<u32>),
        rest: Vec<u8>,
    ) {
        let nested: Nested = (
            nested.0, nested.1, nested.2, nested.3,
            nested.4.into_iter().map(f32::from_bits).collect(),
        );
        let mut layout = Layout::default();
        let mut types = TypeSet::default();
        let fields = [Scalars::column_type(&mut types), Nested::column_type(&mut types)];
        let nodes: Vec<Node> =
            fields.iter().map(|ty| layout.resolve(ty).expect("resolves")).collect();
        let mut bytes = scalars.to_bytes();
        let end = bytes.len();
        nested.encode(&mut bytes);
        let mut found = Vec::new();
        layout.walk(&nodes, &bytes, |place, part| found.push((place, part.to_vec()))).expect("whole");
        prop_assert_eq!(
            found,
            vec![(0, bytes[..end].to_vec()), (1, bytes[end..].to_vec())]
        );
        let whole = bytes.len();
        bytes.extend_from_slice(&rest);
        let mut input = Input::new(&bytes);
        for node in &nodes {
            layout.skip(*node, &mut input).expect("whole");
        }
        prop_assert_eq!(input.left(), bytes.len() - whole);
    }

    #[test]
    fn any_bytes_are_taken_as_decoding_takes_them(bytes: Vec<u8>) {
        agrees::<Scalars>(&bytes)?;
        agrees::<Nested>(&bytes)?;
        agrees::<Vec<Vec<bool>>>(&bytes)?;
        agrees::<(Option<String>, u32)>(&bytes)?;
        agrees::<u128>(&bytes)?;
        agrees::<i64>(&bytes)?;
    }

    #[test]
    fn a_flipped_bit_is_refused_or_another_value(nested: (bool, Vec<(i16, String)>, Option<u64>), bit: usize) {
        let mut bytes = nested.to_bytes();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        agrees::<(bool, Vec<(i16, String)>, Option<u64>)>(&bytes)?;
    }
}

#[test]
fn structs_and_enums_are_walked_by_their_definition() {
    let point = TypeKind::Struct(Fields::Named(vec![
        Field::new("x", ColumnType::U8),
        Field::new("y", named("Shade")),
    ]));
    let variant = |name: &str, fields| Variant {
        name: name.to_owned(),
        fields,
    };
    let shade = TypeKind::Enum(vec![
        variant("Dark", Fields::Unit),
        variant(
            "Mixed",
            Fields::Tuple(vec![ColumnType::U16, named("Point")]),
        ),
    ]);
    let types = types(&[("Point", point), ("Shade", shade)]);
    assert!(
        matches!(Layout::new(&types), Err(Unresolved::ContainsItself { .. })),
        "a point has a shade has a point"
    );

    let shade = TypeKind::Enum(vec![
        variant("Dark", Fields::Unit),
        variant(
            "Mixed",
            Fields::Tuple(vec![ColumnType::U16, vec_of(named("Shade"))]),
        ),
    ]);
    let types = self::types(&[("Shade", shade)]);
    let mut layout = Layout::new(&types).expect("a vector is between");
    let node = layout.resolve(&named("Shade")).expect("resolves");
    for (bytes, ok) in [
        (&[0][..], true),
        (&[1, 5, 0], true),
        (&[1, 5, 2, 0, 1, 7, 0], true),
        (&[1, 5, 2, 0], false),
        (&[2], false),
        (&[0x80, 0], false),
        (&[], false),
    ] {
        assert_eq!(layout.check(&[node], bytes).is_ok(), ok, "{bytes:?}");
    }
}

#[test]
fn a_vector_of_nothing_costs_nothing_and_is_bounded() {
    let types = types(&[
        ("Unit", TypeKind::Struct(Fields::Unit)),
        (
            "Pair",
            TypeKind::Struct(Fields::Tuple(vec![named("Unit"), named("Unit")])),
        ),
    ]);
    let mut layout = Layout::new(&types).expect("lays out");
    let many = ColumnType::Array(Box::new(named("Pair")), u32::MAX);
    let node = layout.resolve(&many).expect("resolves");
    assert_eq!(layout.check(&[node], &[]), Ok(()), "four billion units");
    let node = layout.resolve(&vec_of(named("Pair"))).expect("resolves");
    assert_eq!(layout.check(&[node], &1000_u32.to_bytes()), Ok(()));
    assert!(
        layout
            .check(&[node], &[0xff, 0xff, 0xff, 0xff, 0x0f])
            .is_err()
    );
    let node = layout.resolve(&vec_of(ColumnType::Bool)).expect("resolves");
    assert!(
        layout
            .check(&[node], &[0xff, 0xff, 0xff, 0xff, 0x0f])
            .is_err()
    );
}

#[test]
fn depth_is_bounded_in_types_and_in_values() {
    let mut ty = ColumnType::U8;
    for _ in 0..DEPTH_MAX {
        ty = ColumnType::Option(Box::new(ty));
    }
    assert_eq!(Layout::default().resolve(&ty), Err(Unresolved::TooDeep));

    let list = TypeKind::Struct(Fields::Named(vec![Field::new(
        "next",
        vec_of(named("List")),
    )]));
    let mut layout = Layout::new(&types(&[("List", list)])).expect("lays out");
    let node = layout.resolve(&named("List")).expect("resolves");
    let deep = |levels: usize| {
        let mut bytes = vec![1; levels];
        bytes.push(0);
        bytes
    };
    assert_eq!(layout.check(&[node], &deep(20)), Ok(()));
    assert!(layout.check(&[node], &deep(100_000)).is_err());

    let chain: Vec<(String, TypeKind)> = (0..10_000)
        .map(|number| {
            let next = ColumnType::Named((number + 1).to_string());
            (
                number.to_string(),
                TypeKind::Struct(Fields::Tuple(vec![next])),
            )
        })
        .collect();
    let mut set = TypeSet::default();
    for (name, kind) in &chain {
        set.define(name, "crate", |_| kind.clone());
    }
    set.define("10000", "crate", |_| TypeKind::Struct(Fields::Unit));
    assert_eq!(Layout::new(&set).map(|_| ()), Err(Unresolved::TooDeep));
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let dangling = TypeKind::Struct(Fields::Tuple(vec![named("Gone")]));
    let error = Layout::new(&types(&[("A", dangling)])).map(|_| ());
    assert_eq!(
        error,
        Err(Unresolved::UnknownType {
            name: "Gone".to_owned()
        })
    );
    let node = Layout::new(&types(&[("A", TypeKind::Struct(Fields::Unit))]))
        .and_then(|mut layout| layout.resolve(&vec_of(named("A"))))
        .expect("resolves");
    assert!(
        Layout::default().check(&[node], &[0]).is_err(),
        "a node of another layout"
    );
}
