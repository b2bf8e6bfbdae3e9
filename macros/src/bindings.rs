//! The binding generator: from `src/bindings/*.toml` to the items of `crate::bindings`.
//!
//! `load` reads and checks the files, `module` and `node` write the code, `types` and `calls` what
//! stands in it. Invariant: code is only generated when every file is right, so that nobody reads
//! errors of code he has not written; all mistakes of all files are reported at once, each with
//! the file's name.

mod calls;
mod known;
mod load;
mod module;
mod name;
mod node;
mod table;
mod types;

use std::{collections::BTreeMap, path::Path};

use interstice_abi::binding::pack_dependencies;
use proc_macro2::{Literal, TokenStream};
use quote::quote;

pub(crate) use self::known::unbound;
use self::{load::Loaded, name::snake};
use crate::name::ident;

/// What the bindings of a module become.
pub(crate) struct Generated {
    /// The items inside `pub mod bindings { … }`.
    pub(crate) module: TokenStream,
    /// An expression of type `Vec<interstice_sdk::__private::abi::schema::Dependency>`.
    pub(crate) dependencies: TokenStream,
}

/// Reads the binding files in `dir`, which need not exist.
///
/// # Errors
/// A sentence per mistake, which names the file.
pub(crate) fn generate(dir: &Path) -> Result<Generated, Vec<String>> {
    let loaded = load::load(dir)?;
    let modules = loaded
        .modules
        .iter()
        .map(|bound| module::module(bound, module::Accessor::Context));
    let nodes = loaded.nodes.iter().map(node::node);
    let by_own_names = by_own_names(&loaded);
    let packed = Literal::byte_string(&pack_dependencies(&loaded.dependencies()));
    Ok(Generated {
        module: quote! { #(#modules)* #(#nodes)* #by_own_names },
        dependencies: if loaded.is_empty() {
            quote! { ::std::vec::Vec::new() }
        } else {
            quote! { ::interstice_sdk::__private::abi::binding::unpack_dependencies(#packed) }
        },
    })
}

/// Every module under its own name, aliases or not: event strings and `replicated_tables` use
/// those names.
fn by_own_names(loaded: &Loaded) -> TokenStream {
    let modules = loaded.modules.iter().map(|module| {
        let (own, alias) = (ident(&snake(&module.name)), ident(&module.snake));
        quote! { pub use super::#alias as #own; }
    });
    // One module for all files of one node, should there be two.
    let mut nodes: BTreeMap<String, Vec<TokenStream>> = BTreeMap::new();
    for node in &loaded.nodes {
        let inside = nodes.entry(snake(&node.name.name)).or_default();
        let node_alias = ident(&node.name.snake);
        for module in &node.modules {
            let (own, alias) = (ident(&snake(&module.name)), ident(&module.snake));
            inside.push(quote! { pub use super::super::#node_alias::#alias as #own; });
        }
    }
    let nodes = nodes.iter().map(|(own, modules)| {
        let own = ident(own);
        quote! { pub mod #own { #(#modules)* } }
    });
    quote! {
        #[doc(hidden)]
        pub mod __modules { #(#modules)* }
        #[doc(hidden)]
        pub mod __nodes { #(#nodes)* }
    }
}

#[cfg(test)]
mod tests;
