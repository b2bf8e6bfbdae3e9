#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

#[table]
struct Account {
    #[primary_key]
    id: u64,
    #[index(btree, unique)]
    number: u64,
}

#[reducer]
fn without_any(ctx: ReducerContext) {
    let _ = ctx.current.tables.account().insert(Account { id: 1, number: 1 });
}

#[reducer]
fn reads<Caps: CanRead<Account>>(ctx: ReducerContext<Caps>) {
    let accounts = ctx.current.tables.account();
    let _ = accounts.insert(Account { id: 1, number: 1 });
    let _ = accounts.update(Account { id: 1, number: 1 });
    let _ = accounts.upsert(Account { id: 1, number: 1 });
    let _ = accounts.delete(1);
    let _ = accounts.clear();
}

#[reducer]
fn writes<Caps: CanInsert<Account>>(ctx: ReducerContext<Caps>) {
    let accounts = ctx.current.tables.account();
    let _ = accounts.get(1);
    let _ = accounts.get_by_number(1);
    for _ in accounts {}
}

#[query]
fn queries_cannot_write<Caps: CanRead<Account>>(ctx: QueryContext<Caps>) -> u64 {
    let _ = ctx.current.tables.account().delete(1);
    0
}

#[query]
fn queries_cannot_schedule(ctx: QueryContext) -> u64 {
    let _ = ctx.schedule("reads", 0);
    0
}

fn main() {}
