//! `#[table]`: parse (`model`), check, emit (`emit`).

mod emit;
mod model;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// Expands `#[table]`.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = match syn::parse2::<syn::ItemStruct>(item.clone()) {
        Ok(parsed) => parsed,
        Err(_) => {
            let message = "`#[table]` belongs on a struct with named fields";
            errors.push(&item, message);
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
    };
    let (stripped, table) = model::read(attribute, parsed, &mut errors);
    match (errors.into_tokens(), table) {
        (None, Some(table)) => emit::table(&stripped, &table),
        (errors, _) => quote!(#errors #stripped),
    }
}
