//! What stands beside a reducer or query: its export, its description, its checks.
//!
//! Everything lives in one `const _`, so nothing is added to the namespaces of the user's module.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::{
    Kind,
    capability::{Access, Capability},
    event::{self, Subscription},
    model::Function,
};
use crate::name::{at, plain, sdk};

/// The attribute that gives a function its export name. Natively the functions exist without one.
pub(crate) fn export(prefix: &str, name: &str) -> TokenStream {
    let name = format!("{prefix}{name}");
    quote!(#[cfg_attr(target_arch = "wasm32", unsafe(export_name = #name))])
}

/// All that makes the function callable from outside.
pub(super) fn outside(
    function: &Function,
    events: &[Subscription],
    marks: &TokenStream,
) -> TokenStream {
    let checks = events.iter().map(|event| event::checks(event, function));
    let (run, describe) = (run(function), describe(function, events));
    let conditions = &function.conditions;
    quote! {
        #(#conditions)*
        const _: () = {
            #run
            #describe
            #(#checks)*
            #marks
        };
    }
}

/// An export that does nothing: its name says it all.
pub(crate) fn mark(prefix: &str, name: &str) -> TokenStream {
    let export = export(prefix, name);
    quote! {
        const _: () = {
            #export
            extern "C" fn __interstice_mark() {}
            const _: extern "C" fn() = __interstice_mark;
        };
    }
}

fn run(function: &Function) -> TokenStream {
    let (sdk, ident) = (sdk(), &function.ident);
    let what = function.kind.word();
    let export = export(&format!("__interstice_{what}__"), &plain(ident));
    let runner = format_ident!("{what}");
    let context = if function.is_generic {
        quote!(__context)
    } else {
        let plain = format_ident!("plain_{what}_context");
        quote!(#sdk::#plain(__context))
    };
    let locals: Vec<Ident> = (0..function.arguments.len())
        .map(|place| format_ident!("__{place}"))
        .collect();
    let decode = function
        .arguments
        .iter()
        .zip(&locals)
        .map(|(argument, local)| {
            let (name, ty) = (&argument.name, &argument.ty);
            let value = quote_spanned!(at(ty)=> <#ty as #sdk::abi::codec::Column>::decode(__input));
            quote!(let #local = #sdk::run::argument(#name, #value)?;)
        });
    let output = &function.output;
    let outcome = match function.kind {
        Kind::Reducer => quote!(#sdk::outcome::ReducerOutcome),
        Kind::Query => quote!(#sdk::outcome::QueryOutcome<_>),
    };
    let outcome = quote_spanned!(at(output)=> <#output as #outcome>::outcome(__outcome));
    quote! {
        #export
        extern "C" fn __interstice_run(__input_length: u32) -> u32 {
            #sdk::run::#runner(__input_length, |__context, __input| {
                #(#decode)*
                #sdk::run::no_more(__input)?;
                let __outcome = #ident(#context, #(#locals),*);
                #outcome
            })
        }
        const _: extern "C" fn(u32) -> u32 = __interstice_run;
    }
}

fn describe(function: &Function, events: &[Subscription]) -> TokenStream {
    let sdk = sdk();
    let (what, name) = (function.kind.word(), plain(&function.ident));
    let export = export(&format!("__interstice_describe__{what}__"), &name);
    let arguments = function.arguments.iter().map(|argument| {
        let (name, ty) = (&argument.name, crate::column::column_type(&argument.ty));
        quote!(#sdk::abi::types::Field::new(#name, #ty))
    });
    let capabilities = function.capabilities.iter().map(capability);
    let description = match function.kind {
        Kind::Reducer => {
            let events = events.iter().map(|event| event::tokens(&event.event));
            quote! {
                #sdk::abi::schema::Description::Reducer {
                    reducer: #sdk::abi::schema::ReducerSchema {
                        name: ::std::string::String::from(#name),
                        arguments,
                        events: ::std::vec![#(#events),*],
                        capabilities,
                    },
                    types,
                }
            }
        }
        Kind::Query => {
            let output = &function.output;
            let value =
                quote_spanned!(at(output)=> <#output as #sdk::outcome::QueryOutcome<_>>::Value);
            quote! {
                #sdk::abi::schema::Description::Query {
                    query: #sdk::abi::schema::QuerySchema {
                        name: ::std::string::String::from(#name),
                        arguments,
                        result: <#value as #sdk::abi::codec::Column>::column_type(__types),
                        capabilities,
                    },
                    types,
                }
            }
        }
    };
    quote! {
        #export
        extern "C" fn __interstice_describe() {
            let mut types = ::core::default::Default::default();
            let __types = &mut types;
            let arguments = ::std::vec![#(#arguments),*];
            let capabilities = #sdk::run::capabilities(&[#(#capabilities),*]);
            #sdk::run::describe(&#description);
        }
        const _: extern "C" fn() = __interstice_describe;
    }
}

fn capability(capability: &Capability) -> TokenStream {
    let (sdk, row) = (sdk(), &capability.row);
    let access = match capability.access {
        Access::Read => "READ",
        Access::Insert => "INSERT",
        Access::Update => "UPDATE",
        Access::Delete => "DELETE",
    };
    let access = format_ident!("{access}");
    let table = quote_spanned!(at(row)=> #sdk::table::reference::<#row>());
    quote!((#table, #sdk::abi::schema::Access::#access))
}
