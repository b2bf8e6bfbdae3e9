//! The generated code of one module: `crate::bindings::<module>` or
//! `crate::bindings::<node>::<module>`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{
    calls::{argument_types, call_structs},
    load::BoundModule,
    name::{camel, of_module, two_names},
    table::{row_types, tables},
    types::definitions,
};
use crate::name::ident;

/// Where the trait that carries `.<module>()` is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Accessor {
    /// In the module's own code, on the contexts.
    Context,
    /// In the node's code, on the node's handle.
    Node,
}

/// `pub mod <module> { … }`.
pub(super) fn module(bound: &BoundModule, accessor: Accessor) -> TokenStream {
    let snake = ident(&bound.snake);
    let doc = match &bound.node {
        None => format!(
            "The module `{}`, version {}.",
            bound.name, bound.schema.version
        ),
        Some(node) => format!(
            "The module `{}` of the node `{}`, version {}.",
            bound.name, node.name, bound.schema.version
        ),
    };
    let definitions = definitions(bound);
    let (tables, mut traits) = tables(bound);
    let handles = handles(bound);
    let calls = call_structs(bound);
    let argument_types = argument_types(bound);
    let row_types = row_types(bound);
    let accessor = match accessor {
        Accessor::Context => {
            traits.extend(self::accessor(bound));
            on_contexts(bound)
        }
        Accessor::Node => TokenStream::new(),
    };
    quote! {
        #[doc = #doc]
        #[allow(
            dead_code,
            non_camel_case_types,
            non_snake_case,
            unused_variables,
            clippy::all,
            clippy::pedantic,
            reason = "names and shapes are those of the other module"
        )]
        pub mod #snake {
            #definitions
            #tables
            #handles
            #accessor

            #[doc(hidden)]
            pub mod __traits { #traits }

            #[doc(hidden)]
            pub mod __parts {
                #calls

                #[doc = "The public tables of the module."]
                #[derive(::core::fmt::Debug)]
                pub struct Tables<Caps> {
                    caps: ::core::marker::PhantomData<fn() -> Caps>,
                }

                impl<Caps> Tables<Caps> {
                    pub(super) const fn new() -> Self {
                        Self { caps: ::core::marker::PhantomData }
                    }
                }

                #[doc = "The module, as a query sees it: without reducers."]
                #[derive(::core::fmt::Debug)]
                pub struct QueryModuleHandle<Caps> {
                    #[doc = "Its public tables."]
                    pub tables: Tables<Caps>,
                    #[doc = "Its queries."]
                    pub queries: Queries,
                }

                impl<Caps> QueryModuleHandle<Caps> {
                    #[doc(hidden)]
                    pub(crate) const fn new() -> Self {
                        Self { tables: Tables::new(), queries: QUERIES }
                    }
                }
            }

            #[doc(hidden)]
            pub mod __calls { #argument_types }

            #[doc(hidden)]
            pub mod __tables { #row_types }
        }
    }
}

/// The names that start with the module's.
pub(super) struct Names {
    /// `<Camel>ModuleHandle`.
    pub(super) handle: Ident,
    /// `Has<Camel>ModuleHandle`.
    pub(super) has: Ident,
}

pub(super) fn names(bound: &BoundModule) -> Names {
    let camel = camel(&bound.snake);
    Names {
        handle: format_ident!("{camel}ModuleHandle"),
        has: format_ident!("Has{camel}ModuleHandle"),
    }
}

fn handles(bound: &BoundModule) -> TokenStream {
    let Names { handle, .. } = names(bound);
    let doc = format!("The module `{}`, as a reducer sees it.", bound.name);
    quote! {
        #[doc = #doc]
        #[derive(::core::fmt::Debug)]
        pub struct #handle<Caps> {
            #[doc = "Its public tables."]
            pub tables: __parts::Tables<Caps>,
            #[doc = "Its reducers."]
            pub reducers: __parts::Reducers,
            #[doc = "Its queries."]
            pub queries: __parts::Queries,
        }

        impl<Caps> #handle<Caps> {
            #[doc(hidden)]
            pub(crate) const fn new() -> Self {
                Self {
                    tables: __parts::Tables::new(),
                    reducers: __parts::REDUCERS,
                    queries: __parts::QUERIES,
                }
            }
        }
    }
}

fn on_contexts(bound: &BoundModule) -> TokenStream {
    let Names { handle, has } = names(bound);
    let names = two_names(&has, &of_module(bound), &quote! { self });
    let snake = ident(&bound.snake);
    quote! {
        #names

        impl<Caps> #has for ::interstice_sdk::ReducerContext<Caps> {
            type Handle = #handle<Caps>;

            fn #snake(&self) -> Self::Handle {
                #handle::new()
            }
        }

        impl<Caps> #has for ::interstice_sdk::QueryContext<Caps> {
            type Handle = __parts::QueryModuleHandle<Caps>;

            fn #snake(&self) -> Self::Handle {
                __parts::QueryModuleHandle::new()
            }
        }
    }
}

/// The trait that carries `.<module>()`, without implementations: for a module `__traits`.
pub(super) fn accessor(bound: &BoundModule) -> TokenStream {
    let Names { has, .. } = names(bound);
    let snake = ident(&bound.snake);
    let of_trait = format!("Has the method `{}()`.", bound.snake);
    let of_method = format!("The module `{}`.", bound.name);
    quote! {
        #[doc = #of_trait]
        pub trait #has {
            #[doc = "The module's handle: without reducers in a query."]
            type Handle;

            #[doc = #of_method]
            #[allow(non_snake_case, reason = "the name is the other module's")]
            fn #snake(&self) -> Self::Handle;
        }
    }
}
