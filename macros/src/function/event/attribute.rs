//! `#[reducer(…)]`: the words in the brackets, and which of them go together.

use interstice_abi::{
    event::{Event, TableRef},
    period::parse_period,
    schema::Visibility,
};
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Expr, ExprLit, Lit, LitStr, Meta, Path, Token, parse::Parser, punctuated::Punctuated};

use super::Subscription;
use crate::errors::Errors;

const EXPECTED: &str = "write `#[reducer]`, `#[reducer(private)]`, `#[reducer(every = \"10s\")]`, or `#[reducer(on = \"<event>\")]` with one or more events";

/// What stands in the brackets, in the order of the kinds.
#[derive(Default)]
struct Words {
    events: Vec<Subscription>,
    every: Option<(LitStr, u64)>,
    private: Option<Path>,
    public: Option<Path>,
}

/// Reads the attribute's arguments: what runs the reducer beside calls. With an entry, only a
/// public `every` can be called.
pub(in crate::function) fn read(attribute: TokenStream, errors: &mut Errors) -> Vec<Subscription> {
    let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
    let Ok(metas) = parser.parse2(attribute.clone()) else {
        errors.push(attribute, EXPECTED);
        return Vec::new();
    };
    let mut words = Words::default();
    for meta in metas {
        words.add(&meta, errors);
    }
    words.check(errors);
    words.into_subscriptions()
}

impl Words {
    fn add(&mut self, meta: &Meta, errors: &mut Errors) {
        let path = meta.path();
        match text_of(meta) {
            Some(text) if path.is_ident("on") => self.on(text, errors),
            Some(text) if path.is_ident("every") => match parse_period(&text.value()) {
                Ok(_) if self.every.is_some() => {
                    errors.push(text, "a reducer has one period; keep one `every`");
                }
                Ok(period_ms) => self.every = Some((text.clone(), period_ms)),
                Err(problem) => errors.push(text, problem),
            },
            None if matches!(meta, Meta::Path(_)) && path.is_ident("private") => {
                self.private = Some(path.clone());
            }
            None if matches!(meta, Meta::Path(_)) && path.is_ident("public") => {
                self.public = Some(path.clone());
            }
            _ => errors.push(meta, EXPECTED),
        }
    }

    fn on(&mut self, text: &LitStr, errors: &mut Errors) {
        let event = match text.value().parse::<Event>() {
            Ok(event) => own(event),
            Err(problem) => {
                errors.push(text, problem);
                return;
            }
        };
        if let Event::Call { module, .. } = &event
            && Some(module) == own_name().as_ref()
        {
            let message = "a module reacts to calls of other modules; call the reducer as a function, or react to the table that it changes";
            errors.push(text, message);
        } else if self.events.iter().any(|known| known.event == event) {
            errors.push(text, "this event is listed twice");
        } else {
            self.events.push(Subscription {
                text: text.clone(),
                event,
            });
        }
    }

    /// Words that contradict each other, or that say what holds anyway.
    fn check(&self, errors: &mut Errors) {
        let handles_events = !self.events.is_empty();
        match (&self.private, &self.public) {
            (Some(_), Some(public)) => {
                errors.push(
                    public,
                    "a reducer is either `private` or `public`; keep one",
                );
            }
            (Some(private), None) if handles_events => {
                errors.push(private, "a reducer with `on` cannot be called, so it is private already; take out `private`");
            }
            (None, Some(public)) if handles_events => {
                errors.push(public, "a reducer with `on` cannot be called; call a second reducer that shares a function with it");
            }
            (None, Some(public)) if self.every.is_none() => {
                errors.push(public, "a reducer is public unless it says `private`; `public` belongs beside `every`: take it out");
            }
            _ => {}
        }
    }

    fn into_subscriptions(self) -> Vec<Subscription> {
        let mut all = self.events;
        match (self.every, self.private) {
            (Some((text, period_ms)), _) => {
                let visibility = match self.public {
                    Some(_) => Visibility::Public,
                    None => Visibility::Private,
                };
                let event = Event::Every {
                    period_ms,
                    visibility,
                };
                all.push(Subscription { text, event });
            }
            (None, Some(private)) => {
                let span = private.get_ident().map(proc_macro2::Ident::span);
                let span = span.unwrap_or_else(proc_macro2::Span::call_site);
                all.push(Subscription {
                    text: LitStr::new(&private.to_token_stream().to_string(), span),
                    event: Event::Private,
                });
            }
            (None, None) => {}
        }
        all
    }
}

fn text_of(meta: &Meta) -> Option<&LitStr> {
    match meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn own_name() -> Option<String> {
    std::env::var("CARGO_PKG_NAME").ok()
}

/// A module may name its own tables with its name in front.
fn own(event: Event) -> Event {
    match event {
        Event::Row { table, event } => Event::Row {
            table: TableRef {
                module: table
                    .module
                    .filter(|module| table.node.is_some() || Some(module) != own_name().as_ref()),
                ..table
            },
            event,
        },
        other => other,
    }
}
