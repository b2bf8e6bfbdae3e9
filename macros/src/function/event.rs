//! What runs a reducer beside calls, and whether the reducer takes what the event hands over.
//!
//! The attribute is read in `attribute.rs`. Numbers of arguments are checked here, types by checks
//! that the compiler runs on the expansion: a row event names its row type, so comparing that
//! row's table with the event string finds unknown tables and wrong rows.

mod attribute;

use interstice_abi::{
    event::{Event, RowEvent, TableRef},
    schema::Authority,
};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::LitStr;

use super::model::Function;
use crate::{
    bindings,
    column::compact,
    errors::Errors,
    name::{at, ident, plain, sdk},
};

pub(super) use attribute::read;

/// One `on = "…"`, `every = "…"` or `private`.
pub(super) struct Subscription {
    /// Where it stands: the text, or the word `private` as one.
    pub(super) text: LitStr,
    /// With the module's own name taken off its tables.
    pub(super) event: Event,
}

/// What an event hands over: for people, and how many arguments that are (`None`: any number).
fn handed_over(event: &Event) -> (String, Option<usize>) {
    let (arguments, count) = match event {
        Event::Init
        | Event::Load
        | Event::Sync { .. }
        | Event::Render
        | Event::AudioOutput
        | Event::Every { .. } => (String::new(), 0),
        Event::Connect | Event::Disconnect => ("node_id: String".to_string(), 1),
        Event::Row { table, event } => match event {
            RowEvent::Update => (format!("old: <row of {table}>, new: <row of {table}>"), 2),
            RowEvent::Insert | RowEvent::Delete => (format!("row: <row of {table}>"), 1),
        },
        Event::Gap { .. } => ("first_turn: u64".to_string(), 1),
        Event::Input => ("event: InputEvent".to_string(), 1),
        Event::AudioInput => ("stream_id: u64, frames: Vec<Vec<f32>>".to_string(), 2),
        Event::Network => ("event: NetworkEvent".to_string(), 1),
        Event::ModuleLoad | Event::ModuleRemove => ("event: ModuleEvent".to_string(), 1),
        Event::File { .. } => ("event: FileEvent".to_string(), 1),
        Event::Call { module, reducer } => {
            return (format!("<arguments of {module}.{reducer}>"), None);
        }
        Event::Private => return (String::new(), None),
    };
    (arguments, Some(count))
}

/// Checks what the event names of other modules, and the number of arguments. Authority events may
/// be taken without theirs.
pub(super) fn check(subscription: &Subscription, function: &Function, errors: &mut Errors) {
    let event = &subscription.event;
    if let Some(problem) = bindings::unbound(&crate::module::bindings_folder(), event) {
        errors.push(&subscription.text, problem);
    }
    let (arguments, expected) = handed_over(event);
    let given = function.arguments.len();
    let fits = expected
        .is_none_or(|expected| given == expected || (given == 0 && event.authority().is_some()));
    if fits {
        return;
    }
    let context = if function.is_generic {
        "ctx: ReducerContext<Caps>"
    } else {
        "ctx: ReducerContext"
    };
    let separator = if arguments.is_empty() { "" } else { ", " };
    let message = format!(
        "`{event}` hands over {}: write `fn {}({context}{separator}{arguments})`",
        match expected {
            None | Some(0) => "nothing",
            Some(1) => "one argument",
            Some(_) => "two arguments",
        },
        plain(&function.ident),
    );
    errors.push(&subscription.text, message);
}

/// What the compiler has to check of a subscription.
pub(super) fn checks(subscription: &Subscription, function: &Function) -> TokenStream {
    let authority = subscription
        .event
        .authority()
        .map(|authority| authority_check(subscription, authority));
    let arguments = match &subscription.event {
        Event::Row { table, event } => row_check(subscription, function, table, *event),
        Event::Sync { table } => table_check(&subscription.text, table),
        Event::Gap { table } => {
            let known = table_check(&subscription.text, table);
            let taken = argument_checks(function, vec![quote!(u64)]);
            quote!(#known #taken)
        }
        Event::Call { module, reducer } => call_check(subscription, function, module, reducer),
        other => {
            let authority_type = |name: &str| {
                let name = ident(name);
                vec![quote!(::interstice_sdk::authority::#name)]
            };
            let expected = match other {
                Event::Connect | Event::Disconnect => vec![quote!(::std::string::String)],
                Event::Input => authority_type("InputEvent"),
                Event::Network => authority_type("NetworkEvent"),
                Event::ModuleLoad | Event::ModuleRemove => authority_type("ModuleEvent"),
                Event::File { .. } => authority_type("FileEvent"),
                Event::AudioInput => {
                    vec![quote!(u64), quote!(::std::vec::Vec<::std::vec::Vec<f32>>)]
                }
                _ => Vec::new(),
            };
            argument_checks(function, expected)
        }
    };
    quote!(#authority #arguments)
}

/// That the reducer takes values of these types.
fn argument_checks(function: &Function, expected: Vec<TokenStream>) -> TokenStream {
    let sdk = sdk();
    let types = function.arguments.iter().map(|argument| &argument.ty);
    let checks = types
        .zip(expected)
        .map(|(ty, expected)| quote_spanned!(at(ty)=> is_handed_over::<#ty, #expected>();));
    quote! {
        const _: fn() = || {
            #[allow(dead_code, reason = "many events hand over nothing")]
            fn is_handed_over<Given: #sdk::check::HandedOver<Expected>, Expected>() {}
            #(#checks)*
        };
    }
}

fn row_check(
    subscription: &Subscription,
    function: &Function,
    table: &TableRef,
    event: RowEvent,
) -> TokenStream {
    let sdk = sdk();
    let mut types = function.arguments.iter().map(|argument| &argument.ty);
    let Some(row) = types.next() else {
        return TokenStream::new();
    };
    let written = compact(&row.to_token_stream());
    let (node, module, name) = (option(&table.node), option(&table.module), &table.table);
    let verb = match event {
        RowEvent::Insert => "insert",
        RowEvent::Update => "update",
        RowEvent::Delete => "delete",
    };
    let checked = quote_spanned!(at(row)=> #sdk::check::row_event::<#row>);
    let same_row = types.map(|new| {
        quote_spanned! {at(new)=>
            const _: fn() = || {
                fn is_handed_over<Given: #sdk::check::HandedOver<Expected>, Expected>() {}
                is_handed_over::<#new, #row>();
            };
        }
    });
    let failed = fail(&subscription.text, &quote!(message.as_str()));
    quote! {
        const _: () = if let ::core::option::Option::Some(message) =
            #checked(#written, #node, #module, #name, #verb)
        {
            #failed
        };
        #(#same_row)*
    }
}

fn fail(text: &LitStr, message: &TokenStream) -> TokenStream {
    quote_spanned!(at(text)=> ::core::panic!("{}", #message))
}

fn option(name: &Option<String>) -> TokenStream {
    match name {
        Some(name) => quote!(::core::option::Option::Some(#name)),
        None => quote!(::core::option::Option::None),
    }
}

/// Whether a table of a binding exists.
pub(crate) fn table_check(text: &LitStr, table: &TableRef) -> TokenStream {
    let modules = [&table.node, &table.module]
        .into_iter()
        .flatten()
        .map(|name| ident(&snake(name)));
    let name = ident(&table.table);
    let list = ident(match table.node {
        Some(_) => "__nodes",
        None => "__modules",
    });
    quote_spanned! {at(text)=>
        const _: ::core::marker::PhantomData<crate::bindings::#list::#(#modules::)*__tables::#name> =
            ::core::marker::PhantomData;
    }
}

fn snake(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

fn call_check(
    subscription: &Subscription,
    function: &Function,
    module: &str,
    reducer: &str,
) -> TokenStream {
    let sdk = sdk();
    let types = function.arguments.iter().map(|argument| &argument.ty);
    let (module, reducer) = (ident(&snake(module)), ident(reducer));
    quote_spanned! {at(&subscription.text)=>
        const _: fn() = || {
            fn is_called_with<Given: #sdk::check::CalledWith<Expected>, Expected>() {}
            is_called_with::<(#(#types,)*), crate::bindings::__modules::#module::__calls::#reducer>();
        };
    }
}

fn authority_check(subscription: &Subscription, authority: Authority) -> TokenStream {
    let sdk = sdk();
    let name = ident(&format!("{authority:?}"));
    let message = format!(
        "`{}` needs the authority `{authority:?}`: write `interstice_module!(authorities: [{authority:?}])`",
        subscription.event
    );
    let failed = fail(&subscription.text, &quote!(#message));
    quote! {
        const _: () = if !#sdk::check::has_authority(
            crate::bindings::__AUTHORITIES,
            #sdk::abi::schema::Authority::#name,
        ) {
            #failed
        };
    }
}

/// The event as an expression.
pub(super) fn tokens(event: &Event) -> TokenStream {
    let sdk = sdk();
    let path = quote!(#sdk::abi::event::Event);
    let text = |text: &str| quote!(::std::string::String::from(#text));
    let table = |table: &TableRef| {
        let name = text(&table.table);
        let part = |part: &Option<String>| match part {
            Some(part) => {
                let part = text(part);
                quote!(::core::option::Option::Some(#part))
            }
            None => quote!(::core::option::Option::None),
        };
        let (node, module) = (part(&table.node), part(&table.module));
        quote!(#sdk::abi::event::TableRef { node: #node, module: #module, table: #name })
    };
    match event {
        Event::Row { table: rows, event } => {
            let (table, event) = (table(rows), ident(&format!("{event:?}")));
            quote!(#path::Row { table: #table, event: #sdk::abi::event::RowEvent::#event })
        }
        Event::Gap { table: missed } => {
            let table = table(missed);
            quote!(#path::Gap { table: #table })
        }
        Event::Sync { table: replica } => {
            let table = table(replica);
            quote!(#path::Sync { table: #table })
        }
        Event::Call { module, reducer } => {
            let (module, reducer) = (text(module), text(reducer));
            quote!(#path::Call { module: #module, reducer: #reducer })
        }
        Event::File {
            path: file,
            recursive,
        } => {
            let file = text(file);
            quote!(#path::File { path: #file, recursive: #recursive })
        }
        Event::Every {
            period_ms,
            visibility,
        } => {
            let visibility = ident(&format!("{visibility:?}"));
            quote! {
                #path::Every {
                    period_ms: #period_ms,
                    visibility: #sdk::abi::schema::Visibility::#visibility,
                }
            }
        }
        word => {
            let variant = ident(&format!("{word:?}"));
            quote!(#path::#variant)
        }
    }
}
