#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

interstice_module!();

#[table]
struct Account {
    #[primary_key]
    id: u64,
}

#[reducer(when = "load")]
fn wrong_key(ctx: ReducerContext) {}

#[reducer("load")]
fn no_key(ctx: ReducerContext) {}

#[reducer(on = 1)]
fn not_a_text(ctx: ReducerContext) {}

#[reducer(on = "loaded", on = "account.inserted", on = "a.b.c.d.insert", on = "file", on = "a.sync", on = "a.b.c.call")]
fn not_events(ctx: ReducerContext) {}

#[reducer(on = "load", on = "load")]
fn twice(ctx: ReducerContext) {}

#[reducer(on = "interstice-macros-tests.twice.call")]
fn own_call(ctx: ReducerContext) {}

#[reducer(on = "account.insert")]
fn without_row(ctx: ReducerContext) {}

#[reducer(on = "account.update")]
fn without_new_row<Caps>(ctx: ReducerContext<Caps>, row: Account) {}

#[reducer(on = "init")]
fn with_argument(ctx: ReducerContext, a: u8, b: u8) {}

#[reducer(on = "audio_input", on = "connect", on = "account.delete")]
fn that_hand_over_different_things(ctx: ReducerContext, row: Account) {}

#[reducer(on = "hello.greet.call")]
fn unknown_module(ctx: ReducerContext) {}

#[reducer(on = "node.hello.greetings.sync")]
fn unknown_table(ctx: ReducerContext) {}

#[reducer(on = "bank.account.delete")]
fn of_another_module(ctx: ReducerContext, row: Account) {}

fn main() {}
