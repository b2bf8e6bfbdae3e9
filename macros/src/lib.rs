//! The macros of the guest SDK. Modules use them through `interstice_sdk`, where their rules are
//! documented.
//!
//! Built like a compiler, one folder or file per macro: parse the user's tokens, make a model of
//! them, check it and gather every error, and only then emit. What only the compiler can know is
//! left to checks in the expansion, spanned on what they check (`interstice_sdk`, `check`).
//!
//! - `table`: `#[table]` and, with `handle`, the methods of its handles.
//! - `column`: `#[interstice_type]`, and the codec of every named type.
//! - `function`: `#[reducer]` and `#[query]`.
//! - `module`: `interstice_module!`, with `bindings`.
//! - `name`, `errors`: what all of them share.

mod bindings;
mod column;
mod errors;
mod function;
mod handle;
mod module;
mod name;
mod table;

use proc_macro::TokenStream;

/// Makes a struct a table: `#[table]`, `#[table(public)]`, `#[table(stateful)]`,
/// `#[table(public, ephemeral)]`.
///
/// One field has `#[primary_key]` or `#[primary_key(auto_inc)]`; others may have `#[index(hash)]`
/// or `#[index(btree)]`, each with `unique` and `auto_inc`, and `#[default(…)]` with a const
/// expression. Under a `unique` index over an `Option`, several rows may have `None`. A field with
/// `auto_inc` that is 0 in an `insert` or `upsert` gets the next number; the key of a row that an
/// `upsert` replaces stays.
#[proc_macro_attribute]
pub fn table(attribute: TokenStream, item: TokenStream) -> TokenStream {
    table::expand(attribute.into(), item.into()).into()
}

/// Makes a struct or enum a column type.
#[proc_macro_attribute]
pub fn interstice_type(attribute: TokenStream, item: TokenStream) -> TokenStream {
    column::expand(attribute.into(), item.into()).into()
}

/// Makes a function a reducer: `#[reducer]`, or `#[reducer(on = "<event>")]` with one or more
/// events.
///
/// `#[reducer(private)]` cannot be called from outside: only its own module, its timers and
/// events run it. A reducer that timers run should be private, or every call of a stranger adds a
/// run. `#[reducer(every = "10s")]` runs by itself; it is private unless it says `public`.
///
/// A reducer on `<module>.<table>.insert`, `.update` or `.delete` misses nothing while its module
/// is stopped: the changes are handed to it when the module comes back, before `load`. One on
/// `<module>.<table>.gap` is then handed the number of a turn, `first_turn: u64`, when changes
/// before that turn are lost, because the node no longer keeps them or the table was not there as
/// it is.
#[proc_macro_attribute]
pub fn reducer(attribute: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Reducer, attribute.into(), item.into()).into()
}

/// Makes a function a query.
#[proc_macro_attribute]
pub fn query(attribute: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(function::Kind::Query, attribute.into(), item.into()).into()
}

/// Makes the crate a module: `interstice_module!()`, with `visibility`, `authorities` and
/// `replicated_tables` in any order.
#[proc_macro]
pub fn interstice_module(input: TokenStream) -> TokenStream {
    module::expand(input.into()).into()
}
