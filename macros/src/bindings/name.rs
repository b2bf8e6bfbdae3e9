//! Names of generated items, and those that cannot be given.
//!
//! Every trait of the bindings has two names. Files import modules by glob, and two modules may
//! have tables of one name, or two nodes modules of one name: a trait that two globs bring under
//! one name is not in scope. So each trait has, beside the name that people write, one that no
//! other trait has, and globs bring both.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::load::{BoundModule, NodeName};

/// Methods that every context has. A binding's accessor comes from a trait, so a method of the
/// same name would hide it.
const OF_CONTEXTS: [&str; 9] = [
    "caller_is_owner",
    "cancel",
    "clone",
    "current_node_id",
    "deterministic_random_u64",
    "log",
    "schedule",
    "seq",
    "time_now_ms",
];

/// Methods that everything has by the standard prelude, found before a trait's method that takes
/// `&self`.
const OF_EVERYTHING: [&str; 4] = ["clone_into", "into", "to_owned", "try_into"];

/// `<snake>`: lower case, `-` as `_`.
pub(super) fn snake(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// `<Camel>`: each `_`-separated part of `<snake>` capitalised.
pub(super) fn camel(name: &str) -> String {
    snake(name)
        .split('_')
        .flat_map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<Vec<char>>()
        })
        .collect()
}

/// The trait `has` of the module `__traits` in `place`, under both of its names.
///
/// The order matters: the compiler finds a trait by the name that came first, and complains when
/// that one is ambiguous. Both are imports, because a trait that is defined here would come before
/// its second name.
pub(super) fn two_names(has: &Ident, owner: &str, place: &TokenStream) -> TokenStream {
    let unambiguous = format_ident!("{has}_of_{owner}");
    quote! {
        #[doc(hidden)]
        pub use #place::__traits::#has as #unambiguous;
        pub use #place::__traits::#has;
    }
}

/// What only this module can be called, as a part of a name.
pub(super) fn of_module(bound: &BoundModule) -> String {
    match &bound.node {
        None => bound.snake.clone(),
        Some(node) => format!("{}__{}", node.snake, bound.snake),
    }
}

/// As [`of_module`], for a node.
pub(super) fn of_node(node: &NodeName) -> String {
    format!("node_{}", node.snake)
}

/// Whether `ctx.<snake>()` would call a method of the context.
pub(super) fn hides_on_context(snake: &str) -> bool {
    OF_CONTEXTS.contains(&snake) || hides(snake)
}

/// Whether `.<snake>()` would call a method that every value has.
pub(super) fn hides(snake: &str) -> bool {
    OF_EVERYTHING.contains(&snake)
}

#[cfg(test)]
mod tests {
    use super::{camel, snake};

    #[test]
    fn names_follow_the_two_patterns() {
        for (name, expected_snake, expected_camel) in [
            ("hello-example", "hello_example", "HelloExample"),
            ("module_manager", "module_manager", "ModuleManager"),
            ("Agar-Server2", "agar_server2", "AgarServer2"),
            ("a", "a", "A"),
        ] {
            assert_eq!(snake(name), expected_snake);
            assert_eq!(camel(name), expected_camel);
        }
    }
}
