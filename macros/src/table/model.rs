//! What a `#[table]` says: its options, columns, primary key and indexes.
//!
//! A [`Table`] exists only when the key is known; everything that is wrong beside it is in the
//! errors.

use interstice_abi::schema::{IndexKind, Persistence, Visibility};
use proc_macro2::TokenStream;
use syn::{
    Attribute, Expr, Fields, Ident, ItemStruct, Token, Type, parse::Parser, punctuated::Punctuated,
};

use crate::{
    column::{check_field, check_shape},
    errors::Errors,
};

/// A table as the user wrote it.
pub(super) struct Table {
    pub(super) visibility: Visibility,
    pub(super) persistence: Persistence,
    pub(super) columns: Vec<Column>,
    /// The primary key's place in `columns`.
    pub(super) key: usize,
    pub(super) key_auto_inc: bool,
}

/// A field of a table.
pub(super) struct Column {
    pub(super) ident: Ident,
    pub(super) ty: Type,
    pub(super) index: Option<Index>,
    pub(super) default: Option<Expr>,
}

/// `#[index(…)]`.
pub(super) struct Index {
    pub(super) kind: IndexKind,
    pub(super) unique: bool,
    pub(super) auto_inc: bool,
}

/// Reads the table, and takes out of the struct what only `#[table]` understands.
pub(super) fn read(
    attribute: TokenStream,
    mut item: ItemStruct,
    errors: &mut Errors,
) -> (ItemStruct, Option<Table>) {
    let (visibility, persistence) = options(attribute, errors);
    check_shape(&item.ident, &item.generics, errors);
    if matches!(&*item.ident.to_string(), "Super" | "Crate") {
        let message = "the table's method would be called like a keyword; rename the struct";
        errors.push(&item.ident, message);
    }
    if !matches!(item.fields, Fields::Named(_)) {
        let message = "a table needs named fields: `struct Account { #[primary_key] id: u64, … }`";
        errors.push(&item.ident, message);
        return (item, None);
    }
    let mut columns = Vec::new();
    let mut key = None;
    for (place, field) in item.fields.iter_mut().enumerate() {
        check_field(field, errors);
        let Some(ident) = field.ident.clone() else {
            continue;
        };
        let attributes = std::mem::take(&mut field.attrs);
        let mut column = Column {
            ident,
            ty: field.ty.clone(),
            index: None,
            default: None,
        };
        for attribute in attributes {
            if attribute.path().is_ident("primary_key") {
                let auto_inc = primary_key(&attribute, errors);
                if key.replace((place, auto_inc)).is_some() {
                    let message = "a table has one primary key; make it a tuple, or this an index: `#[index(hash, unique)]`";
                    errors.push(&attribute, message);
                }
            } else if attribute.path().is_ident("index") {
                let index = index(&attribute, errors);
                if column.index.is_some() {
                    errors.push(
                        &attribute,
                        "a field has one index; a `btree` index also finds equal values",
                    );
                }
                column.index = index.or(column.index);
            } else if attribute.path().is_ident("default") {
                column.default = default(&attribute, errors).or(column.default);
            } else {
                field.attrs.push(attribute);
            }
        }
        check_column(&column, key.is_some_and(|(key, _)| key == place), errors);
        columns.push(column);
    }
    let Some((key, key_auto_inc)) = key else {
        let message = "a table needs a primary key: write `#[primary_key]` or `#[primary_key(auto_inc)]` above one of its fields";
        errors.push(&item.ident, message);
        return (item, None);
    };
    let table = Table {
        visibility,
        persistence,
        columns,
        key,
        key_auto_inc,
    };
    (item, Some(table))
}

fn options(attribute: TokenStream, errors: &mut Errors) -> (Visibility, Persistence) {
    let parser = Punctuated::<Ident, Token![,]>::parse_terminated;
    let words = match parser.parse2(attribute.clone()) {
        Ok(words) => words,
        Err(_) => {
            let message = "expected words: `#[table(public, ephemeral)]`; there are `public`, `private`, `logged`, `stateful` and `ephemeral`";
            errors.push(attribute, message);
            return Default::default();
        }
    };
    let mut visibility = None;
    let mut persistence = None;
    for word in words {
        let twice = match &*word.to_string() {
            "public" => visibility.replace(Visibility::Public).is_some(),
            "private" => visibility.replace(Visibility::Private).is_some(),
            "logged" => persistence.replace(Persistence::Logged).is_some(),
            "stateful" => persistence.replace(Persistence::Stateful).is_some(),
            "ephemeral" => persistence.replace(Persistence::Ephemeral).is_some(),
            other => {
                let message = format!(
                    "`{other}` is not an option of a table; there are `public`, `private`, `logged`, `stateful` and `ephemeral`"
                );
                errors.push(&word, message);
                false
            }
        };
        if twice {
            let message = "a table is one of `public` and `private`, and one of `logged`, `stateful` and `ephemeral`; take out the others";
            errors.push(&word, message);
        }
    }
    (
        visibility.unwrap_or_default(),
        persistence.unwrap_or_default(),
    )
}

/// Whether the key is `auto_inc`.
fn primary_key(attribute: &Attribute, errors: &mut Errors) -> bool {
    if matches!(attribute.meta, syn::Meta::Path(_)) {
        return false;
    }
    const EXPECTED: &str = "a primary key takes `auto_inc` or nothing: `#[primary_key(auto_inc)]`";
    let mut auto_inc = false;
    let parsed = attribute.parse_nested_meta(|meta| {
        auto_inc = meta.path.is_ident("auto_inc");
        auto_inc.then_some(()).ok_or_else(|| meta.error(EXPECTED))
    });
    errors.keep(parsed.map_err(|error| syn::Error::new(error.span(), EXPECTED)));
    auto_inc
}

fn index(attribute: &Attribute, errors: &mut Errors) -> Option<Index> {
    const EXPECTED: &str = "write `#[index(hash)]` or `#[index(btree)]`, each with `unique` and `auto_inc` where wanted";
    if matches!(attribute.meta, syn::Meta::Path(_)) {
        errors.push(attribute, EXPECTED);
        return None;
    }
    let (mut kind, mut unique, mut auto_inc) = (None, false, false);
    let parsed = attribute.parse_nested_meta(|meta| {
        let twice = if meta.path.is_ident("hash") {
            kind.replace(IndexKind::Hash).is_some()
        } else if meta.path.is_ident("btree") {
            kind.replace(IndexKind::Btree).is_some()
        } else if meta.path.is_ident("unique") {
            std::mem::replace(&mut unique, true)
        } else if meta.path.is_ident("auto_inc") {
            std::mem::replace(&mut auto_inc, true)
        } else {
            true
        };
        if twice {
            Err(meta.error(EXPECTED))
        } else {
            Ok(())
        }
    });
    errors.keep(parsed.map_err(|error| syn::Error::new(error.span(), EXPECTED)))?;
    if kind.is_none() {
        errors.push(attribute, EXPECTED);
    }
    Some(Index {
        kind: kind?,
        unique,
        auto_inc,
    })
}

fn default(attribute: &Attribute, errors: &mut Errors) -> Option<Expr> {
    attribute
        .parse_args()
        .map_err(|_| {
            let message = "expected a const expression: `#[default(0)]`, `#[default(Kind::None)]`";
            errors.push(attribute, message);
        })
        .ok()
}

fn check_column(column: &Column, is_key: bool, errors: &mut Errors) {
    if is_key && column.index.is_some() {
        let message = "the primary key is an index already; take out `#[index]`";
        errors.push(&column.ident, message);
    }
    if is_key && column.default.is_some() {
        let message = "a primary key cannot have a default: rows need different keys";
        errors.push(&column.ident, message);
    }
    if (is_key || column.index.is_some()) && has_float(&column.ty) {
        let message = "floats are no keys: NaN has no place in an order; use an integer, such as thousandths, or a String";
        errors.push(&column.ty, message);
    }
}

/// Whether `f32` or `f64` stands anywhere in the type as written; aliases are the compiler's to
/// find.
fn has_float(ty: &Type) -> bool {
    struct Floats(bool);
    impl<'a> syn::visit::Visit<'a> for Floats {
        fn visit_ident(&mut self, ident: &'a Ident) {
            self.0 |= ident == "f32" || ident == "f64";
        }
    }
    let mut floats = Floats(false);
    syn::visit::visit_type(&mut floats, ty);
    floats.0
}
