//! The methods that call reducers and queries of a bound module.

use interstice_abi::types::Field;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use super::{load::BoundModule, types::column};
use crate::name::ident;

/// `Reducers` and `Queries`, inside a module that is a child of the binding's.
pub(super) fn call_structs(bound: &BoundModule) -> TokenStream {
    let reducers = bound.schema.reducers.iter().map(|reducer| {
        let doc = format!(
            "Calls the reducer `{}` of `{}`{}.\n\n# Errors\n{}",
            reducer.name,
            bound.name,
            on_node(bound),
            if bound.node.is_none() {
                "Its failure; what the call did is undone then, and the step goes on."
            } else {
                "When the call cannot be put into the outbox."
            }
        );
        method(
            bound,
            &doc,
            &reducer.name,
            &reducer.arguments,
            &quote! { call_reducer },
            &quote! { () },
        )
    });
    let queries = bound.schema.queries.iter().map(|query| {
        let doc = format!(
            "Asks the query `{}` of `{}`{}.\n\n# Errors\nIts failure.",
            query.name,
            bound.name,
            on_node(bound)
        );
        method(
            bound,
            &doc,
            &query.name,
            &query.arguments,
            &quote! { call_query },
            &column(&query.result, &quote! { super:: }),
        )
    });
    quote! {
        #[doc = "The reducers of the module."]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        pub struct Reducers(());

        #[doc = "The queries of the module."]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        pub struct Queries(());

        #[doc(hidden)]
        pub(super) const REDUCERS: Reducers = Reducers(());
        #[doc(hidden)]
        pub(super) const QUERIES: Queries = Queries(());

        impl Reducers { #(#reducers)* }
        impl Queries { #(#queries)* }
    }
}

/// For each callable reducer, a type of its name: the tuple of its arguments. Subscriptions to
/// calls are checked by it.
pub(super) fn argument_types(bound: &BoundModule) -> TokenStream {
    let aliases = bound.schema.reducers.iter().map(|reducer| {
        let name = ident(&reducer.name);
        let prefix = quote! { super:: };
        let types = reducer
            .arguments
            .iter()
            .map(|field| column(&field.ty, &prefix));
        quote! { pub type #name = (#(#types,)*); }
    });
    quote! { #(#aliases)* }
}

fn on_node(bound: &BoundModule) -> String {
    bound
        .node
        .as_ref()
        .map_or_else(String::new, |node| format!(" on the node `{}`", node.name))
}

fn method(
    bound: &BoundModule,
    doc: &str,
    function: &str,
    arguments: &[Field],
    call: &TokenStream,
    result: &TokenStream,
) -> TokenStream {
    let name = ident(function);
    let names: Vec<Ident> = arguments
        .iter()
        .enumerate()
        .map(|(place, field)| match field.name.as_str() {
            // An argument that the module ignores; hygiene keeps the made-up name apart from the
            // others.
            "_" => format_ident!("argument_{place}", span = Span::mixed_site()),
            name => ident(name),
        })
        .collect();
    let prefix = quote! { super:: };
    let types = arguments.iter().map(|field| column(&field.ty, &prefix));
    let node = match &bound.node {
        None => quote! { ::core::option::Option::None },
        Some(node) => {
            let node = &node.name;
            quote! { ::core::option::Option::Some(#node) }
        }
    };
    let module = &bound.name;
    let out = Ident::new("out", Span::mixed_site());
    let start = if arguments.is_empty() {
        quote! { let #out = ::std::vec::Vec::new(); }
    } else {
        quote! { let mut #out = ::std::vec::Vec::new(); }
    };
    quote! {
        #[doc = #doc]
        pub fn #name(
            &self,
            #(#names: #types),*
        ) -> ::core::result::Result<#result, ::interstice_sdk::Error> {
            #start
            #(::interstice_sdk::__private::abi::codec::Column::encode(&#names, &mut #out);)*
            ::interstice_sdk::__private::#call(#node, #module, #function, #out)
        }
    }
}
