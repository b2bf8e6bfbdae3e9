#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

interstice_module!(authorities: [Input, Network]);

struct Opaque;

type Fraction = f32;

#[interstice_type]
#[derive(Debug)]
struct Point {
    x: f32,
}

#[interstice_type]
struct Holds {
    opaque: Opaque,
}

#[table]
struct Account {
    #[primary_key(auto_inc)]
    id: String,
    #[index(btree)]
    ratio: Fraction,
    #[index(hash)]
    point: Point,
    #[index(hash, auto_inc)]
    small: i8,
    #[default(1.5)]
    whole: u32,
}

#[table]
struct Other {
    #[primary_key]
    id: u64,
}

#[reducer]
fn takes(ctx: ReducerContext, opaque: Opaque) {}

#[reducer]
fn returns(ctx: ReducerContext) -> u64 {
    0
}

#[reducer]
fn fails_with(ctx: ReducerContext) -> Result<(), Opaque> {
    Ok(())
}

#[query]
fn asks(ctx: QueryContext) -> Opaque {
    Opaque
}

#[query]
fn asks_or_fails(ctx: QueryContext) -> Result<Opaque, String> {
    Ok(Opaque)
}

#[reducer]
fn reads_what_is_no_table<Caps: CanRead<Point>>(ctx: ReducerContext<Caps>) {}

#[reducer(on = "point.insert")]
fn row_of_no_table(ctx: ReducerContext, point: Point) {}

#[reducer(on = "other.update")]
fn two_rows(ctx: ReducerContext, old: Other, new: Account) {}

#[reducer(on = "input")]
fn wrong_event(ctx: ReducerContext, event: NetworkEvent) {}

#[reducer(on = "connect")]
fn wrong_argument(ctx: ReducerContext, node: u64) {}

fn main() {}
