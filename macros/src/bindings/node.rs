//! The generated code of another node: `crate::bindings::<node>`, and the trait that carries
//! `ctx.<node>()`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{
    load::{BoundModule, BoundNode},
    module::{self, Accessor, Names},
    name::{camel, of_module, of_node, two_names},
};
use crate::name::ident;

/// `pub mod <node> { … }` and `pub trait Has<Node>Handle`.
pub(super) fn node(node: &BoundNode) -> TokenStream {
    let snake = ident(&node.name.snake);
    let camel = camel(&node.name.snake);
    let handle = format_ident!("{camel}");
    let has = format_ident!("Has{camel}Handle");
    let doc = format!(
        "The node `{}`, bound from `{}`.",
        node.name.name, node.address
    );
    let of_trait = format!("Has the method `{}()`.", node.name.snake);
    let of_method = format!("The node `{}`.", node.name.name);
    let names = two_names(&has, &of_node(&node.name), &quote! { self::#snake });
    let modules = node
        .modules
        .iter()
        .map(|bound| module::module(bound, Accessor::Node));
    let traits = node.modules.iter().map(module::accessor);
    let accessors = node.modules.iter().map(|bound| on_node(bound, &handle));
    quote! {
        #names

        impl<Caps> #has for ::interstice_sdk::ReducerContext<Caps> {}
        impl<Caps> #has for ::interstice_sdk::QueryContext<Caps> {}

        #[doc = #doc]
        pub mod #snake {
            #(#modules)*
            #(#accessors)*

            #[doc(hidden)]
            pub mod __traits {
                #(#traits)*

                #[doc = #of_trait]
                pub trait #has: ::core::marker::Sized {
                    #[doc = #of_method]
                    #[allow(non_snake_case, reason = "the name is the other node's")]
                    fn #snake(&self) -> super::#handle<Self> {
                        super::#handle::new()
                    }
                }
            }

            #[doc = #doc]
            #[derive(::core::fmt::Debug)]
            pub struct #handle<Context> {
                context: ::core::marker::PhantomData<fn() -> Context>,
            }

            impl<Context> #handle<Context> {
                #[doc(hidden)]
                pub(crate) const fn new() -> Self {
                    Self { context: ::core::marker::PhantomData }
                }
            }
        }
    }
}

fn on_node(bound: &BoundModule, node: &Ident) -> TokenStream {
    let Names { handle, has } = module::names(bound);
    let names = two_names(&has, &of_module(bound), &quote! { self });
    let snake = ident(&bound.snake);
    quote! {
        #names

        impl<Caps> #has for #node<::interstice_sdk::ReducerContext<Caps>> {
            type Handle = #snake::#handle<Caps>;

            fn #snake(&self) -> Self::Handle {
                #snake::#handle::new()
            }
        }

        impl<Caps> #has for #node<::interstice_sdk::QueryContext<Caps>> {
            type Handle = #snake::__parts::QueryModuleHandle<Caps>;

            fn #snake(&self) -> Self::Handle {
                #snake::__parts::QueryModuleHandle::new()
            }
        }
    }
}
