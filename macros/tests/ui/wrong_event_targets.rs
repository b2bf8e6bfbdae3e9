#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

interstice_module!();

#[table]
struct Account {
    #[primary_key]
    id: u64,
}

#[reducer(on = "acount.insert")]
fn misspelt(ctx: ReducerContext, row: Account) {}

#[reducer(on = "Account.update")]
fn not_in_lower_case(ctx: ReducerContext, old: Account, new: Account) {}

#[reducer(on = "render")]
fn draw(ctx: ReducerContext) {}

fn main() {}
