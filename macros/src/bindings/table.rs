//! Public tables of a bound module: their rows, handles and accessors.

use interstice_abi::schema::{IndexKind, Persistence, TableSchema};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};

use super::{
    load::BoundModule,
    name::{of_module, two_names},
    types::{column, described_fields, schema_name},
};
use crate::{
    handle::{Handle, Index, read_handle},
    name::ident,
};

/// What all tables of a binding add to its module, and to that module's `__traits`.
pub(super) fn tables(bound: &BoundModule) -> (TokenStream, TokenStream) {
    let (mut items, mut traits) = (TokenStream::new(), TokenStream::new());
    for table in &bound.schema.tables {
        items.extend(row(bound, table));
        items.extend(handle(bound, table));
        items.extend(on_tables(bound, table));
        traits.extend(accessor(table));
    }
    (items, traits)
}

/// For each table, a type of its name: the row.
pub(super) fn row_types(bound: &BoundModule) -> TokenStream {
    let aliases = bound.schema.tables.iter().map(|table| {
        let (name, row) = (ident(&table.name), ident(&table.type_name));
        quote! { pub type #name = super::#row; }
    });
    quote! { #(#aliases)* }
}

fn row(bound: &BoundModule, table: &TableSchema) -> TokenStream {
    let here = TokenStream::new();
    let row = ident(&table.type_name);
    let Some(key_field) = table.fields.get(usize::from(table.primary_key)) else {
        return TokenStream::new();
    };
    let (key, key_type) = (ident(&key_field.name), column(&key_field.ty, &here));
    let node = match &bound.node {
        None => quote! { ::core::option::Option::None },
        Some(node) => {
            let node = &node.name;
            quote! { ::core::option::Option::Some(#node) }
        }
    };
    let (module, name) = (&bound.name, &table.name);
    let schema = schema(bound, table);
    quote! {
        const _: () = {
            use ::interstice_sdk::__private::{TableSlot, abi};
            impl ::interstice_sdk::TableRow for #row {
                type Key = #key_type;

                const NODE: ::core::option::Option<&'static ::core::primitive::str> = #node;
                const MODULE: ::core::option::Option<&'static ::core::primitive::str> =
                    ::core::option::Option::Some(#module);
                const TABLE: &'static ::core::primitive::str = #name;

                fn key(row: &Self) -> Self::Key {
                    ::core::clone::Clone::clone(&row.#key)
                }

                fn schema(types: &mut abi::types::TypeSet) -> abi::schema::TableSchema {
                    #schema
                }

                fn slot() -> &'static TableSlot {
                    static SLOT: TableSlot = TableSlot::new();
                    &SLOT
                }
            }
        };
    }
}

fn schema(bound: &BoundModule, table: &TableSchema) -> TokenStream {
    let (name, type_name) = (&table.name, schema_name(bound, &table.type_name));
    let fields = described_fields(&table.fields);
    let primary_key = Literal::u16_unsuffixed(table.primary_key);
    let auto_inc = table.primary_key_auto_inc;
    let indexes = table.indexes.iter().map(|index| {
        let field = Literal::u16_unsuffixed(index.field);
        let kind = match index.kind {
            IndexKind::Hash => quote! { Hash },
            IndexKind::Btree => quote! { Btree },
        };
        let (unique, auto_inc) = (index.unique, index.auto_inc);
        quote! {
            abi::schema::IndexSchema {
                field: #field,
                kind: abi::schema::IndexKind::#kind,
                unique: #unique,
                auto_inc: #auto_inc,
            }
        }
    });
    let persistence = match table.persistence {
        Persistence::Logged => quote! { Logged },
        Persistence::Stateful => quote! { Stateful },
        Persistence::Ephemeral => quote! { Ephemeral },
    };
    quote! {
        <Self as abi::codec::Column>::column_type(types);
        abi::schema::TableSchema {
            name: ::std::string::String::from(#name),
            type_name: ::std::string::String::from(#type_name),
            fields: #fields,
            primary_key: #primary_key,
            primary_key_auto_inc: #auto_inc,
            indexes: ::std::vec![#(#indexes),*],
            visibility: abi::schema::Visibility::Public,
            persistence: abi::schema::Persistence::#persistence,
        }
    }
}

fn handle(bound: &BoundModule, table: &TableSchema) -> TokenStream {
    let here = TokenStream::new();
    let field = |place: u16| table.fields.get(usize::from(place));
    let Some(key) = field(table.primary_key) else {
        return TokenStream::new();
    };
    let indexes: Vec<Index> = table
        .indexes
        .iter()
        .filter_map(|index| {
            let column_field = field(index.field)?;
            Some(Index {
                field: column_field.name.clone(),
                ty: column(&column_field.ty, &here),
                kind: index.kind,
                unique: index.unique,
            })
        })
        .collect();
    let doc = match &bound.node {
        None => format!("The table `{}` of the module `{}`.", table.name, bound.name),
        Some(node) => format!(
            "The table `{}` of the module `{}` on the node `{}`, read from the local replica.",
            table.name, bound.name, node.name
        ),
    };
    read_handle(&Handle {
        visibility: quote! { pub },
        name: format_ident!("{}Handle", table.type_name),
        row: &ident(&table.type_name),
        key: column(&key.ty, &here),
        indexes: &indexes,
        doc,
    })
}

/// The trait that carries `.tables.<table>()`.
fn accessor(table: &TableSchema) -> TokenStream {
    let has = format_ident!("Has{}Handle", table.type_name);
    let handle = format_ident!("{}Handle", table.type_name);
    let name = ident(&table.name);
    let of_trait = format!("Has the method `{}()`.", table.name);
    let of_method = format!("The table `{}`.", table.name);
    quote! {
        #[doc = #of_trait]
        pub trait #has {
            #[doc = "What the context may do."]
            type Caps;

            #[doc = #of_method]
            fn #name(&self) -> super::#handle<Self::Caps>;
        }
    }
}

fn on_tables(bound: &BoundModule, table: &TableSchema) -> TokenStream {
    let has = format_ident!("Has{}Handle", table.type_name);
    let handle = format_ident!("{}Handle", table.type_name);
    let names = two_names(&has, &of_module(bound), &quote! { self });
    let name = ident(&table.name);
    quote! {
        #names

        impl<Caps> #has for __parts::Tables<Caps> {
            type Caps = Caps;

            fn #name(&self) -> #handle<Caps> {
                #handle::new()
            }
        }
    }
}
