//! `#[reducer]` and `#[query]`: parse (`model`, `capability`), check against events (`event`),
//! emit (`emit`, `schedules`).
//!
//! The function itself stays as it was written; what makes it callable from outside stands beside
//! it.

mod capability;
mod emit;
mod event;
mod model;
mod schedules;

use proc_macro2::TokenStream;
use quote::quote;

pub(crate) use emit::{export, mark};
pub(crate) use event::table_check;

use crate::errors::Errors;

/// Which of the two a function is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reducer,
    Query,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Reducer => "reducer",
            Self::Query => "query",
        }
    }

    fn context(self) -> &'static str {
        match self {
            Self::Reducer => "ReducerContext",
            Self::Query => "QueryContext",
        }
    }
}

/// Expands `#[reducer]` or `#[query]`.
pub(crate) fn expand(kind: Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = match syn::parse2::<syn::ItemFn>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            // A body that does not parse is the compiler's to explain; anything else is no
            // function.
            if !item.to_string().contains("fn ") {
                let message = format!("`#[{}]` belongs on a function", kind.word());
                errors.push(&item, message);
            } else {
                errors.add(error);
            }
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
    };
    let events = match kind {
        Kind::Reducer => event::read(attribute, &mut errors),
        Kind::Query => {
            if !attribute.is_empty() {
                let message = "a query takes nothing in brackets; only reducers react to events";
                errors.push(attribute, message);
            }
            Vec::new()
        }
    };
    let function = model::read(kind, &parsed, &mut errors);
    if let Some(function) = &function {
        for event in &events {
            event::check(event, function, &mut errors);
        }
    }
    match (errors.into_tokens(), function) {
        (None, Some(function)) => {
            let marks = match kind {
                Kind::Reducer => schedules::marks(&function, &events, &parsed.block),
                Kind::Query => TokenStream::new(),
            };
            let outside = emit::outside(&function, &events, &marks);
            quote!(#parsed #outside)
        }
        (errors, _) => quote!(#errors #parsed),
    }
}
