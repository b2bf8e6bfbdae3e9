#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]
//! Forms that must stay allowed.

use interstice_sdk::*;

interstice_module!(
    replicated_tables: [],
    authorities: [Gpu, Audio, Input, File, Network, Module],
    visibility: Private,
);

/// A column type that is also a key.
#[interstice_type]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// One.
    Small,
    /// Another.
    Large,
}

/// All kinds of variants.
#[interstice_type]
pub enum Shape {
    /// No fields.
    Unit,
    /// Fields by place.
    Tuple(u8, Vec<Option<String>>),
    /// Fields by name.
    Named {
        /// Raw.
        r#type: [f32; 40],
    },
}

/// All attributes.
#[table(public, ephemeral)]
pub struct Account {
    /// A tuple key.
    #[primary_key]
    pub id: (u64, Option<Kind>),
    #[index(hash, unique)]
    email: String,
    #[index(btree, auto_inc)]
    number: u32,
    #[default(Kind::Small)]
    kind: Kind,
    #[default("none")]
    text: String,
    #[default(None)]
    shape: Option<Shape>,
}

#[table]
struct Counted {
    #[primary_key(auto_inc)]
    id: i32,
}

mod deep {
    //! Bounds by path.

    use interstice_sdk::*;

    /// Capabilities inline, in `where`, twice; arguments of all patterns.
    #[reducer]
    pub fn all<P: CanRead<super::Account>>(
        ctx: ReducerContext<P>,
        mut a: u8,
        _b: String,
        _: (),
        r#type: super::Kind,
    ) -> Result<(), String>
    where
        P: CanRead<super::Account> + CanInsert<super::Account>,
        P: CanUpdate<super::Account>,
        P: CanDelete<super::Account>,
    {
        use super::HasAccountEditHandle;
        a += 1;
        let accounts = ctx.current.tables.account();
        accounts.upsert(super::Account {
            id: (a.into(), Some(r#type)),
            email: String::new(),
            number: 0,
            kind: super::Kind::Large,
            text: String::new(),
            shape: Some(super::Shape::Tuple(1, vec![None])),
        })?;
        for account in accounts.filter(|account| account.number > 0) {
            accounts.delete(account.id)?;
        }
        Ok(accounts.clear()?)
    }
}

#[reducer(on = "interstice-macros-tests.account.update")]
fn changed(_: ReducerContext<()>, _old: Account, new: Account) {
    log(&new.email);
}

#[reducer(on = "account.insert", on = "account.delete")]
fn came_and_went(_: ReducerContext, _: Account) {}

#[reducer(on = "init", on = "load", on = "render", on = "module_load", on = "network")]
fn bare(_ctx: ReducerContext) {}

#[reducer(private)]
fn by_its_module_alone(_ctx: ReducerContext, _id: u64) {}

#[reducer(every = "10s")]
fn by_the_clock(_ctx: ReducerContext) {}

#[reducer(private, every = "1500 ms")]
fn by_the_clock_alone(_ctx: ReducerContext) {}

#[reducer(every = "2m", on = "load")]
fn by_the_clock_and_at_once(_ctx: ReducerContext) {}

#[reducer(every = "1d", public)]
fn by_the_clock_and_by_anybody(_ctx: ReducerContext) {}

#[query]
fn counted<Caps: CanRead<Counted>>(ctx: QueryContext<Caps>, least: i32) -> Result<Vec<Counted>, Error> {
    Ok(ctx.current.tables.counted().range(least..).into_iter().chain(deep_helper(&ctx)).collect())
}

#[query]
fn asks_for_nothing(ctx: QueryContext) {
    ctx.log("asked");
}

trait Keyed {
    fn key(&self) -> String;
    fn schema(&self) -> u8;
}

/// Rows may have methods by traits of the module, whatever they are called.
impl Keyed for Counted {
    fn key(&self) -> String {
        self.id.to_string()
    }

    fn schema(&self) -> u8 {
        0
    }
}

fn deep_helper<Caps: CanRead<Counted>>(ctx: &QueryContext<Caps>) -> Option<Counted> {
    ctx.current.tables.counted().last()
}

fn main() {
    let ctx = interstice_sdk::testing::reducer_context();
    asks_for_nothing(interstice_sdk::testing::plain_query_context());
    assert_eq!((Counted { id: 7 }.key(), Counted { id: 7 }.schema()), ("7".to_string(), 0));
    assert_eq!(deep::all(ctx.clone(), 1, String::new(), (), Kind::Small), Ok(()));
}
