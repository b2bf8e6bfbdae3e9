//! For which reducers a reducer's body sets timers, as far as its words say so:
//! `ctx.schedule("tick", …)` and its siblings.
//!
//! Tokens are enough for that, also inside closures and other macros: the method's name, and a
//! string as one of its first two arguments (`Timing::schedule_at(&ctx, "tick", …)` has the
//! context first). A name that is computed is not seen here; the node's log warns when such a
//! timer is set.

use std::collections::BTreeSet;

use interstice_abi::{host_call::SCHEDULES_PREFIX, id::check_name};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

use super::{emit::mark, event::Subscription, model::Function};
use crate::name::plain;

/// The methods of a context that set timers. All take the reducer's name first.
const METHODS: [&str; 6] = [
    "schedule",
    "schedule_at",
    "schedule_every",
    "schedule_with",
    "schedule_at_with",
    "schedule_every_with",
];

/// An export for each timer that `body` sets: its name says for which reducer, and whether others
/// may call this one.
pub(super) fn marks(
    function: &Function,
    events: &[Subscription],
    body: &impl ToTokens,
) -> TokenStream {
    let name = plain(&function.ident);
    let who = if events.iter().all(|event| event.event.allows_calls()) {
        "public"
    } else {
        "private"
    };
    let targets = targets(body.to_token_stream()).into_iter();
    targets
        .map(|target| mark(SCHEDULES_PREFIX, &format!("{who}:{name}:{target}")))
        .collect()
}

/// The names of reducers that are scheduled in `tokens`.
fn targets(tokens: TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_method = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if is_method && group.delimiter() == Delimiter::Parenthesis {
                found.extend(reducer_of(group.stream()));
            }
            found.extend(targets(group.stream()));
        }
        is_method = matches!(&token, TokenTree::Ident(ident) if METHODS.iter().any(|method| ident == method));
    }
    found
}

/// The reducer's name among the arguments of a method.
fn reducer_of(arguments: TokenStream) -> Option<String> {
    let mut argument = Vec::new();
    let mut commas = 0;
    for token in arguments {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => {
                if let Some(name) = text(&argument) {
                    return Some(name);
                }
                argument.clear();
                commas += 1;
                if commas == 2 {
                    return None;
                }
            }
            token => argument.push(token),
        }
    }
    None
}

/// The string that an argument is, if it can be a reducer's name.
fn text(argument: &[TokenTree]) -> Option<String> {
    match argument {
        [TokenTree::Literal(literal)] => {
            let text: syn::LitStr = syn::parse2(TokenTree::from(literal.clone()).into()).ok()?;
            let name = text.value();
            check_name("reducer", &name, false).ok().map(|()| name)
        }
        // What a `macro_rules` has put in.
        [TokenTree::Group(group)] if group.delimiter() == Delimiter::None => {
            let inside: Vec<TokenTree> = group.stream().into_iter().collect();
            text(&inside)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let found = targets(body.parse().expect("tokens"));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{body}");
    }

    #[test]
    fn the_reducers_that_a_body_schedules_are_found_where_they_are_named() {
        check("{ ctx.schedule(\"tick\", 100)?; }", &["tick"]);
        check("{ ctx.schedule_with(\"ring\", 5, (name, 3)) }", &["ring"]);
        check(
            "{ if late { loop { f(|| ctx.schedule_at(\"a\", at)); } } }",
            &["a"],
        );
        check(
            "{ Timing::schedule_every(&ctx, \"beat\", 100)?; }",
            &["beat"],
        );
        check(
            "{ log!(ctx, \"{:?}\", ctx.schedule(\"a\", 1)); ctx.schedule(\"b\", 1); }",
            &["a", "b"],
        );
    }

    #[test]
    fn what_is_no_timer_or_has_a_computed_name_is_not_found() {
        check("{ ctx.schedule(name, 100)?; }", &[]);
        check("{ ctx.log(\"tick\", 100); }", &[]);
        check("{ let schedule = (\"tick\", 100); }", &[]);
        check("{ ctx.schedule(\"no name\", 100); }", &[]);
        check("{ // ctx.schedule(\"tick\", 100)\n }", &[]);
    }
}
