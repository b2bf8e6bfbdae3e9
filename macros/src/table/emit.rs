//! Everything that a `#[table]` becomes: the row, its codec, its handles, its description.

use interstice_abi::schema::{IndexKind, Persistence, Visibility};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Expr, ItemStruct, Lit};

use super::model::{Column, Table};
use crate::{
    column::{column_impl, column_type, derive_clone},
    function::export,
    handle::{self, Handle, edit_handle, read_handle},
    name::{at, plain, sdk},
};

/// The expansion of a table without mistakes.
pub(super) fn table(item: &ItemStruct, table: &Table) -> TokenStream {
    let clone = derive_clone(&item.attrs);
    let input = syn::DeriveInput {
        attrs: Vec::new(),
        vis: item.vis.clone(),
        ident: item.ident.clone(),
        generics: item.generics.clone(),
        data: syn::Data::Struct(syn::DataStruct {
            struct_token: item.struct_token,
            fields: item.fields.clone(),
            semi_token: item.semi_token,
        }),
    };
    let column = column_impl(&input);
    let row = row_impl(&item.ident, table);
    let handles = handles(item, table);
    let checks = checks(table);
    let description = description(&item.ident);
    quote! {
        #clone
        #item
        #column
        #row
        #handles
        const _: () = { #checks #description };
    }
}

fn row_impl(ident: &Ident, table: &Table) -> TokenStream {
    let sdk = sdk();
    let (row, name) = (plain(ident), plain(ident).to_lowercase());
    let Some(key) = table.columns.get(table.key) else {
        return TokenStream::new();
    };
    let (key_ident, key_ty) = (&key.ident, &key.ty);
    let (place, auto_inc) = (number(table.key), table.key_auto_inc);
    let fields = table.columns.iter().map(field);
    let indexes = table.columns.iter().enumerate().filter_map(index_schema);
    let visibility = match table.visibility {
        Visibility::Private => quote!(Private),
        Visibility::Public => quote!(Public),
    };
    let persistence = match table.persistence {
        Persistence::Logged => quote!(Logged),
        Persistence::Stateful => quote!(Stateful),
        Persistence::Ephemeral => quote!(Ephemeral),
    };
    quote! {
        impl ::interstice_sdk::TableRow for #ident {
            type Key = #key_ty;

            const NODE: ::core::option::Option<&'static str> = ::core::option::Option::None;
            const MODULE: ::core::option::Option<&'static str> = ::core::option::Option::None;
            const TABLE: &'static str = #name;

            fn key(row: &Self) -> #key_ty {
                ::core::clone::Clone::clone(&row.#key_ident)
            }

            fn schema(__types: &mut #sdk::abi::types::TypeSet) -> #sdk::abi::schema::TableSchema {
                <Self as #sdk::abi::codec::Column>::column_type(__types);
                #sdk::abi::schema::TableSchema {
                    name: ::std::string::String::from(#name),
                    type_name: ::std::string::String::from(#row),
                    fields: ::std::vec![#(#fields),*],
                    primary_key: #place,
                    primary_key_auto_inc: #auto_inc,
                    indexes: ::std::vec![#(#indexes),*],
                    visibility: #sdk::abi::schema::Visibility::#visibility,
                    persistence: #sdk::abi::schema::Persistence::#persistence,
                }
            }

            fn slot() -> &'static #sdk::TableSlot {
                static SLOT: #sdk::TableSlot = #sdk::TableSlot::new();
                &SLOT
            }
        }
    }
}

fn field(column: &Column) -> TokenStream {
    let sdk = sdk();
    let (name, ty) = (plain(&column.ident), column_type(&column.ty));
    let default = match &column.default {
        None => quote!(::core::option::Option::None),
        Some(default) => {
            let bytes = default_bytes(default, &column.ty);
            quote!(::core::option::Option::Some(#bytes))
        }
    };
    quote! {
        #sdk::abi::types::Field {
            name: ::std::string::String::from(#name),
            ty: #ty,
            default: #default,
        }
    }
}

/// The encoded default. A `const` keeps it from depending on anything; a string literal may stand
/// for a `String`.
fn default_bytes(default: &Expr, ty: &syn::Type) -> TokenStream {
    let sdk = sdk();
    let is_text = matches!(default, Expr::Lit(literal) if matches!(literal.lit, Lit::Str(_)));
    let value = if is_text {
        quote_spanned!(at(default)=> <#ty as ::core::convert::From<&str>>::from(#default))
    } else {
        quote_spanned!(at(default)=> { const VALUE: #ty = #default; VALUE })
    };
    quote!(<#ty as #sdk::abi::codec::Column>::to_bytes(&#value))
}

fn index_schema((place, column): (usize, &Column)) -> Option<TokenStream> {
    let sdk = sdk();
    let index = column.index.as_ref()?;
    let kind = match index.kind {
        IndexKind::Hash => quote!(Hash),
        IndexKind::Btree => quote!(Btree),
    };
    let (place, unique, auto_inc) = (number(place), index.unique, index.auto_inc);
    Some(quote! {
        #sdk::abi::schema::IndexSchema {
            field: #place,
            kind: #sdk::abi::schema::IndexKind::#kind,
            unique: #unique,
            auto_inc: #auto_inc,
        }
    })
}

fn number(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

fn handles(item: &ItemStruct, table: &Table) -> TokenStream {
    let (row, vis) = (&item.ident, &item.vis);
    let name = plain(row);
    let indexes: Vec<handle::Index> = table
        .columns
        .iter()
        .filter_map(|column| {
            let index = column.index.as_ref()?;
            Some(handle::Index {
                field: plain(&column.ident),
                ty: column.ty.to_token_stream(),
                kind: index.kind,
                unique: index.unique,
            })
        })
        .collect();
    let key = table
        .columns
        .get(table.key)
        .map(|key| key.ty.to_token_stream());
    let handle = |suffix: &str, doc: String| Handle {
        visibility: vis.to_token_stream(),
        name: format_ident!("{name}{suffix}"),
        row,
        key: key.clone().unwrap_or_default(),
        indexes: &indexes,
        doc,
    };
    let edit = handle(
        "EditHandle",
        format!("The table of [`{name}`], as a reducer sees it."),
    );
    let read = handle(
        "ReadHandle",
        format!("The table of [`{name}`], as a query sees it."),
    );
    let edit_accessor = accessor(vis, row, &edit.name, "EditTables");
    let read_accessor = accessor(vis, row, &read.name, "ReadTables");
    let (edit, read) = (edit_handle(&edit), read_handle(&read));
    quote!(#edit #read #edit_accessor #read_accessor)
}

/// The trait that carries the method of a context's `tables`.
fn accessor(vis: &syn::Visibility, row: &Ident, handle: &Ident, tables: &str) -> TokenStream {
    let (sdk, name) = (sdk(), plain(row));
    let accessor = format_ident!("Has{handle}");
    let method = crate::name::ident(&name.to_lowercase());
    let tables = format_ident!("{tables}");
    let doc = format!("Carries `tables.{method}()`, the table of [`{name}`].");
    let method_doc = format!("The table of [`{name}`].");
    quote! {
        #[doc = #doc]
        #[allow(dead_code, reason = "no module uses every handle of every table")]
        #vis trait #accessor {
            /// The capabilities of the context.
            type Caps;

            #[doc = #method_doc]
            fn #method(&self) -> #handle<Self::Caps>;
        }

        impl<__Caps> #accessor for #sdk::#tables<__Caps> {
            type Caps = __Caps;

            fn #method(&self) -> #handle<__Caps> {
                #handle::new()
            }
        }
    }
}

/// What only the compiler knows of the columns' types.
fn checks(table: &Table) -> TokenStream {
    let sdk = sdk();
    let checks = table.columns.iter().enumerate().map(|(place, column)| {
        let ty = &column.ty;
        let is_key = place == table.key;
        let key =
            (is_key || column.index.is_some()).then(|| quote_spanned!(at(ty)=> is_key::<#ty>();));
        let auto_inc = if is_key {
            table.key_auto_inc
        } else {
            column.index.as_ref().is_some_and(|index| index.auto_inc)
        };
        let counter = auto_inc.then(|| quote_spanned!(at(ty)=> is_counter::<#ty>();));
        quote!(#key #counter)
    });
    quote! {
        const _: fn() = || {
            fn is_key<K: #sdk::check::KeyColumn>() {}
            #[allow(dead_code, reason = "most tables count nothing")]
            fn is_counter<C: #sdk::check::Counter>() {}
            #(#checks)*
        };
    }
}

fn description(ident: &Ident) -> TokenStream {
    let sdk = sdk();
    let export = export(
        "__interstice_describe__table__",
        &plain(ident).to_lowercase(),
    );
    quote! {
        #export
        extern "C" fn __interstice_describe() {
            let mut types = ::core::default::Default::default();
            let table = <#ident as ::interstice_sdk::TableRow>::schema(&mut types);
            #sdk::run::describe(&#sdk::abi::schema::Description::Table { table, types });
        }
        const _: extern "C" fn() = __interstice_describe;
    }
}
