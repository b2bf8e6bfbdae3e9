//! `#[interstice_type]`, and the implementation of `Column` that `#[table]` shares with it.
//!
//! Structs and enums are treated alike: a struct is one shape called `Self`, an enum's variants
//! are shapes called `Self::Variant` with a number in front. Patterns and literals use braces for
//! all kinds of fields (`Self { 0: a }`).

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Fields, Member, Type};

use crate::{
    errors::Errors,
    name::{self, at, plain, sdk},
};

/// Attributes of fields that only `#[table]` understands.
const TABLE_ATTRIBUTES: [&str; 3] = ["primary_key", "index", "default"];

/// Expands `#[interstice_type]`.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(item.clone()) {
        Ok(input) => input,
        Err(_) => {
            let message = "`#[interstice_type]` belongs on a struct or an enum";
            let error = syn::Error::new_spanned(&item, message).to_compile_error();
            return quote!(#error #item);
        }
    };
    let mut errors = Errors::default();
    if !attribute.is_empty() {
        errors.push(attribute, "`#[interstice_type]` takes nothing in brackets");
    }
    check(&input, &mut errors);
    if let Some(errors) = errors.into_tokens() {
        let input = without_table_attributes(input);
        return quote!(#errors #input);
    }
    let clone = derive_clone(&input.attrs);
    let column = column_impl(&input);
    let key = key_impl(&input);
    quote!(#clone #input #column #key)
}

/// Spares the user the compiler's words on attributes that it does not know.
fn without_table_attributes(mut input: DeriveInput) -> DeriveInput {
    if let syn::Data::Struct(data) = &mut input.data {
        for field in &mut data.fields {
            field.attrs.retain(|attribute| {
                !TABLE_ATTRIBUTES
                    .iter()
                    .any(|known| attribute.path().is_ident(known))
            });
        }
    }
    input
}

/// What no column type can be.
fn check(input: &DeriveInput, errors: &mut Errors) {
    check_shape(&input.ident, &input.generics, errors);
    let fields: Vec<&Fields> = match &input.data {
        syn::Data::Struct(data) => vec![&data.fields],
        syn::Data::Enum(data) => {
            if data.variants.is_empty() {
                let message = "an enum without variants has no values; give it one";
                errors.push(&input.ident, message);
            }
            for variant in &data.variants {
                name::check("variant", &variant.ident, errors);
            }
            data.variants
                .iter()
                .map(|variant| &variant.fields)
                .collect()
        }
        syn::Data::Union(data) => {
            let message = "a union cannot be a column type; use an enum";
            errors.push(data.union_token, message);
            Vec::new()
        }
    };
    for field in fields.into_iter().flatten() {
        check_field(field, errors);
        for attribute in &field.attrs {
            if let Some(known) = TABLE_ATTRIBUTES
                .iter()
                .find(|known| attribute.path().is_ident(known))
            {
                let message = format!(
                    "`#[{known}]` belongs into a `#[table]`; this is an `#[interstice_type]`"
                );
                errors.push(attribute, message);
            }
        }
    }
}

/// Checks a named type's name and generics.
pub(crate) fn check_shape(ident: &Ident, generics: &syn::Generics, errors: &mut Errors) {
    name::check("type", ident, errors);
    if !generics.params.is_empty() {
        let message = "tables and column types cannot be generic: the schema names concrete types";
        errors.push(&generics.params, message);
    }
}

/// Checks a field's name and the types that are wrong at first sight; the compiler checks the
/// others.
pub(crate) fn check_field(field: &syn::Field, errors: &mut Errors) {
    if let Some(ident) = &field.ident {
        name::check("field", ident, errors);
    }
    check_owned(&field.ty, errors);
}

/// Refuses borrowed and opaque types, where the compiler's words would be far from the point.
pub(crate) fn check_owned(ty: &Type, errors: &mut Errors) {
    match ty {
        Type::Reference(reference) => {
            let inner = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => "String".to_string(),
                Type::Slice(slice) => {
                    let item = &slice.elem;
                    format!("Vec<{}>", compact(&quote!(#item)))
                }
                other => compact(&quote!(#other)),
            };
            let message =
                format!("values that cross into tables and calls are owned: write `{inner}`");
            errors.push(ty, message);
        }
        Type::ImplTrait(_) => {
            let message = "the schema needs a concrete type here, such as `u64`, `String` or an `#[interstice_type]`";
            errors.push(ty, message);
        }
        _ => {}
    }
}

/// Tokens as a person would write them: without the spaces that printing tokens leaves.
pub(crate) fn compact(tokens: &TokenStream) -> String {
    let mut text = tokens.to_string();
    for (from, to) in [
        (" < ", "<"),
        (" <", "<"),
        (" > ", ">"),
        (" >", ">"),
        ("< ", "<"),
        (" :: ", "::"),
        (" ,", ","),
        ("& ", "&"),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// `#[derive(Clone)]`, unless the user has listed it.
pub(crate) fn derive_clone(attributes: &[syn::Attribute]) -> Option<TokenStream> {
    let mut listed = false;
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            // A derive list that cannot be parsed is the compiler's to complain about.
            let _ = attribute.parse_nested_meta(|meta| {
                listed |= meta
                    .path
                    .segments
                    .last()
                    .is_some_and(|last| last.ident == "Clone");
                Ok(())
            });
        }
    }
    (!listed).then(|| quote!(#[derive(::core::clone::Clone)]))
}

/// One struct, or one variant of an enum.
struct Shape<'a> {
    path: TokenStream,
    members: Vec<(Member, &'a Type, Ident)>,
    fields: &'a Fields,
}

impl<'a> Shape<'a> {
    fn new(path: TokenStream, fields: &'a Fields) -> Self {
        let members = fields
            .members()
            .zip(fields.iter())
            .enumerate()
            .map(|(place, (member, field))| (member, &field.ty, format_ident!("__{place}")))
            .collect();
        Self {
            path,
            members,
            fields,
        }
    }

    fn pattern(&self) -> TokenStream {
        let path = &self.path;
        let fields = self
            .members
            .iter()
            .map(|(member, _, local)| quote!(#member: #local));
        quote!(#path { #(#fields),* })
    }

    fn encode(&self) -> TokenStream {
        let sdk = sdk();
        let fields = self.members.iter().map(|(_, ty, local)| {
            quote_spanned!(at(ty)=> <#ty as #sdk::abi::codec::Column>::encode(#local, __out);)
        });
        quote!(#(#fields)*)
    }

    fn decode(&self) -> TokenStream {
        let (sdk, path) = (sdk(), &self.path);
        let fields = self.members.iter().map(|(member, ty, _)| {
            let value =
                quote_spanned!(at(ty)=> <#ty as #sdk::abi::codec::Column>::decode(__input)?);
            quote!(#member: #value)
        });
        quote!(#path { #(#fields),* })
    }

    fn schema(&self) -> TokenStream {
        let sdk = sdk();
        let types = self.members.iter().map(|(_, ty, _)| column_type(ty));
        let fields = quote!(#sdk::abi::types::Fields);
        match self.fields {
            Fields::Unit => quote!(#fields::Unit),
            Fields::Unnamed(_) => quote!(#fields::Tuple(::std::vec![#(#types),*])),
            Fields::Named(named) => {
                let names = named.named.iter().flat_map(|field| &field.ident).map(plain);
                quote!(#fields::Named(::std::vec![#(#sdk::abi::types::Field::new(#names, #types)),*]))
            }
        }
    }
}

/// The column type of `ty`, as an expression that may use `__types`.
pub(crate) fn column_type(ty: &Type) -> TokenStream {
    let sdk = sdk();
    quote_spanned!(at(ty)=> <#ty as #sdk::abi::codec::Column>::column_type(__types))
}

/// `impl Column`, under the type's own name.
pub(crate) fn column_impl(input: &DeriveInput) -> TokenStream {
    column_impl_as(input, &plain(&input.ident))
}

/// What a type of a binding needs; `name` is what the schema calls it.
pub(crate) fn bound_type_impls(input: &DeriveInput, name: &str) -> TokenStream {
    let column = column_impl_as(input, name);
    let key = key_impl(input);
    quote!(#column #key)
}

fn column_impl_as(input: &DeriveInput, name: &str) -> TokenStream {
    match &input.data {
        syn::Data::Struct(data) => {
            let shape = Shape::new(quote!(Self), &data.fields);
            let (sdk, pattern, schema) = (sdk(), shape.pattern(), shape.schema());
            let (encode, decode) = (shape.encode(), shape.decode());
            frame(
                &input.ident,
                name,
                &quote!(#sdk::abi::types::TypeKind::Struct(#schema)),
                &quote!(let #pattern = self; #encode),
                &quote!(::core::result::Result::Ok(#decode)),
            )
        }
        syn::Data::Enum(data) => enum_impl(&input.ident, name, data),
        syn::Data::Union(_) => TokenStream::new(),
    }
}

fn enum_impl(ident: &Ident, name: &str, data: &syn::DataEnum) -> TokenStream {
    let sdk = sdk();
    let (mut schemas, mut encodes, mut decodes) = (Vec::new(), Vec::new(), Vec::new());
    for (number, variant) in data.variants.iter().enumerate() {
        let number = number as u128;
        let (variant_ident, variant_name) = (&variant.ident, plain(&variant.ident));
        let shape = Shape::new(quote!(Self::#variant_ident), &variant.fields);
        let (pattern, schema) = (shape.pattern(), shape.schema());
        let (encode, decode) = (shape.encode(), shape.decode());
        schemas.push(quote! {
            #sdk::abi::types::Variant {
                name: ::std::string::String::from(#variant_name),
                fields: #schema,
            }
        });
        encodes.push(quote! {
            #pattern => {
                #sdk::abi::codec::put_varint(#number, __out);
                #encode
            }
        });
        decodes.push(quote!(#number => ::core::result::Result::Ok(#decode),));
    }
    frame(
        ident,
        name,
        &quote!(#sdk::abi::types::TypeKind::Enum(::std::vec![#(#schemas),*])),
        &quote!(match self { #(#encodes)* }),
        &quote! {
            match __input.varint(32)? {
                #(#decodes)*
                _ => ::core::result::Result::Err(__input.damaged("an enum has no such variant")),
            }
        },
    )
}

fn frame(
    ident: &Ident,
    name: &str,
    kind: &TokenStream,
    encode: &TokenStream,
    decode: &TokenStream,
) -> TokenStream {
    let (sdk, rust_name) = (sdk(), plain(ident));
    quote! {
        #[automatically_derived]
        impl #sdk::abi::codec::Column for #ident {
            fn column_type(__types: &mut #sdk::abi::types::TypeSet) -> #sdk::abi::types::ColumnType {
                __types.define(#name, ::core::concat!(::core::module_path!(), "::", #rust_name), |__types| #kind);
                #sdk::abi::types::ColumnType::Named(::std::string::String::from(#name))
            }

            fn encode(&self, __out: &mut ::std::vec::Vec<u8>) {
                #encode
            }

            fn decode(
                __input: &mut #sdk::abi::codec::Input<'_>,
            ) -> ::core::result::Result<Self, #sdk::abi::codec::Damaged> {
                #decode
            }
        }
    }
}

/// Enums without fields can be keys.
fn key_impl(input: &DeriveInput) -> Option<TokenStream> {
    let syn::Data::Enum(data) = &input.data else {
        return None;
    };
    if data
        .variants
        .iter()
        .any(|variant| !matches!(variant.fields, Fields::Unit))
    {
        return None;
    }
    let (sdk, ident) = (sdk(), &input.ident);
    Some(quote! {
        #[automatically_derived]
        impl #sdk::check::KeyColumn for #ident {}
    })
}
