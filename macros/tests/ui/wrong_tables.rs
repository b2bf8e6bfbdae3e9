#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

#[table(publik)]
struct WrongOption {
    #[primary_key]
    id: u64,
}

#[table(stateful, ephemeral, public, private)]
struct TooManyOptions {
    #[primary_key]
    id: u64,
}

#[table(public = true)]
struct OptionWithValue {
    #[primary_key]
    id: u64,
}

#[table]
struct NoKey {
    id: u64,
}

#[table]
struct TwoKeys {
    #[primary_key]
    a: u64,
    #[primary_key]
    b: u64,
}

#[table]
struct SeveralAtOnce<T> {
    #[primary_key(auto)]
    #[index(hash)]
    #[default(0)]
    id: f32,
    #[index]
    a: u64,
    #[index(tree)]
    b: u64,
    #[index(unique)]
    c: u64,
    #[index(hash, btree)]
    d: u64,
    #[index(btree unique)]
    d2: u64,
    #[index(btree)]
    e: (u8, Option<f64>),
    #[default]
    f: u8,
    g: &'static str,
    h: &'static [u8],
    i: T,
}

#[table]
struct Tuple(u64);

#[table]
struct Super {
    #[primary_key]
    id: u64,
}

#[table]
enum NotAStruct {
    A,
}

#[interstice_type(public)]
struct WithArguments {
    a: u8,
}

#[interstice_type]
struct WithKey {
    #[primary_key]
    a: u8,
}

#[interstice_type]
enum Empty {}

#[interstice_type]
struct Generic<T> {
    value: T,
}

#[interstice_type]
union Union {
    a: u8,
}

#[interstice_type]
struct Größe {
    a: u8,
}

#[interstice_type]
fn not_a_type() {}

fn main() {}
