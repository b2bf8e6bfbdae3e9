#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

interstice_module!();

#[reducer(private, on = "load")]
fn private_twice_over(ctx: ReducerContext) {}

#[reducer(private, public)]
fn both(ctx: ReducerContext) {}

#[reducer(public)]
fn public_as_always(ctx: ReducerContext) {}

#[reducer(every = "10s", public, on = "load")]
fn public_with_an_event(ctx: ReducerContext) {}

#[reducer(private = "yes")]
fn private_is_a_word(ctx: ReducerContext) {}

#[reducer(every)]
fn without_a_period(ctx: ReducerContext) {}

#[reducer(every = "soon")]
fn not_a_period(ctx: ReducerContext) {}

#[reducer(every = "0s")]
fn without_a_pause(ctx: ReducerContext) {}

#[reducer(every = "1s", every = "2s")]
fn two_periods(ctx: ReducerContext) {}

#[reducer(every = "1s")]
fn with_an_argument(ctx: ReducerContext, a: u8) {}

#[reducer(on = "private")]
fn private_is_no_event(ctx: ReducerContext) {}

fn main() {}
