//! Column types chosen by an input, over a fixed set of named types of every kind.

use std::sync::LazyLock;

use interstice_abi::types::{ColumnType, Field, Fields, TypeKind, TypeSet, Variant};
use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// How deep a chosen type may be: values of recursive types go deeper by themselves.
const DEPTH_MAX: usize = 5;

/// The named types.
pub static TYPES: LazyLock<TypeSet> = LazyLock::new(|| {
    let mut types = TypeSet::default();
    let mut define = |name: &str, kind| types.define(name, &format!("fuzz::{name}"), |_| kind);
    define("Empty", TypeKind::Struct(Fields::Unit));
    define(
        "Pair",
        TypeKind::Struct(Fields::Tuple(vec![ColumnType::I32, ColumnType::String])),
    );
    define(
        "Person",
        TypeKind::Struct(Fields::Named(vec![
            Field::new("name", ColumnType::String),
            Field::new("age", ColumnType::Option(Box::new(ColumnType::U8))),
            Field::new("next", optional("Person")),
        ])),
    );
    let variant = |name: &str, fields| Variant {
        name: name.into(),
        fields,
    };
    define(
        "Shade",
        TypeKind::Enum(vec![
            variant("Dark", Fields::Unit),
            variant("Light", Fields::Unit),
        ]),
    );
    define(
        "Tree",
        TypeKind::Enum(vec![
            variant("Leaf", Fields::Unit),
            variant("One", Fields::Tuple(vec![ColumnType::F64])),
            variant(
                "Many",
                Fields::Tuple(vec![ColumnType::Vec(Box::new(named("Tree")))]),
            ),
            variant(
                "Two",
                Fields::Tuple(vec![ColumnType::U128, optional("Tree")]),
            ),
            variant(
                "Named",
                Fields::Named(vec![Field::new("shade", named("Shade"))]),
            ),
        ]),
    );
    types
});

fn named(name: &str) -> ColumnType {
    ColumnType::Named(name.into())
}

fn optional(name: &str) -> ColumnType {
    ColumnType::Option(Box::new(named(name)))
}

/// The type that the next bytes of `input` choose.
///
/// # Errors
/// When the input is too short to choose.
pub fn column_type(input: &mut Unstructured<'_>) -> Result<ColumnType> {
    choose(input, DEPTH_MAX)
}

fn choose(input: &mut Unstructured<'_>, depth: usize) -> Result<ColumnType> {
    let plain = [
        ColumnType::Void,
        ColumnType::Bool,
        ColumnType::U8,
        ColumnType::U16,
        ColumnType::U32,
        ColumnType::U64,
        ColumnType::U128,
        ColumnType::I8,
        ColumnType::I16,
        ColumnType::I32,
        ColumnType::I64,
        ColumnType::I128,
        ColumnType::F32,
        ColumnType::F64,
        ColumnType::String,
    ];
    let choice = usize::from(input.arbitrary::<u8>()? % 32);
    if let Some(ty) = plain.get(choice) {
        return Ok(ty.clone());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Ok(ColumnType::U8);
    };
    Ok(match choice {
        15..18 => ColumnType::Vec(item(input, depth)?),
        18..21 => ColumnType::Option(Box::new(choose(input, depth)?)),
        21..24 => {
            let count = input.arbitrary::<u8>()? % 5;
            ColumnType::Tuple(
                (0..count)
                    .map(|_| choose(input, depth))
                    .collect::<Result<_>>()?,
            )
        }
        24..26 => {
            let count = u32::from(input.arbitrary::<u8>()? % 40);
            ColumnType::Array(item(input, depth)?, count)
        }
        _ => {
            let names: Vec<&String> = TYPES.types.keys().collect();
            named(input.choose(&names)?)
        }
    })
}

/// The type of a list's items. Only the outermost list is of nothing: lists of such lists have
/// millions of values in a few bytes, which is allowed and slow.
fn item(input: &mut Unstructured<'_>, depth: usize) -> Result<Box<ColumnType>> {
    let item = choose(input, depth)?;
    let inside = depth + 1 < DEPTH_MAX;
    Ok(Box::new(if inside && is_nothing(&item) {
        ColumnType::U8
    } else {
        item
    }))
}

fn is_nothing(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Void => true,
        ColumnType::Named(name) => name == "Empty",
        ColumnType::Array(item, count) => *count == 0 || is_nothing(item),
        ColumnType::Tuple(items) => items.iter().all(is_nothing),
        _ => false,
    }
}
