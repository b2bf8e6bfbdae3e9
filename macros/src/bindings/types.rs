//! The types of a binding: how they are named in code and in schemas, and their definitions.
//!
//! Their codec is that of every named type (`crate::column`).

use interstice_abi::types::{ColumnType, Field, Fields, TypeKind};
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::quote;

use super::load::BoundModule;
use crate::{column::bound_type_impls, name::ident};

/// The type in code, where the binding's own types lie under `prefix` (empty or `super::`).
pub(super) fn column(ty: &ColumnType, prefix: &TokenStream) -> TokenStream {
    let primitive = |name: &str| {
        let name = Ident::new(name, Span::call_site());
        quote! { ::core::primitive::#name }
    };
    match ty {
        ColumnType::Void => quote! { () },
        ColumnType::Bool => primitive("bool"),
        ColumnType::U8 => primitive("u8"),
        ColumnType::U16 => primitive("u16"),
        ColumnType::U32 => primitive("u32"),
        ColumnType::U64 => primitive("u64"),
        ColumnType::U128 => primitive("u128"),
        ColumnType::I8 => primitive("i8"),
        ColumnType::I16 => primitive("i16"),
        ColumnType::I32 => primitive("i32"),
        ColumnType::I64 => primitive("i64"),
        ColumnType::I128 => primitive("i128"),
        ColumnType::F32 => primitive("f32"),
        ColumnType::F64 => primitive("f64"),
        ColumnType::String => quote! { ::std::string::String },
        ColumnType::Vec(item) => {
            let item = column(item, prefix);
            quote! { ::std::vec::Vec<#item> }
        }
        ColumnType::Option(some) => {
            let some = column(some, prefix);
            quote! { ::core::option::Option<#some> }
        }
        ColumnType::Tuple(items) => {
            let items = items.iter().map(|item| column(item, prefix));
            quote! { (#(#items,)*) }
        }
        ColumnType::Array(item, length) => {
            let item = column(item, prefix);
            let length = Literal::u32_unsuffixed(*length);
            quote! { [#item; #length] }
        }
        ColumnType::Named(name) => {
            let name = ident(name);
            quote! { #prefix #name }
        }
    }
}

/// The name of a binding's type in the schema of the module that uses it. Two bindings, or a
/// binding and the module itself, may have types of one name; this keeps them apart.
pub(super) fn schema_name(bound: &BoundModule, name: &str) -> String {
    match &bound.node {
        None => format!("{}__{name}", bound.snake),
        Some(node) => format!("{}__{}__{name}", node.snake, bound.snake),
    }
}

/// All type definitions of a binding, with their codec.
pub(super) fn definitions(bound: &BoundModule) -> TokenStream {
    bound
        .schema
        .types
        .types
        .iter()
        .map(|(name, definition)| {
            let shape = definition_of(bound, name, &definition.kind);
            // Names are checked identifiers, so this parses; if not, the compiler says why.
            match syn::parse2(shape.clone()) {
                Ok(input) => {
                    let impls = bound_type_impls(&input, &schema_name(bound, name));
                    quote! { #shape #impls }
                }
                Err(error) => error.to_compile_error(),
            }
        })
        .collect()
}

fn definition_of(bound: &BoundModule, name: &str, kind: &TypeKind) -> TokenStream {
    let doc = format!("`{name}` of the module `{}`.", bound.name);
    let ident = ident(name);
    let head = quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug, ::core::cmp::PartialEq)]
    };
    match kind {
        TypeKind::Struct(fields) => {
            let public = quote! { pub };
            let body = field_list(fields, &public);
            match fields {
                Fields::Named(_) => quote! { #head pub struct #ident #body },
                _ => quote! { #head pub struct #ident #body; },
            }
        }
        TypeKind::Enum(variants) => {
            let variants = variants.iter().map(|variant| {
                let doc = format!("`{}`.", variant.name);
                let name = self::ident(&variant.name);
                let body = field_list(&variant.fields, &TokenStream::new());
                quote! { #[doc = #doc] #name #body }
            });
            quote! { #head pub enum #ident { #(#variants,)* } }
        }
    }
}

fn field_list(fields: &Fields, visibility: &TokenStream) -> TokenStream {
    let here = TokenStream::new();
    match fields {
        Fields::Unit => TokenStream::new(),
        Fields::Tuple(types) => {
            let fields = types.iter().enumerate().map(|(place, ty)| {
                let doc = format!("Field {place}.");
                let ty = column(ty, &here);
                quote! { #[doc = #doc] #visibility #ty }
            });
            quote! { (#(#fields,)*) }
        }
        Fields::Named(fields) => {
            let fields = fields.iter().map(|field| {
                let doc = format!("`{}`.", field.name);
                let name = ident(&field.name);
                let ty = column(&field.ty, &here);
                quote! { #[doc = #doc] #visibility #name: #ty }
            });
            quote! { { #(#fields,)* } }
        }
    }
}

/// The expression of type `Vec<Field>`, where `types: &mut TypeSet` and `abi` are in scope.
pub(super) fn described_fields(fields: &[Field]) -> TokenStream {
    let here = TokenStream::new();
    let fields = fields.iter().map(|field| {
        let name = &field.name;
        let ty = column(&field.ty, &here);
        quote! {
            abi::types::Field::new(#name, <#ty as abi::codec::Column>::column_type(types))
        }
    });
    quote! { ::std::vec![#(#fields),*] }
}
