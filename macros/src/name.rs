//! Identifiers and spans: the small rules that every expansion follows.

use interstice_abi::id::check_name;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;

use crate::errors::Errors;

/// An identifier for `name`; `r#name` for a keyword, `name_` for the four that cannot be raw.
pub(crate) fn ident(name: &str) -> Ident {
    match name {
        "self" | "Self" | "super" | "crate" | "_" => {
            Ident::new(&format!("{name}_"), Span::call_site())
        }
        _ if syn::parse_str::<Ident>(name).is_ok() => Ident::new(name, Span::call_site()),
        _ => Ident::new_raw(name, Span::call_site()),
    }
}

/// The name of an identifier, without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// Where `tokens` stand, but with the hygiene of the expansion: errors point at the user's code,
/// and lints know that the code is generated.
pub(crate) fn at(tokens: &impl ToTokens) -> Span {
    let mut spans = tokens
        .to_token_stream()
        .into_iter()
        .map(|token| token.span());
    let first = spans.next().unwrap_or_else(Span::call_site);
    let span = spans
        .last()
        .and_then(|last| first.join(last))
        .unwrap_or(first);
    Span::call_site().located_at(span)
}

/// The module of the SDK that expansions name things by.
pub(crate) fn sdk() -> TokenStream {
    quote!(::interstice_sdk::__private)
}

/// Refuses names that a schema cannot hold.
pub(crate) fn check(what: &str, ident: &Ident, errors: &mut Errors) {
    if let Err(problem) = check_name(what, &plain(ident), false) {
        errors.push(ident, problem);
    }
}
