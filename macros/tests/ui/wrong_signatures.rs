#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

#[table]
struct Account {
    #[primary_key]
    id: u64,
}

#[reducer]
fn no_context() {}

#[reducer]
fn context_not_first(name: String, ctx: ReducerContext) {}

#[reducer]
fn borrowed_context(ctx: &ReducerContext) {}

#[reducer]
fn wrong_context(ctx: QueryContext) {}

#[query]
fn wrong_context_too<Caps>(ctx: ReducerContext<Caps>) -> u64 {
    0
}

#[reducer]
fn parameter_not_used<Caps: CanRead<Account>>(ctx: ReducerContext) {}

#[reducer]
fn concrete_capabilities(ctx: ReducerContext<u8>) {}

#[reducer]
fn several_at_once<'a, Caps, T, const N: usize>(
    ctx: ReducerContext<Caps>,
    name: &str,
    (a, b): (u8, u8),
    list: &'a [u64],
    anything: impl Clone,
) where
    Caps: CanRead<Account> + Clone + 'static + CanInsert<Account, Account> + ?Sized,
    T: Clone,
{
}

#[query]
fn writes<Caps>(ctx: QueryContext<Caps>) -> u64
where
    Caps: CanRead<Account> + CanInsert<Account> + CanDelete<Account>,
{
    0
}

#[query]
fn returns_what_is_borrowed(ctx: QueryContext) -> &'static str {
    ""
}

#[query]
fn returns_something(ctx: QueryContext) -> impl Clone {
    0
}

#[query(on = "load")]
fn reacts(ctx: QueryContext) -> u64 {
    0
}

#[reducer]
async fn waits(ctx: ReducerContext) {}

#[reducer]
unsafe extern "C" fn qualified(ctx: ReducerContext) {}

#[reducer]
struct NotAFunction;

#[reducer]
fn größe(ctx: ReducerContext) {}

fn main() {}
